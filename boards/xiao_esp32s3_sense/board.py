"""Seeed's XIAO ESP32S3 Sense in a frame: LiPo cell, button and LED on its header, its own PDM microphone.

That is on the camera board, which stays plugged in. The camera itself is taken off: it draws 3 mA while the
chip sleeps.
"""

NAME = "xiao_esp32s3_sense"
CHIP = "esp32s3"
FLASH_KB = 6144  # of the file system, with the image for 8 MB of flash
HEAP_KB = 4096  # of the virtual glasses' interpreter; on the board the heap is what PSRAM gives
JOURNAL_KB = 1024  # about 2 minutes of speech, in PSRAM

PARTS = {
    "talk": {"driver": "button", "pin": 1, "active": 0, "pull": "up"},  # D0
    "light": {"driver": "led", "pin": 2, "active": 1},  # D1
    # The word clock goes to D2, where nothing is connected: a strapping pin, good for little else.
    "mic": {"driver": "pdm_microphone", "port": 0, "clock": 42, "data": 41, "ws": 3, "ibuf": 32768},
    "battery": {"driver": "battery", "pin": 4, "ratio": 2.0, "empty_v": 3.4, "full_v": 4.2},  # D3
    "usb": {"driver": "usb_sense", "pin": 5, "active": 1},  # D4
}

BATTERY = {
    "mah": 250,  # estimate: LiPo cells that fit a temple (502030 and their like) have 180 to 300
    "empty_v": 3.4,  # thread: Seeed forum 284207, below it the regulator lets the sleeping board draw 0.3 mA
    "full_v": 4.2,  # datasheet: of LiPo cells in general
}

# mA, unless a unit is said. A mA of the chip is taken as one of the cell: the regulator steps 3.8 V down to
# 3.3 V at some 90 % (thread: Seeed forum 280201), so it is 0.97. docs/power.md tells how each was derived.
CURRENTS = {
    "cpu": {  # (idle, busy), the clocks of unused peripherals off, as the SDK has them
        80: (22.0, 28.4),  # datasheet: ESP32-S3 v2.2 table 5-9, WAITI and one core on 32-bit data
        160: (27.6, 39.9),  # datasheet: same table
        240: (32.9, 51.2),  # datasheet: same table; threads measured 31.7 to 34 idle
    },
    "boot": 61.0,  # thread: glenn20/upy-esp32-experiments, 26.5 mC in 418 ms, less its board's 1.7 mA
    "boot_ms": 395,  # thread: same, less its own 10 ms of sleep and the 12.5 ms that went with v1.21
    "load_file_ms": 4.0,  # estimate: opening a file of littlefs takes a few reads of flash
    "load_kb_ms": 3.0,  # estimate: reading and unpacking byte code at 80 to 240 MHz
    "radio": 52.0,  # thread: arduino-esp32 5909, 77 against 25 mA with modem sleep, which stock images lack
    "radio_ms": 40,  # estimate: until Bluetooth is on; a start of the controller and of NimBLE
    "advertise": 181.0,  # estimate: 3 x (376 us + 150 us ramp) at +108 mA, 450 us of listening at +8 mA
    "connection": 29.0,  # estimate: 80 us + 150 us ramp at +108 mA, 530 us of listening at +8 mA
    "byte": 0.864,  # estimate: 8 us at 1 Mbit/s and +108 mA (datasheet: 193 mA at 9 dBm, table 5-8, less 85)
    "deep_sleep": 0.008,  # datasheet: table 5-10, RTC memory and RTC peripherals powered
    "light_sleep": 1.4,  # thread: MicroPython issue 12104, 1.3 of a FeatherS3; esp32.com 41048, 1.4
    # vendor: Seeed's wiki, 64 uA at 3.8 V with the camera board but no camera, less the chip's 8; what the
    # microphone draws without a clock is in it. estimate: 8.6 uA of the divider, 2 x 220 kOhm.
    "board": 0.0646,  # vendor, estimate: the sum
    # Seeed does not say. At a clock of 1 MHz datasheets of others have 0.43 (ICS-41350) to 0.65 (MP34DT05).
    "mic": 0.6,  # estimate: between these
    "light": 1.4,  # estimate: (3.3 V - 1.9 V of a red LED) / 1 kOhm
}
