"""The host's DVI4 decoder and WAV files, against the standard library."""

import os
import struct
import warnings
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunette.codecs import Dvi4Decoder, decode_dvi4, read_wav, resample, write_wav
from lunette.errors import LunetteError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

RATE = 16000


def audioop_frame(pcm, state=(0, 0)):
    """One DVI4 frame and the state after it, made by the standard library."""
    coded, after = audioop.lin2adpcm(pcm.astype("<i2").tobytes(), 2, state)
    return struct.pack(">hBB", *state, 0) + coded, after


# --- DVI4 ---------------------------------------------------------------------------------------


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


# --- WAV ----------------------------------------------------------------------------------------


def make_wav(path, samples, *, rate=RATE, bits=16, channels=1):
    """A file by the standard library, from integers of the format's own scale."""
    size = bits // 8
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(size)
        file.setframerate(rate)
        file.writeframes(b"".join(int(s).to_bytes(size, "little", signed=bits > 8) for s in samples))
    return path


def make_riff(path, form, data, size=None):
    chunk = struct.pack("<4sI", b"LIST", 3) + b"abc\0"  # odd, hence padded
    chunk += struct.pack("<4sI", b"fmt ", len(form)) + form
    chunk += struct.pack("<4sI", b"data", len(data) if size is None else size) + data
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 4 + len(chunk), b"WAVE") + chunk)
    return path


def test_written_files_are_read_by_the_standard_library(tmp_path):
    pcm = np.array([0, 1, -1, 32767, -32768], np.int16)
    write_wav(tmp_path / "a.wav", pcm, 8000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert file.readframes(10) == pcm.tobytes()
    assert os.listdir(tmp_path) == ["a.wav"]


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_round_trip_is_exact(tmp_path_factory, samples):
    path = tmp_path_factory.mktemp("wav", numbered=True) / "a.wav"
    pcm = np.array(samples, np.int16)
    write_wav(path, pcm, RATE)
    assert np.array_equal(read_wav(path), pcm)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_wav(path, np.ones(4, np.int16), RATE)
    old = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(LunetteError, match=r"a\.wav: No space left"):
        write_wav(path, np.zeros(400, np.int16), RATE)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.wav"]


def test_write_refuses_what_is_not_speech(tmp_path):
    for wrong in (np.zeros(4), np.zeros((2, 2), np.int16)):
        with pytest.raises(ValueError, match="int16"):
            write_wav(tmp_path / "a.wav", wrong, RATE)
    with pytest.raises(LunetteError, match="cannot write"):
        write_wav(tmp_path / "missing" / "a.wav", np.zeros(4, np.int16), RATE)


@pytest.mark.parametrize(
    ("bits", "samples", "expected"),
    [
        (8, [0, 128, 255], [-32768, 0, 32512]),
        (16, [-32768, 0, 32767], [-32768, 0, 32767]),
        (24, [-(2**23), -256, 128, 2**23 - 1], [-32768, -1, 1, 32767]),
        (32, [-(2**31), -65536, 2**31 - 1], [-32768, -1, 32767]),
    ],
)
def test_every_width(tmp_path, bits, samples, expected):
    assert read_wav(make_wav(tmp_path / "a.wav", samples, bits=bits)).tolist() == expected


def test_channels_are_averaged(tmp_path):
    path = make_wav(tmp_path / "a.wav", [100, 200, -32768, -32768, 32767, -32767], channels=2)
    assert read_wav(path).tolist() == [150, -32768, 0]


def test_extensible_header_odd_chunks_and_unknown_length(tmp_path):
    guid_tail = bytes.fromhex("000000001000800000aa00389b71")
    form = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, 1) + guid_tail
    data = struct.pack("<3h", 1, 2, 3)
    assert read_wav(make_riff(tmp_path / "a.wav", form, data)).tolist() == [1, 2, 3]
    assert read_wav(make_riff(tmp_path / "b.wav", form, data, 0xFFFFFFFF)).tolist() == [1, 2, 3]


FORM = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "cannot read .*No such file"),
        (lambda p: p.mkdir(), "cannot read .*directory"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_bytes(b"ID3 something else, surely"), "is not a WAV file.*ffmpeg"),
        (lambda p: p.write_bytes(b"RIFF\0\0\0\0WAVE"), "is corrupt"),
        (lambda p: make_riff(p, FORM, b""), "no samples"),
        (lambda p: make_riff(p, FORM, b"x"), "no samples"),
        (lambda p: make_riff(p, FORM, b"1234", 5000), "cut short: 4 of 5000"),
        (lambda p: make_riff(p, FORM[:10], b"1234"), "is corrupt"),
        (lambda p: make_riff(p, b"\x03" + FORM[1:], b"1234"), "format 3"),
        (lambda p: make_riff(p, FORM[:14] + b"\x0c\x00", b"1234"), "of 12 bits"),
        (lambda p: make_riff(p, FORM[:2] + b"\0\0" + FORM[4:], b"1234"), "0 channels"),
        (lambda p: make_riff(p, FORM[:4] + b"\0\0\0\0" + FORM[8:], b"1234"), "0 Hz"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, make, said):
    path = tmp_path / "bad.wav"
    make(path)
    with pytest.raises(LunetteError, match=said) as error:
        read_wav(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=80))
def test_garbage_is_refused_or_read_but_never_crashes(tmp_path_factory, tail):
    path = tmp_path_factory.mktemp("wav", numbered=True) / "a.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + tail)
    try:
        pcm = read_wav(path)
    except LunetteError:
        return
    assert pcm.dtype == np.int16


# --- Resampling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 15990])
def test_a_sine_stays_that_sine(rate):
    seconds, tone = 0.5, 0.45 * min(rate, RATE)  # 0.9 of the lower Nyquist frequency
    source = 0.5 * np.sin(2 * np.pi * tone * np.arange(int(rate * seconds)) / rate)
    result = resample(source, rate, RATE)
    assert len(result) == round(len(source) * RATE / rate)
    ideal = 0.5 * np.sin(2 * np.pi * tone * np.arange(len(result)) / RATE)
    inner = slice(400, -400)  # away from the edges, where the signal itself begins abruptly
    assert np.abs(result - ideal)[inner].max() < 0.5 * 10 ** (-60 / 20)


def test_what_the_new_rate_cannot_hold_is_gone():
    source = np.sin(2 * np.pi * 9000 * np.arange(24000) / 48000)  # would alias to 7 kHz
    assert np.abs(resample(source, 48000, RATE))[400:-400].max() < 10 ** (-60 / 20)


def test_a_file_of_another_rate_is_resampled(tmp_path):
    tone = 12000 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    pcm = read_wav(make_wav(tmp_path / "a.wav", np.round(tone), rate=44100))
    assert len(pcm) == RATE
    ideal = 12000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert np.abs(pcm - ideal)[100:-100].max() < 15
