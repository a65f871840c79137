"""The Fourier transform, on both machines, against its model and numpy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.virtual.equivalents import fft as model

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

EXTREME = st.sampled_from([0, 1, 32767, 32768, 32769, 65535])
WORD = st.one_of(st.integers(0, 65535), EXTREME)
WORDS = st.one_of(
    st.lists(WORD, min_size=96, max_size=96),
    st.lists(EXTREME, min_size=96, max_size=96),
    WORD.map(lambda word: [word] * 96),
    st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 65536, 96)),
).map(lambda values: np.array(values, "<u2").tobytes())
GAINS = st.one_of(
    st.integers(0, 256).map(lambda gain: [gain] * 24),
    st.lists(st.integers(0, 256), min_size=24, max_size=24),
).map(lambda values: np.array(values, "<u2").tobytes())
BLANK = b"\xa5" * 192
BINS = b"\xa5" * 392
NAMES = {"_threes": model.threes, "_fours": model.fours}


def by_model(function, *args):
    own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
    function(*own)
    return [bytes(arg) for arg in own if isinstance(arg, bytearray)]


@pytest.mark.parametrize("name", NAMES)
@relaxed
@given(re=WORDS, im=WORDS)
def test_passes(kernels, name, re, im):
    _, after = kernels.call(f"fft.{name}", 0, 0, re, im)
    assert after == by_model(NAMES[name], 0, 0, re, im)


@relaxed
@given(WORDS, WORDS, st.sampled_from([1, 2]))
def test_last_pass(kernels, re, im, shift):
    _, after = kernels.call("fft._eights", 0, 0, re, im, shift)
    assert after == by_model(model.eights, 0, 0, re, im, shift)


@relaxed
@given(WORDS, WORDS)
def test_split(kernels, re, im):
    _, after = kernels.call("fft.split", 0, 0, re, im, BINS)
    assert after == by_model(model.split, 0, 0, re, im, BINS)


@relaxed
@given(WORDS, WORDS, GAINS)
def test_merge(kernels, some, others, gains):
    bins = some + others + some[:8]
    _, after = kernels.call("fft.merge", 0, 0, bins, gains, BLANK, BLANK)
    assert after == by_model(model.merge, 0, 0, bins, gains, BLANK, BLANK)


# --- what it is for -----------------------------------------------------------------------------------


def words(numbers):
    return (np.rint(numbers).astype(int) + 32768).astype("<u2").tobytes()


def numbers(*parts):
    re, im = (np.frombuffer(part, "<u2").astype(float) - 32768 for part in parts)
    return re + 1j * im


@pytest.fixture(scope="module")
def orders(checked):
    from dsp import fft

    assert list(fft.WIDTHS) == model.WIDTHS.tolist()
    assert sum(fft.WIDTHS) == 95
    return np.frombuffer(fft.PLACES, np.uint8), np.frombuffer(fft.FOUND, np.uint8)


def transform(kernels, re, im, shift):
    for name, more in (("_threes", ()), ("_fours", ()), ("_eights", (shift,))):
        _, (re, im) = kernels.call(f"fft.{name}", 0, 0, re, im, *more)
    return re, im


# Real samples whose squares add up to less than 2**29: what `suppress` sees to.
def sounds():
    rng = np.random.default_rng(7)
    t = np.arange(192)
    made = {
        "noise": rng.normal(size=192),
        "tone": np.cos(2 * np.pi * 17 * t / 192 + 1),
        "between bins": np.cos(2 * np.pi * 17.5 * t / 192),
        "impulse": np.eye(192)[77],
        "constant": np.ones(192),
        "highest": (-1.0) ** t,
        "alternating pairs": np.where(t % 4 < 2, 1.0, -1.0),
        "ramp": t - 95.5,
    }
    return {name: np.rint(x * np.sqrt(0.999 * 2**29 / (x**2).sum())) for name, x in made.items()}


@pytest.mark.parametrize("name", sounds())
def test_it_is_the_fourier_transform_there_and_back(kernels, orders, name):
    places, found = orders
    x = sounds()[name]
    pairs = np.empty(96, complex)
    pairs[places] = x[::2] + 1j * x[1::2]
    re, im = transform(kernels, words(pairs.real), words(pairs.imag), 2)
    scaled = np.fft.fft(x[::2] + 1j * x[1::2]) / np.sqrt(192)
    assert np.abs(numbers(re, im)[found] - scaled).max() < 3

    _, (_, _, bins) = kernels.call("fft.split", 0, 0, re, im, BINS)
    spectrum = np.fft.rfft(x) / np.sqrt(192)
    assert np.abs(model.bins_of(bins)[1:] - spectrum[1:96]).max() < 6

    gains = np.full(24, 256, "<u2").tobytes()
    _, (_, _, re, im) = kernels.call("fft.merge", 0, 0, bins, gains, BLANK, BLANK)
    im, re = transform(kernels, im, re, 1)
    back = numbers(re, im)[found]
    error = np.column_stack([back.real, back.imag]).ravel() - x
    # 16 bits of which the sound has 14 and a half altogether: 60 dB, wherever they are.
    assert np.sqrt((error**2).mean()) < 3
    assert np.abs(error).max() < 12


def test_gains_are_of_their_bins(kernels, orders):
    places, found = orders
    x = sounds()["noise"]
    pairs = np.empty(96, complex)
    pairs[places] = x[::2] + 1j * x[1::2]
    re, im = transform(kernels, words(pairs.real), words(pairs.imag), 2)
    _, (_, _, bins) = kernels.call("fft.split", 0, 0, re, im, BINS)
    gains = np.random.default_rng(8).integers(0, 257, 24)
    _, (_, _, re, im) = kernels.call("fft.merge", 0, 0, bins, gains.astype("<u2").tobytes(), BLANK, BLANK)
    im, re = transform(kernels, im, re, 1)
    back = numbers(re, im)[found]
    # Bins 0 and 96 have the gain of bin 1.
    by_bin = np.concatenate([gains[:1], np.repeat(gains, model.WIDTHS), gains[:1]])
    wanted = np.fft.irfft(np.fft.rfft(x) * by_bin / 256)
    assert np.abs(np.column_stack([back.real, back.imag]).ravel() - wanted).max() < 12
