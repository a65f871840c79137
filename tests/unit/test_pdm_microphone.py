"""The PDM microphone on the chip model: what is said comes out, by the board's pins, with gain and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import microphone_rig
import numpy as np
import pytest
from scipy import signal

from lunette import boards
from lunette.virtual.chip.chip import Chip

Sound = np.ndarray[Any, np.dtype[np.float64]]
MIC = {"driver": "pdm_microphone", "port": 0, "clock": 42, "data": 41, "ws": 3}
DELAY = 8  # samples, see `Pdm`


def with_chip(test: Callable[[Chip], Coroutine[Any, Any, None]], parts: dict[str, Any] | None = None) -> None:
    microphone_rig.with_chip(test, parts or {"mic": MIC})


def made(**changes: Any) -> Any:
    """A microphone by the board's data."""
    return microphone_rig.made(MIC | changes)


async def heard(microphone: Any, frames: int = 15) -> Sound:
    """What one capture of so many frames gives."""
    (samples,) = await microphone_rig.heard(microphone, frames)
    return samples.astype(np.float64)


def sine(hz: float, dbfs: float, seconds: float = 2.0) -> np.ndarray[Any, np.dtype[np.int16]]:
    t = np.arange(int(16000 * seconds)) / 16000
    return np.rint(10 ** (dbfs / 20) * 32767 * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def of_tone(found: Sound, hz: float) -> tuple[float, float]:
    """(dB of full scale, dB to all else)"""
    t = 2 * np.pi * hz / 16000 * np.arange(len(found))
    basis = np.stack([np.sin(t), np.cos(t), np.ones_like(t)], axis=1)
    parts, *_ = np.linalg.lstsq(basis, found, rcond=None)
    level = float(np.hypot(*parts[:2]))
    rest = float(np.mean((found - basis @ parts) ** 2))
    return 20 * np.log10(level / 32768), 10 * np.log10(level**2 / 2 / rest)


@pytest.mark.parametrize(("hz", "dbfs"), [(1000, -6), (200, -20), (6000, -12)])
def test_what_is_said_is_heard(hz: float, dbfs: float) -> None:
    async def test(chip: Chip) -> None:
        chip.sound.say(sine(hz, dbfs))
        microphone = made()
        level, ratio = of_tone((await heard(microphone))[640:], hz)
        assert level == pytest.approx(dbfs, abs=0.6)
        assert ratio > 70 + dbfs + 6
        assert (microphone.channels, microphone.rate, microphone.saturated) == (1, 16000, 0)
        session = chip.i2s.sessions[-1]
        assert (session.bits, session.rate) == (32, 16000)
        assert len(microphone.buffers[0]) == 2560

    with_chip(test)


def test_every_sample_is_at_its_time() -> None:
    """Speech-like noise comes back as it was, shifted by the filters' delay, across all frames."""

    async def test(chip: Chip) -> None:
        rng = np.random.default_rng(1)
        said = signal.lfilter(*signal.butter(4, [200, 3400], "band", fs=16000), rng.normal(0, 9000, 32000))
        chip.sound.say(said.round().astype(np.int16))
        found = await heard(made())
        begin = chip.i2s.sessions[-1].first_sample
        same = said[begin - DELAY + 640 :][:3000]
        errors = [np.mean((found[640 + shift :][:3000] - same) ** 2) for shift in (-1, 0, 1)]
        # The lift hurries low frequencies by a seventh of a sample.
        assert 10 * np.log10(np.mean(same**2) / errors[1]) > 20
        assert min(errors[0], errors[2]) > 10 * errors[1]

    with_chip(test)


@pytest.mark.parametrize(
    ("board", "setting", "total"),
    [(0, 0, 0), (6, 0, 6), (0, 12, 12), (12, 6, 18), (24, 24, 30), (6, -12, 0), (0, 11, 6)],
)
def test_the_gains_of_board_and_setting_add_up(board: int, setting: int, total: int) -> None:
    async def test(chip: Chip) -> None:
        chip.sound.say(sine(1000, -40))
        microphone = made(gain_db=board)
        microphone.gain_db = setting
        level, _ = of_tone((await heard(microphone))[640:], 1000)
        assert level == pytest.approx(-40 + total // 6 * 6.02, abs=0.3)
        assert microphone.saturated == 0

    with_chip(test)


def test_what_is_too_loud_is_counted_by_capture_and_in_all() -> None:
    async def test(chip: Chip) -> None:
        microphone = made()
        microphone.gain_db = 12
        chip.sound.say(sine(500, -6))
        found = await heard(microphone)
        beyond = np.count_nonzero(np.abs(found) >= 32767)
        assert found.max() == 32767 and found.min() == -32768
        assert 0.5 * len(found) < microphone.saturated <= beyond
        assert microphone.counters()["mic.saturated"] == microphone.saturated
        before = microphone.saturated
        microphone.gain_db = 0  # counts from the next start on
        chip.sound.say(sine(500, -6))
        await heard(microphone)
        assert microphone.saturated == 0
        assert microphone.counters()["mic.saturated"] == before

    with_chip(test)


def test_a_capture_begins_as_if_it_had_been_silent() -> None:
    """And not with what the one before ended with."""

    async def test(chip: Chip) -> None:
        fresh = await heard(made())
        assert np.abs(fresh).max() < 300  # its modulator begins in another phase than silence had
        microphone = made()
        chip.sound.say(np.full(32000, 26000, np.int16))
        assert (await heard(microphone))[640:].min() > 25000
        chip.sound.quiet()
        assert np.array_equal(await heard(microphone), fresh)

    with_chip(test)


def test_the_kernels_are_loaded_by_prepare_and_their_tables_made_once() -> None:
    async def test(chip: Chip) -> None:
        import sys

        microphone = made()
        microphone.start()
        assert "glasses.dsp.pdm" not in sys.modules
        microphone.prepare()
        made_once = microphone._pdm
        microphone.prepare()
        assert microphone._pdm is made_once
        microphone.stop()

    with_chip(test)


@pytest.mark.parametrize(("fault", "all_of"), [("dead", -32768), ("stuck", 32767)])
def test_a_broken_one_is_full_scale(fault: str, all_of: int) -> None:
    """Nothing but zeros or ones: what the doctor tells, and the high-pass takes away."""

    async def test(chip: Chip) -> None:
        chip.i2s.microphone().break_(fault)
        found = await heard(made(gain_db=6))
        assert (found[640:] == all_of).all()

    with_chip(test)


def test_what_an_overrun_loses_is_a_gap() -> None:
    """The driver's ring is in frames of 8 bytes: 256 of them are a descriptor here, too."""

    async def test(chip: Chip) -> None:
        chip.sound.say(sine(300, -10, 4.0))
        microphone = made(ibuf=8192)
        await heard(microphone, 3)
        microphone.start()
        await asyncio.sleep(1.0)
        pcm = bytearray(640)
        lost = 0
        for _ in range(20):
            while not microphone.ready():
                await asyncio.sleep(0.003)
            index = microphone.take()
            lost += microphone.gap
            microphone.read(index, 0, pcm)
            microphone.give(index)
        microphone.stop()
        assert lost > 12000 and lost % 256 == 0
        assert microphone.overruns == lost // 256

    with_chip(test)


@pytest.mark.parametrize("key", ["port", "clock", "data", "ws"])
def test_what_the_data_lack_is_named(key: str) -> None:
    async def test(chip: Chip) -> None:
        from glasses.board import BoardError, Parts

        with pytest.raises(BoardError, match=f"part mic lacks {key}"):
            Parts(SimpleNamespace(PARTS={"mic": {k: v for k, v in MIC.items() if k != key}})).make_first()

    with_chip(test)


def test_the_xiao_has_one() -> None:
    parts = boards.load("xiao_esp32s3_sense").parts

    async def test(chip: Chip) -> None:
        chip.sound.say(sine(1000, -20))
        assert of_tone((await heard(made(**parts["mic"])))[640:], 1000)[0] == pytest.approx(-20, abs=0.3)

    with_chip(test, parts)
