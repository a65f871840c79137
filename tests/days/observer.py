"""Looks at what the program has the chip do, at that instant, and notes what must never be."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from world import TALK, World

from lunette import firmware
from lunette.virtual.chip.power import DEEPSLEEP_RESET
from lunette.virtual.hal import _ops as ops
from lunette.virtual.in_process import AWAKE, BOOT

_table = firmware.load("states").TABLE
_settings = firmware.load("settings")

_HEAD_BYTES = 7  # of retained memory, before the JSON
_THIS_MOMENT_S = 0.2
_TOLD = ("recording", "off")


class Observer:
    """`wrong`: what must never be, in words. `say(text)` gets everything else. `numbers`: session of the
    microphone: id of its recording. `forced`: the glasses were told to go off, or their battery is empty."""

    def __init__(self, world: World, say: Any):
        self.world = world
        self.say = say
        self.wrong: list[str] = []
        self.counts: dict[str, int] = {}
        self.numbers: dict[int, int] = {}
        self.forced = False
        self.worn_out: Callable[[], bool] = lambda: False  # is the battery all but empty?
        self.on_cold_start: Callable[[], None] = lambda: None
        self.off = False  # asleep until somebody presses
        self.slept: list[float] = []  # when deep sleeps began
        self.off_at = -1.0  # when they were last told to go off
        self.armed: set[int] = set()  # pins, for the sleep that began last
        self.boards_pins = [
            (data["pin"], data.get("active", 1 if name == "usb" else 0))
            for name, data in world.board.PARTS.items()
            if data["driver"] in ("button", "usb_sense")
        ]
        self._changed: dict[int, float] = {}  # when a pin's level did
        world.chip.pins.watch(lambda pin, level, t: self._changed.update({pin: t}))
        self._runtime: Any = None
        self._runtimes: list[Any] = []
        self._state = "standby"
        self._dozed = False
        self._hooks: list[Any] = []
        self._was: tuple[Any, ...] = ()
        for op, look in (
            (ops.DEEPSLEEP, self._on_deep_sleep),
            (ops.LIGHTSLEEP, self._on_light_sleep),
            (ops.BLE_ACTIVE, self._on_radio),
        ):
            self._wrap(op, look)
        world.power.watch(self._on_change)

    def _wrap(self, op: int, look: Any) -> None:
        handlers = self.world.chip.bus._handlers
        work: Any = handlers[op]

        def handle(a: int, b: int, c: int, d: int, data: Any) -> Any:
            look(a)
            return work(a, b, c, d, data)

        handlers[op] = handle

    def count(self, what: str, n: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + n

    def _must(self, true: Any, what: str) -> None:
        if not true:
            text = f"{asyncio.get_running_loop().time():.3f} {what}"
            self.say(f"WRONG: {what}")
            self.wrong.append(text)

    # --- moments ----------------------------------------------------------------------------------------

    def moment(self, name: str, then: Any) -> None:
        """Call `then()` at the next moment of that name (day.MOMENTS), once, before anything else happens."""
        self._hooks.append((name, then))

    def forget_moments(self) -> None:
        self._hooks.clear()

    def _reached(self, *names: str) -> None:
        for hook in [hook for hook in self._hooks if hook[0] in names]:
            self._hooks.remove(hook)
            hook[1]()

    def _on_change(self) -> None:
        world = self.world
        now = (
            world.power.phase,
            world.radio.active,
            world.radio.connected,
            world.chip.i2s.running(0),
            world.chip.power.light,
        )
        was, self._was = self._was, now
        if now != was:
            self.say(
                f"{now[0]}{' radio' if now[1] else ''}{' link' if now[2] else ''}"
                f"{' mic' if now[3] else ''}{' light sleep' if now[4] else ''}"
            )
            before = was or (None, False, False, False, False)
            found = [now[0]] if now[0] != before[0] else []
            found += ["radio on"] if now[1] and not before[1] else []
            found += ["connected"] if now[2] and not before[2] else []
            found += ["capturing"] if now[3] and not before[3] else []
            found += ["asleep"] if now[4] and not before[4] else []
            if now[0] != before[0]:
                self.count(f"times {now[0]}")
                if now[0] == BOOT:
                    self.off = False
                    if world.chip.power.cause != DEEPSLEEP_RESET:
                        self.on_cold_start()
            self._reached(*found)
        self._look_for_runtime()

    def _look_for_runtime(self) -> None:
        if self.world.power.phase != AWAKE:
            self._runtime = None
            return
        package: Any = sys.modules.get("glasses")
        runtime = None if package is None else getattr(package, "_instance", None)
        if runtime is None or runtime is self._runtime:
            return
        self._runtime = runtime
        # Before there is anything to look at it may have found that the battery is empty.
        self._state = runtime.power.state
        self._must(self._state in ("standby", "off"), f"a runtime begins in {self._state}")
        self._runtimes.append(runtime)
        self.count("runtimes")
        runtime.power.watch(self._on_state)
        for name in _TOLD:
            runtime.bus.now(name, self._on_event)

    def _on_state(self, old: str, new: str) -> None:
        self.count(f"into {new}")
        self._must(old == self._state, f"from {old}, having been in {self._state}")
        self._must(new in _table[old].into, f"the table does not lead from {old} to {new}")
        if new in ("sleep", "off"):
            self._must(not self._capturing(), f"into {new} while the microphone runs")
        self._state = new

    def _on_event(self, name: str, t: int, value: Any) -> None:
        if name == "recording":
            sessions = self.world.chip.i2s.takes
            self.numbers[id(sessions[-1])] = value
            self.say(f"recording {value:x} in session from {sessions[-1].started:.3f}")
        elif name == "off":
            self.forced = True
            self.off_at = asyncio.get_running_loop().time()

    # --- instants ---------------------------------------------------------------------------------------

    def _capturing(self) -> bool:
        return bool(self.world.chip.i2s.running(0))

    def _on_radio(self, on: int) -> None:
        if on != 0 or not self.world.radio.active:
            return
        served = [c for c in self.world.radio.connections if c.is_encrypted]
        self._must(not served or self.forced, "the radio goes off while a host is served")
        self._reached("radio off")

    def _on_deep_sleep(self, ms: int) -> None:
        self.count("deep sleeps")
        self.slept.append(asyncio.get_running_loop().time())
        self._must(not self._capturing(), "deep sleep while the microphone runs")
        runtime = self._runtime
        state = self._notes().get("state")
        self._must(state in ("sleep", "off"), f"the next start is told that the state was {state}")
        if runtime is not None:
            self._must(state == self._state, f"the next start is told {state}, and it was {self._state}")
            self.forced = self.forced or self.worn_out()
            self._must(state == "sleep" or self.forced, "off, and nobody said so")
            locks = runtime.power.locks()
            self._must(not locks or self.forced, f"asleep with wake locks: {locks}")
            self._must(not runtime.voice.capturing, "deep sleep while a recording is made")
            self._saved(runtime)
        else:
            self.count("beacons")
        self.off = state == "off"
        self._armed(ms, state)
        self.say(f"deep sleep for {ms} ms, {state}")
        self.forced = False

    def _on_light_sleep(self, ms: int) -> None:
        self.count("light sleeps")
        self._must(not self._capturing(), "light sleep while the microphone runs")
        self._must(not self.world.radio.active, "light sleep with the radio on")
        runtime = self._runtime
        if runtime is not None:
            self._must(self._state == "sleep", f"light sleep in state {self._state}")
            locks = runtime.power.locks()
            self._must(not locks, f"light sleep with wake locks: {locks}")
            self._saved(runtime)
        self._armed(ms, "sleep")

    def _notes(self) -> Any:
        """What the next start is told."""
        return json.loads(self.world.chip.memory.rtc_memory[_HEAD_BYTES:])["slept"]

    def _reach_s(self) -> int:
        return int(_settings.Settings().reach_s)

    def _armed(self, ms: int, state: str) -> None:
        """Something wakes them; what is pressed already does not, again and again."""
        power, level = self.world.chip.power, self.world.chip.pins.level
        pins = power._gpio_pins | power._ext1_pins | ({power._ext0_pin} if power._ext0_pin >= 0 else set())
        self.armed = set(pins)
        idle = {pin for pin, active in self.boards_pins if level(pin) != active}
        # One that was pressed this moment is to wake them at once; one that is stuck would, for ever.
        now = asyncio.get_running_loop().time()
        stuck = {pin for pin in pins - idle if now - self._changed.get(pin, -10.0) > _THIS_MOMENT_S}
        self._must(not stuck, f"wake pins {stuck} are active already")
        self._must(ms >= 0 or pins, "nothing wakes them")
        if state == "sleep":
            self._must(idle <= pins, f"pins {idle - pins} do not wake them")
            reach_s = self._reach_s()
            self._must(reach_s == 0 or 0 <= ms <= reach_s * 1000, f"{ms} ms, and hosts wait {reach_s} s")
        if TALK in idle:
            self._must(TALK in pins, "the button does not wake them")
        elif TALK not in pins:
            self._must(0 <= ms <= 60_000, "nobody looks at the button that is down")

    def _saved(self, runtime: Any) -> None:
        for recording in runtime.journal.recordings:
            if not recording.closed:
                self._must(self.forced, f"asleep in the middle of recording {recording.number:x}")
                continue
            if recording.file is None:
                self._must(False, f"recording {recording.number:x} is not in flash")
                continue
            # Whether it is the right one shows when a host gets it.
            file = Path(recording.file.path)
            self._must(file.is_file() and file.stat().st_size == recording.file.size, f"{file} is not whole")

    def recordings(self) -> list[Any]:
        """What the runtime holds, [] without one."""
        return list(self._runtime.journal.recordings) if self._runtime is not None else []

    @property
    def evicted(self) -> int:
        """Recordings that the glasses say they gave up for others."""
        return sum(runtime.journal.evicted_recordings for runtime in self._runtimes)

    def safe(self) -> set[int]:
        """Ids of recordings that a loss of power does not touch now."""
        if self._runtime is None:
            return set(self.numbers.values())  # asleep: everything is in flash
        kept = {r.number for r in self._runtime.journal.recordings if r.file is None}
        return set(self.numbers.values()) - kept
