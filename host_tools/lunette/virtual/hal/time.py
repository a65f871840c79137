"""Stands in for MicroPython's `time` on an ESP32, over the `time` of MicroPython's unix port.

Modelled: ticks that start near 0 at boot and wrap at 2**30 (the unix port's wrap never), `time()` and
dates counted from 2000 by the chip's RTC, `sleep` that lets interrupts through (the unix port's own
does not). asyncio keeps the built-in clock: its task queue is C and knows no other, and mixing the two
made every sleep last for ever; so boot.py imports asyncio before this module takes the name `time`.
Not for CPython, whose `time` gets the extra names from `lunette.virtual.cpython`.
"""

import sys

if sys.implementation.name != "micropython":
    raise ImportError("lunette.virtual.hal.time is for MicroPython: CPython keeps its own time module")

import struct

import _ops
import _port
import utime as _builtin

_PERIOD = 1 << 30
_MASK = _PERIOD - 1
_HALF = _PERIOD >> 1
_TO_2000 = 946684800

_us = _builtin.ticks_us
_boot = _us()

sleep_ms = _builtin.sleep_ms
sleep_us = _builtin.sleep_us


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    sleep_ms(int(seconds * 1000))


def ticks_ms():
    return (_us() - _boot) // 1000 & _MASK


def ticks_us():
    return _us() - _boot & _MASK


def ticks_cpu():
    return (_us() - _boot) * 240 & _MASK


def ticks_diff(end, start):
    return ((end - start + _HALF) & _MASK) - _HALF


def ticks_add(ticks, delta):
    if not -_HALF < delta < _HALF:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & _MASK


def time():
    return struct.unpack("<II", _port.call_bytes(_ops.RTC_GET))[0]


def time_ns():
    seconds, us = struct.unpack("<II", _port.call_bytes(_ops.RTC_GET))
    return (seconds * 1000000 + us) * 1000


def gmtime(seconds=None):
    """(year, month, day, hour, minute, second, weekday, yearday): eight items, as on the chip."""
    return tuple(_builtin.gmtime((time() if seconds is None else seconds) + _TO_2000)[:8])


localtime = gmtime


def mktime(fields):
    # By way of the RTC's own arithmetic: the unix port's mktime applies the computer's time zone.
    from machine import _days

    y, month, day, h, m, s = fields[:6]
    return _days(y, month, day) * 86400 + h * 3600 + m * 60 + s
