"""Sound files, against the standard library's `wave` and libsndfile."""

import io
import os
import struct
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.audio_files import audio_bytes, read_audio, resample, write_audio
from lunette.errors import LunetteError

RATE = 16000
SAMPLES = st.one_of(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=50),
    st.tuples(st.integers(-32768, 32767), st.integers(1, 9000)).map(lambda held: [held[0]] * held[1]),
).map(lambda values: np.array(values, np.int16))


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
    write_audio(tmp_path / "a.wav", pcm, 8000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert file.readframes(10) == pcm.tobytes()
    assert os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "FLAC"])
@given(pcm=SAMPLES)
def test_round_trip_is_exact(tmp_path_factory, suffix, pcm):
    path = tmp_path_factory.mktemp("sound", numbered=True) / f"a.{suffix}"
    write_audio(path, pcm, RATE)
    assert np.array_equal(read_audio(path), pcm)


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([1000, 8000, 16000, 44100, 65535, 65540, 96000, 192000]))
def test_flac_has_the_samples_of_the_wav(pcm, rate):
    made = [
        soundfile.read(io.BytesIO(audio_bytes(pcm, rate, form)), dtype="int16") for form in ("wav", "flac")
    ]
    for samples, at in made:
        assert at == rate
        assert np.array_equal(samples, pcm)


def test_flac_is_flac_and_smaller(tmp_path):
    pcm = (3000 * np.sin(np.arange(RATE) / 9)).astype(np.int16)
    flac, wav = audio_bytes(pcm, RATE, "flac"), audio_bytes(pcm)
    assert flac[:4] == b"fLaC" and len(flac) < len(wav) / 2
    (tmp_path / "a.flac").write_bytes(flac[: len(flac) // 2])
    with pytest.raises(LunetteError, match=r"a\.flac"):
        read_audio(tmp_path / "a.flac")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_audio(path, np.ones(4, np.int16), RATE)
    old = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(LunetteError, match=r"a\.wav: No space left"):
        write_audio(path, np.zeros(400, np.int16), RATE)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.wav"]


def test_write_refuses_what_is_not_speech(tmp_path):
    for wrong in (np.zeros(4), np.zeros((2, 2), np.int16)):
        with pytest.raises(ValueError, match="int16"):
            write_audio(tmp_path / "a.wav", wrong, RATE)
    for name, pcm, rate in (("a.ogg", np.ones(4), RATE), ("a.flac", [], RATE), ("a.flac", np.ones(4), 65537)):
        with pytest.raises(ValueError, match="do not go into"):
            write_audio(tmp_path / name, np.array(pcm, np.int16), rate)
    assert os.listdir(tmp_path) == []
    with pytest.raises(LunetteError, match="cannot write"):
        write_audio(tmp_path / "missing" / "a.wav", np.zeros(4, np.int16), RATE)


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
    assert read_audio(make_wav(tmp_path / "a.wav", samples, bits=bits)).tolist() == expected


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_16"])
def test_what_other_programs_write(tmp_path, subtype):
    form = "AIFF" if subtype == "PCM_16" else "WAV"
    soundfile.write(tmp_path / "a.x", [0.5, -1.0, 0.0], RATE, format=form, subtype=subtype)
    assert read_audio(tmp_path / "a.x").tolist() == [16384, -32768, 0]


def test_channels_are_averaged(tmp_path):
    path = make_wav(tmp_path / "a.wav", [100, 200, -32768, -32768, 32767, -32767], channels=2)
    assert read_audio(path).tolist() == [150, -32768, 0]


def test_extensible_header_odd_chunks_and_unknown_length(tmp_path):
    guid_tail = bytes.fromhex("000000001000800000aa00389b71")
    form = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, 1) + guid_tail
    data = struct.pack("<3h", 1, 2, 3)
    assert read_audio(make_riff(tmp_path / "a.wav", form, data)).tolist() == [1, 2, 3]
    assert read_audio(make_riff(tmp_path / "b.wav", form, data, 0xFFFFFFFF)).tolist() == [1, 2, 3]


def cut(path, size):
    os.truncate(path, size)


FORM = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "cannot read .*No such file"),
        (lambda p: p.mkdir(), "cannot read .*directory"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_bytes(b"ID3 something else, surely"), "is no sound file.*ffmpeg"),
        (lambda p: p.write_bytes(b"RIFF\4\0\0\0WAVE"), "No 'data' chunk.*ffmpeg"),
        (lambda p: make_riff(p, FORM, b""), "no samples"),
        (lambda p: make_riff(p, FORM, b"x"), "no samples"),
        (lambda p: cut(make_riff(p, FORM, bytes(5000)), 2000), "cut short: 2000 of 5056 bytes"),
        (lambda p: make_riff(p, FORM[:10], b"1234"), "Short 'fmt ' chunk"),
        (lambda p: make_riff(p, b"\x77" + FORM[1:], b"1234"), "is no sound file"),
        (lambda p: make_riff(p, FORM[:2] + b"\0\0" + FORM[4:], b"1234"), "Channel count is zero"),
        (lambda p: make_riff(p, FORM[:4] + b"\1\0\0\0" + FORM[8:], b"1234"), "corrupt: 1 channels at 1 Hz"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, make, said):
    path = tmp_path / "bad.wav"
    make(path)
    with pytest.raises(LunetteError, match=said) as error:
        read_audio(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=80))
def test_garbage_is_refused_or_read_but_never_crashes(tmp_path_factory, tail):
    path = tmp_path_factory.mktemp("sound", numbered=True) / "a.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + tail)
    try:
        pcm = read_audio(path)
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
    pcm = read_audio(make_wav(tmp_path / "a.wav", np.round(tone), rate=44100))
    assert len(pcm) == RATE
    ideal = 12000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert np.abs(pcm - ideal)[100:-100].max() < 15
