"""Stands in for MicroPython's `esp32` module: wake sources, holds, heap figures, NVS.

A function that the chip's image does not have is absent here too (`wake_on_ext0` on a C3).
Not modelled: Partition, RMT, ULP, PCNT, raw_temperature, touch measurement settings.
"""

import json
import struct

import _gpio
import _ops
import _port

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
HEAP_DATA = 4
HEAP_EXEC = 1


def wake_on_touch(wake):
    _port.call(_ops.WAKE_TOUCH, 1 if wake else 0)


def wake_on_ext0(pin=-2, level=-1):
    """Wake when `pin` is at `level`; None takes it back. Raises ValueError for a pin without RTC function."""
    if pin is None:
        number = -1
    elif isinstance(pin, int) and pin == -2:
        number = -2
    else:
        number = _gpio.pin_number(pin)
    _port.call(_ops.WAKE_EXT0, number, level if level == -1 else (1 if level else 0), 6)


def wake_on_ext1(pins=None, level=-1):
    """Wake when all `pins` are low (any of them, except on the first ESP32) or any is high."""
    _wake_on(_ops.WAKE_EXT1, pins, level)


def wake_on_gpio(pins=None, level=-1):
    """Wake when any of `pins` is at `level`: from light sleep everywhere, from deep sleep on C3 and C6."""
    _wake_on(_ops.WAKE_GPIO, pins, level)


def _wake_on(op, pins, level):
    numbers = None if pins is None else json.dumps([_gpio.pin_number(p) for p in pins]).encode()
    _port.call(op, level if level == -1 else (1 if level else 0), 0, 0, 0, numbers)


def gpio_deep_sleep_hold(enable):
    """Let pins made with `hold=True` keep their level in deep sleep."""
    _port.call(_ops.GPIO_HOLD, 1 if enable else 0)


def idf_heap_info(capabilities):
    """[(size, free, largest free block, least free ever), ...] of the regions."""
    raw = _port.call_bytes(_ops.IDF_HEAP, capabilities)
    return [struct.unpack("<4I", raw[i : i + 16]) for i in range(0, len(raw), 16)]


def mcu_temperature():
    """Degrees Celsius."""
    return _port.call(_ops.TEMPERATURE)


class NVS:
    """A namespace of non-volatile storage. Failures are OSError(-code) with the codes of nvs.h."""

    def __init__(self, namespace):
        self._space = namespace.encode() + b"\0"
        self._call(_ops.NVS_OPEN, "")

    def __repr__(self):
        return "<NVS namespace>"

    def _call(self, verb, key, number=0, blob=b""):
        return _port.call(_ops.NVS, verb, number, 0, 0, self._space + key.encode() + b"\0" + blob)

    def set_i32(self, key, value):
        if not -0x80000000 <= value <= 0x7FFFFFFF:
            raise OverflowError("overflow converting long int to machine word")
        self._call(_ops.NVS_SET_I32, key, value)

    def get_i32(self, key):
        return self._call(_ops.NVS_GET_I32, key)

    def set_blob(self, key, value):
        self._call(_ops.NVS_SET_BLOB, key, 0, bytes(value))

    def get_blob(self, key, buffer):
        """Fill `buffer`; returns the length of the value."""
        size = self._call(_ops.NVS_BLOB_LEN, key, len(buffer))
        name = self._space + key.encode() + b"\0"
        at = 0
        while at < size:
            part = _port.call_bytes(_ops.NVS, _ops.NVS_GET_BLOB, at, 0, name)
            memoryview(buffer)[at : at + len(part)] = part
            at += len(part)
        return size

    def erase_key(self, key):
        self._call(_ops.NVS_ERASE, key)

    def commit(self):
        self._call(_ops.NVS_COMMIT, "")


def _drop_absent():
    try:
        chip = _port.call_bytes(_ops.CHIP_NAME)
    except RuntimeError:  # imported without a chip: nothing can be called anyway
        return
    absent = []
    if chip in (b"esp32c3", b"esp32c6"):
        absent = ["wake_on_ext0", "wake_on_touch"]
    if chip == b"esp32c3":
        absent.append("wake_on_ext1")
    for name in absent:
        del globals()[name]


_drop_absent()
