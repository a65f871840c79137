"""What only the host needs to know of the XIAO ESP32S3 Sense. Pins: Seeed's wiki and schematic."""

TITLE = "Seeed Studio XIAO ESP32S3 Sense"
FLASH_MB = 8
PSRAM_MB = 8
PSRAM = "octal"
# Named on several public pages; only the download proves that it is there.
IMAGE = {"board": "ESP32_GENERIC_S3", "variant": "SPIRAM_OCT", "date": "20260406", "version": "v1.28.0"}

# As seen from above.
USB = "top"
LEFT = (("D0", 1), ("D1", 2), ("D2", 3), ("D3", 4), ("D4", 5), ("D5", 6), ("D6", 43))
RIGHT = ("5V", "GND", "3V3", ("D10", 9), ("D9", 8), ("D8", 7), ("D7", 44))
BELOW = ("BAT-", "BAT+")  # pads on the back

ON_BOARD = {
    "user LED": (21,),
    # XCLK, SIOD, SIOC, Y9 to Y2, VSYNC, HREF, PCLK
    "camera": (10, 40, 39, 48, 11, 12, 14, 16, 18, 17, 15, 38, 47, 13),
    "PDM microphone": (42, 41),  # clock, data; on the camera board
    "card slot": (7, 8, 9),  # SCK, MISO, MOSI; its chip select is GPIO21, too
}
# The camera is taken off its board. The slot stays, and its lines are free as long as it holds no card.
DETACHED = ("camera", "card slot")

WIRING = {
    "talk": {"what": "push button", "wires": (("one side", "pin"), ("other side", "GND"))},
    "light": {"what": "LED, red", "wires": (("anode", "pin", "1 kΩ"), ("cathode", "GND"))},
    "battery": {
        "what": "battery divider",
        "wires": (("top", "BAT+"), ("middle", "pin"), ("bottom", "GND")),
        "between": ("220 kΩ", "220 kΩ and 100 nF"),
    },
    "usb": {
        "what": "USB sense",
        "wires": (("top", "5V"), ("middle", "pin"), ("bottom", "GND")),
        "between": ("100 kΩ", "150 kΩ"),
    },
    "mic": {"what": "microphone of the camera board", "on_board": "PDM microphone"},
    "cell": {"what": "LiPo cell, 3.7 V", "wires": (("+", "BAT+"), ("-", "BAT-"))},
}

BILL = (
    (1, "Seeed Studio XIAO ESP32S3 Sense", "with its camera board, which has the microphone"),
    (1, "push button", ""),
    (1, "LED, red, 3 mm or smaller", "the capture light"),
    (1, "resistor 1 kΩ", "in series with the LED"),
    (2, "resistor 220 kΩ", "battery divider"),
    (1, "capacitor 100 nF", "battery divider"),
    (1, "resistor 100 kΩ", "USB sense"),
    (1, "resistor 150 kΩ", "USB sense"),
    (1, "LiPo cell, 3.7 V, 250 mAh, with protection", "502030 or alike"),
)
