"""What only the host needs to know of the XIAO ESP32C3. Pins: Seeed's wiki and schematic."""

TITLE = "Seeed Studio XIAO ESP32C3"
FLASH_MB = 4
# Named on several public pages; only the download proves that it is there. I2S came to C3 images with 1.25,
# waking by a pin with 1.27.
IMAGE = {"board": "ESP32_GENERIC_C3", "date": "20260406", "version": "v1.28.0"}

# As seen from above.
USB = "top"
LEFT = (("D0", 2), ("D1", 3), ("D2", 4), ("D3", 5), ("D4", 6), ("D5", 7), ("D6", 21))
RIGHT = ("5V", "GND", "3V3", ("D10", 10), ("D9", 9), ("D8", 8), ("D7", 20))
BELOW = ("BAT-", "BAT+")  # pads on the back

ON_BOARD = {"BOOT button": (9,)}

WIRING = {
    "usb": {
        "what": "USB sense",
        "wires": (("top", "5V"), ("middle", "pin"), ("bottom", "GND")),
        "between": ("100 kΩ", "150 kΩ"),
    },
    "battery": {
        "what": "battery divider",
        "wires": (("top", "BAT+"), ("middle", "pin"), ("bottom", "GND")),
        "between": ("220 kΩ", "220 kΩ and 100 nF"),
    },
    "talk": {"what": "push button", "wires": (("one side", "pin"), ("other side", "GND"))},
    "mic": {
        "what": "INMP441 microphone",
        "wires": (("VDD", "3V3"), ("SCK", "sck"), ("SD", "sd"), ("WS", "ws"), ("L/R", "GND"), ("GND", "GND")),
    },
    "light": {"what": "LED, red", "wires": (("anode", "pin", "1 kΩ"), ("cathode", "GND"))},
    "cell": {"what": "LiPo cell, 3.7 V", "wires": (("+", "BAT+"), ("-", "BAT-"))},
}

BILL = (
    (1, "Seeed Studio XIAO ESP32C3", "with its antenna"),
    (1, "INMP441 module", "an ICS-43434 is wired alike, and makes the cell last longer"),
    (1, "push button", ""),
    (1, "LED, red, 3 mm or smaller", "the capture light"),
    (1, "resistor 1 kΩ", "in series with the LED"),
    (2, "resistor 220 kΩ", "battery divider"),
    (1, "capacitor 100 nF", "battery divider"),
    (1, "resistor 100 kΩ", "USB sense"),
    (1, "resistor 150 kΩ", "USB sense"),
    (1, "LiPo cell, 3.7 V, 250 mAh, with protection", "502030 or alike"),
)
