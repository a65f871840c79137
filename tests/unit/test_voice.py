"""Push-to-talk from the button to the host's disk: every sample, every frame, and the light."""

from __future__ import annotations

import asyncio
import warnings
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from world import LIGHT, World, run_world, virtual_board

from lunette.virtual.hal import _ops as ops

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

RATE = 16000
FRAME = 320


def speech(seconds: float, seed: int = 0) -> Any:
    """Something loud and soft, low and high, with clipped peaks: an int16 array."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    sweep = np.sin(2 * np.pi * (120 + 900 * t) * t) * (0.1 + 1.2 * np.abs(np.sin(2.3 * t)))
    return np.clip((sweep + 0.02 * rng.standard_normal(n)) * 32767, -32768, 32767).astype(np.int16)


def reference(pcm: Any) -> Any:
    """What the standard library's IMA ADPCM makes of the samples."""
    coded, _ = audioop.lin2adpcm(np.asarray(pcm, "<i2").tobytes(), 2, None)
    back, _ = audioop.adpcm2lin(coded, 2, None)
    return np.frombuffer(back, "<i2")


def wav(path: Path) -> Any:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_the_wav_is_the_speech_bit_for_bit(folder: Path) -> None:
    async def test(world: World) -> None:
        said = speech(2)
        world.say(said)
        pressed = world.chip.sound.index(asyncio.get_running_loop().time())
        await world.talk(0.731)
        (recording,) = await world.complete(1)
        session = world.chip.i2s.sessions[-1]
        assert session.first_sample == pressed, "the first word is cut"
        assert session.dropped == 0
        samples = recording.next_index * FRAME
        assert 0.731 * RATE <= samples < 0.731 * RATE + FRAME
        assert np.array_equal(world.heard()[:samples], said[:samples])
        assert np.array_equal(wav(recording.path), reference(said[:samples]))  # type: ignore[arg-type]
        assert (recording.lost, recording.crc_ok, recording.cause) == (0, True, "button")
        assert recording.end == {"lost": 0, "overruns": 0}

    run_world(folder, test, checked=True)


def test_two_utterances_are_two_recordings(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(4))
        for seconds in (0.5, 0.8):
            await world.talk(seconds, bounce_ms=4)
            await asyncio.sleep(0.4)
        first, second = await world.complete(2)
        assert first.number != second.number
        for i, (recording, seconds) in enumerate(((first, 0.5), (second, 0.8))):
            assert (recording.lost, recording.crc_ok) == (0, True)
            assert seconds <= recording.seconds <= seconds + 0.025
            heard = world.heard(i)[: recording.next_index * FRAME]
            assert np.array_equal(recording.pcm(), reference(heard))
        assert world.glasses.journal.recordings == []
        assert world.glasses.journal.free == world.glasses.journal.slots
        assert world.glasses.link.refused == 0

    run_world(folder, test)


def test_a_press_right_after_a_release_is_a_recording_of_its_own(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(3))
        await world.talk(0.5)
        await asyncio.sleep(0.009)  # the debounce time is over, the last frame is not
        pressed = world.chip.sound.index(asyncio.get_running_loop().time())
        await world.talk(0.5)
        first, second = await world.complete(2)
        assert 0.48 <= first.seconds <= 0.521
        assert 0.5 <= second.seconds <= 0.521
        assert world.chip.i2s.sessions[-1].first_sample == pressed

    run_world(folder, test)


@pytest.mark.parametrize("taps", [1, 2, 3])
def test_taps_send_nothing(folder: Path, taps: int) -> None:
    async def test(world: World) -> None:
        gestures: list[str] = []
        world.glasses.bus.now("*", lambda name, t, value: gestures.append(name))
        world.say(speech(3))
        for _ in range(taps):
            await world.tap(0.1)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        assert ("tap", "double", "triple")[taps - 1] in gestures
        assert len(world.chip.i2s.sessions) == taps, "the microphone was to run from each press on"
        assert all(session.ended is not None for session in world.chip.i2s.sessions)
        assert world.chip.pins.level(LIGHT) == 0
        assert world.glasses.link.pump.frames == 0
        assert world.recordings == []
        assert world.glasses.journal.recordings == []
        assert world.glasses.journal.free == world.glasses.journal.slots
        assert not world.glasses.power.holds("voice")

    run_world(folder, test)


def test_the_light_is_on_whenever_the_microphone_runs(folder: Path) -> None:
    async def test(world: World) -> None:
        running: set[int] = set()
        dark: list[str] = []
        calls = dict(world.chip.bus._handlers)

        def watched(op: int, what: str) -> Any:
            def handler(a: int, b: int, c: int, d: int, data: Any) -> Any:
                if world.chip.pins.level(LIGHT) != 1:
                    dark.append(what)
                running.symmetric_difference_update({1})
                return calls[op](a, b, c, d, data)

            return handler

        world.chip.bus.register(
            {ops.I2S_INIT: watched(ops.I2S_INIT, "start"), ops.I2S_DEINIT: watched(ops.I2S_DEINIT, "stop")}
        )
        world.chip.pins.watch(
            lambda pin, level, t: dark.append("off") if pin == LIGHT and not level and running else None
        )
        await world.tap()
        await asyncio.sleep(0.4)
        world.press()
        await asyncio.sleep(0.35)
        assert world.listener is not None and world.listener.client is not None
        await world.listener.client.request("identify")  # blinks the same light
        await asyncio.sleep(2)
        assert running
        world.release()
        await world.complete(1)
        await asyncio.sleep(2)
        assert not running
        assert dark == []
        assert world.chip.pins.level(LIGHT) == 0
        assert len(world.chip.i2s.sessions) == 2

    run_world(folder, test)


def test_a_microphone_that_fails_leaves_no_light_and_no_lock(folder: Path) -> None:
    async def test(world: World) -> None:
        init = world.chip.bus._handlers[ops.I2S_INIT]

        def fail(a: int, b: int, c: int, d: int, data: Any) -> None:
            raise OSError(12, "ENOMEM")

        world.chip.bus.register({ops.I2S_INIT: fail})
        await world.talk(0.5)
        await asyncio.sleep(0.5)
        assert world.chip.pins.level(LIGHT) == 0
        assert not world.glasses.power.holds("voice")
        assert world.glasses.voice.refused > 0
        world.chip.bus.register({ops.I2S_INIT: init})
        await world.talk(0.5)
        (recording,) = await world.complete(1)
        assert recording.crc_ok

    run_world(folder, test)


def lose_completions(world: World, count: int) -> None:
    """The next `count` I2S interrupts find the scheduler's queue full."""
    deliver = world.chip.bus.interrupt
    left = [count]

    def interrupt(e0: int, *rest: Any) -> bool:
        if e0 == ops.SRC_I2S and left[0]:
            left[0] -= 1
            return False
        return deliver(e0, *rest)

    world.chip.bus.interrupt = interrupt  # type: ignore[method-assign]


def test_a_lost_completion_costs_nothing(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(3))
        world.press()
        await asyncio.sleep(0.5)
        lose_completions(world, 1)
        await asyncio.sleep(0.5)
        world.release()
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert world.glasses.voice.counters()["mic.stalls"] == 0
        samples = recording.next_index * FRAME
        assert np.array_equal(recording.pcm(), reference(world.heard()[:samples]))

    run_world(folder, test)


def test_a_stall_is_restarted_and_counted_as_lost(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(3))
        world.press()
        await asyncio.sleep(0.5)
        lose_completions(world, 2)
        await asyncio.sleep(1)
        world.release()
        (recording,) = await world.complete(1)
        assert world.glasses.voice.counters()["mic.stalls"] == 1
        ((first, missing),) = recording.gaps
        assert 10 * FRAME <= missing <= 14 * FRAME
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert recording.end["missed_ms"] == missing // 16
        # Time stays true: what was said after the stall is where it was said.
        assert 1.5 <= recording.seconds <= 1.541
        before, after = list(world.chip.i2s.sessions)[-2:]
        assert abs(first + missing - (after.first_sample - before.first_sample)) <= 16

    run_world(folder, test)


def test_a_microphone_that_dies_ends_the_recording(folder: Path) -> None:
    async def test(world: World) -> None:
        world.press()
        await asyncio.sleep(0.5)
        init = world.chip.bus._handlers[ops.I2S_INIT]

        def fail(a: int, b: int, c: int, d: int, data: Any) -> None:
            raise OSError(12, "ENOMEM")

        world.chip.bus.register({ops.I2S_INIT: fail})
        lose_completions(world, 2)
        (recording,) = await world.complete(1)
        assert recording.crc_ok
        assert world.chip.pins.level(LIGHT) == 0
        assert not world.glasses.power.holds("voice")
        world.chip.bus.register({ops.I2S_INIT: init})
        world.release()
        await asyncio.sleep(0.5)
        await world.talk(0.5)
        assert (await world.complete(2))[1].lost == 0

    run_world(folder, test)


def test_a_failure_in_the_middle_does_not_end_the_recording(folder: Path) -> None:
    async def test(world: World) -> None:
        world.press()
        await asyncio.sleep(0.5)
        voice = world.glasses.voice

        def fail() -> None:
            del voice.step
            raise KeyError("bug")

        voice.step = fail
        await asyncio.sleep(1.5)
        world.release()
        (recording,) = await world.complete(1)
        assert recording.crc_ok
        assert recording.seconds > 1
        assert world.chip.pins.level(LIGHT) == 0
        assert not world.glasses.power.holds("voice")

    run_world(folder, test)


def test_an_overrun_of_the_driver_is_counted(folder: Path) -> None:
    """The driver drops silently; the firmware finds out by the clock."""

    async def test(world: World) -> None:
        world.press()
        await asyncio.sleep(0.5)
        microphone = world.glasses.parts.microphone
        microphone.ready, microphone.silent_ms = (lambda: False), (lambda: 0)
        await asyncio.sleep(1)  # something else has the processor
        del microphone.ready, microphone.silent_ms
        await asyncio.sleep(2)
        world.release()
        (recording,) = await world.complete(1)
        session = world.chip.i2s.sessions[-1]
        assert session.dropped > 0
        missed = session.dropped / 256
        assert abs(world.glasses.voice.counters()["mic.overruns"] - missed) <= 1
        assert abs(recording.end["overruns"] - missed) <= 1
        assert world.glasses.voice.counters()["mic.stalls"] == 0

    run_world(folder, test)


def test_jitter_is_not_taken_for_an_overrun(folder: Path) -> None:
    async def test(world: World) -> None:
        world.press()
        for i in range(60):
            await asyncio.sleep(0.05)
            world.env.clock.sleep_us((3_000, 21_000, 0, 45_000)[i % 4])
        world.release()
        (recording,) = await world.complete(1)
        assert world.chip.i2s.sessions[-1].dropped == 0
        assert world.glasses.voice.counters()["mic.overruns"] == 0
        assert (recording.lost, recording.crc_ok) == (0, True)

    run_world(folder, test)


def test_a_full_journal_loses_and_says_so(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(3))
        await world.talk(1.0)  # 50 frames into 23 slots, nobody listens
        await asyncio.sleep(0.5)
        assert world.glasses.journal.lost_frames == 50 - world.glasses.journal.slots
        world.listen()
        (recording,) = await world.complete(1)
        assert recording.crc_ok
        assert recording.lost == recording.end["lost"] == 50 - 23
        assert recording.seconds == 1.0
        assert np.array_equal(recording.pcm()[: 23 * FRAME], reference(world.heard()[: 23 * FRAME]))
        assert not recording.pcm()[23 * FRAME :].any(), "what was lost is silence"

    run_world(folder, test, listen=False, board=virtual_board(JOURNAL_KB=4))


def test_the_oldest_recording_makes_room(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(5))
        for _ in range(3):
            await world.talk(0.4)
            await asyncio.sleep(0.4)
        assert world.glasses.journal.counters()["journal.evicted_recordings"] == 2
        assert world.glasses.journal.lost_frames == 0
        world.listen()
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert recording.meta["take"] == 3

    run_world(folder, test, listen=False, board=virtual_board(JOURNAL_KB=5))


def test_glasses_without_a_microphone_or_light_work(folder: Path) -> None:
    parts = dict(virtual_board().PARTS)
    del parts["mic"], parts["light"]

    async def test(world: World) -> None:
        await world.talk(0.5)
        world.glasses.note("here")
        (recording,) = await world.complete(1)
        assert recording.kind == "event"
        assert recording.payload() == b'"here"'
        assert world.glasses.status()["parts"] == {
            "light": False,
            "mic": False,
            "battery": True,
            "usb": True,
            "worn": True,
            "cue": True,
            "talk": True,
        }

    run_world(folder, test, board=virtual_board(PARTS=parts))


def test_states_add_up_to_the_time_that_passed(folder: Path) -> None:
    async def test(world: World) -> None:
        await world.talk(1.0)
        await world.complete(1)
        states = world.glasses.power.seconds()
        assert states["active"] == pytest.approx(1.0, abs=0.03)
        now = asyncio.get_running_loop().time()
        assert sum(states.values()) == pytest.approx(now, abs=0.01)

    run_world(folder, test)


def test_a_pause_that_the_driver_covers_costs_nothing(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(3))
        world.press()
        await asyncio.sleep(0.5)
        for _ in range(3):
            world.env.clock.sleep_us(190_000)  # garbage collection, or a hook that takes its time
            await asyncio.sleep(0.3)
        world.release()
        (recording,) = await world.complete(1)
        counters = world.glasses.voice.counters()
        assert (counters["mic.stalls"], counters["mic.overruns"], recording.lost) == (0, 0, 0)
        samples = recording.next_index * FRAME
        assert np.array_equal(recording.pcm(), reference(world.heard()[:samples]))

    run_world(folder, test)
