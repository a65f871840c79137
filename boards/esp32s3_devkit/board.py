"""ESP32-S3-DevKitC-1 with two INMP441 microphones, a button and an LED on a breadboard."""

NAME = "esp32s3_devkit"
CHIP = "esp32s3"
FLASH_KB = 6144  # of the file system, with the image for 8 MB of flash
HEAP_KB = 4096  # of the virtual glasses' interpreter; on the board the heap is what PSRAM gives
JOURNAL_KB = 1024  # with PSRAM about 2 minutes of speech; without it what fits (README.md)

PARTS = {
    "talk": {"driver": "button", "pin": 1, "active": 0, "pull": "up"},
    "light": {"driver": "led", "pin": 2, "active": 1},
    # Both share the three wires: L/R low is the left one, high the right one. On glasses they sit at the rim
    # beside the nose, the left one below the other: the mouth is in line with them (docs/sound.md).
    "mic": {
        "driver": "i2s_microphone",
        "port": 0,
        "sck": 4,
        "ws": 5,
        "sd": 6,
        "ibuf": 32768,
        "channels": 2,
        "positions": ((15, 15, -20), (15, 15, 5)),
    },
    # May be left out. Its amplifier's SD goes to "enable": low, it draws next to nothing.
    "speaker": {"driver": "i2s_speaker", "port": 1, "sck": 15, "ws": 16, "sd": 17, "enable": 18},
}

# No BATTERY: the board lives on USB. So this is mA at its 5 V, unless a unit is said; its regulator is linear
# and passes the chip's mA on. Sources of what is not the board's own: boards/xiao_esp32s3_sense.
CURRENTS = {
    "cpu": {  # (idle, busy)
        80: (22.0, 28.4),  # datasheet: ESP32-S3 v2.2 table 5-9
        160: (27.6, 39.9),  # datasheet: same table
        240: (32.9, 51.2),  # datasheet: same table; thread: lucidar.me measured 31.7 idle on a DevKitM
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
    # Power LED, USB bridge, RGB LED and regulator. thread: kohacraft.com, 8.15 of a sleeping ESP32-DevKitC
    # without its regulator; estimate: 1 of the RGB LED, 0.1 of the SGM2212; datasheet: 0.8 of each INMP441.
    "board": 10.8,  # estimate: the sum
    "mic": 2.8,  # datasheet: INMP441 table 1, less the standby, twice
    "light": 1.4,  # estimate: red LED at 1 kOhm
    # While its clocks run. datasheet: MAX98357A, 2.4 mA idle; estimate: 21 mW at -20 dBFS and 9 dB of gain.
    "speaker": 7.0,  # estimate: the sum
}
