"""`lunette draw`, and the pictures that the demo leaves."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from scipy import signal

from lunette import cli, paths, picture, waveform
from lunette.audio_files import read_audio, write_audio
from lunette.commands.draw import track
from lunette.picture import Level

RATE = 16000
SPEECH = read_audio(paths.DATA / "speech.wav")
YELLOW = (0xE8, 0xA3, 0x3D)


def tone(hz: float, dbfs: float, seconds: float, rate: int = RATE) -> np.ndarray:
    wave = 10 ** (dbfs / 20) * 32768 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.rint(wave).clip(-32768, 32767).astype(np.int16)


def colours(path: Path) -> np.ndarray:
    """(height, width, 3), 0..255."""
    return np.rint(imread(path)[..., :3] * 255).astype(int)


def columns(path: Path, colour: tuple[int, int, int], off: int = 3) -> np.ndarray:
    """How many pixels of that colour each column of the picture has."""
    return (np.abs(colours(path) - colour).max(axis=2) <= off).sum(axis=0)


def at(seconds: float, whole: float, width: int = 1320) -> float:
    """The column of the picture that is that time."""
    return width * (picture._LEFT + (picture._RIGHT - picture._LEFT) * seconds / whole)


# --- numbers ------------------------------------------------------------------------------------------------


def test_levels_are_of_full_scale() -> None:
    found = Level.of(tone(1000, -12, 1))
    assert (found.peak, found.rms) == (pytest.approx(-12, abs=0.01), pytest.approx(-15.01, abs=0.01))
    assert str(found) == "peak \N{MINUS SIGN}12.0, RMS \N{MINUS SIGN}15.0 dBFS"
    assert str(Level.of(np.zeros(9, np.int16))) == str(Level.of(np.zeros(0, np.int16))) == "silence"
    assert Level.of(np.full(4, -32768, np.int16)) == Level(0.0, 0.0)


@pytest.mark.parametrize("seconds", [0.5, 3.0, 400.0])
def test_a_spectrogram_has_a_tone_at_its_frequency_and_level_and_time(seconds: float) -> None:
    half = round(seconds * RATE / 2)
    pcm = np.concatenate([np.zeros(half, np.int16), tone(2000, -20, seconds / 2)])
    levels, column_s, top = picture.spectrogram(pcm, RATE)
    assert top == 8000 and levels.shape[1] <= 1600
    assert levels.shape[1] * column_s == pytest.approx(seconds, abs=column_s)
    hz = np.linspace(0, top, len(levels))
    late = levels[:, round(0.75 * levels.shape[1])]
    assert hz[np.argmax(late)] == 2000 and late.max() == pytest.approx(-20, abs=0.1)
    assert late[(hz < 1800) | (hz > 2200)].max() < -85
    onset = np.flatnonzero(levels.max(axis=0) > -40)[0] * column_s
    assert onset == pytest.approx(seconds / 2, abs=0.016 + column_s)
    assert levels[:, : round(0.4 * levels.shape[1])].max() < -120


def test_a_spectrogram_is_that_of_scipy() -> None:
    levels, column_s, _ = picture.spectrogram(SPEECH, RATE)
    window = signal.windows.hann(512, sym=False)
    hop = round(column_s * RATE)
    # A column shows the middle of its time, scipy's its begin.
    stft = signal.ShortTimeFFT(window, hop, RATE).stft(SPEECH[hop // 2 :], p0=0, p1=levels.shape[1])
    expected = 20 * np.log10(np.maximum(1e-7, np.abs(stft) / (32768 * window.sum() / 2)))
    loud = expected[:, 4:-4] > -110
    assert loud.mean() > 0.3
    assert np.abs(levels[:, 4:-4] - expected[:, 4:-4])[loud].max() < 0.01


@pytest.mark.parametrize(("rate", "ends"), [(8000, 4000), (48000, 8000), (44100, 8000)])
def test_another_rate_ends_at_half_of_it_or_at_8_khz(rate: int, ends: int) -> None:
    levels, _, top = picture.spectrogram(tone(1000, -6, 1, rate), rate)
    assert ends - rate / 512 < top <= ends
    assert np.argmax(levels[:, 10]) / (len(levels) - 1) * top == pytest.approx(1000, abs=rate / 1024)


# --- the command --------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(("draw", *arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_draws_what_is_there_and_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "one.flac", SPEECH[: 4 * RATE])
    about = {
        "meta": {"codec": "dvi4", "cleaning": "full"},
        "end": {"voice": [[500, 1500]]},
        "gaps": [[2.0, 1.0]],
    }
    (tmp_path / "one.json").write_text(json.dumps(about))
    write_audio(tmp_path / "two.wav", tone(1000, -20, 2))
    code, out, err = run(capsys, str(tmp_path / "one.flac"), str(tmp_path / "two.wav"))
    assert (code, err) == (0, "")
    first, second, third = out.splitlines()
    assert first.startswith("one.flac  4.00 s  peak") and "RMS \N{MINUS SIGN}23.0 dBFS" in second
    assert third == str(tmp_path / "one.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.flac", "one.json", "one.png", "two.wav"]
    bar = np.flatnonzero(columns(tmp_path / "one.png", YELLOW) >= 5)
    assert bar[0] == pytest.approx(at(0.5, 4), abs=2) and bar[-1] == pytest.approx(at(1.5, 4), abs=2)
    # Two of the four seconds of the second one's spectrogram are nobody's, and all of the first one's are.
    paper = columns(tmp_path / "one.png", (0xEE, 0xF1, 0xF3))
    assert paper[round(at(1, 4))] < 20 < 150 < paper[round(at(3, 4))]


def test_gaps_are_hatched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "a.wav", tone(500, -6, 4))
    run(capsys, str(tmp_path / "a.wav"), "--out", str(tmp_path / "without.png"))
    (tmp_path / "a.json").write_text(json.dumps({"gaps": [[1.0, 0.5]]}))
    run(capsys, str(tmp_path / "a.wav"), "--out", str(tmp_path / "with.png"))
    before, after = colours(tmp_path / "without.png"), colours(tmp_path / "with.png")
    # Above the panels it is also said how many there are.
    differs = np.flatnonzero((before != after)[50:].any(axis=(0, 2)))
    assert differs[0] == pytest.approx(at(1.0, 4), abs=2) and differs[-1] == pytest.approx(at(1.5, 4), abs=2)


@pytest.mark.parametrize(
    "about",
    [
        b"",
        b"{",
        b"[1]",
        b'{"gaps": 3, "end": 4, "meta": []}',
        b'{"gaps": [[1], ["a", 2]], "end": {"voice": [[]]}}',
    ],
)
def test_what_lies_beside_it_may_be_anything(tmp_path: Path, about: bytes) -> None:
    write_audio(tmp_path / "a.wav", tone(500, -6, 0.1))
    (tmp_path / "a.json").write_bytes(about)
    found = track(tmp_path / "a.wav")
    assert (found.gaps, found.detail) == ([], "") and not found.voice


@pytest.mark.parametrize(("n", "silent"), [(1, False), (100, True), (RATE, True)])
def test_short_and_silent_ones_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n: int, silent: bool
) -> None:
    write_audio(tmp_path / "a.wav", np.full(n, 0 if silent else 999, np.int16))
    code, out, err = run(capsys, str(tmp_path / "a.wav"))
    assert code == 0 and not err and ("silence" in out) == silent
    assert colours(tmp_path / "a.png").shape[1] == 1320


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "a.wav", tone(500, -6, 0.1))
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "file").touch()
    for arguments, complaint in (
        (["nowhere.wav"], "nowhere.wav"),
        (["text.wav"], "text.wav is no sound file"),
        (["a.wav", "--out", "a.jpg"], "a.jpg is no PNG"),
        (["a.wav"] * 17, "17 recordings are too many for one picture: 16 at most"),
        (["a.wav", "--out", "file/a.png"], "cannot write"),
    ):
        given = [a if a.startswith("--") else str(tmp_path / a) for a in arguments]
        code, out, err = run(capsys, *given)
        assert code == 1 and not out and complaint in err and err.count("\n") == 1, arguments
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "file", "text.wav"]


# --- the demo's picture -------------------------------------------------------------------------------------


def said(seconds: float = 6.0) -> np.ndarray:
    pcm = np.zeros(round(seconds * RATE), np.int16)
    pcm[4000 : 4000 + len(SPEECH)] = SPEECH
    return pcm


@pytest.mark.parametrize(("gain_db", "late"), [(-9.0, 0), (6.0, 352), (0.0, -16)])
def test_of_cleaned_speech_level_and_delay_are_compared(gain_db: float, late: int) -> None:
    quiet = (said() // 8).astype(np.int16)
    received = np.roll(np.rint(quiet * 10 ** (gain_db / 20)), late).astype(np.int16)
    received[received == 0] = np.random.default_rng(1).integers(-3, 4, (received == 0).sum())
    found = waveform.compare(quiet, received, RATE, cleaned=True)
    assert found.cleaned and found.delay_s == late / RATE
    assert found.gain_db == pytest.approx(gain_db, abs=0.02)


def test_silence_has_neither() -> None:
    for sent, received in ((np.zeros(99, np.int16), said()), (said(), np.zeros(5, np.int16))):
        found = waveform.compare(sent, received, RATE, cleaned=True)
        assert (found.gain_db, found.delay_s) == (None, None)


@pytest.mark.parametrize("cleaning", [None, "off", "light", "full"])
def test_the_picture_says_what_can_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cleaning: str | None
) -> None:
    words: list[str] = []
    write = picture.Sheet.text

    def text(self: Any, axes: Any, above: float, text: str, **how: Any) -> None:
        words.append(text)
        write(self, axes, above, text, **how)

    drawn: list[np.ndarray] = []
    panel = picture.waveform

    def remember(axes: Any, samples: np.ndarray, rate: int, colour: str, limit: float) -> None:
        drawn.append(samples)
        panel(axes, samples, rate, colour, limit)

    monkeypatch.setattr(picture.Sheet, "text", text)
    monkeypatch.setattr(picture, "waveform", remember)
    path = tmp_path / "new" / "waveform.png"
    received = np.roll(said() // 2, 160).astype(np.int16)
    found = waveform.draw(path, said(), received, RATE, "Title", cleaning)
    assert words[0] == "Title" and [p.name for p in path.parent.iterdir()] == ["waveform.png"]
    red = columns(path, (0xC2, 0x54, 0x3D)).sum()
    if cleaning in (None, "off"):
        assert (drawn[1] == received).all() and (drawn[2] == said().astype(int) - received).all()
        assert "SNR" in words[1] and found.snr_db < 3 and red > 1000
    else:
        assert (drawn[1] == said() // 2).all(), "at the time of what was said"
        assert "the voice is 6.0 dB softer, and 10 ms late" in words[1] and "SNR" not in words[1]
        assert red == 0, "there is no difference to draw"
    assert colours(path).shape[1] == 1320


def test_without_a_difference_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = waveform.draw(tmp_path / "a.png", said(), said(), RATE)
    assert math.isinf(found.snr_db) and found.gain_db is None
    assert "no difference at all" in waveform._caption(found, said(), said(), RATE)


@pytest.mark.parametrize("n", [0, 1, 1601])
def test_cleaned_recordings_of_any_length_are_drawn(tmp_path: Path, n: int) -> None:
    sent, received = np.ones(n, np.int16), np.ones(max(0, n - 1), np.int16)
    waveform.draw(tmp_path / "a.png", sent, received, RATE, "x", "full")
    assert colours(tmp_path / "a.png").shape[1] == 1320
