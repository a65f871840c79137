"""What only the host needs to know of the ESP32-S3-DevKitC-1. Pins: Espressif's user guide of v1.1."""

TITLE = "Espressif ESP32-S3-DevKitC-1"
FLASH_MB = 8
PSRAM_MB = 8  # of the N8R8; README.md says what changes without
PSRAM = "octal"
# Named on several public pages; only the download proves that it is there.
IMAGE = {"board": "ESP32_GENERIC_S3", "variant": "SPIRAM_OCT", "date": "20260406", "version": "v1.28.0"}

# As seen from above.
USB = "bottom"
LEFT = (
    "3V3",
    "3V3",
    "RST",
    4,
    5,
    6,
    7,
    15,
    16,
    17,
    18,
    8,
    3,
    46,
    9,
    10,
    11,
    12,
    13,
    14,
    "5V",
    "GND",
)
RIGHT = (
    "GND",
    ("TX", 43),
    ("RX", 44),
    1,
    2,
    42,
    41,
    40,
    39,
    38,
    37,
    36,
    35,
    0,
    45,
    48,
    47,
    21,
    20,
    19,
    "GND",
    "GND",
)

ON_BOARD = {
    "RGB LED": (38, 48),  # 38 on boards of v1.1, 48 on those of v1.0
    "USB bridge": (43, 44),
    "BOOT button": (0,),
}

WIRING = {
    "talk": {"what": "push button", "wires": (("one side", "pin"), ("other side", "GND"))},
    "light": {"what": "LED, red", "wires": (("anode", "pin", "1 kΩ"), ("cathode", "GND"))},
    "mic": {
        "what": "INMP441, left",
        "wires": (("VDD", "3V3"), ("SCK", "sck"), ("WS", "ws"), ("SD", "sd"), ("L/R", "GND"), ("GND", "GND")),
    },
    "right": {
        "of": "mic",
        "what": "INMP441, right",
        "wires": (("VDD", "3V3"), ("L/R", "3V3"), ("SCK", "sck"), ("WS", "ws"), ("SD", "sd"), ("GND", "GND")),
    },
    "speaker": {
        "what": "MAX98357A, speaker",
        "wires": (
            ("LRC", "ws"),
            ("BCLK", "sck"),
            ("DIN", "sd"),
            ("SD", "enable"),
            ("GND", "GND"),
            ("VIN", "5V"),
        ),
    },
}

BILL = (
    (1, "ESP32-S3-DevKitC-1-N8R8", "or another module with PSRAM"),
    (2, "INMP441 module", "the right one may be left out"),
    (1, "push button", ""),
    (1, "LED, red", "the capture light"),
    (1, "resistor 1 kΩ", "in series with the LED"),
    (1, "MAX98357A module", "for short sounds; may be left out"),
    (1, "speaker, 8 Ω", "at the amplifier's screw terminals"),
    (1, "breadboard and wires", ""),
)
