"""Recordings in other codecs, with gaps, and hands-free: from the microphone to the host's file."""

from __future__ import annotations

import asyncio
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_voice import RATE, speech, wav
from world import LIGHT, World, run_world, virtual_board

from lunette import paths
from lunette.audio_files import read_audio

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

FRAME = 320


def settings(**values: Any) -> None:
    Path("settings.json").write_text(json.dumps(values))


def through(codec: str, pcm: Any) -> Any:
    """What the standard library makes of the samples and back."""
    raw = np.asarray(pcm, "<i2").tobytes()
    if codec == "mulaw":
        raw = audioop.ulaw2lin(audioop.lin2ulaw(raw, 2), 2)
    return np.frombuffer(raw, "<i2")


@pytest.mark.parametrize(("codec", "per_frame"), [("mulaw", 2), ("pcm", 4)])
def test_the_codec_that_is_set(folder: Path, codec: str, per_frame: int) -> None:
    settings(codec=codec)

    async def test(world: World) -> None:
        said = speech(2)
        world.say(said)
        await world.talk(0.731)
        (recording,) = await world.complete(1)
        assert recording.meta["codec"] == codec
        samples = recording.next_index * FRAME // per_frame
        assert 0.731 * RATE <= samples < 0.731 * RATE + FRAME
        assert np.array_equal(wav(recording.path), through(codec, said[:samples]))  # type: ignore[arg-type]
        assert (recording.lost, recording.crc_ok) == (0, True)

    run_world(folder, test, checked=True)


def test_the_next_recording_has_the_codec_that_was_set_meanwhile(folder: Path) -> None:
    async def test(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        for codec in ("dvi4", "pcm", "mulaw", "dvi4"):
            await world.listener.client.request("set", name="codec", value=codec)
            await world.talk(0.4)
        recordings = await world.complete(4)
        assert [r.meta["codec"] for r in recordings] == ["dvi4", "pcm", "mulaw", "dvi4"]
        assert all(0.4 <= r.seconds <= 0.42 for r in recordings)

    run_world(folder, test)


@pytest.mark.parametrize("codec", ["dvi4", "pcm"])
def test_a_stalled_program_leaves_a_gap_and_time_stays_true(folder: Path, codec: str) -> None:
    settings(codec=codec)

    async def test(world: World) -> None:
        world.say(speech(4))
        world.press()
        await asyncio.sleep(0.71)
        world.env.clock.sleep_us(900_000)  # nothing runs, and the microphone goes on
        await asyncio.sleep(1.2)
        world.release()
        (recording,) = await world.complete(1)
        session = world.chip.i2s.sessions[-1]
        ((first, missing),) = recording.gaps
        assert session.overruns == 1 and missing == session.dropped > 0.5 * RATE
        assert recording.end["missed_ms"] == missing // 16
        assert recording.end["overruns"] == missing // 256
        assert 2.81 <= recording.seconds <= 2.831
        heard, got = world.chip.sound.render(session.first_sample, recording.samples), recording.pcm()
        assert len(got) == recording.samples
        assert not got[first : first + missing].any()
        if codec == "pcm":  # to the sample, but for the frame around the gap
            assert np.array_equal(got[:first], heard[:first])
            after = first + missing + FRAME
            assert np.array_equal(got[after:], heard[after:])
        about = json.loads(recording.path.with_suffix(".json").read_text())  # type: ignore[union-attr]
        assert about["gaps"] == [[pytest.approx(first / RATE), pytest.approx(missing / RATE)]]

    run_world(folder, test)


# --- hands-free


def question(before_s: float, after_s: float) -> Any:
    """The packaged speech between silences, over a noise floor that a microphone has."""
    spoken = read_audio(paths.DATA / "speech.wav")[: 2 * RATE]
    rng = np.random.default_rng(5)
    parts = (np.zeros(int(before_s * RATE)), spoken, np.zeros(int(after_s * RATE)))
    whole = np.concatenate(parts)
    return np.clip(whole + 12 * rng.standard_normal(len(whole)), -32768, 32767).astype(np.int16)


def voiced(pcm: Any) -> tuple[float, float]:
    """When it is loud first and last, in seconds."""
    level = np.abs(pcm.astype(np.int32)).reshape(-1, 160).max(axis=1)
    loud = np.flatnonzero(level > 600)
    return loud[0] * 0.01, (loud[-1] + 1) * 0.01


@pytest.mark.parametrize("cleaning", ["off", "light"])
@pytest.mark.parametrize("by", ["host", "app"])
def test_hands_free_is_from_the_first_voice_to_a_silence(folder: Path, by: str, cleaning: str) -> None:
    settings(cleaning=cleaning, silence_ms=700, lead_ms=200)

    async def test(world: World) -> None:
        said = question(1.5, 4)
        first, last = voiced(said)
        world.say(said)
        assert world.listener is not None and world.listener.client is not None
        began = asyncio.get_running_loop().time()
        if by == "host":
            await world.listener.client.record(until_silence=True)
        else:
            world.glasses.voice.record("app", True)
        await world.until(lambda: world.glasses.voice.capturing, "it begins")
        assert world.chip.pins.level(LIGHT) == 1
        (recording,) = await world.complete(1)
        assert world.chip.pins.level(LIGHT) == 0
        lead = world.chip.i2s.sessions[-1].started - began
        trimmed = recording.end["trimmed_ms"] / 1000
        assert first - 0.35 <= lead + trimmed <= first, "the first word is there, and little before it"
        end = lead + trimmed + recording.seconds
        assert last + 0.5 <= end <= last + 1.3
        assert recording.cause == by and recording.crc_ok and recording.lost == 0
        runs = recording.end["voice"]
        assert runs and runs[0][0] <= 220 and all(0 <= a < b <= recording.seconds * 1000 for a, b in runs)
        assert abs(runs[-1][1] / 1000 + lead + trimmed - last) <= 0.5
        if cleaning == "off":
            at = round((lead + trimmed) * RATE)
            assert abs(world.chip.i2s.sessions[-1].started - began - lead) < 1e-9
            heard = world.heard()[round(trimmed * RATE) :][: recording.samples]
            coded, _ = audioop.lin2adpcm(np.asarray(heard, "<i2").tobytes(), 2, None)
            error = recording.pcm().astype(float) - heard
            assert np.mean(error**2) < 0.01 * np.mean(heard.astype(float) ** 2), at
            assert len(coded) * 2 == recording.samples

    run_world(folder, test)


def listening(world: World) -> list[Any]:
    """The values of the event `listening`, as they come."""
    values: list[Any] = []
    world.glasses.bus.now("listening", lambda name, t, value: values.append(value))
    return values


def test_nothing_said_is_no_recording(folder: Path) -> None:
    async def test(world: World) -> None:
        told = listening(world)
        world.say(question(20, 1)[: 15 * RATE])
        world.glasses.voice.record("app", True)
        await world.until(lambda: not world.glasses.voice.capturing, "it gives up")
        assert 7.5 <= world.chip.i2s.sessions[-1].ended - world.chip.i2s.sessions[-1].started <= 8.5  # type: ignore[operator]
        await asyncio.sleep(1)
        assert world.recordings == [] and world.glasses.journal.recordings == []
        assert world.glasses.journal.free == world.glasses.journal.slots
        assert told == [True, False]

    run_world(folder, test)


def test_a_press_takes_over_from_hands_free(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(6))
        world.glasses.voice.record("app", True)
        await asyncio.sleep(1)
        await world.talk(0.6)
        recordings = await world.complete(2)
        assert [r.cause for r in recordings] == ["app", "button"]
        assert 0.5 <= recordings[1].seconds <= 0.621
        assert not world.glasses.voice.capturing

    run_world(folder, test)


def test_a_tap_ends_hands_free_that_waits(folder: Path) -> None:
    async def test(world: World) -> None:
        told = listening(world)
        world.glasses.voice.record("app", True)
        await asyncio.sleep(1)
        await world.tap()
        await asyncio.sleep(1)
        assert not world.glasses.voice.capturing
        assert world.recordings == [] and world.glasses.journal.recordings == []
        assert told == [True, None]

    run_world(folder, test)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    async def test(world: World) -> None:
        from glasses import voice

        refused: list[Any] = []
        world.glasses.bus.now("refused", lambda name, t, value: refused.append(value))
        world.glasses.voice._front = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(voice, "FrontEnd", no_memory)
            await world.talk(0.5)
        assert len(refused) >= 1 and "no memory" in refused[0]
        assert world.chip.pins.level(LIGHT) == 0 and not world.glasses.parts.microphone.capturing
        await asyncio.sleep(0.4)
        await world.talk(0.5)
        assert len(await world.complete(1)) == 1

    def no_memory(*_: Any) -> None:
        raise MemoryError

    run_world(folder, test)


def test_letting_go_of_another_button_does_not_end_it(folder: Path) -> None:
    board = virtual_board()
    board.PARTS = dict(board.PARTS)
    board.PARTS["extra"] = {"driver": "button", "pin": 10, "active": 0, "pull": "up"}

    async def test(world: World) -> None:
        world.glasses.voice.record("app", True)
        await asyncio.sleep(0.5)
        world.chip.pins.press(10)
        await asyncio.sleep(0.1)
        world.chip.pins.release(10)
        await asyncio.sleep(0.5)
        assert world.glasses.voice.capturing

    run_world(folder, test, board=board)
