"""Two microphones as one: the kernels on both machines, the filters, what they are good for, and one that
fails."""

import functools
import importlib
import itertools
import json
import math
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rooms
import sounds
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import DSP_PARENT, FRAME, _own_kernels

from lunette import boards
from lunette.virtual import interpreter
from lunette.virtual.equivalents import beam as model

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

MOUTH = (0, 20, -75)
PLACES = {
    "nose": ((15, 15, -20), (15, 15, 5)),  # one above the other at the rim's inner side
    "corner": ((60, 10, -25), (66, -5, 5)),
    "temple": ((68, -10, 0), (68, -45, 0)),
    "hinges": ((-68, -10, 0), (68, -10, 0)),
}
SAMPLE = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1, 1]))


def int16(values):
    return np.array(values, "<i2").tobytes()


def as_model(name, *args):
    """The model's result and buffers, as `kernels.call` gives them."""
    own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
    result = getattr(model, name)(*own)
    return result, [bytes(arg) for arg in own if isinstance(arg, bytearray)]


# --- The kernels ------------------------------------------------------------------------------------------


def shrunk(taps, most):
    """The same, towards zero until their magnitudes' sum is no more than `most`."""
    much = max(1, sum(map(abs, taps)))
    return [int(math.copysign(abs(tap) * min(most, much) // much, tap)) for tap in taps]


@st.composite
def filters(draw):
    """17 numbers that keep to what `combine` demands of them."""
    taps = st.lists(st.integers(-16384, 16384), min_size=8, max_size=8)
    h = shrunk(draw(taps), 65535)
    w = shrunk(draw(taps), (2**31 - 1) // (32769 + 8 * sum(map(abs, h))))
    return [*h, *w, draw(st.integers(0, 15))]


SIGNALS = st.one_of(
    st.lists(SAMPLE, min_size=64, max_size=64),
    st.tuples(SAMPLE, SAMPLE).map(lambda pair: list(pair) * 32),  # DC, silence, the highest tone
)


@relaxed
@given(SIGNALS, SIGNALS, filters(), st.integers(0, 64), st.integers(0, 64))
def test_combine(kernels, near, far, taps, begin, second):
    """In two pieces, the state carried over: as the sums of products that define it, and as the model."""
    begin, second = min(begin, second), max(begin, second)
    state, out = bytes(88), b"\x5a" * 128
    for i, end in ((0, begin), (begin, second)):
        args = (i, i * 77 - 99, int16(near), int16(far), out, end, state, int16(taps))
        found = kernels.call("beam.combine", *args)
        assert found == as_model("combine", *args)
        _, (*same, out, state, after) = found
        assert [*same, after] == [int16(near), int16(far), int16(taps)]
    h, w, delay = taps[:8], taps[8:16], taps[16]
    voice = [0] * delay + near
    other = []
    for i in range(second):
        aligned = sum(h[k] * far[i - k] for k in range(8) if k <= i) >> 12
        other.append(voice[i] - aligned)
    expected = [
        min(max(voice[i] - (sum(w[k] * other[i - k] for k in range(8) if k <= i) >> 12), -32768), 32767)
        for i in range(second)
    ]
    assert out == int16(expected) + b"\x5a" * (128 - 2 * second)


@relaxed
@given(SIGNALS, SIGNALS, st.integers(0, 15))
def test_one_microphone_alone_is_exact(kernels, near, far, delay):
    """With zeros the delayed near one, bit for bit; with a single 1 the far one, whatever is near."""
    h = [0, 0, 0, 4096, 0, 0, 0, 0]
    zeros, one = [0] * 8, [4096] + [0] * 7
    for w, expected in ((zeros, ([0] * delay + near)[:64]), (one, ([0] * 3 + far)[:64])):
        taps = int16([*h, *w, delay])
        _, buffers = kernels.call(
            "beam.combine", 0, 0, int16(near), int16(far), bytes(128), 64, bytes(88), taps
        )
        assert buffers[2] == int16(expected)


@pytest.mark.parametrize("which", [2, 3])
def test_combine_in_place(checked, which):
    from dsp import beam

    rng = np.random.default_rng(3)
    near, far = (rng.integers(-32768, 32768, 64).astype("<i2") for _ in range(2))
    taps = int16([-121, 213, -381, 881, 5633, -613, 275, -141, 318, -1918, -1570, -1123, 0, 5, 0, 9, 5])
    whole = bytearray(128)
    beam.combine(0, 0, near, far, whole, 64, bytearray(88), taps)
    for combine in (beam.combine, model.combine):
        buffers = [0, 0, bytearray(near.tobytes()), bytearray(far.tobytes())]
        combine(*buffers, buffers[which], 64, bytearray(88), taps)
        assert buffers[which] == whole


WEIGHTS = st.lists(SAMPLE, min_size=8, max_size=8)


@relaxed
@given(WEIGHTS, WEIGHTS, st.integers(0, 16))
def test_blend(kernels, old, new, k):
    args = (b"\x5a" * 34, int16(old), int16(new), k)
    _, (taps, *_) = found = kernels.call("beam.blend", *args)
    assert found == as_model("blend", *args)
    weights = [(a * (16 - k) + b * k) // 16 for a, b in zip(old, new, strict=True)]
    assert taps == b"\x5a" * 16 + int16(weights) + b"\x5a" * 2


@relaxed
@given(st.integers(1, 8).flatmap(lambda n: st.lists(SAMPLE, min_size=8 * n, max_size=8 * n)))
def test_survey(kernels, pcm):
    args = (0, 5, int16(pcm), len(pcm), b"\x5a" * 12)
    _, (_, seen) = found = kernels.call("beam.survey", *args)
    assert found == as_model("survey", *args)
    some = pcm[::8]
    moved = sum(abs(a - b) for a, b in zip(some, pcm[1::8], strict=True))
    assert seen == struct.pack("<II", max(some) - min(some), moved) + b"\x5a" * 4


# --- The filters ------------------------------------------------------------------------------------------


def made(positions, mouth=MOUTH):
    """A Beam in CPython, its kernels as their equivalents."""
    with _own_kernels(True):
        return importlib.import_module("dsp.beam").Beam(positions, mouth)


def solved(positions, mouth=MOUTH):
    with _own_kernels(True):
        return importlib.import_module("dsp.steering").solve(positions, mouth)


def distances(positions, mouth=MOUTH):
    return sorted(math.dist(position, mouth) for position in positions)


PLACE = st.one_of(
    st.tuples(st.integers(-80, 80), st.integers(-60, 25), st.integers(-40, 20)),
    st.tuples(*[st.integers(-300, 300)] * 3),  # all that a board may say
    st.just(MOUTH),
)


@given(PLACE, PLACE)
def test_whatever_the_places_nothing_overflows(left, right):
    if math.dist(left, right) < 10:
        return
    right_near, delay, h, w = solved((left, right))
    assert right_near is (math.dist(right, MOUTH) < math.dist(left, MOUTH))
    assert 4 <= delay <= 15
    assert all(-32768 <= tap <= 32767 for tap in (*h, *w))
    assert sum(map(abs, h)) <= 65535
    assert max(4096, sum(map(abs, w))) * (32769 + 8 * sum(map(abs, h))) < 2**31


@pytest.mark.parametrize("name", PLACES)
def test_floats_of_32_bits_are_fine_enough(checked, monkeypatch, name):
    """The chip has no others. Each operation rounds to them here, too."""
    from dsp import steering

    expected = steering.solve(PLACES[name], MOUTH)
    for function in ("exp", "sin", "sqrt"):
        exact = getattr(math, function)
        monkeypatch.setattr(steering, function, lambda x, exact=exact: np.float32(exact(x)))
    for constant in ("_PER_MM", "_BAND", "_BAND_FLOOR", "_FALL", "_OWN", "_SIDES", "_HEIGHT"):
        monkeypatch.setattr(steering, constant, np.float32(getattr(steering, constant)))
    right_near, delay, h, w = steering.solve(PLACES[name], MOUTH)
    assert (right_near, delay) == expected[:2]
    assert np.abs(np.subtract(h + w, expected[2] + expected[3])).max() <= 4


def test_a_microphone_that_is_too_far_away_is_not_used():
    near, behind = (0, 40, -60), (0, 40, 200)
    assert solved((near, behind)) == (False, 4, [0, 0, 0, 4096, 0, 0, 0, 0], [0] * 8)
    assert solved((behind, near))[0] is True
    beam = made((near, behind))
    using, out = watched(beam, np.zeros(8000), np.arange(8000.0))
    assert using[-1] == "right", "better than nothing"
    assert np.array_equal(out[-1000:], np.arange(8000)[-1003:-3])
    assert solved((MOUTH, behind))[3] == [0] * 8
    late = ((0, 20, -175), (0, 20, 290))  # 3.65 times as far away, and 12.4 samples later
    assert solved(late)[3] == [0] * 8


def worst(delay, taps, edge):
    """The largest error of the filter's response, in dB of the ideal delay's, up to `edge` Hz."""
    turns = 2 * np.pi * np.linspace(20, edge, 300) / rooms.RATE
    response = sum(tap * np.exp(-1j * turns * k) for k, tap in enumerate(taps))
    return 20 * np.log10(np.abs(response - np.exp(-1j * turns * delay)).max())


def test_the_fraction_of_a_delay(checked):
    """Least squares, not Lagrange's: that is as good below 4 kHz, and at 6.5 kHz of no use."""
    from dsp import steering

    delays = np.linspace(3.001, 4, 40)
    found = [steering._fraction(delay) for delay in delays]
    assert max(worst(*pair, 6500) for pair in zip(delays, found, strict=True)) < -21
    assert max(worst(*pair, 4000) for pair in zip(delays, found, strict=True)) < -25
    lagrange = [math.prod((3.5 - j) / (i - j) for j in range(8) if j != i) for i in range(8)]
    assert worst(3.5, lagrange, 6500) > -8


@pytest.mark.parametrize("name", PLACES)
def test_the_far_one_is_aligned_to_the_near_one(name):
    """To a tone at the mouth: delayed and as loud, from 200 Hz to 6.5 kHz."""
    _, delay, h, _ = solved(PLACES[name])
    near, far = distances(PLACES[name])
    late = delay - (far - near) / rooms.SPEED * rooms.RATE
    assert worst(late, np.array(h) / 4096 * near / far, 6500) < -20


def test_toeplitz(checked):
    from dsp import steering

    rng = np.random.default_rng(4)
    for _ in range(20):
        spectrum = np.fft.rfft(rng.normal(size=64))
        r = np.fft.irfft(np.abs(spectrum) ** 2)[:8] + np.eye(8)[0]
        p = rng.normal(size=8)
        matrix = np.array([[r[abs(i - j)] for j in range(8)] for i in range(8)])
        assert np.allclose(steering._toeplitz(list(r), list(p)), np.linalg.solve(matrix, p))


def test_the_weights_are_those_of_noise_from_everywhere(checked):
    """Against correlations that are added up numerically, of noise at two points."""
    from dsp import steering

    places = ((10, 0, -15), (10, 0, 15))
    late, ratio = 1.2, 1.4
    spread = 30 / rooms.SPEED * rooms.RATE * math.sqrt(3 * 0.083)
    arrivals = np.linspace(-spread, spread, 20001)

    def own(t):
        return np.exp(-0.35 * abs(t))

    def across(t):
        return np.mean(np.exp(-0.35 * np.abs(t + arrivals)))

    r = [
        (1 + ratio**2) * own(k)
        - ratio * (across(k + late) + across(k - late))
        + 0.02 * (1 + ratio**2) * (k == 0)
        for k in range(8)
    ]
    p = [own(k) - ratio * across(k - late) for k in range(8)]
    matrix = np.array([[r[abs(i - j)] for j in range(8)] for i in range(8)])
    assert np.allclose(steering._weights(places, late, ratio), np.linalg.solve(matrix, p), atol=1e-3)


# --- What it is good for ----------------------------------------------------------------------------------


def heard(beam, left, right):
    """What comes out, of floats rounded to int16 as the microphones do."""
    out = []
    left, right = (np.clip(np.rint(pcm), -32768, 32767).astype("<i2") for pcm in (left, right))
    for i in range(0, len(left) - FRAME + 1, FRAME):
        frame = bytearray(left[i : i + FRAME].tobytes())
        beam.run(frame, bytearray(right[i : i + FRAME].tobytes()))
        out.append(np.frombuffer(frame, "<i2"))
    return np.concatenate(out)


def power(pcm):
    """From 200 Hz to 6.5 kHz, 3 dB an octave up, so that of speech not only the lowest counts."""
    spectrum = np.abs(np.fft.rfft(pcm)) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1 / rooms.RATE)
    band = (hz > 200) & (hz < 6500)
    return float((spectrum[band] * hz[band]).sum())


def db(ratio):
    return 10 * math.log10(ratio)


TALKER = np.roll(sounds.speech(-26)[: 2 * rooms.RATE], rooms.RATE)


_noise = functools.cache(sounds.noise)


def noises(kind, n, dbfs):
    """Makes one after the other, none like another."""
    seeds = itertools.count(1)
    return lambda: _noise(kind, n, dbfs, next(seeds))


@functools.cache
def scenes(positions):
    """What is not the voice, at both microphones."""
    rng = np.random.default_rng(7)
    found = {}
    for azimuth in (0, 90, 180, 270):
        source = rooms.towards(azimuth, 3)
        direct = [rooms.at(TALKER, source, place) for place in positions]
        found[f"talker {azimuth}"] = direct
        rest = rooms.echoes(TALKER, positions, rng)
        found[f"room {azimuth}"] = [a + b for a, b in zip(direct, rest, strict=True)]
    found["street"] = rooms.around(noises("street", len(TALKER), -40), positions, rng, 24)
    found["all around"] = rooms.around(noises("pink", len(TALKER), -40), positions, rng, 24, 90)
    return found


@functools.cache
def kept(name):
    """(what is left of the voice's error in dB, {scene: how much softer than in the nearer microphone})"""
    positions = PLACES[name]
    beam = made(positions)
    near = 1 if beam._right_near else 0
    voice = [rooms.at(sounds.speech(-46)[: 2 * rooms.RATE], MOUTH, place) for place in positions]
    out = heard(beam, *voice)
    error = out[beam.DELAY :] - voice[near][: len(out) - beam.DELAY]
    gains = {}
    for scene, pair in scenes(positions).items():
        beam.reset()
        gains[scene] = db(power(pair[near]) / power(heard(beam, *pair)))
    assert beam.switches == 0
    return db(power(error) / power(voice[near])), gains


def test_what_it_gains_at_the_nose():
    """The mouth is on the line through both, the talkers are broadside: the numbers of docs/sound.md."""
    error, gains = kept("nose")
    assert error < -33
    assert all(gains[f"talker {azimuth}"] > 12.5 for azimuth in (0, 90, 180, 270))
    assert all(gains[f"room {azimuth}"] > 6.5 for azimuth in (0, 90, 180, 270))
    assert gains["street"] > 7.5
    assert gains["all around"] > 2.5


@pytest.mark.parametrize(
    ("name", "least"), [("corner", (3, 1.5)), ("temple", (0.5, 0.8)), ("hinges", (1, 2))]
)
def test_what_it_gains_elsewhere(name, least):
    error, gains = kept(name)
    assert error < -30
    assert np.mean([gain for scene, gain in gains.items() if "talker" in scene]) > least[0]
    assert gains["all around"] > least[1]
    assert gains["street"] > 1.2


def test_the_board_has_the_best_places():
    mic = boards.load("esp32s3_devkit").parts["mic"]
    assert mic["positions"] == PLACES["nose"]


def best(beam, pair, n, lead):
    """How much softer the scene gets by the filter of `n` taps that suits just it, chosen afterwards: more
    than any that adapts can reach."""
    near, far = (pair[1], pair[0]) if beam._right_near else pair
    aligned = np.convolve(far, np.array(beam._taps[:8]) / 4096)[: len(far)]
    voice = np.concatenate([np.zeros(beam.DELAY), near[: -beam.DELAY]])
    other = voice - aligned
    wanted = np.concatenate([np.zeros(lead), voice[: len(voice) - lead]])
    bright = [np.convolve(pcm, [1, -0.9])[: len(pcm)] for pcm in (other, wanted)]  # as `power` weighs
    columns = [np.concatenate([np.zeros(k), bright[0][: len(near) - k]]) for k in range(n)]
    w = np.linalg.lstsq(np.stack(columns, 1), bright[1], rcond=1e-4)[0]
    return db(power(wanted) / power(wanted - np.convolve(other, w)[: len(other)]))


def test_what_adapting_could_gain():
    """Next to nothing but for one talker in an open field: why the filter is fixed."""
    positions = PLACES["nose"]
    beam = made(positions)
    _, gains = kept("nose")
    more = {scene: best(beam, pair, 8, 0) - gains[scene] for scene, pair in scenes(positions).items()}
    assert all(gain < 1 for scene, gain in more.items() if "room" in scene)
    assert more["street"] < 2 and more["all around"] < 0.5
    assert all(gain < 4.5 for gain in more.values())


@pytest.mark.parametrize("mismatch_db", [-2, -1, 1, 2])
def test_microphones_that_are_not_alike(mismatch_db):
    """An INMP441 is within 1 dB. The voice's colour changes a little, and noise is suppressed as before."""
    positions = PLACES["nose"]
    beam = made(positions)
    voice = [rooms.at(sounds.speech(-46)[: 2 * rooms.RATE], MOUTH, place) for place in positions]
    voice[1] = voice[1] * 10 ** (mismatch_db / 20)
    change = db(power(heard(beam, *voice)) / power(voice[0]))
    assert abs(change) < 0.6 * abs(mismatch_db) + 0.2
    beam.reset()
    near, far = scenes(positions)["room 90"]
    room = (near, far * 10 ** (mismatch_db / 20))
    assert db(power(room[0]) / power(heard(beam, *room))) > 4


@pytest.mark.parametrize("name", PLACES)
def test_left_and_right_may_be_exchanged(name):
    left, right = PLACES[name]
    rng = np.random.default_rng(5)
    pcm = rng.integers(-9000, 9000, (2, 10 * FRAME)).astype(float)
    one, other = made((left, right)), made((right, left))
    if one._right_near == other._right_near:  # as near as each other: then the left one is the near one
        return
    assert np.array_equal(heard(one, *pcm), heard(other, *pcm[::-1]))
    assert one.DELAY == other.DELAY


# --- One that fails ---------------------------------------------------------------------------------------


def voiced(seconds, positions=PLACES["nose"]):
    """Somebody who speaks all the time, some noise, and noise of each microphone's own."""
    return [pcm.copy() for pcm in _voiced(seconds, positions)]


@functools.cache
def _voiced(seconds, positions):
    rng = np.random.default_rng(6)
    clip = sounds.speech(-46)
    sound = np.tile(clip, math.ceil(seconds * rooms.RATE / len(clip)))[: int(seconds * rooms.RATE)]
    noise = rooms.around(noises("pink", len(sound), -60), positions, rng, 6)
    return [
        rooms.at(sound, MOUTH, place) + more + rng.normal(size=len(sound)) * 1.5
        for place, more in zip(positions, noise, strict=True)
    ]


def wind(n):
    rng = np.random.default_rng(8)
    spectrum = np.fft.rfft(rng.normal(size=n))
    hz = np.maximum(np.fft.rfftfreq(n, 1 / rooms.RATE), 5)
    gusts = np.fft.irfft(spectrum / (1 + (hz / 30) ** 2), n)
    return gusts / gusts.std() * 10000


def covered(pcm):
    """26 dB softer, but for the noise of its own."""
    return pcm * 0.05 + np.random.default_rng(11).normal(size=len(pcm)) * 1.5


FAULTS = {
    "dead": lambda pcm: 0 * pcm,
    "stuck": lambda pcm: 0 * pcm - 12345,
    "covered": covered,
    "blown at": lambda pcm: pcm + wind(len(pcm)),
    "floating": lambda pcm: np.random.default_rng(9).integers(-32768, 32768, len(pcm)).astype(float),
}


def watched(beam, left, right):
    """[using] of each frame, and the samples."""
    using, out = [], []
    for i in range(0, len(left), FRAME):
        out.append(heard(beam, left[i : i + FRAME], right[i : i + FRAME]))
        using.append(beam.using)
    return using, np.concatenate(out)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_microphone_fails_and_recovers(fault, side):
    pair = voiced(12)
    begin, end = 2 * rooms.RATE, 7 * rooms.RATE
    pair[side][begin:end] = FAULTS[fault](pair[side][begin:end])
    beam = made(PLACES["nose"])
    using, out = watched(beam, *pair)
    alone = ("right", "left")[side]
    changes = [i for i, (a, b) in enumerate(itertools.pairwise(using)) if a != b]
    assert [using[0], *(using[i + 1] for i in changes)] == ["both", alone, "both"]
    assert beam.switches == 2
    failed, recovered = (i * FRAME / rooms.RATE for i in changes)
    assert 2 < failed < (2.5 if fault in ("dead", "stuck") else 6.5)
    assert 9 < recovered < 11.5
    # Meanwhile it is the other one, as it is, or aligned.
    good, last = pair[1 - side], int(6.9 * rooms.RATE)
    first = (changes[0] + 2) * FRAME
    if side == 1:
        assert np.array_equal(out[first:last], np.rint(good[first - beam.DELAY : last - beam.DELAY]))
    else:
        assert db(power(out[first:last]) / power(good[first:last])) == pytest.approx(3.1, abs=0.5)


def test_both_silent_tells_nothing():
    beam = made(PLACES["nose"])
    pair = voiced(1)
    silence = np.zeros(3 * rooms.RATE)
    for left, right in (pair, (silence, silence), (silence + 3, silence - 2), pair):
        using, _ = watched(beam, left, right)
        assert set(using) == {"both"}


def test_a_short_disturbance_changes_nothing():
    """A finger for half a second, again and again."""
    beam = made(PLACES["nose"])
    left, right = voiced(12)
    for begin in range(0, 12 * rooms.RATE, 3 * rooms.RATE):
        touched = slice(begin, begin + rooms.RATE // 2)
        right[touched] = covered(right[touched])
    using, _ = watched(beam, left, right)
    assert set(using) == {"both"}


@pytest.mark.parametrize("phase", [0, 45, 90, 135])
@pytest.mark.parametrize("side", [0, 1])
def test_a_change_does_not_click(side, phase):
    """A low tone from the side, four times as loud as before in one microphone alone: it bends little more
    than a tone does."""
    turns = 300 * np.arange(2 * rooms.RATE) / rooms.RATE + phase / 360
    tone = 9000 * np.sin(2 * np.pi * turns)
    pair = [rooms.at(tone, rooms.towards(90), place)[rooms.RATE // 2 :] for place in PLACES["nose"]]
    beam = made(PLACES["nose"])
    beam._left_doubt, beam._right_doubt = [(147, 0), (0, 147)][side]
    doubts = iter([(0, 0)] * 5 + [[(3, -1), (-1, 3)][side]] * 7)
    beam._doubt = lambda left, right: type(beam)._doubt(beam, *next(doubts))
    using, out = watched(beam, *(pcm[: 12 * FRAME] for pcm in pair))
    assert using == ["both"] * 5 + [("right", "left")[side]] * 7 and beam.switches == 1
    levels = [np.std(out[begin : begin + 2 * FRAME]) for begin in (3 * FRAME, 8 * FRAME)]
    assert levels[1] > 3 * levels[0]
    bends = np.abs(np.diff(out.astype(int), 2))
    assert bends[4 * FRAME : 7 * FRAME].max() < 2 * bends[8 * FRAME :].max()


def test_what_is_neither_good_nor_bad_changes_nothing():
    """25 dB softer is covered, 17 dB is not yet uncovered. (Of the mouth it hears 3 dB less anyway.)"""
    left, right = voiced(12)
    for begin, end, gain_db in ((2, 5, -22), (5, 9, -14)):
        right[begin * rooms.RATE : end * rooms.RATE] *= 10 ** (gain_db / 20)
    right += np.random.default_rng(12).normal(size=len(right)) * 3
    left += np.random.default_rng(13).normal(size=len(left)) * 3
    beam = made(PLACES["nose"])
    using, _ = watched(beam, left, right)
    at = [using[int(second * 50)] for second in (1.9, 4.9, 8.9)]
    assert at == ["both", "left", "left"]
    assert using[-1] == "both"


def test_reset(checked):
    pair = voiced(2)
    pair[1][:] = 0
    beam = made(PLACES["nose"])
    using, _ = watched(beam, *pair)
    assert using[-1] == "left"
    beam.reset()
    assert beam.using == "both"
    fresh = made(PLACES["nose"])
    left, right = voiced(0.2)
    assert np.array_equal(heard(beam, left, right), heard(fresh, left, right))
    assert beam.switches == 1, "it counts since the start"


# --- On both machines -------------------------------------------------------------------------------------


def in_micropython(tmp_path, positions, left, right):
    """(the filters' numbers, the samples, [(using, switches)] of each frame); the heap is locked in `run`."""
    for name, pcm in (("left", left), ("right", right)):
        (tmp_path / name).write_bytes(pcm.tobytes())
    places = json.dumps((*positions, MOUTH))
    script = str(Path(__file__).with_name("serve_beam.py"))
    command = interpreter.command(
        script, str(DSP_PARENT), places, str(tmp_path / "left"), str(tmp_path / "right")
    )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    taps, *rows = done.stdout.splitlines()
    fields = [row.split() for row in rows]
    samples = np.frombuffer(b"".join(bytes.fromhex(row[0]) for row in fields), "<i2")
    return [int(tap) for tap in taps.split()], samples, [(row[1], int(row[2])) for row in fields]


@pytest.mark.parametrize("name", ["nose", "hinges"])
def test_whole_and_the_same_in_micropython(tmp_path, name):
    """Through a failure and a recovery, allocating nothing."""
    pair = voiced(6, PLACES[name])
    pair[0][rooms.RATE // 2 : 2 * rooms.RATE] = 77
    left, right = (np.clip(np.rint(pcm), -32768, 32767).astype("<i2") for pcm in pair)
    taps, samples, rows = in_micropython(tmp_path, PLACES[name], left, right)
    beam = made(PLACES[name])
    assert taps == list(beam._taps)
    using, out = watched(beam, left, right)
    assert np.array_equal(samples, out)
    assert [row[0] for row in rows] == using
    assert rows[-1] == ("both", 2)


def test_whole_and_the_same_with_checked_integers():
    """Loud noise and the loudest tones, through a change: nothing leaves 32 bits."""
    rng = np.random.default_rng(10)
    loud = rng.integers(-32768, 32768, (2, 14 * FRAME)).astype("<i2")
    loud[0, FRAME : 3 * FRAME] = [32767, -32768] * FRAME
    loud[1, FRAME : 3 * FRAME] = [-32768, 32767] * FRAME
    loud[1, 3 * FRAME :] = -32768
    with _own_kernels(False):
        checked = importlib.import_module("dsp.beam").Beam(PLACES["nose"], MOUTH)
    fast = made(PLACES["nose"])
    assert np.array_equal(heard(checked, *loud), heard(fast, *loud))
    assert checked.using == fast.using == "left"
