"""What virtual glasses draw from their battery, seen from outside: by what the chip does, not by what the
firmware says that it does.

    meter = EnergyMeter(glasses, Battery(250))
    ...
    meter.label = "a walk"      # what comes from now on is charged to that
    meter.table()               # {label: {consumer: mA s}}
    meter.mah()                 # up to now

Currents are those of the board's CURRENTS. Between two changes they are constant, so it sums up at changes,
and is exact whenever it is asked. Advertising events and payload are counted by the air as they happen;
connection events in which nothing is said are computed from the link's interval.

Not modelled: the time that the firmware computes, but for loading (add it with `busy`), transients, the
regulator's losses beyond what CURRENTS say, self-discharge, temperature. An attended connection event costs
the same whether it was lost or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from lunette.virtual.battery import Battery
from lunette.virtual.chip.pins import IN, OUT
from lunette.virtual.controller import RadioController
from lunette.virtual.in_process import ASLEEP, AWAKE, BOOT, OFF, InProcessGlasses
from lunette.virtual.radio_link import RadioLink

_TICK_S = 120.0  # between two looks without a change: for the battery's voltage and the curve
_OWN = ("cpu", "boot", "boot_ms", "load_file_ms", "load_kb_ms", "radio", "advertise", "connection", "byte")
_NOT_PARTS = (*_OWN, "deep_sleep", "light_sleep", "board")
LIGHT_SLEEP = "light sleep"


class EnergyMeter:
    """Begins now. `battery`: its voltage is put at the pin of the board's part "battery" after every change.

    `label` None charges to the phase of `glasses`, or to LIGHT_SLEEP. `on_empty` is called once, when the
    battery is. `points` bounds the curve.
    """

    def __init__(
        self,
        glasses: InProcessGlasses,
        battery: Battery | None = None,
        *,
        points: int = 2000,
        on_empty: Callable[[], None] = lambda: None,
    ):
        self._glasses = glasses
        self._currents: dict[str, Any] = glasses.board.CURRENTS
        self._parts = self._part_currents()
        self.battery = battery
        self._on_empty = on_empty
        self._empty = False
        self._points = max(2, points)
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time()
        self._label: str | None = None
        self._phase = glasses.phase
        self._spent: dict[str, dict[str, float]] = {}
        self._total = 0.0  # mA s
        self._levels: dict[str, float] = {}  # mA of each consumer since `_at`
        self._busy_extra = 0.0  # mA that computing takes on top of waiting
        self._blocked_s = glasses.blocked_s
        self._controller: RadioController | None = None
        self._advertised = 0
        self._links: dict[RadioLink, tuple[int, int]] = {}  # with octets and events that are paid for
        self.curve: list[tuple[float, float]] = []
        self._curve_step = 0.0
        self._look()
        self._note()
        self._unwatch = [glasses.watch(self.update), glasses.chip.pins.watch(self._on_pin)]
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        self._put_volts()

    # --- asking ---------------------------------------------------------------------------------------

    @property
    def label(self) -> str | None:
        return self._label

    @label.setter
    def label(self, label: str | None) -> None:
        self.update()
        self._label = label

    def mah(self) -> float:
        """Charge since the beginning."""
        self.update()
        return self._total / 3600

    def table(self) -> dict[str, dict[str, float]]:
        """{label: {consumer: mA s}}: cpu, boot, radio, deep_sleep, light_sleep, board and the parts."""
        self.update()
        return {label: dict(spent) for label, spent in self._spent.items()}

    def seconds_left(self) -> float:
        """At the present current; infinite without one. ValueError without a battery."""
        if self.battery is None:
            raise ValueError("there is no battery")
        used, now = self.mah(), self.milliamps()
        left = self.battery.mah * self.battery.left(used) / 100
        return left / now * 3600 if now else float("inf")

    def milliamps(self) -> float:
        """The present current. Single advertising events and payload are not in it."""
        self.update()
        return sum(self._levels.values())

    def percent(self) -> float:
        """Of the battery's charge. ValueError without one."""
        if self.battery is None:
            raise ValueError("there is no battery")
        return self.battery.left(self.mah())

    def busy(self, seconds: float) -> None:
        """The firmware has computed for so long while its clock stood still."""
        self.update()
        self._charge("cpu", seconds * self._busy_extra)

    def close(self) -> None:
        self.update()
        self._note()
        self._timer.cancel()
        for unwatch in self._unwatch:
            unwatch()
        self._unwatch.clear()

    # --- summing up -------------------------------------------------------------------------------------

    def update(self) -> None:
        """Charge what has happened up to now, then look what goes on."""
        now = self._loop.time()
        seconds, self._at = now - self._at, now
        if seconds > 0:
            for consumer, ma in self._levels.items():
                self._charge(consumer, ma * seconds)
        blocked, self._blocked_s = self._glasses.blocked_s - self._blocked_s, self._glasses.blocked_s
        if blocked:
            self._charge("cpu", blocked * self._busy_extra)
        self._count(seconds)
        self._look()
        if self.battery is not None:
            self._put_volts()
        if not self.curve or now >= self.curve[-1][0] + self._curve_step:
            self._note()

    def _charge(self, consumer: str, mas: float) -> None:
        label = self._phase if self._label is None else self._label
        spent = self._spent.get(label)
        if spent is None:
            spent = self._spent[label] = {}
        spent[consumer] = spent.get(consumer, 0.0) + mas
        self._total += mas

    def _count(self, seconds: float) -> None:
        """What is paid by the piece: advertising events, payload, events of links that may skip some."""
        currents = self._currents
        if self._controller is not None:
            events = self._controller.advertised - self._advertised
            if events:
                self._advertised += events
                self._charge("radio", events * currents["advertise"] / 1000)
        for link, (octets, held) in self._links.items():
            if link.octets != octets:
                self._charge("radio", (link.octets - octets) * currents["byte"] / 1000)
            if link.latency and link.held != held:
                # Those it need not attend are not in the level; it did, to say or to hear something.
                skipped = seconds / link.interval_s * link.latency / (link.latency + 1)
                self._charge("radio", min(skipped, link.held - held) * currents["connection"] / 1000)
            self._links[link] = (link.octets, link.held)

    def _look(self) -> None:
        """The levels that hold from now on."""
        glasses, currents = self._glasses, self._currents
        phase = self._phase = glasses.phase
        levels: dict[str, float] = {}
        self._busy_extra = 0.0
        if phase == ASLEEP:
            levels["deep_sleep"] = currents["deep_sleep"]
        elif phase == BOOT:
            levels["boot"] = currents["boot"]
        elif phase == AWAKE and glasses.chip.power.light:
            self._phase = LIGHT_SLEEP
            levels["light_sleep"] = currents["light_sleep"]
        elif phase == AWAKE:
            idle, busy = self._cpu(glasses.chip.power.freq_hz // 1_000_000)
            levels["cpu"] = idle
            self._busy_extra = busy - idle
        self._look_at_radio(levels)
        if phase != OFF:
            levels["board"] = currents["board"]
            for part, drawn in self._parts.items():
                ma = drawn()
                if ma:
                    levels[part] = ma
        self._levels = levels

    def _cpu(self, mhz: int) -> tuple[float, float]:
        table = self._currents["cpu"]
        if mhz in table:
            idle, busy = table[mhz]
            return idle, busy
        # Slower than what is known: not less than the slowest; else the next one above.
        known = sorted(table)
        idle, busy = table[next((m for m in known if m >= mhz), known[-1])]
        return idle, busy

    def _look_at_radio(self, levels: dict[str, float]) -> None:
        glasses = self._glasses
        device = glasses.device
        controller = None if device is None else glasses.air.controller(device)
        if controller is not self._controller:
            self._controller = controller
            self._advertised = 0 if controller is None else controller.advertised
        links = {} if controller is None else {c.radio: None for c in controller.connections}
        for link in [link for link in self._links if link not in links]:
            del self._links[link]
        for link in links:
            if link not in self._links:
                self._links[link] = (0, 0)
        if not glasses.radio.active:
            return
        ma = self._currents["radio"]
        for link in links:
            ma += self._currents["connection"] / 1000 / (link.interval_s * (link.latency + 1))
        levels["radio"] = ma

    def _part_currents(self) -> dict[str, Callable[[], float]]:
        """For each part with a current: what it draws now, mA."""
        found: dict[str, Callable[[], float]] = {}
        for name, ma in self._currents.items():
            part = self._glasses.board.PARTS.get(name)
            if name in _NOT_PARTS or part is None:
                continue
            if "sck" in part:
                found[name] = partial(self._while_clocked, part.get("port", 0), ma)
            elif "pin" in part:
                found[name] = partial(self._while_driven, part["pin"], part.get("active", 1), ma)
        return found

    def _while_clocked(self, port: int, ma: float) -> float:
        return ma if self._glasses.chip.i2s.running(port) else 0.0

    def _while_driven(self, pin: int, active: int, ma: float) -> float:
        pins = self._glasses.chip.pins
        if not pins.mode(pin) & OUT & ~IN:
            return 0.0
        return ma * (pins.duty(pin) if active else 1 - pins.duty(pin))

    def _on_pin(self, pin: int, level: int, t: float) -> None:
        self.update()

    # --- battery and curve ------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        self.update()

    def _put_volts(self) -> None:
        battery = self.battery
        if battery is None:
            return
        used = self._total / 3600
        part = self._glasses.board.PARTS.get("battery")
        if part is not None:
            volts = battery.volts(used, sum(self._levels.values()))
            self._glasses.chip.analog.volts[part["pin"]] = volts / part["ratio"]
        if not self._empty and battery.left(used) <= 0:
            self._empty = True
            self._loop.call_soon(self._on_empty)

    def _note(self) -> None:
        """One more point of the curve; with too many of them every second one goes."""
        point = (self._at, self._total / 3600)
        if self.curve and self.curve[-1][0] == point[0]:
            self.curve[-1] = point
            return
        self.curve.append(point)
        if len(self.curve) > self._points:
            first, last = self.curve[0][0], self.curve[-1][0]
            self._curve_step = 2 * (last - first) / self._points
            self.curve = self.curve[::2]
