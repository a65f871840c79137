"""The host's decoders, against the standard library."""

import struct
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunette.codecs import CODECS, Dvi4Decoder, decode, decode_dvi4, gap_samples
from lunette.errors import LunetteError, UnknownCodec

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop


def audioop_frame(pcm, state=(0, 0)):
    """One DVI4 frame and the state after it, made by the standard library."""
    coded, after = audioop.lin2adpcm(pcm.astype("<i2").tobytes(), 2, state)
    return struct.pack(">hBB", *state, 0) + coded, after


@given(st.integers(-32768, 32767), st.integers(0, 88), st.binary(max_size=200))
def test_decoder_equals_audioop(predictor, index, coded):
    frame = struct.pack(">hBB", predictor, index, 0) + coded
    expected, _ = audioop.adpcm2lin(coded, 2, (predictor, index))
    assert decode_dvi4(frame).tobytes() == expected
    assert decode_dvi4(memoryview(bytearray(frame))).dtype == np.int16


def test_decoder_counts_breaks():
    pcm = (8000 * np.sin(np.arange(320 * 4) / 7)).astype(np.int16)
    frames, state = [], (0, 0)
    for begin in range(0, len(pcm), 320):
        frame, state = audioop_frame(pcm[begin : begin + 320], state)
        frames.append(frame)
    whole = Dvi4Decoder()
    decoded = np.concatenate([whole.decode(frame) for frame in frames])
    assert whole.breaks == 0
    assert np.abs(decoded.astype(int) - pcm)[160:].max() < 1500
    holed = Dvi4Decoder()
    rest = np.concatenate([holed.decode(frame) for frame in frames[:1] + frames[2:]])
    assert holed.breaks == 1
    assert np.array_equal(rest, np.delete(decoded, np.arange(320, 640)))


def test_decoder_bounds():
    with pytest.raises(ValueError, match="at least 4"):
        decode_dvi4(b"\0\0\0")
    assert len(decode_dvi4(b"\0\0\0\0")) == 0
    top, _ = audioop.adpcm2lin(b"\x08", 2, (0, 88))
    for index in (88, 89, 255):
        assert decode_dvi4(bytes([0, 0, index, 0, 0x08])).tobytes() == top


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@given(st.binary(max_size=200))
def test_mulaw_equals_audioop(kind, coded):
    assert decode("mulaw", kind(coded)).tobytes() == audioop.ulaw2lin(coded, 2)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@given(st.lists(st.integers(-32768, 32767), max_size=100))
def test_pcm_is_what_it_is(kind, values):
    decoded = decode("pcm", kind(struct.pack(f"<{len(values)}h", *values)))
    assert decoded.dtype == np.int16
    assert decoded.tolist() == values


def test_half_a_sample_is_no_frame():
    with pytest.raises(ValueError):
        decode("pcm", b"abc")


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=200))
def test_anything_decodes_or_is_no_frame(codec, data):
    try:
        decoded = decode(codec, data)
    except ValueError:
        return
    assert (decoded.dtype, decoded.ndim) == (np.int16, 1)


def test_a_codec_of_the_future_is_named():
    with pytest.raises(LunetteError, match=r"'opus'.*newer") as error:
        decode("opus", bytes(160))
    assert isinstance(error.value, UnknownCodec) and error.value.codec == "opus"


def test_gap_frames():
    assert gap_samples(bytes((0x40, 0x01, 0))) == 320
    assert gap_samples(memoryview(b"\xff\xff\xff")) == 2**24 - 1
    for size in (0, 1, 2, 4, 160, 164):
        assert gap_samples(bytes(size)) is None
