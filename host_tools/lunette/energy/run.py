"""Plays a day: the unmodified firmware, its phone, and a finger, in virtual time.

    result = play(day.load("light"), "xiao_esp32s3_sense")

The same day gives the same numbers, whenever and however often it is played. Only one at a time in a process:
the firmware's modules, the clock and the working directory are the process's own (see `workers.py`).

Not modelled: see `EnergyMeter`. Hearing a wake word takes the time that it would take on the chip
(`hearing.py`). Cleaning and coding speech take some 10 % of a core at 240 MHz, which would add some 2 % to
what is drawn while capturing, and 5 % while a wake word is listened for.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lunette import boards, paths
from lunette.audio_files import read_audio
from lunette.energy import hearing
from lunette.energy.cell import CHARGE_MA, Cell
from lunette.energy.day import Day, Press, clock_text
from lunette.energy.hearing import Hearing
from lunette.energy.states import USB, Observer, Segment, Span, merge
from lunette.finding import Backends
from lunette.listen import Listener
from lunette.receiver import Receiver
from lunette.store import Recording, Store
from lunette.virtual.air import Air
from lunette.virtual.bleak_backend import VirtualClient, VirtualScanner
from lunette.virtual.bleak_radio import Radio, host_identity, use_air
from lunette.virtual.cpython import Environment, micropython_modules
from lunette.virtual.cpython import run as run_virtual
from lunette.virtual.energy_meter import EnergyMeter
from lunette.virtual.in_process import ADDRESS, OFF, InProcessGlasses, Load
from lunette.virtual.introduce import BONDS, introduce
from lunette.virtual.kernels import fast_kernels
from lunette.virtual.seeded import EPOCH, seeded
from lunette.wakeword.loaded import SUFFIX

Progress = Callable[[float], None]
"""Told the seconds of the day that are over."""

_TELL_EVERY_S = 120.0
_POINTS = 600  # of the curve
_MOST_LINES = 50
_RATE = 16000


@dataclass
class DayResult:
    """What a day cost. Times in s since its start, charges in mAh, by the board's table: modelled.

    `energy` is {power state: {consumer: mAh}} and `seconds` {power state: s}, as the firmware counts: a
    beacon is "standby". `states` has every stretch of time, `segments` what a wearer sees: "asleep" with its
    beacons. What the cable gave is `usb_mah`, and in no other figure; its time is `seconds["usb"]`. `curve`
    has (s, mAh so far, percent of the battery or None). `firmware` is the firmware's own account of `energy`,
    with what came by cable, if it was awake at the end. `talks`: (asked for, s), `received`: (recordings, s).
    """

    day: str
    about: str
    board: str
    start_s: float
    seconds_total: float
    battery_mah: float | None
    percent_start: float
    percent_end: float | None
    mah: float
    usb_mah: float
    energy: dict[str, dict[str, float]]
    seconds: dict[str, float]
    segments: list[Segment]
    states: list[Span]
    curve: list[tuple[float, float, float | None]]
    talks: tuple[int, float]
    received: tuple[int, float]
    lost_frames: int
    incomplete: int
    wakes: int
    beacons: int
    connections: int
    empty_at_s: float | None
    firmware: dict[str, dict[str, float]] | None
    problems: list[str] = field(default_factory=list)

    @property
    def consumers(self) -> dict[str, float]:
        """{consumer: mAh}, greatest first."""
        total: dict[str, float] = {}
        for spent in self.energy.values():
            for consumer, mah in spent.items():
                total[consumer] = total.get(consumer, 0.0) + mah
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    def average_ma(self, *kinds: str) -> float | None:
        """The mean current in segments of these kinds; None if there are none."""
        chosen = [s for s in self.segments if s.kind in kinds]
        seconds = sum(s.seconds for s in chosen)
        return sum(s.mah for s in chosen) * 3600 / seconds if seconds else None

    def _lasts_h(self, *kinds: str) -> float | None:
        ma = self.average_ma(*kinds)
        return None if not ma or self.battery_mah is None else self.battery_mah / ma

    @property
    def hours_of_use(self) -> float | None:
        """How long a full battery lasts awake, in this day's mixture of capturing, listening for a wake word,
        connected and waiting."""
        return self._lasts_h("active", "listening", "connected", "standby")

    @property
    def hours_of_speech(self) -> float | None:
        return self._lasts_h("active")

    @property
    def hours_of_listening(self) -> float | None:
        """The same while a wake word is listened for, with and without a host."""
        return self._lasts_h("listening")

    @property
    def days_of_standby(self) -> float | None:
        """How long a full battery lasts asleep, with beacons."""
        hours = self._lasts_h("asleep")
        return None if hours is None else hours / 24

    @property
    def days_like_this(self) -> float | None:
        if self.battery_mah is None or not self.mah:
            return None
        return self.battery_mah / self.mah * (self.seconds_total - self.seconds.get(USB, 0.0)) / 86400

    def as_dict(self) -> dict[str, Any]:
        """JSON values, with the derived figures."""
        found = asdict(self)
        del found["states"]  # thousands
        found["consumers"] = self.consumers
        for name in ("use", "speech", "listening"):
            found["hours_of_" + name] = getattr(self, "hours_of_" + name)
        for name in ("days_of_standby", "days_like_this"):
            found[name] = getattr(self, name)
        return found


def board_data(name: str) -> SimpleNamespace:
    """The board's module, as the glasses import it. Raises LunetteError without a table of currents."""
    boards.load_measured(name)
    data = boards.module(name)
    # Neither is modelled, and both would only take time here: cleaning, and the bits of PDM.
    data.CLEANING = "off"
    if data.PARTS.get("mic", {}).get("driver") == "pdm_microphone":
        mic = data.PARTS["mic"]
        wires = {"sck": mic["clock"], "ws": mic["ws"], "sd": mic["data"]}
        data.PARTS = data.PARTS | {"mic": {"driver": "i2s_microphone", "port": mic["port"], **wires}}
    return data


@contextlib.contextmanager
def world(
    seed: int, start_s: float, settings: dict[str, Any], hears: Hearing | None = None
) -> Iterator[tuple[Environment, io.StringIO]]:
    """Everything that the firmware in this process needs, for the time of the block: its modules, chance and
    date, a working directory with `settings` and the models of the wake words in them. `hears` stands in for
    computing what those hear. The second of the pair is what it prints, and nobody sees. Raises LunetteError
    for a model that there is not."""
    models = _models(settings)
    before = os.getcwd()
    printed = io.StringIO()
    with (
        tempfile.TemporaryDirectory(prefix="lunette-day-") as glasses,
        seeded(seed, EPOCH + start_s),
        micropython_modules(paths.HAL, paths.FIRMWARE) as env,
        contextlib.redirect_stdout(printed),
    ):
        os.chdir(glasses)
        try:
            Path("settings.json").write_text(json.dumps(settings))
            if models:
                Path("wakeword").mkdir()
            for name, content in models.items():
                Path("wakeword", name + SUFFIX).write_bytes(content)
            if hears is None:
                fast_kernels()
            else:
                fast_kernels(hears.instead)
            yield env, printed
        finally:
            os.chdir(before)
            use_air(None)


def _models(settings: dict[str, Any]) -> dict[str, bytes]:
    """The files of the wake words that are set, by name."""
    return {name: hearing.model(name) for name in hearing.names(settings.get("wakeword", ""))}


class Phone(Listener):
    """A host that keeps recordings in memory and acknowledges them as if they were on disk: files, decoding
    and fsync would only cost time here."""

    def __init__(self, observe: Callable[[str, Any], None]):
        backends = Backends(VirtualClient, VirtualScanner)
        super().__init__(None, backends=backends, observe=observe, jitter=lambda: 0.0)

    async def _open_store(self, owner: str) -> None:
        self.store = Store(None, owner)
        self._receiver = Receiver(self.store)


class Player:
    """One day on one board. `play` it once, within `world`, which has the same `hears`, and a
    `VirtualLoop`."""

    def __init__(
        self, day: Day, board: str, env: Environment, progress: Progress, hears: Hearing | None = None
    ):
        self._day = day
        self._board = board_data(board)
        self._env = env
        self._progress = progress
        self._hears = hears
        self._speech = read_audio(paths.DATA / "speech.wav", _RATE)
        self._received = 0
        self._received_s = 0.0
        self._lost = 0
        self._empty_at: float | None = None
        self._curve: list[tuple[float, float, float | None]] = []
        self._start = 0.0
        self._battery: Cell | None = None

    async def play(self) -> DayResult:
        loop = asyncio.get_running_loop()
        self._start = loop.time()
        currents = self._board.CURRENTS
        air = Air(self._day.link)
        use_air(air)
        self._glasses = glasses = InProcessGlasses(
            self._env,
            air,
            self._board,
            address=ADDRESS,
            boot_ms=currents["boot_ms"],
            load=Load.of(self._board),
        )
        if self._hears is not None:
            self._hears.attach(self._env, glasses)
        self._air = air
        self._battery = self._make_battery()
        self._meter = meter = EnergyMeter(glasses, self._battery)
        self._observer = observer = Observer(glasses, meter, self._on_state)
        adapter: Radio | None = None
        tasks: list[asyncio.Task[Any]] = []
        try:
            self._cable(False)
            Path(BONDS).write_bytes(await introduce(host_identity(), ADDRESS))
            self._phone = phone = Phone(self._observe)
            for work in (self._ticks(), self._usb(), self._walk(), self._press_all()):
                tasks.append(asyncio.create_task(work))
            await glasses.power_on()
            adapter = await Radio.acquire()  # kept: made anew for each search it takes long
            tasks.append(asyncio.create_task(phone.run()))
            await self._until(self._day.seconds)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()  # an error of ours
            return self._result(phone)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            observer.close()
            meter.close()
            await asyncio.sleep(1)  # what the phone's radio was told to do is done
            if adapter is not None:
                adapter.release()
            await glasses.close()
            await air.close()

    def _make_battery(self) -> Cell | None:
        data = getattr(self._board, "BATTERY", None)
        if data is None:
            return None
        part = self._board.PARTS.get("battery", {})
        charge_ma = float(part.get("charge_ma", CHARGE_MA))
        return Cell(float(data["mah"]), self._day.percent, charge_ma, self._on_empty)

    # --- the world ------------------------------------------------------------------------------------

    async def _until(self, at_s: float) -> None:
        left = self._start + at_s - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    async def _ticks(self) -> None:
        """Points of the curve, and progress."""
        step = self._day.seconds / _POINTS
        told = 0.0
        for i in range(_POINTS + 1):
            await self._until(i * step)
            self._note(i * step)
            if i * step >= told:
                told = i * step + _TELL_EVERY_S
                self._progress(i * step)

    def _note(self, at_s: float) -> None:
        percent = None if self._battery is None else self._meter.percent()
        self._curve.append((at_s, self._drawn(), percent))

    def _drawn(self) -> float:
        """mAh so far, without what came by cable."""
        by_cable = sum(self._meter.table().get(USB, {}).values()) / 3600
        return self._meter.mah() - by_cable

    async def _walk(self) -> None:
        """The phone goes away and comes back."""
        here = True
        for begin, end in [*self._day.near, (self._day.seconds + 1, 0.0)]:
            now = asyncio.get_running_loop().time() - self._start
            if here and begin > now:
                self._phone.paused.set()
                self._air.drop()
                here = False
            await self._until(begin)
            if not here:
                self._phone.come_back()
                here = True
            await self._until(end)

    async def _usb(self) -> None:
        for begin, end in sorted(self._day.usb):
            await self._until(begin)
            self._cable(True)
            await self._until(end)
            self._cable(False)

    def _cable(self, plugged: bool) -> None:
        self._observer.plugged(plugged)
        if self._battery is not None:
            (self._battery.plug if plugged else self._battery.unplug)(self._meter.mah())
        part = self._board.PARTS.get("usb")
        if part is not None:
            active = part.get("active", 1)
            self._glasses.chip.pins.drive(part["pin"], active if plugged else 1 - active)
        if plugged and self._glasses.phase == OFF:
            self._revive = asyncio.ensure_future(self._glasses.power_on())

    async def _press_all(self) -> None:
        part = self._board.PARTS["talk"]
        pin, active = part["pin"], part.get("active", 0)
        released = None if part.get("pull", "up") else 1 - active
        self._glasses.chip.pins.drive(pin, released)
        for press in self._day.presses:
            await self._until(press.at_s)
            self._say(press)
            self._glasses.chip.pins.drive(pin, active)
            await self._until(press.at_s + press.seconds)
            self._glasses.chip.pins.drive(pin, released)

    def _say(self, press: Press) -> None:
        if press.talk:
            count = round(press.seconds * _RATE)
            self._glasses.chip.sound.say(np.resize(self._speech, count))

    # --- what comes of it -----------------------------------------------------------------------------

    def _observe(self, what: str, detail: Any) -> None:
        if what == "recorded" and isinstance(detail, Recording) and detail.kind == "speech":
            self._lost += detail.lost
            if detail.crc_ok and not detail.truncated:
                self._received += 1
                self._received_s += detail.seconds

    def _on_state(self, state: str) -> None:
        """The firmware switches itself off while the battery is all but empty."""
        if state == "off" and self._battery is not None and self._meter.percent() < 10:
            self._emptied()

    def _on_empty(self) -> None:
        self._emptied()
        self._glasses.power_cut()

    def _emptied(self) -> None:
        if self._empty_at is None:
            self._empty_at = asyncio.get_running_loop().time() - self._start

    def _result(self, phone: Phone) -> DayResult:
        day, meter, battery = self._day, self._meter, self._battery
        if self._curve[-1][0] < day.seconds:
            self._note(day.seconds)
        segments = merge(self._observer.spans())
        talks = [press for press in day.presses if press.talk]
        return DayResult(
            day=day.name,
            about=day.about,
            board=self._board.NAME,
            start_s=day.start_s,
            seconds_total=day.seconds,
            battery_mah=None if battery is None else battery.mah,
            percent_start=day.percent,
            percent_end=None if battery is None else meter.percent(),
            mah=self._drawn(),
            usb_mah=meter.mah() - self._drawn(),
            energy={
                state: {consumer: mas / 3600 for consumer, mas in spent.items()}
                for state, spent in meter.table().items()
                if state != USB
            },
            seconds=self._observer.seconds(),
            segments=segments,
            states=self._observer.spans(),
            curve=self._curve,
            talks=(len(talks), day.speech_s),
            received=(self._received, self._received_s),
            lost_frames=self._lost,
            incomplete=sum(not r.complete for r in phone.recordings),
            wakes=sum(
                segment.kind == "asleep" and segments[i].kind not in ("off", USB)
                for i, segment in enumerate(segments[:-1], 1)
            ),
            beacons=self._observer.beacons(),
            connections=phone.reconnects + 1,
            empty_at_s=self._empty_at,
            firmware=firmware_account(),
        )


def firmware_account() -> dict[str, dict[str, float]] | None:
    """{power state: {consumer: mAh}} by the running firmware; None if it sleeps."""
    runtime = getattr(sys.modules.get("glasses"), "_instance", None)
    account: dict[str, dict[str, float]] | None = None
    if runtime is not None:
        account = runtime.report_power()["energy"]
    return account


def problems(printed: str) -> list[str]:
    """What the firmware complained of, the first of it."""
    lines = [line.strip() for line in printed.splitlines()]
    return [line for line in lines if " error " in line or " warning " in line or "Error" in line][
        :_MOST_LINES
    ]


def play(day: Day, board: str, *, seed: int = 1, progress: Progress = lambda seconds: None) -> DayResult:
    """Play it. Raises LunetteError for a board without a table of currents, and for a wake word that there is
    no model of."""
    models = _models(day.settings)
    hears = Hearing(list(models.values())) if models else None
    with world(seed, day.start_s, day.settings, hears) as (env, printed):

        async def main() -> DayResult:
            return await Player(day, board, env, progress, hears).play()

        result = run_virtual(main())
        result.problems = problems(printed.getvalue())
    return result


def play_job(day: Day, board: str, *, progress: Progress) -> DayResult:
    """The same, for `workers.Job`."""
    return play(day, board, progress=progress)


def when(result: DayResult, at_s: float) -> str:
    """The time of day at which that was."""
    return clock_text(result.start_s, at_s)
