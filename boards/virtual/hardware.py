"""What only the host needs to know of the virtual board. There is nothing to solder and no image."""

TITLE = "Virtual glasses"
FLASH_MB = 4

LEFT = ("3V3", 1, 2, 4, 5, 6)
RIGHT = ("5V", "GND", 8, 9, 10, 11, 12, 13, 14, "BAT+")

WIRING = {
    "talk": {"what": "push button", "wires": (("one side", "pin"), ("other side", "GND"))},
    "light": {"what": "LED", "wires": (("anode", "pin"), ("cathode", "GND"))},
    "cue": {"what": "recording LED", "wires": (("anode", "pin"), ("cathode", "GND"))},
    "mic": {
        "what": "microphone",
        "wires": (("VDD", "3V3"), ("SCK", "sck"), ("WS", "ws"), ("SD", "sd"), ("L/R", "GND"), ("GND", "GND")),
    },
    "battery": {
        "what": "battery divider",
        "wires": (("top", "BAT+"), ("middle", "pin"), ("bottom", "GND")),
        "between": ("equal", "equal"),
    },
    "usb": {"what": "USB sense", "wires": (("USB", "pin"),)},
    "worn": {"what": "wear sensor", "wires": (("VDD", "3V3"), ("OUT", "pin"), ("GND", "GND"))},
    "speaker": {
        "what": "amplifier and speaker",
        "wires": (("VIN", "5V"), ("GND", "GND"), ("BCLK", "sck"), ("LRC", "ws"), ("DIN", "sd")),
    },
}
