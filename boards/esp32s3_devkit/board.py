"""ESP32-S3-DevKitC-1 with an INMP441 microphone, a push button and an LED on a breadboard."""

NAME = "esp32s3_devkit"
CHIP = "esp32s3"
FLASH_KB = 6144  # of the file system, with the image for 8 MB of flash
HEAP_KB = 4096  # of the virtual glasses' interpreter; on the board the heap is what PSRAM gives
JOURNAL_KB = 1024  # with PSRAM about 2 minutes of speech; without it what fits (README.md)

PARTS = {
    "talk": {"driver": "button", "pin": 1, "active": 0, "pull": "up"},
    "light": {"driver": "led", "pin": 2, "active": 1},
    "mic": {"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6, "ibuf": 32768},
}
