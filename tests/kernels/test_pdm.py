"""Bits of a PDM microphone to samples: both machines, the model, exact convolutions, a real modulator."""

import importlib
import struct
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import signal
from stages import _own_kernels

from lunette.design import pdm as design
from lunette.virtual.chip.microphones import Modulator
from lunette.virtual.equivalents import pdm as model

relaxed = settings(deadline=None, max_examples=40)  # the first call of a kernel in MicroPython may be slow

BIAS = 0x10000000
FRAME = 2560
FILTERS = design.carried()
# Whole, as filters at 1024, 32 and 16 kHz.
FIRST = np.array(FILTERS.first + FILTERS.first[::-1], np.int64)
SECOND = np.zeros(31, np.int64)
SECOND[:15:2], SECOND[15], SECOND[16::2] = FILTERS.second[::-1], FILTERS.centre, FILTERS.second
SUM = int(FIRST.sum())


def raw_of(bits):
    """Bits in time as the I2S driver has them: words of 32, the highest bit first."""
    return np.packbits(bits).view(">u4").astype("<u4").tobytes()


@cache
def tables():
    own = bytearray(8192)
    model.build(own, np.array(FILTERS.first, "<u2").tobytes())
    return bytes(own)


def state_bytes(this=0, other=0, last=0):
    return struct.pack("<III", this, other, last + BIAS)


# Bytes in runs: noise, silence (0x55), full scale of both signs, and changes between them.
RAW = st.lists(
    st.one_of(
        st.binary(min_size=8, max_size=8),
        st.tuples(st.sampled_from([0, 255, 0x55, 0xAA, 0x0F, 1, 128]), st.integers(1, 12)).map(
            lambda run: bytes([run[0]]) * (8 * run[1])
        ),
    ),
    max_size=12,
).map(b"".join)


# --- The taps -----------------------------------------------------------------------------------------------


def test_the_firmware_has_what_the_design_gives():
    assert design.design() == FILTERS


def test_middle_is_what_silence_gives(checked):
    pdm = importlib.import_module("dsp.pdm")
    assert pdm._MIDDLE == model._MIDDLE == FILTERS.middle
    assert tuple(pdm._TAPS) == FILTERS.first
    assert np.array_equal(model._TAPS, SECOND)


def test_what_keeps_everything_in_31_bits():
    assert min(FILTERS.first) >= 0
    assert SUM < 1 << 16
    assert SUM // 2 < 1 << 15  # the upper half of a word has at most half of the taps
    assert np.abs(SECOND).sum() < 1 << 15


def response(hz):
    """Of the integers, as one filter at 1024 kHz: by convolution, not as the design has it."""
    spread = np.zeros((len(SECOND) - 1) * 32 + 1)
    spread[::32] = SECOND
    lift = np.zeros(65)
    lift[0], lift[64] = 1, -1 / 8
    whole = np.convolve(np.convolve(FIRST.astype(float), spread), lift)
    _, found = signal.freqz(whole, worN=hz, fs=1_024_000)
    return 20 * np.log10(np.abs(found) / 2.0**30 + 1e-12)


def test_response_of_the_integers():
    passed = response(np.arange(100, 6501, 10.0))
    assert np.abs(passed).max() < 0.75
    pieces = [response(np.arange(begin, begin + 20000, 5.0)) for begin in range(9500, 512000, 20000)]
    stopped = np.concatenate(pieces)
    assert stopped.max() < -60.5
    some = np.array([100.0, 3000, 6500, 9700, 30000])
    assert np.allclose(response(some), 20 * np.log10(np.abs(FILTERS.response(some))), atol=1e-3)


# --- The kernels, by themselves -----------------------------------------------------------------------------


@relaxed
@given(st.lists(st.integers(0, 511), min_size=64, max_size=64))
@example(list(FILTERS.first))
@example(list(range(1, 65)))
def test_build(kernels, half):
    taps = np.array(half, "<u2").tobytes()
    _, (found, after) = kernels.call("pdm.build", b"\x5a" * 8192, taps)
    assert after == taps
    own = bytearray(8192)
    model.build(own, taps)
    assert found == own
    # One entry at random, by its definition.
    whole = np.array(half + half[::-1])
    value, k = half[0] & 255, half[1] & 3
    bits = [value >> (7 - b) & 1 for b in range(8)]
    sums = [int(whole[96 - 32 * age + 8 * k :][:8] @ bits) for age in range(4)]
    words = np.frombuffer(found, "<u4").reshape(2, 4, 256)
    assert words[0, k, value] == sums[0] + (sums[2] << 16)
    assert words[1, k, value] == sums[1] + (sums[3] << 16)


def in_time(raw):
    """The bits again, as numbers."""
    return np.unpackbits(np.frombuffer(raw, "<u4").astype(">u4").view(np.uint8)).astype(np.int64)


@relaxed
@given(RAW, RAW, st.integers(0, 3))
@example(b"\xff" * 64, b"\xff" * 64, 0)
@example(b"", b"\xff" * 8, 1)
def test_first(kernels, before, raw, at):
    # What earlier words have left: after those of another call.
    begun = bytearray(state_bytes())
    model.first(0, 0, before, bytearray(len(before)), 0, len(before), tables(), begun)
    out = b"\x5a" * (2 * (at + len(raw) // 4) + 2)
    args = (raw, out, at, len(raw), tables(), bytes(begun))
    _, after = kernels.call("pdm.first", 99, -99, *args)
    own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
    model.first(0, 0, *own)
    assert after == [bytes(arg) for arg in own if isinstance(arg, bytearray)]
    assert after[1][-2:] == b"\x5a\x5a" and after[1][: 2 * at] == b"\x5a" * (2 * at)
    exact = np.convolve(np.append(in_time(before + raw), 0), FIRST)[31::32]
    words = slice(len(before) // 4, len(before + raw) // 4)
    assert np.array_equal(np.frombuffer(after[1][2 * at : -2], "<u2"), exact[words])


MIDDLE = st.one_of(
    st.lists(st.integers(0, 65535), min_size=1, max_size=80),
    st.tuples(st.sampled_from([0, 65535, SUM, SUM // 2, 1]), st.integers(1, 80)).map(lambda x: [x[0]] * x[1]),
    st.lists(st.sampled_from([0, 65535]), min_size=30, max_size=80),
).map(lambda x: np.array([*(x * 80)[: 30 + len(x) // 2 * 2]], "<u2"))


@relaxed
@given(MIDDLE, st.integers(-(2**26), 2**27), st.integers(0, 13))
@example(np.where(np.arange(60) % 2, 65535, 0).astype("<u2"), -(2**26), 0)
def test_second(kernels, middle, last, up):
    n = len(middle) - 30
    pcm = b"\x5a" * (n + 2)
    args = (middle.tobytes(), 0x123456, pcm, n, state_bytes(5, 6, last), up)
    clipped, after = kernels.call("pdm.second", *args)
    own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
    assert model.second(*own) == clipped
    assert after == [bytes(arg) for arg in own if isinstance(arg, bytearray)]
    # By convolution, in numbers of any length.
    sums = np.convolve(middle.astype(object), SECOND.astype(object), "valid")[:n:2]
    before = [last, *(total >> 3 for total in sums)]
    wide = [
        (8 * (total - eighth - FILTERS.middle) + (8 << 13 - up)) // (8 << 14 - up)
        for total, eighth in zip(sums, before, strict=False)
    ]
    samples = [min(max(x, -32768), 32767) for x in wide]
    assert np.frombuffer(after[1][:-2], "<i2").tolist() == samples
    assert clipped == sum(a != b for a, b in zip(samples, wide, strict=True))
    assert after[0][:60] == middle.tobytes()[2 * n :]
    assert struct.unpack("<III", after[2]) == (5, 6, before[-1] + BIAS)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("phase", [0, 1])
def test_the_worst_stays_in_32_bits(checked, sign, phase):
    """Every sample at the end of the range that makes this output's sum the largest, or the smallest."""
    worst = np.where(sign * SECOND > 0, 65535, 0)
    middle = np.concatenate([np.zeros(phase * 2), worst, [0]]).astype("<u2")
    n = len(middle) - 30
    last = [-(2**26), 2**28 - 2**26][sign < 0]
    checked.call("pdm.second", middle.tobytes(), 0, bytes(n), n, state_bytes(0, 0, last), 0)


# --- The stage, whole ---------------------------------------------------------------------------------------


class Whole:
    """`Pdm` in CPython, over bits."""

    def __init__(self, fast=True):
        with _own_kernels(fast):
            self.made = importlib.import_module("dsp.pdm").Pdm()
        self.saturated = 0

    def run(self, bits, up=0):
        pcm = bytearray(640)
        frames = []
        for i in range(len(bits) // (8 * FRAME)):
            self.saturated += self.made.run(raw_of(bits[8 * FRAME * i : 8 * FRAME * (i + 1)]), pcm, up)
            frames.append(bytes(pcm))
        return np.frombuffer(b"".join(frames), "<i2").astype(float)


def second_order(x):
    """Bits of the textbook's modulator: two integrators, one bit."""
    bits = bytearray()
    a = b = 0.0
    for u in x.tolist():
        y = 1.0 if b >= 0 else -1.0
        bits.append(y > 0)
        a += u - y
        b += a - y
    return np.frombuffer(bytes(bits), np.uint8)


def tone(hz, dbfs, seconds):
    t = np.arange(int(1_024_000 * seconds)) / 1_024_000
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * t)


def of_tone(found, hz):
    """(level in dB of full scale, dB of the tone to all else without DC)"""
    t = 2 * np.pi * hz / 16000 * np.arange(len(found))
    basis = np.stack([np.sin(t), np.cos(t), np.ones_like(t)], axis=1)
    parts, *_ = np.linalg.lstsq(basis, found, rcond=None)
    rest = found - basis @ parts
    level = np.hypot(*parts[:2])
    return 20 * np.log10(level / 32768), 10 * np.log10(level**2 / 2 / np.mean(rest**2))


def third_order(x):
    return np.frombuffer(bytes(Modulator().run(x)), np.uint8)


@pytest.mark.parametrize(
    ("modulator", "dbfs", "up", "least"),
    [
        (second_order, -6, 0, 71),
        (second_order, -26, 3, 53),
        (third_order, -6, 0, 80),
        (third_order, -26, 3, 59),
        (third_order, -40, 5, 40),
    ],
)
def test_a_sine_through_a_modulator(modulator, dbfs, up, least):
    bits = modulator(tone(1000, dbfs, 0.7))
    level, ratio = of_tone(Whole().run(bits, up)[320:], 1000)
    assert level == pytest.approx(dbfs + 20 * np.log10(2) * up, abs=0.2)
    assert ratio > least
    # Beside what no firmware could do: 20001 taps, 100 dB down.
    taps = signal.firwin(20001, 7700, fs=1_024_000, window=("kaiser", 10))
    ideal = signal.fftconvolve(2.0 * bits - 1, taps, "valid")[::64]
    assert ratio > of_tone(ideal, 1000)[1] - 2.5


def test_gain_takes_what_is_below_16_bits():
    bits = third_order(tone(1000, -36, 0.2))
    plain, loud = (Whole().run(bits, up) for up in (0, 5))
    assert np.abs(loud / 32 - plain).max() <= 0.5 + 1 / 64
    assert len(set(np.mod(loud, 32).tolist())) == 32


@pytest.mark.parametrize("hz", [100, 200, 1000, 2000, 3000, 4000, 5000, 6000, 6500])
def test_pass_band_by_tones(hz):
    bits = third_order(tone(hz, -6, 0.2))
    level, _ = of_tone(Whole().run(bits)[320:], hz)
    assert level == pytest.approx(-6, abs=0.75)
    assert level == pytest.approx(-6 + response(np.array([hz, hz + 1.0]))[0], abs=0.02)


@pytest.mark.parametrize(
    "hz", [9500, 9800, 10300, 12000, 15200, 15900, 17000, 22600, 23700, 25600, 31500, 38000]
)
def test_aliases_by_tones(hz):
    """Nothing but the modulator's noise is where a tone from beyond the band would come out."""
    bits = third_order(tone(hz, -6, 0.2))
    alias = abs((hz + 8000) % 16000 - 8000)
    level, _ = of_tone(Whole().run(bits)[320:], alias)
    assert level < -6 - 60


def noisy_bits(seed=1, frames=6):
    """Speech-like level, then full scale of both signs, then noise."""
    rng = np.random.default_rng(seed)
    quiet = third_order(tone(700, -20, 0.02 * frames))
    n = 8 * FRAME
    return np.concatenate(
        [quiet, np.ones(n, np.uint8), np.zeros(n, np.uint8), rng.integers(0, 2, 2 * n).astype(np.uint8)]
    )


@pytest.mark.parametrize("up", [0, 5])
def test_state_is_carried_exactly_from_frame_to_frame(up):
    """All frames in one convolution give the same, to the bit."""
    bits = noisy_bits()
    found = Whole().run(bits, up)
    before = np.tile([0, 1], 8 * FRAME // 2)  # it begins as if it had been silent
    middle = np.convolve(np.concatenate([before, bits]).astype(np.int64), FIRST)[31::32]
    sums = np.convolve(middle, SECOND)
    at = 640 + 2 * np.arange(len(found))
    total, last = sums[at], sums[at - 2]
    wide = (total - (last >> 3) - FILTERS.middle + (1 << 13 - up)) >> (14 - up)
    assert np.array_equal(found, np.clip(wide, -32768, 32767))
    assert (np.abs(found) > 32000).any()


def test_too_loud_is_cut_and_counted():
    whole = Whole()
    found = whole.run(np.ones(8 * FRAME * 3, np.uint8), 2)
    assert (found[320:] == 32767).all()
    assert whole.saturated >= 640
    assert (whole.run(np.zeros(8 * FRAME * 3, np.uint8), 2)[320:] == -32768).all()


def test_silence_is_zero():
    bits = np.tile([0, 1], 8 * FRAME)
    assert not Whole().run(bits, 5).any()


def test_a_reset_forgets_all():
    whole = Whole()
    begun = whole.run(noisy_bits())
    whole.made.reset()
    assert np.array_equal(whole.run(noisy_bits()), begun)


def test_frames_in_micropython(interpreter, checked):
    """Three frames by the kernels alone, as `Pdm.run` calls them, on all three machines."""
    bits = noisy_bits(frames=1)
    expected = Whole().run(bits[: 3 * 8 * FRAME], 1)
    exact = Whole(fast=False).run(bits[: 3 * 8 * FRAME], 1)
    assert np.array_equal(exact, expected)
    for machine in (interpreter, checked):
        made = Whole().made
        state, middle = bytes(made._state), bytes(made._middle)
        frames = []
        for i in range(3):
            raw = raw_of(bits[8 * FRAME * i : 8 * FRAME * (i + 1)])
            _, (_, middle, _, state) = machine.call(
                "pdm.first", 0, 0, raw, middle, 30, FRAME, tables(), state
            )
            _, (middle, pcm, state) = machine.call("pdm.second", middle, 0, bytes(640), 640, state, 1)
            frames.append(pcm)
        assert np.array_equal(np.frombuffer(b"".join(frames), "<i2"), expected)
