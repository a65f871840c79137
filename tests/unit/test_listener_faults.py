"""Listening for a wake word when something fails, or comes at an awkward moment: no microphone stays on for
nobody, and they listen again."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest
from listening import QUESTION, WORD, alone, deafen, equip, listens, play_night, said
from sleepy import Night
from test_voice import wav
from world import LIGHT, World, run_world

RATE = 16000


def once(place: Any, name: str, error: BaseException) -> None:
    """Have the next call of that raise."""
    plain = getattr(place, name)

    def failing(*args: Any, **options: Any) -> Any:
        setattr(place, name, plain)
        raise error

    setattr(place, name, failing)


@pytest.mark.parametrize("error", [IndexError("a model of the devil"), KeyboardInterrupt()], ids=repr)
def test_interrupted_while_a_model_is_loaded(folder: Path, error: BaseException) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        glasses = world.glasses
        network = importlib.import_module("glasses.wakeword.network")
        once(network, "Network", error)
        glasses.listener.try_again()
        glasses.listener._wanted = None
        await asyncio.sleep(0.6)
        if isinstance(error, KeyboardInterrupt):  # the task is made anew, as after Ctrl-C
            await listens(world)
        else:
            assert not world.chip.i2s.running(0) and not world.chip.pins.level(LIGHT)
            assert glasses.listener.why_not == "a model of the devil"
        await world.talk(0.8)
        (recording,) = await world.complete(1)
        assert recording.meta["cause"] == "button" and glasses.voice.refused == 0

    def interrupting(world: World) -> None:
        """In CPython KeyboardInterrupt would end the loop; here it ends the task, which is what counts."""
        listener = world.glasses.listener
        load = listener._load

        def loading() -> None:
            try:
                load()
            except KeyboardInterrupt:
                raise asyncio.CancelledError from None

        listener._load = loading

    async def interrupted(world: World) -> None:
        await listens(world)
        interrupting(world)
        glasses = world.glasses
        network = importlib.import_module("glasses.wakeword.network")
        once(network, "Network", error)
        glasses.listener.try_again()
        glasses.listener._wanted = None
        task = glasses._tasks["wakeword"]
        await world.until(task.done, "the task has ended", 2)
        assert not world.chip.i2s.running(0)
        glasses._dead.append("wakeword")
        await listens(world)
        await world.talk(0.8)
        await world.complete(1)
        assert glasses.voice.refused == 0

    run_world(folder, interrupted if isinstance(error, KeyboardInterrupt) else test)


def test_a_recording_that_cannot_be_opened_leaves_nothing_on(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        glasses = world.glasses
        once(glasses.journal, "open", MemoryError())
        await said(world, WORD, after=2)
        assert not glasses.power.holds("voice")
        await listens(world)
        await world.talk(0.8)
        await world.complete(1)

    run_world(folder, test)


def test_what_fails_in_passing_is_tried_again(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        once(world.glasses.parts.microphone, "_begin", OSError(12))
        world.glasses.listener.pause()
        await asyncio.sleep(10)
        assert not world.glasses.listener.on and world.glasses.listener.why_not == "12"
        await asyncio.sleep(25)
        assert world.glasses.listener.on

    run_world(folder, test)


def test_half_a_module_leaves_no_microphone_on(folder: Path) -> None:
    """Somebody at the prompt loads it, and what runs behind the prompt comes in between."""

    async def test(world: World) -> None:
        once(world.glasses.voice, "_make_ready", AttributeError("module has no attribute pick"))
        await world.talk(0.6)
        await asyncio.sleep(0.5)
        assert not world.chip.i2s.running(0) and not world.chip.pins.level(LIGHT)
        assert world.glasses.voice.refused >= 1
        await world.talk(0.8)
        await world.complete(1)

    run_world(folder, test)


def test_the_recording_counts_what_was_lost_in_it(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        microphone = world.glasses.parts.microphone
        microphone.take_overruns = 7
        microphone.saturated = 1234
        await said(world, WORD, 0.3, QUESTION)
        (recording,) = await world.complete(1)
        assert recording.end["overruns"] == 0 and "saturated" not in recording.end

    run_world(folder, test)


def test_a_hole_between_the_word_and_the_voice_is_told(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)

        async def lose() -> None:
            microphone = world.glasses.parts.microphone
            await world.until(lambda: world.glasses.voice.capturing, "the word")
            await asyncio.sleep(0.2)
            microphone._gap += 3200
            microphone._gap_at = 0

        task = asyncio.create_task(lose())
        await said(world, WORD, 0.12, QUESTION)
        await task
        (recording,) = await world.complete(1)
        assert recording.end["missed_ms"] == 200
        silence = recording.meta["wake"]["ms"] / 1000 + 0.1
        heard = wav(recording.path)
        lost = [i for i in range(len(heard) - 3199) if not heard[i : i + 3200].any()][:1]
        assert lost and silence < lost[0] / RATE < silence + 0.4, "where it was lost"

    run_world(folder, test)


def test_a_mute_of_a_week(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        world.glasses.voice.muted = True
        listener = world.glasses.listener
        await asyncio.sleep(1)
        world.env.clock.offset_us += 7 * 86400 * 1000000  # ticks are behind `pause` now
        await asyncio.sleep(1)
        world.glasses.voice.muted = False
        await asyncio.sleep(2)
        assert listener.on

    run_world(folder, test)


def test_after_hours_without_a_pause_a_word_is_where_it_was(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        listener = world.glasses.listener
        listener._samples += 57600000 - 16000 * 2
        listener._base_ms -= 3600000 - 2000  # as if it had listened for an hour
        await said(world, WORD, 0.3, QUESTION)
        (recording,) = await world.complete(1)
        assert 400 <= recording.meta["wake"]["ms"] <= 440 and listener._samples < 16000 * 60

    run_world(folder, test)


def test_a_finger_that_leaves_throws_no_question_away(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        bus = world.glasses.bus
        bus.now("listening", lambda name, t, value: bus.emit("release", t, 900) if value else None)
        await said(world, WORD, 0.3, QUESTION)
        await world.complete(1)

    run_world(folder, test)


def test_switched_off_in_settings_its_memory_is_free(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        assert world.listener is not None and world.listener.client is not None
        await world.listener.client.request("set", name="wakeword", value="")
        assert world.glasses.listener._detector is None and world.glasses.listener._lead is None

    run_world(folder, test)


async def deaf_and_alone(night: Night) -> None:
    await listens(night.world)
    deafen(night.world)
    await alone(night)


def test_a_full_flash_and_a_fresh_start_that_is_due(folder: Path) -> None:
    async def test(night: Night) -> None:
        await deaf_and_alone(night)
        glasses = night.world.glasses

        async def full() -> int:
            glasses.recording()
            return 1

        glasses.saver.save_all = full
        glasses.doze.beacons = 360
        stops: list[float] = []
        stop = glasses.link.stop
        glasses.link.stop = lambda: (stops.append(night.now), stop())
        await asyncio.sleep(50)
        assert len(stops) <= 2, "Bluetooth is not switched off and on"
        assert night.recording and glasses.presence.radio.running

    play_night(folder, test)


def test_no_light_sleep_in_a_pause(folder: Path) -> None:
    async def test(night: Night) -> None:
        await deaf_and_alone(night)
        glasses = night.world.glasses
        for _ in range(10):
            glasses.recording()
            await asyncio.sleep(0.1)
            assert glasses._depth(40) == "idle" and not glasses.presence.radio.running

    play_night(folder, test)


def test_an_interrupted_doze_leaves_bluetooth_on(folder: Path) -> None:
    async def test(night: Night) -> None:
        await deaf_and_alone(night)
        glasses = night.world.glasses
        glasses._tasks["standby"].cancel()
        await asyncio.sleep(0.1)
        assert glasses.presence.radio.running
        glasses._dead.append("standby")
        await asyncio.sleep(1)

    play_night(folder, test)
