"""What only the host needs to know of the ESP32-DevKitC V4. Pins: Espressif's user guide."""

TITLE = "Espressif ESP32-DevKitC V4"
FLASH_MB = 4
# Named on several public pages; only the download proves that it is there.
IMAGE = {"board": "ESP32_GENERIC", "date": "20260406", "version": "v1.28.0"}

# As seen from above.
USB = "bottom"
LEFT = (
    "3V3",
    "EN",
    ("VP", 36),
    ("VN", 39),
    34,
    35,
    32,
    33,
    25,
    26,
    27,
    14,
    12,
    "GND",
    13,
    ("D2", 9),
    ("D3", 10),
    ("CMD", 11),
    "5V",
)
RIGHT = (
    "GND",
    23,
    22,
    ("TX", 1),
    ("RX", 3),
    21,
    "GND",
    19,
    18,
    5,
    17,
    16,
    4,
    0,
    2,
    15,
    ("D1", 8),
    ("D0", 7),
    ("CLK", 6),
)

ON_BOARD = {"USB bridge": (1, 3), "BOOT button": (0,)}

WIRING = {
    "mic": {
        "what": "INMP441 microphone",
        "wires": (("VDD", "3V3"), ("SD", "sd"), ("SCK", "sck"), ("WS", "ws"), ("L/R", "GND"), ("GND", "GND")),
    },
    "light": {"what": "LED, red", "wires": (("cathode", "GND"), ("anode", "pin", "1 kΩ"))},
    "talk": {"what": "push button", "wires": (("other side", "GND"), ("one side", "pin"))},
}

BILL = (
    (1, "ESP32-DevKitC V4", "or a board with the same header"),
    (1, "INMP441 module", ""),
    (1, "push button", ""),
    (1, "LED, red", "the capture light"),
    (1, "resistor 1 kΩ", "in series with the LED"),
    (1, "breadboard and wires", ""),
)
