"""The high-pass, on both machines, against its model and what a filter has to do."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import Stage, in_micropython

from lunette.virtual.equivalents import highpass as model

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

BIAS = 0x20000000
SAMPLE = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1, 1]))
SOUNDS = st.one_of(  # a multiple of four
    st.integers(0, 40).flatmap(lambda n: st.lists(SAMPLE, min_size=4 * n, max_size=4 * n)),
    st.tuples(SAMPLE, st.integers(0, 40)).map(lambda held: [held[0]] * (4 * held[1])),
    st.tuples(SAMPLE, SAMPLE, st.integers(1, 40)).map(lambda x: ([x[0]] * x[2] + [x[1]] * x[2]) * 2),
).map(lambda values: np.array(values, "<i2"))
# What the sums of the magnitudes of the impulse responses allow; see the kernel.
STATES = st.tuples(st.integers(-(2**20), 2**20), st.integers(-38_300_000, 4_700_000))


def state_bytes(a=0, b=-(32768 << 9)):
    return struct.pack("<II", a + BIAS, b + BIAS)


def with_model(pcm, state, n=None):
    own, own_state = bytearray(pcm.tobytes()), bytearray(state)
    model.run(own, 0, len(pcm) if n is None else n, own_state)
    return bytes(own), bytes(own_state)


@relaxed
@given(SOUNDS, STATES)
def test_run(kernels, pcm, states):
    state = state_bytes(*states)
    _, after = kernels.call("highpass.run", pcm.tobytes(), 0, len(pcm), state)
    assert tuple(after) == with_model(pcm, state)


@relaxed
@given(SOUNDS, st.integers(0, 20))
def test_only_the_part_that_is_meant(kernels, pcm, rest):
    n = max(0, len(pcm) - 4 * rest)
    _, after = kernels.call("highpass.run", pcm.tobytes(), 0, n, state_bytes())
    assert tuple(after) == with_model(pcm, state_bytes(), n)
    assert after[0][2 * n :] == pcm.tobytes()[2 * n :]


@pytest.mark.parametrize("first", [0, 1, -1, 32767, -32768])
def test_start_is_settled(kernels, first):
    pcm = np.full(320, first, "<i2").tobytes()
    _, (_, state) = kernels.call("highpass.start", pcm, b"\xa5" * 8)
    own = bytearray(8)
    model.start(pcm, own)
    assert state == own
    _, (out, _) = kernels.call("highpass.run", pcm, 0, 320, state)
    assert not any(out)


def filtered(pcm, state=None):
    """As numbers of any length, by the model."""
    raw = np.clip(np.round(pcm), -32768, 32767).astype("<i2")
    out, _ = with_model(raw, state or state_bytes())
    return np.frombuffer(out, "<i2").astype(float)


def gain_db(hz):
    t = np.arange(16000) / 16000
    out = filtered(12000 * np.sin(2 * np.pi * hz * t))[-8000:]
    t = t[-8000:]
    # The part at this frequency: what else there is are images.
    level = abs(np.mean(out * np.exp(-2j * np.pi * hz * t))) * 2
    return 20 * np.log10(level / 12000)


@pytest.mark.parametrize(
    ("hz", "low", "high"),
    [(10, -99, -34), (20, -99, -20), (80, -4, -2)]
    + [(hz, -1, 1) for hz in (150, 200, 300, 500, 1000, 2000, 4000, 6000, 7000, 7900)],
)
def test_response(hz, low, high):
    assert low <= gain_db(hz) <= high


@pytest.mark.parametrize(("a", "b"), [(0, 0), (769, -16781807), (-1299, -16774084), (2**20, -16777216)])
@pytest.mark.parametrize("dc", [0, 5, -100, 32767, -32768])
def test_dc_goes(a, b, dc):
    out = filtered(np.full(32000, dc), state_bytes(a, b))
    assert np.abs(out[3200:]).max() <= 1  # after 0.2 s, and for ever
    assert abs(out[-3200:].mean()) < 0.02


@pytest.mark.parametrize("hz", [30, 80, 120, 200, 400])
def test_images_are_low(hz):
    t = np.arange(16000) / 16000
    out = filtered(20000 * np.sin(2 * np.pi * hz * t))[-8000:]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)))) * 4 / len(out)
    bins = np.fft.rfftfreq(len(out), 1 / 16000)
    assert spectrum[bins > 1000].max() < 20000 * 10 ** (-39 / 20)


def test_it_saturates():
    """A swing over all of the range overshoots by the step's height: it is cut, not wrapped."""
    out = filtered(np.repeat([-32768, 32767], 200))
    assert out[200] == 32767
    assert out.min() >= -32768
    assert (out[200:215] > 20000).all()


@relaxed
@given(st.lists(st.sampled_from([-32768, 32767]), min_size=200, max_size=400), st.integers(1, 12))
def test_the_worst_stays_in_32_bits(checked, signs, held):
    pcm = np.repeat(np.array(signs, "<i2"), held)[:320]
    checked.call("highpass.run", pcm.tobytes(), 0, len(pcm), state_bytes(2**20, 4_700_000))
    checked.call("highpass.run", pcm.tobytes(), 0, len(pcm), state_bytes(-(2**20), -38_300_000))


def sound():
    rng = np.random.default_rng(3)
    t = np.arange(320 * 30) / 16000
    return np.clip(9000 + 8000 * np.sin(2 * np.pi * 15 * t) + rng.normal(0, 6000, len(t)), -32768, 32767)


def test_frames_with_the_heap_locked(tmp_path):
    here, _ = Stage("highpass", "HighPass").run(sound())
    there, _ = in_micropython(tmp_path, "highpass", "HighPass", sound())
    assert np.array_equal(here, there)
    exact, _ = Stage("highpass", "HighPass", fast=False).run(sound()[:3200])
    assert np.array_equal(exact, here[:3200])


def test_a_reset_forgets_the_dc():
    stage = Stage("highpass", "HighPass")
    stage.run(np.full(3200, 9000))
    out, _ = stage.run(np.full(320, -9000))
    assert np.abs(out).max() > 9000
    stage.reset()
    out, _ = stage.run(np.full(320, -9000))
    assert not out.any()
