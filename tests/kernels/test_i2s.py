"""What an I2S microphone sends, on both machines, against exact integers and the host's model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.virtual.equivalents import i2s as model

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

FULL = (-(2**31), 2**31 - 1)
# Where a gain of so many bits begins to clip, and the values around it.
EDGES = [
    edge
    for up in range(9)
    for edge in (sign * (2**31 >> up) + off for sign in (1, -1) for off in (-(2**16), -1, 0, 1, 2**16))
    if FULL[0] <= edge <= FULL[1]
]
WORD = st.one_of(
    st.integers(*FULL),
    st.sampled_from(EDGES),
    st.integers(-(2**23), 2**23 - 1).map(lambda sample: sample << 8),  # 24 bits of 32
    st.integers(-(2**17), 2**17),
)
WORDS = st.one_of(
    st.lists(WORD, max_size=80),
    st.tuples(WORD, st.integers(0, 80)).map(lambda held: [held[0]] * held[1]),  # silence, full scale, DC
)


def expected(words, up):
    """The samples, and how many were clipped, in unbounded integers."""
    wide = [word * 2**up // 2**16 for word in words]
    samples = [min(max(sample, -32768), 32767) for sample in wide]
    clipped = sum(a != b for a, b in zip(wide, samples, strict=True))
    return np.array(samples, "<i2").tobytes(), clipped


def everywhere(kernels, at, words, n, stereo, up):
    """Of the kernel and its model, which must agree: (what it returns, the buffer with two bytes behind)."""
    raw = np.array(words, "<i4").tobytes()
    scratch = up * 1000 - 3000  # means nothing
    result, (after, pcm) = kernels.call("i2s.pick", raw, scratch, b"\x5a" * (2 * n + 2), n, at, stereo, up)
    assert after == raw
    own = bytearray(b"\x5a" * (2 * n + 2))
    assert model.pick(raw, 0, own, n, at, stereo, up) == result
    assert own == pcm
    return result, pcm


@relaxed
@given(WORDS, st.integers(0, 8))
def test_one_channel(kernels, words, up):
    words = words[: len(words) & ~3]
    samples, clipped = expected(words, up)
    assert everywhere(kernels, 0, words, len(words), 0, up) == (clipped, samples + b"\x5a\x5a")


@relaxed
@given(WORDS, st.integers(0, 8), st.integers(0, 1))
def test_one_of_two_channels(kernels, words, up, at):
    words = words[: len(words) & ~7]
    samples, clipped = expected(words[at::2], up)
    assert everywhere(kernels, at, words, len(words) // 2, 1, up) == (clipped, samples + b"\x5a\x5a")


@relaxed
@given(WORDS)
def test_without_gain_these_are_the_upper_halves(kernels, words):
    words = words[: len(words) & ~3]
    raw = np.array(words, "<i4").tobytes()
    result, pcm = everywhere(kernels, 0, words, len(words), 0, 0)
    assert result == 0
    assert pcm[:-2] == b"".join(raw[i + 2 : i + 4] for i in range(0, len(raw), 4))


@pytest.mark.parametrize("up", range(9))
def test_every_edge(kernels, up):
    words = EDGES + [0] * (-len(EDGES) % 4)
    samples, clipped = expected(words, up)
    assert everywhere(kernels, 0, words, len(words), 0, up) == (clipped, samples + b"\x5a\x5a")
    assert up == 0 or clipped > 0


@pytest.mark.parametrize("up", [0, 5])
def test_in_place(checked, up):
    from dsp import i2s

    words = [-65536, 0x12345678, -1, 5 << 20, -(2**31), 2**31 - 1, 0, 77777777]
    samples, clipped = expected(words, up)
    for pick in (i2s.pick, model.pick):
        buffer = bytearray(np.array(words, "<i4").tobytes())
        assert pick(buffer, 0, buffer, len(words), 0, 0, up) == clipped
        assert buffer[: len(samples)] == samples


def test_a_soft_voice_gets_its_low_bits_back(kernels):
    """A tone of 20 steps of int16, rounded to 24 bits: with 30 dB there are 32 times as many steps of it."""
    t = np.arange(320)
    tone = 20 * np.sin(2 * np.pi * t / 37)
    words = (np.rint(tone * 256).astype(int) << 8).tolist()
    noise = []
    for up in (0, 5):
        _, pcm = everywhere(kernels, 0, words, 320, 0, up)
        error = np.frombuffer(pcm[:-2], "<i2") / 2**up - tone
        noise.append(np.std(error))
    assert 20 * np.log10(noise[0] / noise[1]) > 28
