"""Hardware and virtual timers.

Modelled: number of hardware timers per chip, one-shot and periodic alarms at exact multiples of the
period, virtual timers rounded down to FreeRTOS ticks. A full scheduler queue loses alarms (in `Bus`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lunette.chips import ChipData
from lunette.virtual.chip.bus import Bus
from lunette.virtual.hal import _ops as ops

FIRST_VIRTUAL = 16  # ids from here are Timer(-1) objects
MAX_VIRTUAL = 64
TICK_S = 0.01  # stock images run FreeRTOS at 100 Hz


@dataclass
class _Timer:
    period: float
    repeat: bool
    started: float
    fired: int = 0
    handle: asyncio.TimerHandle | None = None


class Timers:
    def __init__(self, data: ChipData, bus: Bus):
        self._data = data
        self._bus = bus
        self._timers: dict[int, _Timer] = {}
        bus.register(
            {ops.TIMER_INIT: self._init, ops.TIMER_DEINIT: self._deinit, ops.TIMER_VALUE: self._value}
        )

    @property
    def running(self) -> list[int]:
        """Ids of the timers that will fire."""
        return sorted(n for n, t in self._timers.items() if t.handle is not None)

    def reset(self) -> None:
        for t in self._timers.values():
            if t.handle is not None:
                t.handle.cancel()
        self._timers.clear()

    def _init(self, number: int, repeat: int, ms: int, us: int, data: bytes | None) -> None:
        if number < FIRST_VIRTUAL and not 0 <= number < self._data.timers:
            raise ValueError(f"invalid Timer number, max {self._data.timers}")
        self._stop(number)
        if ms < 0 and us < 0:  # Timer(n) alone: only looks whether there is one
            return
        period = ms / 1000 + us / 1e6
        if number >= FIRST_VIRTUAL:
            if len(self._timers) >= MAX_VIRTUAL:
                raise OSError(12, "ENOMEM")
            ticks = int(period / TICK_S + 1e-9)
            if ticks == 0:
                raise ValueError(
                    "period too small for soft timer, less than OS tick period of 10 ms.  "
                    "Try a hardware timer."
                )
            period = ticks * TICK_S
        # A hardware alarm of 0 would fire without pause and starve everything.
        period = max(period, 1e-6)
        timer = _Timer(period, bool(repeat), asyncio.get_running_loop().time())
        self._timers[number] = timer
        self._arm(number, timer)

    def _arm(self, number: int, timer: _Timer) -> None:
        at = timer.started + timer.period * (timer.fired + 1)
        timer.handle = asyncio.get_running_loop().call_at(at, self._fire, number, timer)

    def _fire(self, number: int, timer: _Timer) -> None:
        timer.fired += 1
        timer.handle = None
        if timer.repeat:
            self._arm(number, timer)
        self._bus.interrupt(ops.SRC_TIMER, number)

    def _stop(self, number: int) -> None:
        timer = self._timers.pop(number, None)
        if timer is not None and timer.handle is not None:
            timer.handle.cancel()

    def _deinit(self, number: int, b: int, c: int, d: int, data: bytes | None) -> None:
        self._stop(number)

    def _value(self, number: int, b: int, c: int, d: int, data: bytes | None) -> int:
        timer = self._timers.get(number)
        if timer is None:
            raise ValueError("timer not set")
        elapsed = asyncio.get_running_loop().time() - timer.started - timer.fired * timer.period
        if number >= FIRST_VIRTUAL:  # counts down, in ticks
            return round((timer.period - elapsed) / TICK_S)
        return int(elapsed * 1000 + 1e-6)
