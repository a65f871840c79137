"""The I2S microphones on the chip model: one or two of them, gain, and what is too loud."""

from __future__ import annotations

import asyncio
import wave
from typing import Any

import microphone_rig
import numpy as np
import pytest
from microphone_rig import with_chip

from lunette import boards, paths
from lunette.virtual.chip.chip import Chip

POSITIONS = ((-68, -10, 0), (68, -10, 0))


def made(**changes: Any) -> Any:
    """A microphone by the board's data."""
    return microphone_rig.made({"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6} | changes)


async def heard(microphone: Any, frames: int = 10) -> list[np.ndarray[Any, Any]]:
    """What one capture of so many frames gives, an array for each channel."""
    return await microphone_rig.heard(microphone, frames)


def clip(n: int = 32000) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.random.default_rng(1).integers(-32768, 32768, n).astype(np.int16)


def test_without_gain_every_sample_as_it_was() -> None:
    async def test(chip: Chip) -> None:
        said = clip()
        chip.sound.say(said)
        microphone = made()
        (samples,) = await heard(microphone)
        assert np.array_equal(samples, said[: len(samples)])
        assert (microphone.channels, microphone.saturated) == (1, 0)
        assert chip.i2s.sessions[-1].bits == 32

    with_chip(test)


@pytest.mark.parametrize(
    ("board", "setting", "total"),
    [(6, 0, 6), (0, 12, 12), (12, 6, 18), (24, 24, 30), (6, -12, 0), (0, 11, 6)],
)
def test_the_gains_of_board_and_setting_add_up(board: int, setting: int, total: int) -> None:
    async def test(chip: Chip) -> None:
        said = clip()
        chip.sound.say(said)
        microphone = made(gain_db=board)
        microphone.gain_db = setting
        (samples,) = await heard(microphone)
        wide = said[: len(samples)].astype(int) << total // 6
        assert np.array_equal(samples, np.clip(wide, -32768, 32767))
        assert microphone.saturated == np.count_nonzero(samples != wide)
        assert (microphone.saturated > 0) is (total > 0)

    with_chip(test)


def test_what_is_too_loud_is_counted_by_capture_and_in_all() -> None:
    async def test(chip: Chip) -> None:
        microphone = made()
        microphone.gain_db = 6
        chip.sound.say(np.full(3200, 20000, np.int16))
        await heard(microphone, 10)
        assert microphone.saturated == microphone.counters()["mic.saturated"] == 3200
        microphone.gain_db = 0  # counts from the next start on
        chip.sound.say(np.full(3200, 20000, np.int16))
        await heard(microphone, 10)
        assert microphone.saturated == 0
        assert microphone.counters()["mic.saturated"] == 3200

    with_chip(test)


@pytest.mark.parametrize("side", ["left", "right"])
def test_two_channels_are_told_apart(side: str) -> None:
    async def test(chip: Chip) -> None:
        said = clip()
        chip.sound.say(said)
        chip.i2s.channel = side
        microphone = made(channels=2, positions=POSITIONS, mouth=(0, 25, -80), gain_db=6)
        left, right = await heard(microphone)
        loud, other = (left, right) if side == "left" else (right, left)
        wide = said[: len(loud)].astype(int) << 1
        assert np.array_equal(loud, np.clip(wide, -32768, 32767))
        assert not other.any()
        assert microphone.saturated == np.count_nonzero(loud != wide)
        assert (microphone.channels, microphone.positions) == (2, POSITIONS)
        assert microphone.mouth == (0, 25, -80)

    with_chip(test)


def test_where_microphones_and_mouth_are() -> None:
    async def test(chip: Chip) -> None:
        from glasses.board import BoardError

        assert made().positions is None
        assert made().mouth == (0, 20, -75)
        assert made(positions=((1, 2, 3),)).positions == ((1, 2, 3),)
        with pytest.raises(BoardError, match="mic lacks positions"):
            made(channels=2)

    with_chip(test)


def test_the_breadboard_has_two() -> None:
    async def test(chip: Chip) -> None:
        mic = boards.load("esp32s3_devkit").parts["mic"]
        assert mic["channels"] == len(mic["positions"]) == 2
        assert made(**mic).channels == 2

    with_chip(test)


# --- two microphones as one, where the breadboard's are and as the simulated world has them


def clip_of_speech() -> np.ndarray[Any, np.dtype[np.int16]]:
    """Two seconds."""
    with wave.open(str(paths.DATA / "speech.wav")) as file:
        return np.frombuffer(file.readframes(32000), "<i2").astype(np.int16)


async def recorded(mic: dict[str, Any], frames: int) -> tuple[np.ndarray[Any, Any], Any]:
    """What the front end makes of so many frames, and the front end."""
    from glasses.front_end import FrontEnd

    microphone = made(**mic)
    microphone.start()
    front = FrontEnd(microphone)
    front.reset()
    taken: list[bytes] = []
    for _ in range(100 * frames):
        if microphone.ready():
            front.take()
            taken.append(bytes(front.pcm))
        if len(taken) == frames:
            break
        await asyncio.sleep(0.003)
    microphone.stop()
    return np.frombuffer(b"".join(taken), "<i2").astype(float), front


def power_db(pcm: np.ndarray[Any, Any]) -> float:
    """From 200 Hz to 6.5 kHz, 3 dB an octave up."""
    spectrum, hz = np.abs(np.fft.rfft(pcm)) ** 2, np.fft.rfftfreq(len(pcm), 1 / 16000)
    band = (hz > 200) & (hz < 6500)
    return float(10 * np.log10((spectrum[band] * hz[band]).sum()))


def test_the_voice_is_kept() -> None:
    mic = boards.load("esp32s3_devkit").parts["mic"]

    async def test(chip: Chip) -> None:
        said = clip_of_speech()
        chip.sound.say(said)
        out, front = await recorded(mic, 90)
        voice = said[: len(out) - front.delay].astype(float)
        assert power_db(out[front.delay :] - voice) < power_db(voice) - 25

    with_chip(test, {"mic": mic})


@pytest.mark.parametrize("place", [(0, 1000, 0), (1000, 0, 50), (-300, -900, 0), (-1000, 100, 0)])
def test_talkers_around_are_suppressed(place: tuple[int, int, int]) -> None:
    mic = boards.load("esp32s3_devkit").parts["mic"]

    async def test(chip: Chip) -> None:
        chip.sound.say(clip_of_speech(), gain_db=20, place=place)
        start = chip.sound.index(asyncio.get_running_loop().time())
        out, front = await recorded(mic, 90)
        heard = chip.sound.render(start, len(out), 0).astype(float)
        assert power_db(heard) - power_db(out) > 11
        assert front.delay > 0

    with_chip(test, {"mic": mic})


@pytest.mark.parametrize(("broken", "good"), [("left", 1), ("right", 0)])
def test_a_broken_microphone_is_left_out(broken: str, good: int) -> None:
    mic = boards.load("esp32s3_devkit").parts["mic"]

    async def test(chip: Chip) -> None:
        said = clip_of_speech()
        chip.sound.say(said)
        (line,) = chip.i2s.lines
        line.capsule(broken).break_("dead")
        start = chip.sound.index(asyncio.get_running_loop().time())
        out, _ = await recorded(mic, 90)
        heard = chip.sound.render(start, len(out), good).astype(float)
        # As loud as at the mouth's microphone, whichever it is that is left.
        loud = power_db(heard[16000:]) if good == 0 else power_db(said[16000 : len(out)].astype(float))
        assert power_db(out[16000:]) == pytest.approx(loud, abs=1)

    with_chip(test, {"mic": mic})
