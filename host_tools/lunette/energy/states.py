"""Which power state the glasses are in, seen from outside and at the instant at which it changes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lunette.virtual.energy_meter import EnergyMeter
from lunette.virtual.in_process import ASLEEP, BOOT, OFF, InProcessGlasses

USB = "usb"
_BEACON_S = 8.0  # awake for no longer between two sleeps: nobody used them

Span = tuple[float, float, str, bool, float]
"""(begin, end, power state or "dark", on the cable, mAh)"""


@dataclass(frozen=True)
class Segment:
    """From `begin_s` to `end_s` the glasses were `kind`: a power state, "asleep" (with its beacons), "usb"
    or "dark" (no power), and drew `mah`."""

    begin_s: float
    end_s: float
    kind: str
    mah: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.begin_s


class Observer:
    """Labels what `meter` counts with the firmware's power states, as the firmware itself does: boots and
    beacons are "standby", which follows from the chip; all else from the governor of the running firmware.
    While the cable feeds them it is "usb".

    `on_state(state)` is told each change.
    """

    def __init__(
        self,
        glasses: InProcessGlasses,
        meter: EnergyMeter,
        on_state: Callable[[str], None] = lambda state: None,
    ):
        self._glasses = glasses
        self._meter = meter
        self._on_state = on_state
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._governor: Any = None
        self._state = ""
        self._usb = False
        self._sleeping = "sleep"
        self._marks: list[tuple[float, str, bool, float]] = []  # since when, state, on USB, mAh by then
        self._unwatch = glasses.watch(self._look)
        self._look()

    def close(self) -> None:
        self._unwatch()

    def plugged(self, on: bool) -> None:
        if on != self._usb:
            self._usb = on
            self._label()

    def _look(self) -> None:
        phase = self._glasses.phase
        if phase == OFF:
            self._enter("dark")
        elif phase == ASLEEP:
            self._enter(self._sleeping)
        elif phase == BOOT:
            self._governor = None
            self._enter("standby")
        else:
            self._follow()

    def _follow(self) -> None:
        runtime = getattr(sys.modules.get("glasses"), "_instance", None)
        governor = getattr(runtime, "power", None)
        if governor is not None and governor is not self._governor:
            self._governor = governor
            governor.watch(self._on_governor)
            self._on_governor("", governor.state)

    def _on_governor(self, old: str, new: str) -> None:
        if new in ("sleep", "off"):
            self._sleeping = new
        self._enter(new)

    def _enter(self, state: str) -> None:
        if state == self._state:
            return
        self._state = state
        self._label()
        self._on_state(state)

    def _label(self) -> None:
        self._meter.label = USB if self._usb else self._state
        self._marks.append((self._loop.time() - self._start, self._state, self._usb, self._meter.mah()))

    def spans(self) -> list[Span]:
        """All time so far."""
        now = (self._loop.time() - self._start, "", False, self._meter.mah())
        ends = [*self._marks[1:], now]
        return [
            (a[0], b[0], a[1], a[2], b[3] - a[3])
            for a, b in zip(self._marks, ends, strict=True)
            if b[0] > a[0]
        ]

    def seconds(self) -> dict[str, float]:
        """{power state or "usb": s}"""
        total: dict[str, float] = {}
        for begin, end, state, usb, _ in self.spans():
            state = USB if usb else state
            total[state] = total.get(state, 0.0) + end - begin
        return total

    def beacons(self) -> int:
        """How often they were awake for a moment out of sleep, and went back."""
        found = self.spans()
        return sum(_is_beacon(found, i) for i in range(len(found)))


def _is_beacon(found: list[Span], i: int) -> bool:
    begin, end, state, _, _ = found[i]
    if state != "standby" or end - begin > _BEACON_S or not 0 < i < len(found) - 1:
        return False
    return found[i - 1][2] == found[i + 1][2] == "sleep"


def merge(found: list[Span]) -> list[Segment]:
    """What a wearer would say: one segment for each stretch of time."""
    merged: list[Segment] = []
    for i, (begin, end, state, usb, mah) in enumerate(found):
        kind = "asleep" if state == "sleep" or _is_beacon(found, i) else state
        if usb:
            kind = USB
        if merged and merged[-1].kind == kind:
            last = merged[-1]
            merged[-1] = Segment(last.begin_s, end, kind, last.mah + mah)
        else:
            merged.append(Segment(begin, end, kind, mah))
    return merged
