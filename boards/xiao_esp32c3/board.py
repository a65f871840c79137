"""Seeed's XIAO ESP32C3 in a frame: LiPo cell, INMP441 microphone, button and LED on its header."""

NAME = "xiao_esp32c3"
CHIP = "esp32c3"
FLASH_KB = 2048  # of the file system, with the image for 4 MB of flash
HEAP_KB = 640  # of the virtual glasses' interpreter, whose objects are twice as large as the chip's
JOURNAL_KB = 32  # nearly 4 s of speech: there is no PSRAM
CLEANING = "light"  # noise suppression takes memory and time that there is little of

PARTS = {
    "talk": {"driver": "button", "pin": 5, "active": 0, "pull": "up"},  # D3
    "light": {"driver": "led", "pin": 10, "active": 1},  # D10
    # D4, D6, D5. Half the ring of boards with more memory: 128 ms.
    "mic": {"driver": "i2s_microphone", "port": 0, "sck": 6, "ws": 21, "sd": 7, "ibuf": 16384},
    "battery": {"driver": "battery", "pin": 4, "ratio": 2.0, "empty_v": 3.4, "full_v": 4.2},  # D2
    "usb": {"driver": "usb_sense", "pin": 3, "active": 1},  # D1
}

BATTERY = {
    "mah": 250,  # estimate: LiPo cells that fit a temple (502030 and their like) have 180 to 300
    "empty_v": 3.4,  # thread: Seeed forum 284207, near 3.3 V the sleeping board draws 80 uA instead of 50
    "full_v": 4.2,  # datasheet: of LiPo cells in general
}

# mA, unless a unit is said. A mA of the chip is one of the cell: the board's regulator is linear.
CURRENTS = {
    "cpu": {  # (idle, busy), the clocks of unused peripherals off
        80: (13.0, 17.0),  # datasheet: ESP32-C3, current in modem-sleep mode
        160: (16.0, 23.0),  # datasheet: same table; thread: robdobson.com measured 26.8 busy
    },
    "boot": 40.0,  # estimate: the S3's 61, less what its datasheet says it draws more when busy
    "boot_ms": 395,  # estimate: as long as the S3, whose boot loader does the same
    "load_file_ms": 6.0,  # estimate: the S3's, by the clocks
    "load_kb_ms": 4.5,  # estimate: same
    "radio": 52.0,  # thread: arduino-esp32 5909, 77 against 25 mA of a C3 with modem sleep, which images lack
    "radio_ms": 40,  # estimate: as on the S3
    "advertise": 181.0,  # estimate: mA ms, as on the S3
    "connection": 29.0,  # estimate: mA ms, as on the S3
    "byte": 0.864,  # estimate: mA ms, as on the S3
    "deep_sleep": 0.005,  # datasheet: ESP32-C3, RTC timer and RTC memory
    "light_sleep": 0.35,  # thread: robdobson.com, a C3 with everything off
    # thread: Seeed forum 276444, 45.1 uA asleep at the battery pad, less the chip's 5; estimate:
    # 8.6 uA of the divider, 2 x 220 kOhm; datasheet: 800 uA of an INMP441 whose clock stands still.
    "board": 0.849,  # thread, datasheet, estimate: the sum
    "mic": 1.4,  # datasheet: INMP441 table 1, 2.2 mA at most, less the standby
    "light": 1.4,  # estimate: (3.3 V - 1.9 V of a red LED) / 1 kOhm
}
