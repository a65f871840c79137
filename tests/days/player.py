"""Plays one day."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import json
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from world import TALK, World, inside

from lunette import paths
from lunette.audio_files import read_audio
from lunette.energy.run import board_data
from lunette.virtual.chip.power import DEEPSLEEP_RESET
from lunette.virtual.cpython import Environment, run
from lunette.virtual.in_process import ASLEEP, AWAKE, BOOT, OFF, Load
from lunette.virtual.seeded import seeded

from .day import SETTINGS, Day
from .ledger import AT_ONCE_S, LOOK_S, RATE, Hold, check, find, now
from .observer import Observer
from .phone import Phone

_FOUND_S = 8.0  # beyond `reach_s`: a start, the host's pauses between attempts, a connection
_FULL_V = 4.0
_WORN_OUT_V = 3.65  # below it nothing is owed
_SPEECH = read_audio(paths.DATA / "speech.wav", RATE)


async def _program() -> None:
    """boot.py and main.py. Safe mode, which resets lead to, differs in nothing that is looked at here;
    boot.py runs it with a loop of its own."""
    start = importlib.import_module("glasses.wake").start()
    if start.crashes is None or not start.crashes.safe:
        start.expect_app()
    await importlib.import_module("glasses").main()


class Player:
    def __init__(self, day: Day, env: Environment, folder: Path, say: Callable[[str], None] | None):
        self.day = day
        self.env = env
        self.folder = folder
        self.settings = dict(day.settings)
        self._say = say
        self.holds: list[Hold] = []
        self.muted = False
        self.volts = _FULL_V
        self.worn_until = -1.0
        self.reset_at = -1.0
        self.tapped = -10.0  # when a finger was last lifted from what was no hold
        self._tasks: list[asyncio.Task[Any]] = []

    def say(self, text: str) -> None:
        if self._say is not None:
            self._say(f"{now():9.3f} {text}")

    def must(self, true: Any, what: str) -> None:
        if not true:
            self.observer.wrong.append(f"{now():.3f} {what}")
            self.say(f"WRONG: {what}")

    # --- the day ----------------------------------------------------------------------------------------

    async def play(self) -> dict[str, int]:
        """What it contained. AssertionError if something was wrong."""
        board = board_data(self.day.board)
        world = self.world = World(
            self.env,
            self.folder,
            board,
            boot_ms=board.CURRENTS["boot_ms"],
            load=Load.of(board),
            entry=_program,
        )
        world.chip.sound.keep_s = 1_000_000  # all of it is compared at the end
        self.observer = Observer(world, self.say)
        self.observer.on_cold_start = self._unmute
        self.observer.worn_out = lambda: self.volts < _WORN_OUT_V
        self.phone = Phone(world, self.say)
        self.boot_s = board.CURRENTS["boot_ms"] / 1000
        try:
            (self.folder / "settings.json").write_text(json.dumps(self.settings))
            self._set_volts(_FULL_V)
            await world.start(listen=False)
            self._set_volts(_FULL_V)
            world.usb(False)
            self.plugged = False
            if self.day.phone == "near":
                await self.phone.near()
            for step in self.day.steps:
                self.say(f"--- {' '.join(map(str, step))}")
                await getattr(self, "_" + step[0].replace(" ", "_"))(*step[1:])
                if self.observer.wrong:
                    break
            else:
                await self._settle()
            for task in self._tasks:
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.phone.crash()
            await world.close()
        crashes = [repr(crash) for crash in world.power.crashes]
        errors = [repr(error) for error in world.chip.errors]
        wrong = self.observer.wrong + crashes + errors
        assert not wrong, "\n".join(wrong)
        return self.observer.counts

    def _background(self, work: Coroutine[Any, Any, Any]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _until_true(self, true: Callable[[], Any], timeout: float) -> bool:
        end = now() + timeout
        while not true():
            if now() >= end:
                return False
            await asyncio.sleep(0.1)
        return True

    # --- steps ------------------------------------------------------------------------------------------

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _until(self, moment: str, ms: int, then: Callable[[], None] = lambda: None) -> bool:
        """That moment has come, and `ms` of time after it; with 0, `then` is called within it."""
        reached = asyncio.Event()

        def on_moment() -> None:
            reached.set()
            if not ms:
                then()

        self.observer.moment(moment, on_moment)
        limit = 20 + self.settings["awake_s"] + 2 * self.settings["reach_s"] + 2 * self.settings["linger_s"]
        try:
            await asyncio.wait_for(reached.wait(), min(limit, 70))
            if ms:
                await asyncio.sleep(ms / 1000)
                then()
        except asyncio.TimeoutError:
            return False
        finally:
            self.observer.forget_moments()
        return True

    async def _hold_at(self, moment: str, ms: int, seconds: float) -> None:
        if await self._until(moment, ms, self._begin_hold):
            await asyncio.sleep(seconds)
            self._end_hold()
            await asyncio.sleep(0.05)

    async def _hold(self, seconds: float) -> None:
        self._begin_hold()
        await asyncio.sleep(seconds)
        self._end_hold()
        await asyncio.sleep(0.05)

    def _begin_hold(self) -> None:
        world, power = self.world, self.world.power
        t = now()
        phase = power.phase + (" light" if world.chip.power.light else "")
        hold = Hold(t, t + AT_ONCE_S, phase=phase)
        beacon = world.glasses is None or power.phase != AWAKE or self.observer._runtime is None
        if power.phase == ASLEEP:
            hold.latest += self.boot_s
        elif beacon:
            hold.latest += self.boot_s + LOOK_S
        if power.phase == OFF:
            hold.excuse = "no power"
        elif beacon and power.phase in (BOOT, AWAKE) and self._cold:
            hold.excuse = "a cold start"
        elif self.muted:
            hold.excuse = "muted"
        elif t < self.worn_until or self.volts < _WORN_OUT_V:
            hold.excuse = "the battery"
        elif t - self.tapped < 0.4:
            hold.excuse = "a part of another gesture"
        elif (power.phase == ASLEEP or beacon) and TALK not in self.observer.armed:
            hold.excuse = "it was down when they fell asleep, and is looked at once a minute"
        elif world.chip.i2s.running(0):
            hold.excuse = "it is recording already"
        self.holds.append(hold)
        world.say(_SPEECH[: 4 * RATE])
        world.press()
        self.say(f"press ({phase}) {hold.excuse}")

    def _end_hold(self) -> None:
        self.world.release()
        hold = self.holds[-1]
        hold.released = t = now()
        self.say("release")
        held = t - max(hold.pressed, hold.latest - AT_ONCE_S)
        if t - hold.pressed < self.settings["hold_ms"] / 1000 + 0.03 or held < 0.05:
            hold.excuse = hold.excuse or "too short"
        if hold.excuse:
            self.tapped = t  # as it may seem
        if any(hold.pressed <= slept <= hold.latest for slept in self.observer.slept):
            hold.latest += self.boot_s  # just as they fell asleep
        hold.session = find(self.world, hold)
        heard = hold.excuse == "muted" and self.muted and hold.session is not None
        self.must(not heard, "muted, and heard all the same")
        if hold.session is not None:
            hold.number = self.observer.numbers.get(id(hold.session))
        if hold.pressed <= self.observer.off_at <= t:
            hold.ended = self.observer.off_at
        if not hold.excuse:
            self.observer.count(f"owed out of {hold.phase}")

    @property
    def _cold(self) -> bool:
        return self.world.chip.power.cause != DEEPSLEEP_RESET

    async def _taps(self, count: int) -> None:
        for _ in range(count):
            await self.world.tap()
            self.tapped = now()
            await asyncio.sleep(0.1)

    async def _ladder(self, seconds: float) -> None:
        await self._taps(1)
        self.world.press()
        await asyncio.sleep(seconds)
        self.world.release()
        self.tapped = now()
        await asyncio.sleep(0.6)

    async def _stuck(self, seconds: float) -> None:
        self.world.press()
        await asyncio.sleep(seconds)
        self.world.release()
        self.tapped = now()

    async def _phone(self, what: str) -> None:
        await getattr(self.phone, what)()

    async def _drop(self) -> None:
        self.world.air.drop()

    async def _op(self, name: str) -> None:
        if name in ("record", "stop"):
            await self.phone.ask("record", on=name == "record")
        elif name == "off":
            self.observer.forced = True
            await self.phone.ask("sleep", off=True)
        else:
            await self.phone.ask(name)

    async def _mute(self, on: bool) -> None:
        await self.phone.near()
        await self._until_true(lambda: self.phone.connected, min(self.settings["reach_s"], 20) + _FOUND_S)
        answer = await self.phone.ask("mute", on=on)
        if answer is not None:
            self.muted = answer
        await self.phone.far()

    def _unmute(self) -> None:
        self.muted = False

    async def _set(self, name: str, index: int) -> None:
        value = SETTINGS[name][min(index, len(SETTINGS[name]) - 1)]
        answer = await self.phone.ask("set", name=name, value=value)
        if answer is not None:
            self.settings[name] = value

    async def _usb(self, plugged: bool) -> None:
        self.plugged = plugged
        self.world.usb(plugged)

    async def _battery(self, volts: float) -> None:
        self._set_volts(volts)

    def _set_volts(self, volts: float) -> None:
        part = self.world.board.PARTS["battery"]
        if self.volts < _WORN_OUT_V:
            self.worn_until = now() + 60
        self.volts = volts
        self.world.chip.analog.volts[part["pin"]] = volts / part["ratio"]

    # --- loss of memory

    def _memory_goes(self) -> None:
        """What is neither in flash nor at the phone is gone."""
        safe = self.observer.safe()
        received = {n for n, r in self.phone.store.recordings.items() if r.complete}
        for hold in self.holds:
            if hold.number is None or (hold.number not in safe and hold.number not in received):
                hold.excuse = hold.excuse or "lost with the power"
        self.muted = False
        self.observer.forced = False

    async def _reset(self) -> None:
        if self.world.power.phase == OFF or self.reset_at == now():
            return
        self.reset_at = now()
        self.say("reset")
        self._memory_goes()
        self.world.chip.reset("hard")
        self.world.chip.tell_reset("hard")
        await asyncio.sleep(0)  # it starts in the next turn

    async def _power(self, seconds: float) -> None:
        if self.world.power.phase == OFF:
            return
        self.say("no power")
        self._memory_goes()
        self.world.power.power_cut()
        await asyncio.sleep(seconds)
        self.say("power")
        await self.world.power.power_on()

    async def _later(self, delay: float, what: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await asyncio.sleep(delay)
        await what()

    async def _later_reset(self, delay: float) -> None:
        self._background(self._later(delay, self._reset))

    async def _later_power(self, delay: float) -> None:
        self._background(self._later(delay, lambda: self._power(0.5)))

    async def _later_drop(self, delay: float) -> None:
        self._background(self._later(delay, self._drop))

    async def _later_phone(self, delay: float, what: str) -> None:
        self._background(self._later(delay, lambda: self._phone(what)))

    async def _later_usb(self, delay: float, plugged: bool) -> None:
        self._background(self._later(delay, lambda: self._usb(plugged)))

    # --- the end ----------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """All is well from now on: the phone comes and gets everything, then they sleep."""
        self.say("--- all is well from now on")
        await asyncio.sleep(3)
        for task in self._tasks:
            await asyncio.wait([task])
        self._set_volts(_FULL_V)
        await self.world.power.power_on()
        await self.phone.crash()
        await asyncio.sleep(15)  # the battery is believed to be well
        await self.phone.near()
        reach_s = self.settings["reach_s"]
        if self.observer.off or not reach_s:
            await self._until_true(lambda: self.phone.connected, _FOUND_S)
            if not self.phone.connected:
                if TALK not in self.observer.armed:
                    await asyncio.sleep(62)  # it was down, and is looked at once a minute
                await self.world.tap()
        found = await self._until_true(lambda: self.phone.connected, reach_s + _FOUND_S)
        self.must(found, f"the phone is near, wants them, and does not find them in {reach_s + _FOUND_S} s")
        if not found:
            return
        owed = [hold for hold in self.holds if not hold.excuse]
        store = self.phone.store.recordings
        await self._until_true(
            lambda: all(h.number in store and store[h.number].complete for h in owed if h.number), 20
        )
        left = lambda: [r for r in self.observer.recordings() if r.closed and not r.draft]  # noqa: E731
        await self._until_true(lambda: not left(), 60)
        await asyncio.sleep(1)
        evicted = self.observer.evicted
        for hold in owed:
            recording = store.get(hold.number) if hold.number is not None else None
            if evicted and hold.session is not None and (recording is None or recording.truncated):
                evicted -= 1  # a stuck button has filled the memory, and that is counted
                continue
            wrong = check(self.world, hold, store, self.settings["longest_s"])
            self.must(not wrong, wrong)
        self.observer.count("holds", len(self.holds))
        self.observer.count("recordings owed", len(owed))
        self.observer.count("recordings", len(store))
        self.observer.count("connections", self.phone.connects)
        waiting = [f"{recording.number:x}" for recording in left()]
        self.must(not waiting, f"still on the glasses: {waiting}")
        folder = self.folder / "journal"
        gone = await self._until_true(lambda: not folder.is_dir() or not any(folder.iterdir()), 20)
        self.must(gone, "files are left of recordings that the phone has")
        await self._sleep()

    async def _sleep(self) -> None:
        """Nobody needs them: no reason to be awake is left behind."""
        self.world.usb(False)
        if self.settings["sleep"] != "never":
            await self.phone.crash()
            limit = self.settings["awake_s"] + self.settings["grace_s"] + 90
            asleep = await self._until_true(
                lambda: self.world.power.phase == ASLEEP or self.world.chip.power.light, limit
            )
            runtime = self.observer._runtime
            locks = runtime.power.locks() if runtime is not None else None
            self.must(asleep, f"they do not sleep: {locks}")


def play(day: Day, env: Environment, say: Callable[[str], None] | None = None) -> dict[str, int]:
    """What that day contained. AssertionError with everything that was wrong."""
    printed = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="lunette-day-") as folder, inside(folder), seeded(1):
        out = contextlib.nullcontext() if say is not None else contextlib.redirect_stdout(printed)
        errors = contextlib.nullcontext() if say is not None else contextlib.redirect_stderr(printed)
        with out, errors:
            return run(Player(day, env, Path(folder), say).play())
