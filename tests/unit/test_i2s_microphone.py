"""The I2S microphones on the chip model: one or two of them, gain, and what is too loud."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lunette import boards, paths
from lunette.virtual.chip.chip import Chip
from lunette.virtual.cpython import micropython_modules, run

POSITIONS = ((-68, -10, 0), (68, -10, 0))


def with_chip(test: Callable[[Chip], Coroutine[Any, Any, None]]) -> None:
    with micropython_modules(paths.HAL, paths.FIRMWARE):

        async def main() -> None:
            chip = Chip("esp32s3")
            chip.attach_cpython(importlib.import_module("_port"))
            await test(chip)
            assert not chip.errors

        run(main())


def made(**changes: Any) -> Any:
    """A microphone by the board's data."""
    from glasses.board import Parts

    data = {"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6} | changes
    parts = Parts(SimpleNamespace(PARTS={"mic": data}))
    parts.make_first()
    assert not parts.problems
    return parts.microphone


async def heard(microphone: Any, frames: int = 10) -> list[np.ndarray[Any, Any]]:
    """What one capture of so many frames gives, an array for each channel."""
    microphone.prepare()
    channels: list[list[bytes]] = [[] for _ in range(microphone.channels)]
    pcm = bytearray(640)
    microphone.start()
    for _ in range(frames):
        for _ in range(100):
            if microphone.ready():
                break
            await asyncio.sleep(0.003)
        index = microphone.take()
        for channel, got in enumerate(channels):
            microphone.read(index, channel, pcm)
            got.append(bytes(pcm))
        microphone.give(index)
    microphone.stop()
    return [np.frombuffer(b"".join(got), "<i2") for got in channels]


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
