from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from lunette import acoustics
from lunette.acoustics import Geometry
from lunette.virtual.chip.noises import NOISES
from lunette.virtual.chip.sound import Sound

SIDES = Geometry(((-70.0, 0.0, 0.0), (70.0, 0.0, 0.0)))
FRONT_BACK = Geometry(((-70.0, 0.0, 0.0), (-70.0, -60.0, 0.0)))


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
    st.integers(0, 1),
)
def test_rendering_in_pieces_is_rendering_at_once(pieces: list[int], start: int, kind: str, ear: int) -> None:
    sound = Sound(16000, 0.0, SIDES)
    sound.say(clip(2, 900), at=0.01)
    sound.say(clip(3, 900), at=0.012, place=(900.0, 500.0, 0.0))
    sound.noise(kind, -30, at=0.005, duration=0.1)
    whole = sound.render(start, sum(pieces), ear)
    parts, at = [], start
    for n in pieces:
        parts.append(sound.render(at, n, ear))
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


@pytest.mark.parametrize("kind", NOISES)
def test_noise_has_its_level_and_is_the_same_again(kind: str) -> None:
    def heard() -> np.ndarray:
        sound = Sound(t0=0.0)
        sound.noise(kind, -30, at=0.0)
        return sound.render(0, 16 * 32768)

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


# --- places -------------------------------------------------------------------------------------------------


def tone_at(sound: Sound, hz: float, ear: int) -> complex:
    """Amplitude and phase, of 0.2 s that begin after 0.1 s."""
    heard = sound.render24(1600, 3200, ear) / 2.0**23
    return complex(np.mean(heard * np.exp(-2j * np.pi * hz * (1600 + np.arange(3200)) / 16000)) * 2)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([SIDES, FRONT_BACK]),
    st.integers(-180, 180),
    st.floats(0.3, 5.0),
    st.sampled_from([100.0, 1000.0, 4000.0, 7000.0]),
)
def test_a_tone_arrives_late_and_soft_by_its_way(
    geometry: Geometry, azimuth: int, metres: float, hz: float
) -> None:
    place = acoustics.toward(azimuth, metres)
    sound = Sound(16000, 0.0, geometry)
    wave = 20000 * np.sin(2 * np.pi * hz * np.arange(8000) / 16000)
    sound.say(np.rint(wave).astype(np.int16), at=0.0, place=place)
    reference = np.linalg.norm(np.subtract(geometry.mouth, geometry.positions[0]))
    for ear in (0, 1):
        way = np.linalg.norm(np.subtract(place, geometry.positions[ear]))
        late = (way - reference) / 1000 / 343.0
        expected = 20000 / 32768 * reference / way * np.exp(-2j * np.pi * hz * late) / 1j
        assert abs(tone_at(sound, hz, ear) - expected) < 2e-3 * abs(expected) + 2e-6


def test_the_mouth_is_heard_by_the_first_microphone_as_it_is() -> None:
    sound = Sound(16000, 0.0, Geometry(FRONT_BACK.positions, (10.0, 30.0, -80.0)))
    pcm = clip(4)
    sound.say(pcm, at=0.0)
    assert (sound.render(0, len(pcm)) == pcm).all()
    assert (sound.render24(0, len(pcm)) == pcm.astype(np.int32) * 256).all()
    assert (sound.render(0, len(pcm), 1) != pcm).any()


def test_two_microphones_that_are_as_far_from_the_mouth_hear_the_same() -> None:
    sound = Sound(16000, 0.0, SIDES)
    sound.say(clip(5), at=0.0)
    assert (sound.render(0, 4000, 1) == sound.render(0, 4000)).all()


def test_moving_the_microphones_moves_what_was_said() -> None:
    sound = Sound(16000, 0.0, SIDES)
    sound.say(clip(5), at=0.0, place=(1000.0, 0.0, 0.0))
    before = sound.render(0, 4000, 1)
    sound.geometry = FRONT_BACK
    assert (sound.render(0, 4000, 1) != before).any()


@pytest.mark.parametrize("kind", ["white", "babble"])
def test_noise_from_a_place_has_its_level_at_the_first_and_its_delay_at_the_other(kind: str) -> None:
    place = acoustics.toward(90, 0.5)
    sound = Sound(16000, 0.0, SIDES)
    sound.noise(kind, -30, at=0.0, place=place)
    n = 1 << 15
    left, right = (sound.render24(0, n, ear).astype(float) for ear in (0, 1))
    alone = Sound(16000, 0.0)
    alone.noise(kind, -30, at=0.0)
    assert (sound.render(0, n) == alone.render(0, n)).all(), "with one microphone a place changes nothing"
    # The right one is nearer, by all of the 140 mm: so much earlier, and louder.
    up = 16
    found = signal.correlate(signal.resample(right, n * up), signal.resample(left, n * up), method="fft")
    late = (np.argmax(found) - (n * up - 1)) / up / 16000
    assert late == pytest.approx(-0.140 / 343.0, abs=0.6 / up / 16000)
    louder = np.sqrt(np.mean(right**2) / np.mean(left**2))
    assert louder == pytest.approx(570 / 430, rel=0.02)


@pytest.mark.parametrize("kind", ["white", "street", "babble"])
def test_noise_from_all_around_is_a_diffuse_field(kind: str) -> None:
    """As loud at both, alike where the wavelength is long: the coherence of two points, sin(x) / x."""
    sound = Sound(16000, 0.0, SIDES)
    sound.noise(kind, -20, at=0.0)
    n = 30 * 16000
    left, right = (sound.render24(0, n, ear).astype(float) for ear in (0, 1))
    assert 20 * np.log10(right.std() / left.std()) == pytest.approx(0, abs=0.7)
    hz, power = signal.coherence(left, right, 16000, nperseg=1024)
    expected = np.sinc(2 * hz * 0.140 / 343.0) ** 2
    if kind == "white":
        assert np.abs(power - expected)[2:].max() < 0.12
    for low, high in ((150, 300), (600, 900), (1100, 1400), (3000, 5000)):
        band = (hz >= low) & (hz < high)
        assert power[band].mean() == pytest.approx(expected[band].mean(), abs=0.12), (low, high)


def test_babble_is_of_several_and_a_street_has_a_course() -> None:
    def levels(kind: str) -> np.ndarray:
        sound = Sound(t0=0.0)
        sound.noise(kind, -30, at=0.0)
        blocks = sound.render24(0, 30 * 16000).reshape(-1, 1600).astype(float)
        return 10 * np.log10(np.mean(blocks**2, axis=1) / 2.0**46)

    assert levels("white").std() < 0.3 and levels("fan").std() < 0.6
    street, babble = levels("street"), levels("babble")
    assert street.std() > 1.5 and street.max() - np.median(street) > 4, "cars pass"
    assert street.min() > -45
    assert 1 < babble.std() < 5 and babble.min() > -50, "somebody talks at any time"


def test_geometry_of_a_board() -> None:
    assert Geometry.of({}).positions == acoustics.POSITIONS[:1]
    assert Geometry.of({"channels": 2}).positions == acoustics.POSITIONS
    found = Geometry.of({"channels": 2, "positions": ((1, 2, 3), (4, 5, 6)), "mouth": (7, 8, 9)})
    assert found == Geometry(((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)), (7.0, 8.0, 9.0))
    assert (found.delay_s(0), found.gain(0)) == (0.0, 1.0)
    assert acoustics.toward(90, 2) == pytest.approx((2000, 0, 0))
    assert acoustics.toward(-45, 1) == pytest.approx((-707.1, 707.1, 0), abs=0.1)
    for wrong in (
        {"positions": ((1, 2),)},
        {"channels": 2, "positions": ((1, 2, 3),)},
        {"mouth": (1, 2, "3")},
    ):
        with pytest.raises(ValueError):
            Geometry.of(wrong)
