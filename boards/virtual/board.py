"""The virtual glasses: an ESP32-S3 with everything the runtime can use."""

NAME = "virtual"
CHIP = "esp32s3"
FLASH_KB = 2048  # of the file system
HEAP_KB = 1536  # objects are twice as large on a 64-bit interpreter as on the chip
JOURNAL_KB = 256  # about 30 s of speech

PARTS = {
    "talk": {"driver": "button", "pin": 1, "active": 0, "pull": "up"},
    "light": {"driver": "led", "pin": 2, "active": 1},
    "mic": {"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6, "ibuf": 32768},
    "battery": {"driver": "battery", "pin": 8, "ratio": 2.0, "empty_v": 3.3, "full_v": 4.2},
    "usb": {"driver": "usb_sense", "pin": 9, "active": 1},
    "cue": {"driver": "cue_led", "pin": 14, "active": 1},
    "worn": {"driver": "worn_sense", "pin": 13, "active": 1},
    "speaker": {"driver": "i2s_speaker", "port": 1, "sck": 10, "ws": 11, "sd": 12},
}

# A model, not a board: the cell and the currents are those of boards/xiao_esp32s3_sense, which says more.
BATTERY = {
    "mah": 250,  # estimate: what fits a temple
    "empty_v": 3.4,  # thread: Seeed forum 284207
    "full_v": 4.2,  # datasheet: of LiPo cells in general
}
CURRENTS = {  # mA, unless a unit is said
    "cpu": {  # (idle, busy)
        80: (22.0, 28.4),  # datasheet: ESP32-S3 v2.2 table 5-9
        160: (27.6, 39.9),  # datasheet: same table
        240: (32.9, 51.2),  # datasheet: same table
    },
    "boot": 61.0,  # thread: glenn20/upy-esp32-experiments
    "boot_ms": 395,  # thread: same
    "load_file_ms": 4.0,  # estimate
    "load_kb_ms": 3.0,  # estimate
    "radio": 52.0,  # thread: arduino-esp32 5909, no modem sleep
    "radio_ms": 40,  # estimate
    "advertise": 181.0,  # estimate: mA ms, from air time
    "connection": 29.0,  # estimate: mA ms, from air time
    "byte": 0.864,  # estimate: mA ms, from air time
    "deep_sleep": 0.008,  # datasheet: ESP32-S3 v2.2 table 5-10
    "light_sleep": 1.4,  # thread: MicroPython issue 12104, esp32.com 41048
    "board": 0.0646,  # vendor, estimate: regulator, divider, camera board with the microphone asleep
    "mic": 0.6,  # estimate: a PDM microphone at 1 MHz
    "light": 1.4,  # estimate: red LED at 1 kOhm
}
