"""Stands in for MicroPython's `time` on an ESP32, over the `time` of MicroPython's unix port.

Modelled: `time()` and dates counted from 2000 by the chip's RTC, `sleep` that lets interrupts through
(the unix port's own does not). Not modelled: ticks that start at boot and wrap at 2**30.
Not for CPython, whose `time` gets the extra names from `lunette.virtual.cpython`.
"""

import sys

if sys.implementation.name != "micropython":
    raise ImportError("lunette.virtual.hal.time is for MicroPython: CPython keeps its own time module")

import struct

import _ops
import _port
import utime as _builtin

_TO_2000 = 946684800

sleep_ms = _builtin.sleep_ms
sleep_us = _builtin.sleep_us


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    sleep_ms(int(seconds * 1000))


# asyncio's task queue is C and keeps its times on the built-in clock: another one beside it, with the
# chip's start and wrap, made every sleep last for ever. The wrap is modelled in CPython instead.
ticks_ms = _builtin.ticks_ms
ticks_us = _builtin.ticks_us
ticks_cpu = _builtin.ticks_cpu
ticks_diff = _builtin.ticks_diff
ticks_add = _builtin.ticks_add


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
