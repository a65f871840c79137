"""Mu-law, on both machines, against the standard library and the host's model."""

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.virtual.equivalents import mulaw as model

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

ALL_SAMPLES = np.arange(-32768, 32768).astype("<i2").tobytes()
ALL_CODES = bytes(range(256))
SAMPLE = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, -32635, 32635, 0, -1, 1]))
SAMPLES = st.one_of(
    st.lists(SAMPLE, max_size=120),
    st.tuples(SAMPLE, st.integers(0, 60)).map(lambda held: [held[0]] * held[1]),  # silence, full scale
).map(lambda values: np.array(values, "<i2").tobytes())


def test_every_sample(kernels):
    count, (_, codes) = kernels.call("mulaw.encode", ALL_SAMPLES, 0, bytes(65536), 0, 65536)
    assert count == 65536
    assert codes == audioop.lin2ulaw(ALL_SAMPLES, 2)
    own = bytearray(65536)
    assert model.encode(ALL_SAMPLES, 0, own, 0, 65536) == 65536
    assert own == codes


def test_every_code(kernels):
    count, (_, samples) = kernels.call("mulaw.decode", ALL_CODES, 0, 256, bytes(512), 0)
    assert count == 256
    assert samples == audioop.ulaw2lin(ALL_CODES, 2)
    own = bytearray(512)
    assert model.decode(ALL_CODES, 0, 256, own, 0) == 256
    assert own == samples


@relaxed
@given(SAMPLES, st.integers(0, 5), st.integers(0, 5))
def test_encode_anywhere(kernels, pcm, pcm_off, out_off):
    n = len(pcm) // 2
    expected = b"\xa5" * out_off + audioop.lin2ulaw(pcm, 2) + b"\xa5" * 2  # and not a byte around it
    args = (b"\x5a" * 2 * pcm_off + pcm + b"\x5a" * 2, pcm_off)
    count, (_, out) = kernels.call("mulaw.encode", *args, b"\xa5" * (out_off + n + 2), out_off, n)
    assert (count, out) == (n, expected)
    own = bytearray(b"\xa5" * (out_off + n + 2))
    assert (model.encode(*args, own, out_off, n), own) == (n, expected)


@relaxed
@given(st.binary(max_size=120), st.integers(0, 5), st.integers(0, 5))
def test_decode_anywhere(kernels, codes, off, pcm_off):
    n = len(codes)
    expected = b"\x5a" * 2 * pcm_off + audioop.ulaw2lin(codes, 2) + b"\x5a" * 2
    args = (b"\xa5" * off + codes + b"\xa5", off, n)
    count, (_, pcm) = kernels.call("mulaw.decode", *args, b"\x5a" * 2 * (pcm_off + n + 1), pcm_off)
    assert (count, pcm) == (n, expected)
    own = bytearray(b"\x5a" * 2 * (pcm_off + n + 1))
    assert (model.decode(*args, own, pcm_off), own) == (n, expected)


@relaxed
@given(SAMPLES)
def test_what_was_coded_comes_back_near_and_codes_to_the_same(kernels, pcm):
    """Mu-law is a projection, within 1/32 of the magnitude (half a step, of 16 in a segment) and the two bits
    that are dropped."""
    n = len(pcm) // 2
    _, (_, codes) = kernels.call("mulaw.encode", pcm, 0, bytes(n), 0, n)
    _, (_, back) = kernels.call("mulaw.decode", codes, 0, n, bytes(2 * n), 0)
    said, heard = (np.frombuffer(x, "<i2").astype(int) for x in (pcm, back))
    clipped = np.clip(said, -32635, 32635)
    assert (np.abs(heard - clipped) <= (np.abs(clipped) + 132) / 32 + 4).all()
    assert kernels.call("mulaw.encode", back, 0, bytes(n), 0, n)[1][1] == codes.replace(b"\x7f", b"\xff")
