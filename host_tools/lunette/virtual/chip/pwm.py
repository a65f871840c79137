"""The LED controller, which MicroPython's PWM drives: channels, timers, and what came out of them.

Modelled, from the port's source (1.26 to 1.29) and ESP-IDF's driver: as many channels as the chip has, four
timers for each group of eight, one frequency a timer; channels of one frequency share theirs, and a channel
that leaves a timer for another leaves it running, lost to other frequencies. Duties have as many bits as the
frequency lets them, of the clock of 80 MHz, or of the CPU's if that is slower. A pin that is made an output
anew has left its channel, which works on. After `deinit` a pin stays low until it is initialised.
Not modelled: `lightsleep=True`, the reference clock below 10 Hz on the ESP32, fading, what light sleep does
to a channel, a channel of the ESP32 that moves to the other group.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from lunette.chips import ChipData
from lunette.virtual.chip.bus import Bus
from lunette.virtual.chip.pins import Pins
from lunette.virtual.hal import _ops as ops

_TIMERS = 4
_GROUP = 8  # channels that share timers
_DEFAULT_HZ = 5000
_CLOCK_HZ = 80_000_000
_FRACTION = 8  # bits of a divider after the point
_LARGEST_DIVIDER = 0x3FFFF
_FULL_BITS = 16  # of the duty that programs see
_TIMER_BITS = {"esp32": 20, "esp32s3": 14, "esp32c3": 14, "esp32c6": 20}
_INVALID_ARG = (-0x102, "ESP_ERR_INVALID_ARG")
_FAIL = (1, "ESP_FAIL")
_MAX_SPANS = 4096


@dataclass
class Span:
    """What a pin gave for a while: frequency in Hz, part of the time that it was high. `ended` is None while
    it goes on."""

    pin: int
    hz: int
    duty: float
    began: float
    ended: float | None = None


@dataclass
class _Timer:
    asked: int = -1  # Hz; -1: free
    bits: int = 0
    divider: int = 0


@dataclass
class _Channel:
    pin: int
    group: int
    timer: int
    duty: int = 0  # of 2 ** bits
    inverted: bool = False
    span: Span | None = field(default=None, repr=False)


class Pwm:
    """`spans` is everything that was ever played, the newest last. ``cpu_hz()`` is the CPU's clock."""

    def __init__(self, data: ChipData, bus: Bus, pins: Pins, cpu_hz: Callable[[], int]):
        self._pins = pins
        self._cpu_hz = cpu_hz
        self._channels_max = data.pwm_channels
        self._timer_bits = _TIMER_BITS[data.name]
        self._timers = [[_Timer() for _ in range(_TIMERS)] for _ in range(-(-data.pwm_channels // _GROUP))]
        self._channels: dict[int, _Channel] = {}
        self.spans: deque[Span] = deque(maxlen=_MAX_SPANS)
        bus.register({ops.PWM_INIT: self._init, ops.PWM_DEINIT: self._deinit, ops.PWM_READ: self._read})

    def running(self, pin: int) -> bool:
        """A channel drives that pin."""
        return pin in self._channels

    def tones(self, pin: int) -> list[tuple[int, float, float | None]]:
        """(Hz, began, ended) of each run of one frequency that could be heard: duties of 0 and 1 cannot."""
        found: list[tuple[int, float, float | None]] = []
        for span in self.spans:
            if span.pin != pin or not 0 < span.duty < 1:
                continue
            if found and (found[-1][0], found[-1][2]) == (span.hz, span.began):
                found[-1] = (span.hz, found[-1][1], span.ended)
            else:
                found.append((span.hz, span.began, span.ended))
        return found

    def reset(self) -> None:
        for pin in list(self._channels):
            self._free(pin)
        for group in self._timers:
            for n in range(_TIMERS):
                group[n] = _Timer()

    # --- requests -----------------------------------------------------------------------------------

    def _init(self, pin: int, asked: int, duty: int, inverted: int, data: bytes | None) -> int:
        self._pins.check(pin)
        channel = self._channels.get(pin)
        if channel is None:
            group, before = self._free_group(asked), -1
        else:
            group, before = channel.group, channel.timer
        hz = asked
        if asked < 0:
            hz = self._timers[group][before].asked if channel is not None else _DEFAULT_HZ
        number = self._pick(pin, group, before, hz)
        timer = self._timers[group][number]
        if timer.asked != hz:
            self._tune(timer, hz)
        try:
            self._pins.check(pin, output=True)
        except ValueError:
            raise OSError(*_INVALID_ARG) from None
        raw = duty >> (_FULL_BITS - timer.bits)
        anew = channel is None or channel.inverted != bool(inverted)
        now = self._now()
        self._end(channel, now)
        channel = self._channels[pin] = _Channel(pin, group, number, raw, bool(inverted))
        if anew or self._pins.pulsed(pin):
            self._show(channel, now)
        return hz

    def _deinit(self, pin: int, b: int, c: int, d: int, data: bytes | None) -> None:
        self._free(pin)

    def _read(self, pin: int, what: int, c: int, d: int, data: bytes | None) -> int:
        channel = self._channels.get(pin)
        if channel is None:
            raise RuntimeError("PWM is inactive")
        timer = self._timers[channel.group][channel.timer]
        return self._hz(timer) if what == 0 else channel.duty << (_FULL_BITS - timer.bits)

    # --- channels and timers --------------------------------------------------------------------------

    def _free_group(self, hz: int) -> int:
        """The first group with a free channel, and a timer that is free or of that frequency."""
        for n, timers in enumerate(self._timers):
            taken = sum(channel.group == n for channel in self._channels.values())
            free = taken < self._channels_max // len(self._timers)
            if free and any(timer.asked in (-1, hz) for timer in timers):
                return n
        raise RuntimeError(f"out of PWM channels:{self._channels_max}")

    def _pick(self, pin: int, group: int, own: int, hz: int) -> int:
        timers = self._timers[group]
        for n, timer in enumerate(timers):
            if timer.asked == hz:
                return n
        users = [c for c in self._channels.values() if (c.group, c.timer) == (group, own) and c.pin != pin]
        if own >= 0 and not users:
            return own
        for n, timer in enumerate(timers):
            if timer.asked < 0:
                return n
        raise RuntimeError(f"out of PWM timers:{_TIMERS * len(self._timers)}")

    def _tune(self, timer: _Timer, hz: int) -> None:
        clock = self._clock()
        if not 0 < hz <= clock // 2:
            raise ValueError(f"frequency must be from 1Hz to {clock // 2_000_000}MHz")
        bits = self._most_bits(clock, hz)
        if bits < 1:
            raise OSError(*_INVALID_ARG)
        divider = _divider(clock, hz, bits)
        if not _fits(divider):
            raise OSError(*_FAIL)
        timer.asked, timer.bits, timer.divider = hz, bits, divider

    def _most_bits(self, clock: int, hz: int) -> int:
        for ratio in ((clock + hz // 2) // hz, clock // hz):
            bits = min(ratio.bit_length() - 1, self._timer_bits)
            if _fits(_divider(clock, hz, bits)):
                # A duty of all ones does not work with all of a timer's bits.
                bits = min(bits, _FULL_BITS)
                return bits - 1 if bits >= self._timer_bits else bits
        return 0

    def _hz(self, timer: _Timer) -> int:
        steps = timer.divider << timer.bits
        return ((self._clock() << _FRACTION) + steps // 2) // steps

    def _clock(self) -> int:
        return min(_CLOCK_HZ, self._cpu_hz())

    def _free(self, pin: int) -> None:
        channel = self._channels.pop(pin, None)
        if channel is None:
            return
        self._end(channel, self._now())
        where = (channel.group, channel.timer)
        if not any((c.group, c.timer) == where for c in self._channels.values()):
            self._timers[channel.group][channel.timer] = _Timer()
        if self._pins.pulsed(pin):
            self._pins.pulse(pin, 0, 0.0)

    # --- what comes out -------------------------------------------------------------------------------

    def _show(self, channel: _Channel, now: float) -> None:
        timer = self._timers[channel.group][channel.timer]
        duty = min(1.0, channel.duty / (1 << timer.bits))
        if channel.inverted:
            duty = 1.0 - duty
        channel.span = Span(channel.pin, self._hz(timer), duty, now)
        self.spans.append(channel.span)
        self._pins.pulse(channel.pin, channel.span.hz, duty)

    def _end(self, channel: _Channel | None, now: float) -> None:
        if channel is not None and channel.span is not None:
            channel.span.ended = now
            channel.span = None

    @staticmethod
    def _now() -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return 0.0


def _divider(clock: int, hz: int, bits: int) -> int:
    steps = hz << bits
    return ((clock << _FRACTION) + steps // 2) // steps


def _fits(divider: int) -> bool:
    return 1 << _FRACTION <= divider <= _LARGEST_DIVIDER
