"""The parts on the chip model: button, LED, capture light, microphone, battery."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from world import virtual_board

from lunette import paths
from lunette.virtual.chip.chip import Chip
from lunette.virtual.cpython import Environment, micropython_modules, run
from lunette.virtual.kernels import fast_kernels


class Flag:
    def __init__(self) -> None:
        self.sets = 0

    def set(self) -> None:
        self.sets += 1


def with_chip(test: Callable[[Chip, Environment], Coroutine[Any, Any, None]], name: str = "esp32s3") -> None:
    with micropython_modules(paths.HAL, paths.FIRMWARE) as env:
        fast_kernels()

        async def main() -> None:
            chip = Chip(name)
            chip.attach_cpython(importlib.import_module("_port"))
            await test(chip, env)
            assert not chip.errors

        run(main())


# --- button


def test_every_edge_is_noted_with_its_time() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.button import Button

        flag = Flag()
        button = Button(1, wake=flag)
        assert not button.pressed
        for seconds in (0.015, 0.2):
            chip.pins.press(1)
            await asyncio.sleep(seconds)
            assert button.pressed == (chip.pins.level(1) == 0)
            chip.pins.release(1)
            await asyncio.sleep(0.1)
        edges: list[tuple[int, bool]] = []
        button.drain(lambda t, pressed: edges.append((t, pressed)))
        assert edges == [(0, True), (15, False), (115, True), (315, False)]
        assert flag.sets == 4
        edges.clear()
        button.drain(lambda t, pressed: edges.append((t, pressed)))
        assert edges == []

    with_chip(test)


@pytest.mark.parametrize(("active", "pull"), [(0, "up"), (1, "down"), (0, None)])
def test_polarity_and_pull(active: int, pull: str | None) -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.button import Button

        button = Button(1, active, pull, Flag())
        if pull is None:
            chip.pins.resistor(1, 1)
        assert not button.pressed
        chip.pins.drive(1, active)
        assert button.pressed

    with_chip(test)


@pytest.mark.parametrize("finally_pressed", [False, True])
def test_a_storm_of_edges_is_counted_and_the_last_level_known(finally_pressed: bool) -> None:
    """More edges than the queue holds: without a last look the button would stay as it was."""

    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.button import Button

        button = Button(1, wake=Flag())
        for i in range(60 + finally_pressed):
            chip.pins.drive(1, i % 2)
            await asyncio.sleep(0.001)
        chip.pins.drive(1, 0 if finally_pressed else 1)
        await asyncio.sleep(0.001)
        edges: list[tuple[int, bool]] = []
        button.drain(lambda t, pressed: edges.append((t, pressed)))
        assert button.overflows > 0
        assert len(edges) <= 32
        assert edges[-1][1] == finally_pressed
        assert edges == sorted(edges, key=lambda e: e[0])

    with_chip(test)


# --- led and the light of capture


@pytest.mark.parametrize("active", [0, 1])
def test_a_held_light_cannot_be_hidden(active: int) -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.led import Led

        led = Led(2, active)

        def lit() -> bool:
            assert led.lit == (chip.pins.level(2) == active)
            return led.lit

        assert not lit()
        led.on()
        assert lit()
        led.off()
        assert not lit()
        led.hold()
        led.hold()
        led.off()
        assert lit()
        led.unhold()
        assert lit()
        led.unhold()
        assert not lit()
        led.unhold()  # one too many does no harm
        led.on()
        led.hold()
        led.unhold()
        assert lit(), "what was on before is on again"

    with_chip(test)


class Steps:
    """A light and a capture part that note what happens in which order."""

    def __init__(self, fail: str = "") -> None:
        from glasses.parts.capture import CapturePart

        self.log: list[str] = []
        log = self.log

        class Part(CapturePart):
            def _begin(self) -> None:
                log.append("begin")
                if fail == "begin":
                    raise OSError(5)

            def _finish(self) -> None:
                log.append("finish")
                if fail == "finish":
                    raise OSError(5)

        light = SimpleNamespace(hold=lambda: log.append("light"), unhold=lambda: log.append("dark"))
        self.part = Part(light)


def test_light_before_the_first_and_after_the_last_sample() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        steps = Steps()
        part = steps.part
        part.stop()  # harmless
        part.start()
        with pytest.raises(RuntimeError):
            part.start()
        assert part.capturing
        part.stop()
        part.stop()
        assert steps.log == ["light", "begin", "finish", "dark"]
        assert not part.capturing
        assert part.starts == 1

    with_chip(test)


@pytest.mark.parametrize("fail", ["begin", "finish"])
def test_a_failure_does_not_leave_the_light_on_or_off(fail: str) -> None:
    async def test(chip: Chip, env: Environment) -> None:
        steps = Steps(fail)
        with pytest.raises(OSError):
            steps.part.start()
            steps.part.stop()
        assert steps.log == ["light", "begin", "finish", "dark"]
        assert not steps.part.capturing

    with_chip(test)


# --- microphone


def test_buffers_follow_each_other_without_a_gap() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.i2s_microphone import I2SMicrophone
        from glasses.parts.led import Led

        microphone = I2SMicrophone(Led(2), 0, 4, 5, 6)
        microphone.prepare()
        pcm = bytearray(640)
        said = np.arange(16000, dtype=np.int16)
        chip.sound.say(said)
        microphone.start()
        assert chip.pins.level(2) == 1
        heard = []
        while len(heard) < 40:
            if microphone.ready():
                index = microphone.take()
                microphone.read(index, 0, pcm)
                heard.append(np.frombuffer(bytes(pcm), "<i2"))
                microphone.give(index)
            else:
                assert microphone.silent_ms() <= 35  # a whole descriptor at a time
                await asyncio.sleep(0.003)
        microphone.stop()
        assert chip.pins.level(2) == 0
        assert np.array_equal(np.concatenate(heard), said[: 40 * 320])
        assert {name: n for name, n in microphone.counters().items() if n} == {"mic.starts": 1}

    with_chip(test)


class Ear:
    """Takes frames from a microphone, with the time line that its gaps make: [(first sample, samples)]."""

    def __init__(self, microphone: Any) -> None:
        self.microphone = microphone
        self.pcm = bytearray(640)
        self.now = 0
        self.frames: list[tuple[int, Any]] = []
        self.gaps: list[tuple[int, int]] = []

    async def listen(self, frames: int) -> None:
        for _ in range(frames):
            while not self.microphone.ready():
                await asyncio.sleep(0.003)
            index = self.microphone.take()
            self.microphone.read(index, 0, self.pcm)
            self.microphone.give(index)
            if self.microphone.gap:
                self.gaps.append((self.now, self.microphone.gap))
                self.now += self.microphone.gap
            self.frames.append((self.now, np.frombuffer(bytes(self.pcm), "<i2")))
            self.now += 320


def starts(session: Any, frames: int) -> list[int]:
    """Where on the time line the last sample of each delivered frame truly is."""
    samples = np.concatenate([np.arange(at, at + n) for at, n in session.segments])
    return [int(samples[320 * i + 319]) for i in range(frames)]


@pytest.mark.parametrize("wrap_ms", [None, 200])
@pytest.mark.parametrize(("ibuf", "before"), [(8192, 20), (8192, 21), (8192, 22), (32768, 23)])
@pytest.mark.parametrize("pauses", [(0.5,), (0.31, 0.9), (0.7004, 0.3)])
def test_a_pause_is_a_gap_of_known_length(
    wrap_ms: int | None, ibuf: int, before: int, pauses: tuple[float, ...]
) -> None:
    """The driver drops the oldest silently; the clock tells how much, also where ticks wrap. Whatever comes
    after the gap is where it belongs, to the sample; the frame around it is off by less than a descriptor."""

    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.i2s_microphone import I2SMicrophone

        if wrap_ms is not None:
            env.clock.offset_us = 2**30 - wrap_ms * 1000
        microphone = I2SMicrophone(None, 0, 4, 5, 6, ibuf=ibuf)
        microphone.prepare()
        microphone.start()
        ear = Ear(microphone)
        await ear.listen(before)
        assert microphone.overruns == 0 and ear.gaps == []
        for pause in pauses:
            await asyncio.sleep(pause)
            await ear.listen(40)
        session = chip.i2s.sessions[-1]
        assert session.overruns == len(ear.gaps) >= 1
        assert sum(n for _, n in ear.gaps) == session.dropped
        assert microphone.overruns == microphone.take_overruns == session.dropped // 256
        late = [
            t - (at + 319) for (at, _), t in zip(ear.frames, starts(session, len(ear.frames)), strict=True)
        ]
        assert set(late) == {0}
        await ear.listen(60)
        assert sum(n for _, n in ear.gaps) == session.dropped, "counted once"
        microphone.stop()
        microphone.start()
        assert microphone.take_overruns == 0
        microphone.stop()

    with_chip(test)


def test_a_program_that_is_late_loses_nothing_and_counts_nothing() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.i2s_microphone import I2SMicrophone

        microphone = I2SMicrophone(None, 0, 4, 5, 6)
        microphone.prepare()
        microphone.start()
        ear = Ear(microphone)
        rng = np.random.default_rng(3)
        for _ in range(60):
            await ear.listen(13)
            await asyncio.sleep(rng.uniform(0, 0.23))
        assert ear.gaps == [] and microphone.overruns == 0 and chip.i2s.sessions[-1].dropped == 0

    with_chip(test)


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_clock_that_drifts_is_no_overrun(ppm: int) -> None:
    """Ten minutes: the two clocks are 120 ms apart at the end."""

    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts import i2s_microphone
        from glasses.parts.i2s_microphone import I2SMicrophone

        microphone = I2SMicrophone(None, 0, 4, 5, 6)
        microphone.prepare()
        # The microphone believes that its frames take longer or shorter than the chip's clock has it.
        vars(importlib.import_module("glasses.parts.microphone"))["_FRAME_US"] = 20000 + ppm // 50
        assert i2s_microphone is not None
        microphone.start()
        ear = Ear(microphone)
        for _ in range(60):
            await ear.listen(500)
            await asyncio.sleep(0.2)
        assert ear.gaps == [] and microphone.overruns == 0
        await asyncio.sleep(1)
        await ear.listen(30)
        assert sum(n for _, n in ear.gaps) == chip.i2s.sessions[-1].dropped

    with_chip(test)


# --- battery and boards


def test_the_battery_is_read_through_its_divider() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.battery import Battery

        battery = Battery(8, ratio=2.0)
        for volts in (4.2, 3.75, 3.3, 3.0, 4.4):
            chip.analog.volts[8] = volts / 2
            assert battery.volts() == pytest.approx(volts, abs=0.01)

    with_chip(test)


def test_a_board_calibrates_its_divider() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.battery import Battery

        chip.analog.error_mv = 40  # of the converter, at the pin
        chip.analog.volts[8] = 3.84 / 2.1
        assert Battery(8, 2.0).volts() == pytest.approx(3.84 / 2.1 * 2 + 0.08, abs=0.003)
        assert Battery(8, 2.1, offset_mv=-84).volts() == pytest.approx(3.84, abs=0.003)

    with_chip(test)


@pytest.mark.parametrize("spikes", [[0.0], [3.1], [0.0, 3.1], [1.92, 0.0, 1.92, 1.92]])
def test_a_reading_that_is_far_off_does_not_count(spikes: list[float]) -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.battery import Battery

        chip.analog.noise_lsb = 3
        chip.analog.volts[8] = 1.92
        battery = Battery(8)
        chip.analog.spikes = list(spikes)
        assert battery.volts() == pytest.approx(3.84, abs=0.008)
        assert chip.analog.spikes == []

    with_chip(test)


def test_a_converter_that_does_not_answer_is_an_oserror() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.battery import Battery

        battery = Battery(8)
        chip.analog.volts[8] = 1.92
        chip.analog.failing = 1
        with pytest.raises(OSError):
            battery.volts()
        assert battery.volts() == pytest.approx(3.84, abs=0.01)

    with_chip(test)


@pytest.mark.parametrize("active", [0, 1])
def test_usb_and_the_charger_are_levels_at_pins(active: int) -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.charger import Charger
        from glasses.parts.sense import Sense

        usb, charger = Sense(9, active), Charger(10, active)
        for there in (True, False, True):
            for pin in (9, 10):
                chip.pins.drive(pin, active if there else 1 - active)
            assert usb.present is there and charger.charging is there

    with_chip(test)


def test_a_charger_that_lets_go_of_its_drain_does_not_charge() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.parts.charger import Charger

        charger = Charger(10)
        chip.pins.drive(10, 0)
        assert charger.charging
        chip.pins.drive(10, None)
        assert not charger.charging

    with_chip(test)


def made(declared: dict[str, Any]) -> Any:
    from glasses.board import Parts

    parts = Parts(SimpleNamespace(PARTS=declared))
    parts.make_rest()
    return parts


def test_nothing_is_captured_in_the_dark() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        declared: dict[str, Any] = dict(virtual_board().PARTS)
        declared["light"] = declared["light"] | {"pin": 99}
        parts = made(declared)
        assert parts.names() == {
            "light": False,
            "mic": False,
            "battery": True,
            "usb": True,
            "worn": True,
            "cue": True,
            "talk": True,
        }
        assert any("capture light" in problem for problem in parts.problems)
        del declared["light"]  # a board that has none says so in its data
        assert made(declared).names()["mic"] is True

    with_chip(test)


def test_a_part_that_cannot_be_is_said_and_the_others_work() -> None:
    async def test(chip: Chip, env: Environment) -> None:
        from glasses.board import BoardError

        declared: dict[str, Any] = dict(virtual_board().PARTS)
        declared["battery"] = declared["battery"] | {"pin": 40}  # no ADC there
        declared["extra"] = {"driver": "button", "pin": 99}
        parts = made(declared)
        assert parts.names() == {
            "light": True,
            "mic": True,
            "battery": False,
            "usb": True,
            "worn": True,
            "cue": True,
            "talk": True,
        }
        assert [p.split(":")[0] for p in parts.problems] == ["extra", "battery"]
        del declared["mic"]["sd"]
        with pytest.raises(BoardError, match="mic lacks sd"):
            made(declared)

    with_chip(test)
