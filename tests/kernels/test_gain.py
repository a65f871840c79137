"""The automatic gain, on both machines, against its model, and what it promises."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import speech
from stages import FRAME, Stage, in_micropython

from lunette.virtual.equivalents import gain as model

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

CEILING = 29204
UNITY = 16384
SAMPLE = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1, 1]))
PEAK = st.one_of(st.integers(0, 32768), st.sampled_from([0, 1, 923, 924, 29204, 32768]))
PEAKS = st.one_of(  # as loud as one another, or not
    st.lists(PEAK, min_size=11, max_size=11),
    st.tuples(st.lists(PEAK, min_size=11, max_size=11), st.integers(1, 12)).map(
        lambda x: [p >> x[1] for p in x[0]]
    ),
)
GAIN = st.one_of(st.integers(4115, 518112), st.sampled_from([4115, UNITY, 518112]))


def words(*values):
    return struct.pack(f"<{len(values)}I", *values)


def as_model(name, *args):
    """The model's result and buffers, as `kernels.call` gives them."""
    own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
    result = getattr(model, name)(*own)
    return result, [bytes(arg) for arg in own if isinstance(arg, bytearray)]


# --- The kernels ------------------------------------------------------------------------------------


def blocks_of(samples):
    return st.integers(0, 3).flatmap(
        lambda n: st.lists(samples, min_size=32 * n, max_size=32 * n).map(lambda x: np.array(x, "<i2"))
    )


@relaxed
@given(blocks_of(SAMPLE), st.integers(0, 3))
def test_peaks(kernels, pcm, rest):
    raw = pcm.tobytes() + b"\xff\x7f" * rest
    args = ("peaks", raw, 0, len(pcm) // 32, b"\xa5" * 20)
    _, (after, out) = kernels.call("gain." + args[0], *args[1:])
    assert after == raw
    found = np.frombuffer(out, "<u4")
    expected = np.abs(pcm.astype(int)).reshape(-1, 32).max(axis=1, initial=0)
    assert found[0] == 0xA5A5A5A5
    assert found[1 : 1 + len(expected)].tolist() == expected.tolist()
    assert (found[1 + len(expected) :] == 0xA5A5A5A5).all()
    assert as_model(*args) == (None, [after, out])


@relaxed
@given(PEAKS, st.integers(0, 10 * 2**26), st.integers(0, 128), GAIN)
def test_adapt(kernels, tops, mean, count, want):
    args = (words(*tops), words(mean, count, want))
    found = kernels.call("gain.adapt", *args)
    assert found == as_model("adapt", *args)


@relaxed
@given(PEAKS, GAIN, GAIN)
def test_plan(kernels, tops, before, want):
    # As it is in a stream: the gain that the last plan ended with suits the block that is first now.
    before = min(before, (CEILING << 14) // max(1, tops[0]))
    args = (words(*tops), words(*[0] * 10, before), want)
    highest, (after, planned) = kernels.call("gain.plan", *args)
    assert (highest, [after, planned]) == as_model("plan", *args)
    gains = np.frombuffer(planned, "<u4").astype(object)
    assert gains[0] == before
    for top, start, end in zip(tops[:10], gains, gains[1:], strict=False):
        assert (top * max(start, end) + 8192) >> 14 <= highest <= CEILING
        assert (end - start) % 16 == 0
    assert gains[10] * tops[10] <= CEILING << 14  # the next plan begins with it


def line_of_gains():
    return st.tuples(GAIN, st.lists(st.integers(-3000, 3000), min_size=10, max_size=10)).map(
        lambda x: np.clip(x[0] // 16 * 16 + 16 * np.cumsum([0] + x[1]), 4112, 518112).tolist()
    )


@relaxed
@given(st.integers(0, 2**32 - 1), line_of_gains(), st.sampled_from([0, 1, 2]), st.sampled_from([0, 1]))
def test_apply(kernels, seed, gains, kind, turn):
    rng = np.random.default_rng(seed)
    most = int((CEILING << 14) // max(gains))
    sound = np.clip(
        [rng.integers(-most, most + 1, 352), rng.choice([-most, most], 352), np.full(352, -most)][kind],
        -32768,
        32767,
    ).astype("<i2")
    before, pcm = sound[:32].tobytes(), sound[32:].tobytes()
    late = (before + bytes(64), bytes(64) + before)[turn]
    args = (pcm, 0, words(*gains), late, turn)
    _, after = kernels.call("gain.apply", *args)
    assert (None, after) == as_model("apply", *args)
    assert after[2] == (before + pcm[-64:], pcm[-64:] + before)[turn]
    line = np.interp(np.arange(320) // 2 * 2 + 2, np.arange(0, 321, 32), gains)
    assert np.abs(np.frombuffer(after[0], "<i2") - sound[:320] * line / UNITY).max() <= 0.51


# --- The stage --------------------------------------------------------------------------------------


def tone(dbfs, seconds, hz=440):
    t = np.arange(int(16000 * seconds)) / 16000
    return np.round(32768 * 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * t))


def run(pcm, voice, stage=None):
    pcm = np.clip(np.round(pcm), -32768, 32767)
    count = len(pcm) // FRAME
    voice = [voice] * count if isinstance(voice, bool) else voice
    return (stage or Stage("gain", "Agc")).run(pcm, ("peak", "gain_db"), voice)


@relaxed
@given(
    st.lists(st.tuples(SAMPLE, st.integers(1, 400), st.booleans()), min_size=1, max_size=40),
    st.lists(st.booleans(), min_size=1, max_size=9),
    st.integers(0, 2**32 - 1),
)
def test_never_above_the_ceiling(pieces, voices, seed):
    """Whatever comes: held values, noise of any height, full scale after silence."""
    rng = np.random.default_rng(seed)
    pcm = np.concatenate(
        [rng.integers(-abs(v), abs(v) + 1, n) if noisy else np.full(n, v) for v, n, noisy in pieces]
        + [np.zeros(640)]
    )
    frames = len(pcm) // FRAME
    out, rows = run(pcm, [voices[i % len(voices)] for i in range(frames)])
    assert np.abs(out.astype(int)).max() <= CEILING
    for i, (peak, _) in enumerate(rows):
        assert np.abs(out[FRAME * i : FRAME * (i + 1)].astype(int)).max() <= peak <= CEILING


def test_full_scale_after_the_largest_gain():
    stage = Stage("gain", "Agc")
    _, rows = run(tone(-60, 12), True, stage)
    assert rows[-1][1] >= 28
    burst = np.concatenate((tone(-60, 0.5), 32767 * np.sign(tone(0, 0.5, 97)), tone(-60, 0.5)))
    out, _ = run(burst, True, stage)
    assert np.abs(out.astype(int)).max() <= CEILING
    assert np.abs(out[8500:16000].astype(int)).max() > 0.9 * CEILING


def test_what_needs_no_gain_is_left_alone():
    """Near its level speech comes out as it went in, 32 samples late, to the bit."""
    out, rows = run(speech(-21), True)
    assert {gain for _, gain in rows} == {0}
    assert np.array_equal(out[32:], np.round(speech(-21))[: len(out) - 32])


@pytest.mark.parametrize("dbfs", [-48, -40, -30, -14])
def test_it_brings_speech_to_its_level(dbfs):
    original = speech(dbfs)
    stage = Stage("gain", "Agc")
    run(original, True, stage)
    out, rows = run(original, True, stage)  # the second time round it knows
    power = np.mean(out.astype(float) ** 2) / np.mean(speech(-20) ** 2)
    assert -2.2 <= 10 * np.log10(power) <= 2.2
    gains = [gain for _, gain in rows]
    assert max(gains) - min(gains) <= 1  # and does not wander


def test_it_is_there_within_a_sentence():
    _, rows = run(speech(-45), True)
    gains = [gain for _, gain in rows]
    assert gains[100] >= 18  # after 2 s with pauses
    assert max(gains) <= 27


def test_it_holds_where_nobody_speaks():
    stage = Stage("gain", "Agc")
    run(tone(-36, 5), True, stage)
    _, rows = run(
        np.concatenate((tone(-36, 0.2), np.random.default_rng(2).normal(0, 30, 160000))), False, stage
    )
    assert len({gain for _, gain in rows}) == 1
    # Between words, taken for voice: the level is that of the words.
    _, rows = run(np.random.default_rng(2).normal(0, 30, 16000), True, stage)
    assert len({gain for _, gain in rows}) == 1
    # But what was loud only once is forgotten.
    _, rows = run(np.random.default_rng(2).normal(0, 30, 16000 * 25), True, stage)
    assert rows[-1][1] > rows[0][1] + 3


def test_silence_is_nobody():
    _, rows = run(np.random.default_rng(3).normal(0, 3, 32000), True)
    assert {gain for _, gain in rows} == {0}


def test_a_click_does_not_make_what_follows_soft():
    pcm = tone(-30, 3)
    pcm[16000:16016] = 32767
    stage = Stage("gain", "Agc")
    run(tone(-30, 6), True, stage)
    out, rows = run(pcm, False, stage)
    steady = np.abs(out[8000:15000].astype(int)).max()
    assert np.abs(out[16200:17000].astype(int)).max() < 0.7 * steady  # the limiter has worked
    assert np.abs(out[16000 + 8000 :].astype(int)).max() > 0.97 * steady  # and half a second later has let go
    assert len({gain for _, gain in rows}) == 1


def test_no_step_in_the_gain():
    """A level that jumps by 40 dB: the gain goes there in 16 equal steps or more."""
    stage = Stage("gain", "Agc")
    dc = np.concatenate((np.full(16000 * 6, 300), np.full(1600, 30000), np.full(1600, 300)))
    out, _ = run(dc, True, stage)
    gains = out[32:] / dc[:-32]
    ratio = gains[1:] / np.maximum(gains[:-1], 1e-9)
    start = 16000 * 6 - 400
    jumps = np.abs(np.diff(gains))[start:]
    assert jumps.max() <= np.ptp(gains[start:]) / 15
    assert ratio[start:].max() < 1.1


@pytest.mark.parametrize("frames", [300, 301])
def test_after_a_reset_the_speaker_is_known(frames):
    stage = Stage("gain", "Agc")
    _, before = run(tone(-40, frames / 50), True, stage)
    stage.reset()
    assert stage.peak == 0
    out, after = run(tone(-40, 0.1), False, stage)
    assert before[-1][1] == after[0][1] > 15
    assert not out[:32].any()  # nothing of what was before
    assert out[32:64].any()


def test_reported_gain():
    stage = Stage("gain", "Agc")
    for gain in (4115, 5000, 16384, 20000, 65536, 300000, 518112):
        stage._made._state[2] = gain
        assert abs(stage.gain_db - 20 * np.log10(gain / UNITY)) < 0.6


def speech_like():
    rng = np.random.default_rng(8)
    t = np.arange(FRAME * 40) / 16000
    return np.clip(rng.normal(0, 9000, len(t)) * (np.sin(2 * np.pi * 3 * t) > 0) ** 2, -32768, 32767)


def test_frames_with_the_heap_locked(tmp_path):
    voice = [i % 7 < 4 for i in range(40)]
    here, rows = Stage("gain", "Agc").run(speech_like(), ("peak", "gain_db"), voice)
    there, same = in_micropython(tmp_path, "gain", "Agc", speech_like(), ("peak", "gain_db"), voice)
    assert np.array_equal(here, there)
    assert rows == same
    exact, _ = Stage("gain", "Agc", fast=False).run(speech_like()[:3200], (), voice)
    assert np.array_equal(exact, here[:3200])
