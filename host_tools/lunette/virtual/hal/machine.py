"""Stands in for MicroPython's `machine` on an ESP32, versions 1.26 to 1.29.

Modelled here: RTC, timers, watchdog, clock, resets and sleep; pins, ADC and PWM in `_gpio.py`, I2S in
`_i2s.py`. The same file runs in MicroPython and in CPython; what hardware does is in the chip model.
Not modelled: I2C, SPI, UART, TouchPad, DAC, SDCard, mem8/16/32, bitstream, time_pulse_us, bootloader.
"""

import struct
import time

import _ops
import _port
from _gpio import ADC, PWM, Pin, Signal  # noqa: F401
from _i2s import I2S  # noqa: F401

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_WAKE = 2
EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6
GPIO_WAKE = 7

IDLE = 1
SLEEP = 2
DEEPSLEEP = 4

_MAX_MS = 0x7FFFFFFF
_TO_2000 = 946684800  # seconds from 1970 to 2000
# CPython and MicroPython's unix port count from 1970, the chip's own `time` from 2000.
_EPOCH = 0 if time.gmtime(0)[0] == 2000 else _TO_2000


def freq(hz=None):
    """The CPU's clock in Hz, or set it. Raises ValueError for one that the chip does not have."""
    if hz is None:
        return _port.call(_ops.FREQ_GET)
    _port.call(_ops.FREQ_SET, hz)
    return None


def unique_id():
    return _port.call_bytes(_ops.UNIQUE_ID)


def reset():
    """Reset the chip. Does not return."""
    _port.call(_ops.RESET)


def soft_reset():
    """End the program and start it afresh. Does not return."""
    _port.call(_ops.SOFT_RESET)
    raise SystemExit


def reset_cause():
    return _port.call(_ops.RESET_CAUSE)


def wake_reason():
    return _port.call(_ops.WAKE_REASON)


def _sleep_ms(args):
    if not args:
        return -1
    if args[0] > _MAX_MS:
        raise OverflowError("overflow converting long int to machine word")
    return args[0]


def lightsleep(*time_ms):
    """Stop until `time_ms` or a wake source. The radio is off after it. Not in CPython (it blocks)."""
    _port.call(_ops.LIGHTSLEEP, _sleep_ms(time_ms))


def deepsleep(*time_ms):
    """Lose everything but RTC memory until `time_ms` or a wake source. Does not return."""
    _port.call(_ops.DEEPSLEEP, _sleep_ms(time_ms))


sleep = lightsleep


def idle():
    """Let other threads run: here, the one that brings interrupts."""
    if not _port.IS_CPYTHON:
        time.sleep_ms(1)


def disable_irq():
    """Hold interrupts back; returns what `enable_irq` wants."""
    state = _port._in_dispatch
    _port._in_dispatch = True
    return state


def enable_irq(state):
    """Let interrupts come again, those of the meantime first."""
    _port._in_dispatch = state
    if not state and not _port.IS_CPYTHON:
        _port._reschedule()


class RTC:
    """The clock that runs in deep sleep, and 2048 bytes that outlive it."""

    def init(self, datetime):
        self.datetime(datetime)

    def datetime(self, datetime=None):
        """(year, month, day, weekday, hours, minutes, seconds, microseconds), or set it."""
        if datetime is None:
            seconds, us = struct.unpack("<II", _port.call_bytes(_ops.RTC_GET))
            t = time.gmtime(seconds + _EPOCH)
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], us)
        y, month, day, _weekday, h, m, s, us = datetime
        seconds = _days(y, month, day) * 86400 + h * 3600 + m * 60 + s
        _port.call(_ops.RTC_SET, seconds - 0x100000000 if seconds > 0x7FFFFFFF else seconds, us)
        return None

    def memory(self, data=None):
        """The stored bytes, or store `data` (ValueError beyond 2048 bytes)."""
        if data is None:
            return _port.call_bytes(_ops.RTC_MEMORY_GET)
        # An empty buffer is no payload on the wire; the chip stores nothing all the same.
        _port.call(_ops.RTC_MEMORY_SET, 0, 0, 0, 0, bytes(data) if len(data) else None)
        return None


def _days(year, month, day):
    """Days since 2000-01-01."""
    before = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
    leap = 1 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) and month > 2 else 0
    y = year - 1
    return 365 * year + y // 4 - y // 100 + y // 400 + before[month - 1] + leap + day - 1 - 730484


class WDT:
    """The watchdog: not fed within `timeout` ms, it resets the chip. Nothing stops it."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        _port.call(_ops.WDT_INIT, timeout)

    def feed(self):
        _port.call(_ops.WDT_FEED)


_timers = {}


def _timer_interrupt(number, _e2, _e3, _data):
    timer = _timers.get(number)
    if timer is not None and timer._callback is not None:
        timer._callback(timer)


_FIRST_VIRTUAL = 16


class Timer:
    """A hardware timer (id from 0) or a virtual one (-1), which ticks in steps of 10 ms."""

    ONE_SHOT = 0
    PERIODIC = 1

    def __new__(cls, id, **_kwargs):
        if id >= 0:
            timer = _timers.get(id)
            if timer is not None:
                return timer
            _port.call(_ops.TIMER_INIT, id, 0, -1, -1)
        timer = super().__new__(cls)
        number = id
        if id < 0:
            number = _FIRST_VIRTUAL
            while number in _timers:
                number += 1
        timer._id = number
        timer._callback = None
        timer._text = ""
        _timers[number] = timer
        return timer

    def __init__(self, id, **kwargs):
        if kwargs:
            self.init(**kwargs)

    def __repr__(self):
        return f"Timer({-1 if self._id >= _FIRST_VIRTUAL else self._id}{self._text})"

    def init(self, *, mode=1, callback=None, period=-1, tick_hz=1000, freq=None, hard=False):
        """Call ``callback(timer)`` after `period` / `tick_hz` seconds or every 1 / `freq`."""
        if hard:
            raise ValueError("hard Timers are not implemented")
        if freq is not None:
            us = int(1000000 / freq)
        elif period < 0:
            us = 0xFFFFFFFF * 1000  # the longest, as without a period on the chip
        else:
            us = period * 1000000 // tick_hz
        _port.on(_ops.SRC_TIMER, _timer_interrupt)
        _timers[self._id] = self
        self._callback = callback
        ms = us // 1000
        _port.call(_ops.TIMER_INIT, self._id, 1 if mode else 0, min(ms, _MAX_MS), us % 1000)
        self._text = f", mode={'PERIODIC' if mode else 'ONE_SHOT'}, period={ms}"

    def deinit(self):
        _port.call(_ops.TIMER_DEINIT, self._id)
        if self._id >= _FIRST_VIRTUAL:
            _timers.pop(self._id, None)

    def value(self):
        """Milliseconds counted since the last alarm; of a virtual timer, ticks left."""
        return _port.call(_ops.TIMER_VALUE, self._id)
