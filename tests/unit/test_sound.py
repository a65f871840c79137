from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.virtual.chip.sound import Sound


def clip(seed: int, n: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, n).astype(np.int16)


def test_one_say_alone_is_heard_bit_for_bit() -> None:
    sound = Sound(16000, t0=5.0)
    pcm = clip(1)
    end = sound.say(pcm, at=5.5)
    assert end == 5.5 + len(pcm) / 16000
    heard = sound.render(8000 - 10, len(pcm) + 20)
    assert (heard[10:-10] == pcm).all()
    assert not heard[:10].any() and not heard[-10:].any()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=20),
    st.integers(-50, 50),
    st.sampled_from(["white", "pink", "hum"]),
)
def test_rendering_in_pieces_is_rendering_at_once(pieces: list[int], start: int, kind: str) -> None:
    sound = Sound(16000, t0=0.0)
    sound.say(clip(2, 900), at=0.01)
    sound.noise(kind, -30, at=0.005, duration=0.1)
    whole = sound.render(start, sum(pieces))
    parts, at = [], start
    for n in pieces:
        parts.append(sound.render(at, n))
        at += n
    assert (np.concatenate(parts) == whole).all()


def test_two_sounds_add_up_and_clip() -> None:
    sound = Sound(t0=0.0)
    sound.say(np.array([30000, -30000, 100], np.int16), at=0.0)
    sound.say(np.array([10000, -10000, 23], np.int16), at=0.0)
    assert sound.render(0, 3).tolist() == [32767, -32768, 123]


def test_gain_is_in_decibels() -> None:
    sound = Sound(t0=0.0)
    sound.say(np.array([1000, -2000], np.int16), at=0.0, gain_db=-20)
    assert sound.render(0, 2).tolist() == [100, -200]


@pytest.mark.parametrize("kind", ["white", "pink", "hum"])
def test_noise_has_its_level_and_is_the_same_again(kind: str) -> None:
    def heard() -> np.ndarray:
        sound = Sound(t0=0.0)
        sound.noise(kind, -30, at=0.0)
        return sound.render(0, 160000)

    first = heard()
    rms = 20 * np.log10(np.sqrt(np.mean((first / 32768.0) ** 2)))
    assert abs(rms + 30) < 0.5
    assert (first == heard()).all()


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    sound = Sound(t0=0.0)
    sound.noise("pink", -20, at=0.0)
    power = np.abs(np.fft.rfft(sound.render(0, 1 << 16).astype(float))) ** 2
    hz = np.fft.rfftfreq(1 << 16, 1 / 16000)
    octaves = [power[(hz >= f) & (hz < 2 * f)].mean() for f in (100, 200, 400, 800, 1600, 3200)]
    steps = 10 * np.diff(np.log10(octaves))
    assert np.allclose(steps, -3.01, atol=1.0)


def test_noise_ends_after_its_duration() -> None:
    sound = Sound(t0=0.0)
    sound.noise("white", -20, at=0.0, duration=0.01)
    assert sound.render(0, 160).any() and not sound.render(160, 1000).any()


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.say(np.zeros(3, np.float32), at=0.0),
        lambda s: s.say(np.zeros((2, 2), np.int16), at=0.0),
        lambda s: s.noise("brown", -20, at=0.0),
        lambda s: s.noise("white", 3, at=0.0),
    ],
)
def test_bad_input_is_refused(call) -> None:
    with pytest.raises(ValueError):
        call(Sound(t0=0.0))


def test_what_was_said_long_ago_is_forgotten() -> None:
    sound = Sound(t0=0.0)
    for i in range(100):
        sound.say(clip(i, 160), at=i * 60.0)
    assert len(sound._sources) < 15
