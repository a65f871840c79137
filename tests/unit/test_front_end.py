"""The chain of stages: what each setting loads, that it is the stages one after the other, and that frames
keep their order and length."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest

from lunette import paths
from lunette.virtual.cpython import micropython_modules
from lunette.virtual.kernels import fast_kernels

FRAME = 320


class Microphone:
    """Gives frames of an array, as `parts.microphone.Microphone` does."""

    positions = ((-70, 0, 0), (70, 0, 0))
    mouth = (0, 20, -75)

    def __init__(self, *channels: Any, gaps: dict[int, int] | None = None):
        self._channels = channels
        self.channels = len(channels)
        self._gaps = gaps or {}
        self._taken = 0
        self.gap = 0
        self.given: list[int] = []

    def prepare(self) -> None:
        pass

    def take(self) -> int:
        self.gap = self._gaps.get(self._taken, 0)
        self._taken += 1
        return (self._taken - 1) & 1

    def read(self, index: int, channel: int, pcm: bytearray) -> None:
        frame = self._channels[channel][(self._taken - 1) * FRAME :][:FRAME]
        pcm[:] = frame.astype("<i2").tobytes()

    def give(self, index: int) -> None:
        self.given.append(index)


def signal(frames: int, seed: int = 0) -> Any:
    """Something voice-like that comes and goes, over a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames * FRAME) / 16000
    voice = sum(np.sin(2 * np.pi * 140 * k * t + k) / k for k in range(1, 25))
    wave = 2500 * voice * np.clip(np.sin(2 * np.pi * 0.8 * t), 0, None) + rng.normal(300, 30, len(t))
    return np.clip(wave, -32768, 32767).astype(np.int16)


def run_through(front: Any, frames: int) -> tuple[Any, list[bool], list[int]]:
    pcm, voices, levels = [], [], []
    for _ in range(frames):
        front.take()
        pcm.append(np.frombuffer(bytes(front.pcm), "<i2"))
        voices.append(front.voice)
        levels.append(front.level)
    return np.concatenate(pcm), voices, levels


@pytest.mark.parametrize("cleaning", ["off", "light", "full"])
def test_a_stage_is_loaded_when_it_is_wanted(cleaning: str) -> None:
    with micropython_modules(paths.HAL, paths.FIRMWARE):
        module = importlib.import_module("glasses.front_end")
        module.FrontEnd(Microphone(signal(1)), cleaning)
        loaded = {name.rpartition(".")[2] for name in sys.modules if name.startswith("glasses.dsp.")}
    light = {"highpass", "activity", "gain"}
    assert loaded & light == (light if cleaning != "off" else set())
    assert ("suppress" in loaded) == (cleaning == "full")
    assert "beam" not in loaded


@pytest.fixture(scope="module")
def front_end() -> Any:
    with micropython_modules(paths.HAL, paths.FIRMWARE):
        fast_kernels()
        yield importlib.import_module("glasses.front_end")


def test_off_is_what_the_microphone_gives(front_end: Any) -> None:
    said = signal(20)
    microphone = Microphone(said, gaps={7: 512})
    front = front_end.FrontEnd(microphone)
    got, voices, levels = run_through(front, 20)
    assert np.array_equal(got, said)
    assert not any(voices) and not front.hears_voice and front.delay == 0
    assert levels == [int(np.abs(f.astype(int)).max()) for f in said.reshape(-1, FRAME)]
    assert microphone.given == [0, 1] * 10


def test_gaps_are_passed_on(front_end: Any) -> None:
    front = front_end.FrontEnd(Microphone(signal(5), gaps={0: 100, 3: 512}))
    gaps = []
    for _ in range(5):
        front.take()
        gaps.append(front.gap)
    assert gaps == [100, 0, 0, 512, 0]


@pytest.mark.parametrize("cleaning", ["light", "full"])
def test_it_is_the_stages_in_their_order(front_end: Any, cleaning: str) -> None:
    said = signal(60)
    front = front_end.FrontEnd(Microphone(said), cleaning)
    got, voices, levels = run_through(front, 60)

    from glasses.dsp.activity import Activity
    from glasses.dsp.gain import Agc
    from glasses.dsp.highpass import HighPass
    from glasses.dsp.suppress import Suppressor

    high_pass, activity, suppressor, gain = HighPass(), Activity(), Suppressor(), Agc()
    expected = []
    for number, frame in enumerate(said.reshape(-1, FRAME)):
        pcm = bytearray(frame.astype("<i2").tobytes())
        high_pass.run(pcm)
        activity.run(pcm)
        assert voices[number] == bool(activity.voice)
        if cleaning == "full":
            suppressor.run(pcm)
        gain.run(pcm, activity.voice)
        assert levels[number] == gain.peak
        expected.append(np.frombuffer(bytes(pcm), "<i2"))
    assert np.array_equal(got, np.concatenate(expected))
    assert any(voices) and not all(voices) and front.hears_voice
    assert abs(got.astype(float).mean()) < 5 < abs(said.astype(float).mean()), "DC goes"


@pytest.mark.parametrize("cleaning", ["light", "full"])
def test_the_delay_is_what_it_says(front_end: Any, cleaning: str) -> None:
    said = signal(100)
    front = front_end.FrontEnd(Microphone(said), cleaning)
    got, _, _ = run_through(front, 100)
    a = said.astype(float)[FRAME * 20 :] - said.mean()
    b = got.astype(float)[FRAME * 20 :]
    lags = range(200)
    best = max(lags, key=lambda lag: float(np.dot(a[: len(a) - lag], b[lag:])))
    assert abs(best - front.delay) <= 2  # the high-pass turns phases a little


def test_reset_forgets_what_was_heard(front_end: Any) -> None:
    """But for the gain, which knows the speaker by now."""
    silence = np.zeros(FRAME * 10, np.int16)
    for cleaning in ("light", "full"):
        front = front_end.FrontEnd(Microphone(np.concatenate([signal(30, seed=1), silence])), cleaning)
        run_through(front, 30)
        front.reset()
        assert (front.level, front.voice, front.gap) == (0, False, 0)
        again, voices, _ = run_through(front, 10)
        assert not again.any() and not any(voices)


def test_voice_is_told_without_cleaning_when_somebody_wants_to_know(front_end: Any) -> None:
    said = signal(60)
    front = front_end.FrontEnd(Microphone(said))
    front.watch_voice()
    got, voices, _ = run_through(front, 60)
    assert np.array_equal(got, said), "and the samples stay as they are"
    _, cleaned, _ = run_through(front_end.FrontEnd(Microphone(said), "light"), 60)
    assert voices == cleaned and any(voices)
    front.reset()
    assert not front.hears_voice


def test_two_microphones_are_heard_as_one(front_end: Any) -> None:
    rng = np.random.default_rng(4)
    said = signal(60)
    noise = rng.normal(0, 600, (2, len(said)))
    left, right = (np.clip(said + n, -32768, 32767).astype(np.int16) for n in noise)
    microphone = Microphone(left, right)
    front = front_end.FrontEnd(microphone)
    got, _, _ = run_through(front, 60)
    aligned = said[: len(said) - front.delay].astype(float)

    def error(heard: Any) -> float:
        return float(np.mean((heard - aligned)[FRAME * 5 :] ** 2))

    assert error(got[front.delay :]) < 0.75 * error(left[: len(aligned)])
    assert microphone.given == [0, 1] * 30
    assert (front.using, front.counters()) == ("both", {"mic.switches": 0})


def test_a_dead_microphone_is_told(front_end: Any) -> None:
    said = signal(60)
    front = front_end.FrontEnd(Microphone(said, np.zeros_like(said)))
    got, _, _ = run_through(front, 60)
    assert (front.using, front.counters()) == ("left", {"mic.switches": 1})
    late = front.delay
    assert np.corrcoef(got[FRAME * 30 + late :], said[FRAME * 30 : len(said) - late])[0, 1] > 0.99
    assert front_end.FrontEnd(Microphone(said)).using is None
