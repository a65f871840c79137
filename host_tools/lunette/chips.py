"""What differs between the ESP32 chips: data only.

Sources: Espressif datasheets (pin lists, strapping pins, pins of flash and PSRAM), ESP-IDF programming
guides (ADC attenuation ranges, deep-sleep wake sources, "ADC Limitations"), and the MicroPython esp32 port
(pins that stock images refuse: those of the flash and of the USB console; CPU frequencies; default heap
layout).
"""

from __future__ import annotations

from dataclasses import dataclass


def _pins(*parts: int | range) -> frozenset[int]:
    return frozenset(n for p in parts for n in (p if isinstance(p, range) else (p,)))


@dataclass(frozen=True)
class ChipData:
    """One chip as a stock MicroPython image presents it."""

    name: str
    title: str  # as Espressif writes it
    gpio: frozenset[int]  # pins that `machine.Pin` accepts
    input_only: frozenset[int]
    strapping: frozenset[int]  # read by the boot loader: no wake button here
    wake_pins: frozenset[int]  # can wake from deep sleep
    adc1: frozenset[int]
    adc2: frozenset[int]
    adc2_why: str  # why ADC2 is not to be used, "" if it only shares its converter with the radio
    flash_pins: frozenset[int]  # of flash and, where it is in the package, its supply
    psram_pins: dict[str, frozenset[int]]  # what PSRAM of that kind takes away beyond those
    usb_pins: frozenset[int]  # of the chip's own USB
    uart_pins: tuple[int, int]  # (TX, RX) of the serial console, on which the boot loader prints
    adc_top_mv: tuple[int, int, int, int]  # highest input of attenuation 0, 2.5, 6, 11 dB
    i2s_ports: int
    timers: int
    pwm_channels: int
    freqs_mhz: tuple[int, ...]
    default_mhz: int
    ext0: bool
    ext1: bool
    ext1_low_is_any: bool  # WAKEUP_ALL_LOW really means "any low" on every chip but the first
    gpio_wake: bool  # `esp32.wake_on_gpio` works from deep sleep
    touch: bool
    dma_bytes: int  # internal RAM that I2S descriptors may take, all ports together
    heaps: tuple[tuple[int, int, int, int], ...]  # esp32.idf_heap_info(HEAP_DATA) after boot

    @property
    def adc(self) -> frozenset[int]:
        return self.adc1 | self.adc2


CHIPS: dict[str, ChipData] = {
    "esp32": ChipData(
        name="esp32",
        title="ESP32",
        # 6-11 are the flash; 20, 24, 28-31 do not exist.
        gpio=_pins(range(6), range(12, 20), range(21, 24), range(25, 28), range(32, 40)),
        input_only=_pins(range(34, 40)),
        strapping=_pins(0, 2, 5, 12, 15),
        wake_pins=_pins(0, 2, 4, range(12, 16), range(25, 28), range(32, 40)),
        adc1=_pins(range(32, 40)),
        adc2=_pins(0, 2, 4, range(12, 16), range(25, 28)),
        adc2_why="it does not work while the radio does (ESP-IDF, ADC Limitations)",
        flash_pins=_pins(range(6, 12)),
        psram_pins={"quad": _pins(16, 17)},
        usb_pins=frozenset(),
        uart_pins=(1, 3),
        adc_top_mv=(950, 1250, 1750, 2450),
        i2s_ports=2,
        timers=4,
        pwm_channels=16,
        freqs_mhz=(20, 40, 80, 160, 240),
        default_mhz=160,
        ext0=True,
        ext1=True,
        ext1_low_is_any=False,
        gpio_wake=False,
        touch=True,
        dma_bytes=96 * 1024,
        heaps=(
            (7288, 0, 0, 0),
            (16648, 172, 152, 0),
            (79912, 49152, 48128, 44000),
            (113840, 98304, 94208, 90000),
        ),
    ),
    "esp32s3": ChipData(
        name="esp32s3",
        title="ESP32-S3",
        # 19, 20 are the USB console; 26-32 the flash; 22-25 do not exist. Octal PSRAM takes 33-37
        # as well: a board that has it names them in Chip(reserved=...).
        gpio=_pins(range(19), 21, range(33, 49)),
        input_only=frozenset(),
        strapping=_pins(0, 3, 45, 46),
        wake_pins=_pins(range(22)),
        adc1=_pins(range(1, 11)),
        adc2=_pins(range(11, 21)),
        adc2_why="",
        flash_pins=_pins(range(26, 33)),
        psram_pins={"quad": frozenset(), "octal": _pins(range(33, 38))},
        usb_pins=_pins(19, 20),
        uart_pins=(43, 44),
        adc_top_mv=(950, 1250, 1750, 3100),
        i2s_ports=2,
        timers=4,
        pwm_channels=8,
        freqs_mhz=(20, 40, 80, 160, 240),
        default_mhz=240,
        ext0=True,
        ext1=True,
        ext1_low_is_any=True,
        gpio_wake=False,
        touch=True,
        dma_bytes=96 * 1024,
        heaps=(
            (33960, 21504, 20480, 20000),
            (208132, 163840, 126976, 150000),
            (8388608, 8318976, 8257536, 8300000),
        ),
    ),
    "esp32c3": ChipData(
        name="esp32c3",
        title="ESP32-C3",
        # 11-17 are the flash and its supply; 18, 19 the USB console.
        gpio=_pins(range(11), 20, 21),
        input_only=frozenset(),
        strapping=_pins(2, 8, 9),
        wake_pins=_pins(range(6)),
        adc1=_pins(range(5)),
        adc2=_pins(5),
        adc2_why="its results are not stable (ESP32-C3 errata), and ESP-IDF refuses it",
        flash_pins=_pins(range(11, 18)),
        psram_pins={},
        usb_pins=_pins(18, 19),
        uart_pins=(21, 20),
        adc_top_mv=(750, 1050, 1300, 2500),
        i2s_ports=1,
        timers=2,
        pwm_channels=6,
        freqs_mhz=(20, 40, 80, 160),
        default_mhz=160,
        ext0=False,
        ext1=False,
        ext1_low_is_any=True,
        gpio_wake=True,
        touch=False,
        dma_bytes=64 * 1024,
        heaps=((181920, 106496, 98304, 96000), (79104, 62464, 61440, 62000)),
    ),
    "esp32c6": ChipData(
        name="esp32c6",
        title="ESP32-C6",
        # 12, 13 are the USB console; 24-30 the flash.
        gpio=_pins(range(12), range(14, 24)),
        input_only=frozenset(),
        strapping=_pins(4, 5, 8, 9, 15),
        wake_pins=_pins(range(8)),
        adc1=_pins(range(7)),
        adc2=frozenset(),
        adc2_why="",
        flash_pins=_pins(range(24, 31)),
        psram_pins={},
        usb_pins=_pins(12, 13),
        uart_pins=(16, 17),
        adc_top_mv=(1000, 1300, 1900, 3300),
        i2s_ports=1,
        timers=2,
        pwm_channels=6,
        freqs_mhz=(20, 40, 80, 160),
        default_mhz=160,
        ext0=False,
        ext1=True,
        ext1_low_is_any=True,
        gpio_wake=True,
        touch=False,
        dma_bytes=64 * 1024,
        heaps=((284176, 196608, 184320, 190000), (14288, 13312, 12800, 13000)),
    ),
}


def chip_data(name: str) -> ChipData:
    """The data of chip `name`. Raises ValueError naming the known chips."""
    try:
        return CHIPS[name]
    except KeyError:
        raise ValueError(f"unknown chip {name!r}: known are {', '.join(sorted(CHIPS))}") from None
