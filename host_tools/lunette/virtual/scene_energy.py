"""What glasses draw in a scene: the `EnergyMeter` on a chip whose firmware is a process of its own.

Their power state is what an onlooker can tell: the microphone runs ("active"), a host is there ("connected"),
the chip sleeps with a timer ("sleep") or without one ("off"), else "standby". `boot_ms` of the board's table
do not pass here, so what a start costs is added by their number. Not modelled: what computing adds, loading
included.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from bumble.device import Device

from lunette.virtual.energy_meter import EnergyMeter
from lunette.virtual.in_process import ASLEEP, AWAKE, OFF
from lunette.virtual.simulator import VirtualGlasses


class SceneEnergy:
    """Begins now. To the meter it is the glasses."""

    blocked_s = 0.0

    def __init__(self, glasses: VirtualGlasses):
        board = glasses.board
        self.board = SimpleNamespace(NAME=board.name, PARTS=board.parts, CURRENTS=board.currents)
        self.air = glasses.air
        self.chip = glasses.chip
        self.radio = glasses.radio
        self._glasses = glasses
        self._asleep_as = "sleep"
        self._starts = 0
        self._watchers: list[Callable[[], None]] = []
        self.chip.on_change = self.radio.on_change = self._tell
        self._meter = EnergyMeter(cast(Any, self))
        self._tell()

    def close(self) -> None:
        self._meter.close()
        self.chip.on_change = None
        self.radio.on_change = lambda: None

    def observe(self, what: str, detail: Any) -> None:
        """What `VirtualGlasses` tell of themselves."""
        if what == "sleep":
            self._asleep_as = "off" if detail is None else "sleep"
        elif what in ("wake", "reset") or (what == "power" and detail):
            self._starts += what != "reset" or detail != "soft"
        elif what != "power":
            return
        self._tell()

    def table(self) -> dict[str, dict[str, float]]:
        """{power state: {consumer: mAh}}"""
        table = self._meter.table()
        table.pop(AWAKE, None)  # what links had carried before this began
        if self._starts:
            currents = self.board.CURRENTS
            boots = self._starts * currents["boot"] * currents["boot_ms"] / 1000
            table.setdefault("standby", {})["boot"] = boots
        return {
            state: {consumer: round(mas / 3600, 6) for consumer, mas in spent.items()}
            for state, spent in table.items()
        }

    # --- what the meter looks at ------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        if not self._glasses.powered:
            return OFF
        return ASLEEP if self.chip.power.asleep else AWAKE

    @property
    def device(self) -> Device | None:
        return self._glasses.device

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def _tell(self) -> None:
        self._meter.label = self._state()
        for callback in self._watchers:
            callback()

    def _state(self) -> str:
        if self.phase != AWAKE:
            return self._asleep_as if self.phase == ASLEEP else "off"
        if self.chip.power.light:
            return "sleep"
        ports = [part.get("port", 0) for part in self.board.PARTS.values() if "sck" in part]
        if any(map(self.chip.i2s.running, ports)):
            return "active"
        device = self.device
        controller = None if device is None else self.air.controller(device)
        return "connected" if controller is not None and controller.connections else "standby"
