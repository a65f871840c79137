"""The virtual glasses: an ESP32-S3 with everything the runtime can use."""

NAME = "virtual"
CHIP = "esp32s3"
FLASH_KB = 2048  # of the file system
HEAP_KB = 1024  # objects are twice as large on a 64-bit interpreter as on the chip
JOURNAL_KB = 256  # about 30 s of speech

PARTS = {
    "talk": {"driver": "button", "pin": 1, "active": 0, "pull": "up"},
    "light": {"driver": "led", "pin": 2, "active": 1},
    "mic": {"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6, "ibuf": 32768},
    "battery": {"driver": "battery", "pin": 8, "ratio": 2.0, "empty_v": 3.3, "full_v": 4.2},
}
