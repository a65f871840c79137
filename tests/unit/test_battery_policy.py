"""What the glasses do about their battery, from the converter's pin to events, light, refusal and cut-off."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lunette import paths
from lunette.virtual.chip.chip import Chip
from lunette.virtual.cpython import Environment, micropython_modules, run

LIGHT, BATTERY, USB, STAT = 2, 8, 9, 10
DATA: dict[str, Any] = {"driver": "battery", "pin": BATTERY, "ratio": 2.0, "empty_v": 3.3, "full_v": 4.2}


class Rig:
    """A policy on the chip model. `events` are (name, value), `light` the seconds at which it was lit."""

    def __init__(self, chip: Chip, env: Environment) -> None:
        self.chip = chip
        self.env = env
        self.events: list[tuple[str, Any]] = []
        self.light: list[float] = []
        self.policy: Any = None
        self.log: Any = None
        self._task: asyncio.Task[Any] | None = None
        chip.pins.watch(
            lambda pin, level, t: self.light.append(self.now) if (pin, level) == (LIGHT, 1) else None
        )

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def cell(self, volts: float) -> None:
        self.chip.analog.volts[BATTERY] = volts / 2

    def plug(self, there: bool) -> None:
        self.chip.pins.drive(USB, int(there))

    def make(self, usb: bool = True, charger: bool = False, light: bool = True, **options: Any) -> Any:
        from glasses.battery_policy import BatteryPolicy
        from glasses.bus import Bus
        from glasses.log import Log
        from glasses.parts.battery import Battery
        from glasses.parts.charger import Charger
        from glasses.parts.led import Led
        from glasses.parts.sense import Sense

        bus = Bus()
        self.log = Log("error")
        bus.now("*", lambda name, t, value: self.events.append((name, value)))
        data = {**DATA, **options.pop("data", {})}
        self.policy = BatteryPolicy(
            Battery(BATTERY, data["ratio"]),
            data,
            bus,
            self.log,
            light=Led(LIGHT) if light else None,
            usb=Sense(USB) if usb else None,
            charger=Charger(STAT) if charger else None,
            **options,
        )
        return self.policy

    def start(self) -> None:
        self._task = asyncio.create_task(self.policy.run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def named(self, name: str) -> list[Any]:
        return [value for event, value in self.events if event == name]


def with_rig(test: Callable[[Rig], Coroutine[Any, Any, None]], noise: int = 4) -> None:
    with micropython_modules(paths.HAL, paths.FIRMWARE) as env:

        async def main() -> None:
            chip = Chip("esp32s3")
            chip.attach_cpython(importlib.import_module("_port"))
            chip.analog.noise_lsb = noise
            rig = Rig(chip, env)
            rig.plug(False)
            try:
                await test(rig)
            finally:
                rig.stop()
            assert not chip.errors

        run(main())


# --- looking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["percent", "begin", "run"])
def test_the_truth_at_once(ask: str) -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.84)
        policy = rig.make()
        if ask == "run":
            rig.start()
            await asyncio.sleep(0.001)
            assert rig.named("battery") == [policy.percent()]
        elif ask == "begin":
            policy.begin()
            assert policy.gauge.anchored
        assert policy.percent() == pytest.approx(50, abs=3)
        assert policy.volts() == pytest.approx(3.84, abs=0.01)
        assert policy.status() == {
            "battery_v": pytest.approx(3.84, abs=0.01),
            "battery_percent": policy.percent(),
            "charging": False,
        }

    with_rig(test)


def test_it_looks_seldom_and_sooner_when_it_matters() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.84)
        rig.make()
        rig.start()
        await asyncio.sleep(0.1)

        async def readings(seconds: float) -> float:
            before = rig.chip.bus.requests
            await asyncio.sleep(seconds)
            return (rig.chip.bus.requests - before) / seconds

        assert await readings(60) < 2, "six requests every five seconds"
        rig.cell(3.7)
        await asyncio.sleep(10)
        assert await readings(60) > 2

    with_rig(test, noise=0)


def test_a_percentage_is_told_when_it_changes_and_only_then() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.84)
        rig.make()
        rig.start()
        await asyncio.sleep(300)
        start = rig.named("battery")[0]
        assert rig.named("battery") == list(range(start, start - len(rig.named("battery")), -1))
        assert len(rig.named("battery")) <= 5, "noise is not a discharge"
        rig.cell(3.80)
        await asyncio.sleep(300)
        told = rig.named("battery")
        assert told == list(range(start, told[-1] - 1, -1))
        assert told[-1] == pytest.approx(40, abs=3)

    with_rig(test)


def test_what_was_shown_before_a_sleep_is_shown_again() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.84)
        assert rig.make(remembered=47).percent() == 47
        assert rig.make(remembered=90).percent() == pytest.approx(50, abs=1)

    with_rig(test, noise=0)


def test_a_converter_that_fails_stops_nothing() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.84)
        rig.chip.analog.failing = 1000000
        policy = rig.make()
        rig.start()
        await asyncio.sleep(30)
        for ask in (policy.percent, policy.volts):
            with pytest.raises(OSError):
                ask()
        assert policy.status() == {"battery_v": None, "battery_percent": None, "charging": False}
        assert policy.may_capture() == "" and not policy.below_cutoff() and rig.events == []
        rig.chip.analog.failing = 0
        await asyncio.sleep(10)
        shown = policy.percent()
        assert shown == pytest.approx(50, abs=3)
        failed = policy.counters()["battery.failed"]
        assert failed >= 15
        rig.chip.analog.failing = 1000000
        await asyncio.sleep(10)
        assert policy.percent() == shown and policy.volts() == pytest.approx(3.84, abs=0.01)
        assert policy.counters()["battery.failed"] > failed

    with_rig(test)


def test_a_divider_that_is_not_connected_is_counted_and_not_believed() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(0.1)
        over: list[int] = []
        policy = rig.make(on_cutoff=lambda: over.append(1))
        rig.start()
        await asyncio.sleep(30)
        assert over == [] and rig.events == []
        assert policy.counters()["battery.refused"] > 5

    with_rig(test)


def test_the_load_is_asked_for_and_calculated_back() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.81)
        assert rig.make(load_ma=lambda: 150, data={"ohm": 0.2}).percent() == 50
        rig.cell(3.84)
        policy = rig.make(loading=lambda: True)
        policy.begin()
        rig.start()
        rig.cell(3.80)
        await asyncio.sleep(30)
        assert policy.gauge.volts > 3.83

    with_rig(test, noise=0)


# --- warning --------------------------------------------------------------------------------------


def test_low_and_critical_are_told_once_and_blinked() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.73)
        rig.make()
        rig.start()
        await asyncio.sleep(60)
        assert rig.light == [] and rig.named("battery_low") == []
        rig.cell(3.69)
        await asyncio.sleep(120)
        assert rig.named("battery_low") == [15]
        blinks = len(rig.light)
        assert 2 <= blinks <= 2 * 5
        await asyncio.sleep(60)
        assert len(rig.light) - blinks == 4, "twice each half minute"
        assert rig.chip.pins.level(LIGHT) == 0
        rig.cell(3.5)
        await asyncio.sleep(60)
        assert rig.named("battery_low") == [15] and rig.named("battery_critical") == [5]
        assert len(rig.log.lines) == 2

    with_rig(test)


def test_nobody_is_warned_while_usb_is_there_but_when_it_is_pulled_too_early() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.69)
        rig.plug(True)
        rig.make()
        rig.start()
        await asyncio.sleep(60)
        assert rig.light == [] and rig.named("battery_low") == []
        rig.plug(False)
        await asyncio.sleep(6)
        assert len(rig.named("battery_low")) == 1 and len(rig.light) == 2

    with_rig(test)


def test_a_board_without_a_light_is_warned_by_event() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.6)
        rig.make(light=False)
        rig.start()
        await asyncio.sleep(10)
        assert len(rig.named("battery_low")) == len(rig.named("battery_critical")) == 1

    with_rig(test)


def test_capture_light_stays_lit_through_a_warning() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.6)
        policy = rig.make()
        policy._light.hold()
        rig.start()
        for _ in range(100):
            await asyncio.sleep(0.01)
            assert rig.chip.pins.level(LIGHT) == 1

    with_rig(test)


# --- charging -------------------------------------------------------------------------------------


def test_charging_is_told_as_the_charger_tells() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.84)
        policy = rig.make(charger=True)
        rig.start()
        await asyncio.sleep(10)
        assert rig.named("charging") == []
        rig.plug(True)
        rig.chip.pins.drive(STAT, 0)  # an open drain: pulled low, or let go
        await asyncio.sleep(10)
        assert rig.named("charging") == [True] and policy.status()["charging"]
        rig.cell(4.19)
        rig.chip.pins.drive(STAT, None)
        await asyncio.sleep(10)
        assert rig.named("charging") == [True, False]
        await asyncio.sleep(150)
        assert policy.percent() == 100

    with_rig(test)


# --- refusing, and the end ------------------------------------------------------------------------


def test_no_capture_on_what_would_not_carry_it() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.32)
        policy = rig.make()
        policy.begin()
        reason = policy.may_capture()
        assert "too low" in reason and "3.32 V" in reason
        rig.plug(True)
        policy.sample()
        assert policy.may_capture() == ""
        rig.plug(False)
        rig.cell(3.45)
        assert rig.make().may_capture() == "", "before the first sample nothing is known"

    with_rig(test, noise=0)


@pytest.mark.parametrize("kind", ["function", "async"])
def test_the_cut_off_is_called_once_a_descent(kind: str) -> None:
    async def test(rig: Rig) -> None:
        over: list[float] = []

        async def save() -> None:
            await asyncio.sleep(3)
            over.append(rig.now)

        rig.cell(3.4)
        rig.make(on_cutoff=save if kind == "async" else lambda: over.append(rig.now))
        rig.start()
        await asyncio.sleep(30)
        rig.cell(3.25)
        for _ in range(60):
            rig.chip.analog.volts[BATTERY] += 0.0004  # it recovers a little
            await asyncio.sleep(1)
        assert len(over) == 1
        rig.cell(3.8)
        await asyncio.sleep(30)
        rig.cell(3.25)
        await asyncio.sleep(30)
        assert len(over) == 2
        assert len(rig.log.lines) >= 2

    with_rig(test)


def test_a_cut_off_that_failed_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    async def test(rig: Rig) -> None:
        over: list[int] = []

        def fail() -> None:
            over.append(1)
            if len(over) < 3:
                raise OSError(28)

        rig.cell(3.2)
        rig.make(on_cutoff=fail)
        rig.start()
        await asyncio.sleep(30)
        assert len(over) == 3

    with_rig(test)
    assert "OSError" in capsys.readouterr().out


def test_the_glasses_may_stop_within_the_cut_off() -> None:
    """Deep sleep does not return; in CPython it is an exception that nothing must swallow."""

    async def test(rig: Rig) -> None:
        from lunette.virtual.chip.power import ChipStopped

        def sleep() -> None:
            raise ChipStopped("deepsleep")

        rig.cell(3.2)
        policy = rig.make(on_cutoff=sleep)
        with pytest.raises(ChipStopped):
            await policy.run()

    with_rig(test)


def test_never_with_usb_and_not_for_single_readings() -> None:
    async def test(rig: Rig) -> None:
        over: list[int] = []
        rig.cell(3.2)
        rig.plug(True)
        rig.make(on_cutoff=lambda: over.append(1))
        rig.start()
        await asyncio.sleep(60)
        assert over == []
        rig.cell(3.5)
        await asyncio.sleep(20)
        rig.plug(False)
        for _ in range(20):
            await asyncio.sleep(16)
            rig.chip.analog.spikes[:] = [1.2] * 5  # one whole sample, as during a burst of the radio
        assert over == []
        assert rig.policy.may_capture() == ""

    with_rig(test)


def test_a_start_with_a_dead_cell_is_known_before_anything_runs() -> None:
    async def test(rig: Rig) -> None:
        rig.cell(3.25)
        policy = rig.make()
        assert not policy.below_cutoff()
        policy.begin()
        assert policy.below_cutoff() and policy.gauge.cutoff
        rig.plug(True)
        fed = rig.make()
        fed.begin()
        assert not fed.below_cutoff()
        rig.plug(False)
        rig.cell(3.6)
        rig.chip.analog.spikes[:] = [1.2] * 5
        spiked = rig.make()
        spiked.begin()
        assert not spiked.below_cutoff()

    with_rig(test)
