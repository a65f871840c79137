"""ESP32-DevKitC V4 (the classic ESP32) with an INMP441 microphone, a button and an LED on a breadboard."""

NAME = "esp32_devkit"
CHIP = "esp32"
FLASH_KB = 2048  # of the file system, with the image for 4 MB of flash
HEAP_KB = 640  # of the virtual glasses' interpreter, whose objects are twice as large as the chip's
JOURNAL_KB = 32  # nearly 4 s of speech: there is no PSRAM
CLEANING = "light"  # noise suppression takes memory and time that there is little of

PARTS = {
    "talk": {"driver": "button", "pin": 4, "active": 0, "pull": "up"},
    "light": {"driver": "led", "pin": 23, "active": 1},
    # Half the ring of boards with more memory: 128 ms.
    "mic": {"driver": "i2s_microphone", "port": 0, "sck": 33, "ws": 25, "sd": 32, "ibuf": 16384},
}

# No BATTERY: the board lives on USB. So this is mA at its 5 V, unless a unit is said; its regulator is linear
# and passes the chip's mA on.
CURRENTS = {
    "cpu": {  # (idle, busy), of a dual-core chip
        80: (20.0, 31.0),  # datasheet: ESP32, power consumption by power modes, modem-sleep
        160: (27.0, 44.0),  # datasheet: same table
        240: (30.0, 68.0),  # datasheet: same table
    },
    "boot": 61.0,  # estimate: as the S3
    "boot_ms": 395,  # estimate: as the S3, whose boot loader does the same
    "load_file_ms": 6.0,  # estimate: the S3's, by the clocks
    "load_kb_ms": 4.5,  # estimate: same
    "radio": 65.0,  # estimate: 85 mA of receiving (datasheet: 80 to 90), less the idle 20 at 80 MHz
    "radio_ms": 40,  # estimate: as on the S3
    "advertise": 170.0,  # estimate: mA ms, from air time; datasheet: 130 mA at 0 dBm
    "connection": 27.0,  # estimate: mA ms, from air time
    "byte": 0.8,  # estimate: mA ms, from air time
    "deep_sleep": 0.01,  # datasheet: ESP32, RTC timer and RTC memory
    "light_sleep": 1.6,  # thread: dzen.ru measured 1.56 of an ESP32-S module; datasheet: 0.8 of the bare chip
    # Power LED, USB bridge and regulator. thread: kohacraft.com, 8.15 of a sleeping ESP32-DevKitC without its
    # regulator; estimate: 5 of the AMS1117; datasheet: 0.8 of an INMP441 whose clock stands still.
    "board": 14.0,  # estimate: the sum
    "mic": 1.4,  # datasheet: INMP441 table 1, less the standby
    "light": 1.4,  # estimate: red LED at 1 kOhm
}
