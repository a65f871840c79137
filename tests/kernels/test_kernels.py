"""The firmware's kernels, on both machines, against the standard library and numpy."""

import binascii
import math
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.codecs import Dvi4Decoder
from lunette.paths import FIRMWARE
from lunette.virtual.viper_lint import check_kernel

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

SAMPLE = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1, 1]))


def samples(min_size=0, max_size=120):
    return st.lists(SAMPLE, min_size=min_size, max_size=max_size).map(lambda x: np.array(x, "<i2"))


STATES = st.tuples(st.integers(-32768, 32767), st.integers(0, 88))


def state_bytes(predictor, index):
    return struct.pack("<hBB", predictor, index, 0)


# --- Static rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(FIRMWARE.glob("glasses/dsp/*.py")), ids=lambda path: path.name)
def test_kernels_avoid_what_compilers_get_wrong(path):
    assert check_kernel(path.read_text()) == []


def test_there_are_kernels():
    names = {path.name for path in FIRMWARE.glob("glasses/dsp/*.py")}
    assert {"adpcm.py", "crc32.py", "pcm.py"} <= names


def test_allocation_would_be_noticed(interpreter):
    with pytest.raises(RuntimeError, match="MemoryError"):
        interpreter.call("allocate", 100)


# --- ADPCM ------------------------------------------------------------------------------------------


def encode_with_audioop(pcm, state):
    coded, after = audioop.lin2adpcm(pcm.tobytes(), 2, state)
    return struct.pack(">hBB", *state, 0) + coded, after


@relaxed
@given(samples().map(lambda x: x[: len(x) & ~1]), STATES, st.integers(0, 3), st.integers(0, 5))
def test_encode_equals_audioop(kernels, pcm, state, pcm_off, out_off):
    frame, after = encode_with_audioop(pcm, state)
    out = bytes([0xA5]) * (out_off + len(frame) + 2)
    size, (_, out, moved) = kernels.call(
        "adpcm.encode",
        bytes(2 * pcm_off) + pcm.tobytes(),
        pcm_off,
        out,
        out_off,
        len(pcm),
        state_bytes(*state),
    )
    assert size == len(frame)
    assert out == b"\xa5" * out_off + frame + b"\xa5" * 2  # and not a byte around it
    assert moved == state_bytes(*after)


@relaxed
@given(st.binary(max_size=120), STATES, st.integers(0, 5), st.integers(0, 3))
def test_decode_equals_audioop(kernels, coded, state, off, pcm_off):
    expected, _ = audioop.adpcm2lin(coded, 2, state)
    frame = struct.pack(">hBB", *state, 0) + coded
    pcm = b"\x5a" * (2 * pcm_off + len(expected) + 2)
    count, (_, pcm) = kernels.call("adpcm.decode", b"\1" * off + frame, off, len(frame), pcm, pcm_off)
    assert count == 2 * len(coded)
    assert pcm == b"\x5a" * 2 * pcm_off + expected + b"\x5a" * 2


def test_decode_survives_any_step_index(kernels):
    for index in (89, 128, 255):
        _, (_, wild) = kernels.call("adpcm.decode", bytes([0, 0, index, 0, 0x7F]), 0, 5, bytes(4), 0)
        _, (_, top) = kernels.call("adpcm.decode", bytes([0, 0, 88, 0, 0x7F]), 0, 5, bytes(4), 0)
        assert wild == top


def signals():
    t = np.arange(320 * 6) / 16000
    noise = np.random.default_rng(1)
    voiced = sum(np.sin(2 * np.pi * 120 * k * t + k) / k for k in range(1, 20))
    return {
        "voice": 7000 * voiced * (1 + np.sin(2 * np.pi * 4 * t)) / 2 + noise.normal(0, 40, len(t)),
        "silence": np.zeros(len(t)),
        "noise": noise.normal(0, 9000, len(t)),
        "square": 32767 * np.sign(np.sin(2 * np.pi * 1000 * t)),
        "clipped": 60000 * np.sin(2 * np.pi * 300 * t),
        "clicks": 32767 * (np.arange(len(t)) % 97 == 0),
        "offset": np.full(len(t), -32768),
    }


@pytest.mark.parametrize("name", signals())
def test_a_stream_of_full_frames(kernels, name):
    """Frames of the firmware's size, state carried over: the codes, the glasses' and the host's decoding."""
    pcm = np.clip(np.round(signals()[name]), -32768, 32767).astype("<i2")
    state, reference_state = bytes(4), (0, 0)
    host = Dvi4Decoder()
    for begin in range(0, len(pcm), 320):
        block = pcm[begin : begin + 320]
        expected, reference_state = encode_with_audioop(block, reference_state)
        size, (_, frame, state) = kernels.call("adpcm.encode", block.tobytes(), 0, bytes(164), 0, 320, state)
        assert (size, frame) == (164, expected)
        count, (_, decoded) = kernels.call("adpcm.decode", frame, 0, 164, bytes(640), 0)
        assert count == 320
        assert np.array_equal(host.decode(frame), np.frombuffer(decoded, "<i2"))
    assert host.breaks == 0


def test_reset_and_frame_size(checked):
    from dsp import adpcm

    state = bytearray(b"\1\2\3\4")
    adpcm.reset(state)
    assert state == bytes(4)
    assert adpcm.FRAME_BYTES == 4 + adpcm.FRAME_SAMPLES // 2


# --- CRC --------------------------------------------------------------------------------------------


@relaxed
@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(0, 3))
def test_crc_equals_binascii(kernels, parts, off):
    _, (state,) = kernels.call("crc32.reset", b"\1\2\3\4")
    whole = b""
    for part in parts:
        _, (state, _) = kernels.call("crc32.update", state, b"\xee" * off + part + b"\xee", off, len(part))
        whole += part
        assert int.from_bytes(state, "little") == binascii.crc32(whole)
    assert kernels.call("crc32.value", state)[0] == binascii.crc32(whole)


# --- PCM --------------------------------------------------------------------------------------------


@relaxed
@given(st.binary(max_size=60), st.integers(0, 5), st.integers(0, 5))
def test_copy(kernels, data, dst_off, src_off):
    _, (dst, src) = kernels.call(
        "pcm.copy", b"." * (dst_off + len(data) + 1), dst_off, b"-" * src_off + data, src_off, len(data)
    )
    assert dst == b"." * dst_off + data + b"."
    assert src == b"-" * src_off + data


def test_copy_towards_lower_offsets_in_one_buffer(checked):
    from dsp import pcm

    buffer = bytearray(b"abcdef")
    pcm.copy(buffer, 0, buffer, 2, 4)
    assert buffer == b"cdefef"


def check_levels(kernels, pcm):
    wide = pcm.astype(np.int64)
    square = int((wide**2).sum()) // len(pcm) if len(pcm) else 0
    raw = pcm.tobytes()
    assert kernels.call("pcm.peak", raw, len(pcm))[0] == min(32767, int(np.abs(wide).max(initial=0)))
    assert kernels.call("pcm.mean_square", raw, len(pcm))[0] == min(square, 2**30 - 1)
    assert kernels.call("pcm.rms", raw, len(pcm))[0] == min(math.isqrt(square), 32767)


@relaxed
@given(samples())
def test_levels(kernels, pcm):
    check_levels(kernels, pcm)


@pytest.mark.parametrize("value", [-32768, 32767, 181, 1])
def test_levels_of_the_longest_and_loudest(kernels, value):
    check_levels(kernels, np.full(16384, value, "<i2"))


@relaxed
@given(st.one_of(st.integers(0, 2**30 - 1), st.integers(0, 32767).map(lambda r: r * r)))
def test_root(kernels, x):
    assert kernels.call("pcm._root", x)[0] == math.isqrt(x)
