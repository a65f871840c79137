"""What is shown: levels, lines, JSON, the picture of the waveform."""

from __future__ import annotations

import io
import json
import math
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunette import display, waveform
from lunette.store import Recording
from lunette.virtual.scene import Action

HELLO = {"name": "Lunette", "board": "virtual", "firmware": "0.1.0", "recordings": 0, "boot": 1}
META = {"codec": "dvi4", "rate": 16000, "frame": 320, "cause": "button"}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class FakeClient:
    is_connected = True
    mtu = 247


def frame(first: int, code: int) -> bytes:
    """A DVI4 frame that starts at `first` with the largest step and repeats one code."""
    return int(first).to_bytes(2, "big", signed=True) + bytes((88, 0)) + bytes([code * 17] * 160)


def speech(number: int = 7) -> Recording:
    return Recording(number, "speech", dict(META))


def feed(view: display.View, clock: Clock) -> Recording:
    """A whole recording of a second: what a listener would tell."""
    recording = speech()
    view.observe("searching", None)
    view.observe("connected", HELLO)
    view.observe("recording", recording)
    for index in range(50):
        clock.now += 0.02
        recording.frames[index] = frame(8000, 0)
        recording.next_index = index + 1
        view.observe("frame", (recording, index))
    recording.crc_ok, recording.complete, recording.path = True, True, Path("/tmp/x.wav")
    view.observe("recorded", recording)
    view.observe("disconnected", None)
    return recording


# --- levels -------------------------------------------------------------------------------------


def test_level_of_a_full_scale_sine_is_3_db_below_full_scale():
    sine = np.rint(32767 * np.sin(2 * np.pi * np.arange(1600) / 16)).astype(np.int16)
    assert display.level_dbfs(sine) == pytest.approx(-3.01, abs=0.01)
    assert display.level_dbfs(np.full(10, -32768, np.int16)) == pytest.approx(0.0)
    # int16 cannot hold its own square
    assert display.level_dbfs(np.full(10, 3277, np.int16)) == pytest.approx(-20.0, abs=0.01)


def test_level_of_silence_and_of_nothing_is_the_floor():
    assert display.level_dbfs(np.zeros(320, np.int16)) == -96
    assert display.level_dbfs(np.zeros(0, np.int16)) == -96


@given(st.floats(-200, 20), st.integers(0, 60))
def test_a_bar_is_always_as_wide_as_asked(level, width):
    drawn = display.bar(level, width, "#", "-")
    assert len(drawn) == width
    assert drawn == "#" * drawn.count("#") + "-" * drawn.count("-")
    assert drawn.count("#") <= display.bar(level + 5, width, "#", "-").count("#")


def test_meter_rises_at_once_and_falls_slowly():
    clock = Clock()
    monitor = display.Monitor(clock)
    recording = speech()
    recording.frames = {0: frame(20000, 0), 1: bytes(164)}
    monitor.observe("frame", (recording, 0))
    loud = monitor.level
    assert loud > -10
    monitor.observe("frame", (recording, 1))
    assert monitor.level == pytest.approx(loud - 20 / 1.7 * 0.02)


def test_a_frame_that_cannot_be_decoded_has_no_level():
    monitor = display.Monitor(Clock())
    recording = speech()
    recording.frames = {0: b"\x00"}
    monitor.observe("frame", (recording, 0))
    assert monitor.level == -96


def test_rate_counts_the_last_second_only():
    clock = Clock()
    monitor = display.Monitor(clock)
    recording = speech()
    for index in range(100):  # two seconds at 50 frames of 164 bytes
        clock.now = index * 0.02
        recording.frames[index] = frame(0, 0)
        monitor.observe("frame", (recording, index))
    assert monitor.kbps == pytest.approx(50 * 164 * 8 / 1000, rel=0.03)
    clock.now += 5
    assert monitor.kbps == 0


def test_state_is_one_word():
    monitor = display.Monitor(Clock())
    assert monitor.state == "starting"
    monitor.observe("searching", None)
    assert monitor.state == "searching"
    monitor.observe("connected", HELLO)
    assert monitor.state == "connected"
    recording = speech()
    monitor.observe("recording", recording)
    assert monitor.state == "recording"
    monitor.observe("disconnected", None)
    assert monitor.state == "disconnected"
    monitor.observe("power", False)
    assert monitor.state == "no power"


# --- views --------------------------------------------------------------------------------------


def test_plain_lines_tell_the_story_without_control_characters():
    clock, out = Clock(), io.StringIO()
    view = display.PlainView(display.Monitor(clock, FakeClient), out)
    feed(view, clock)
    view.observe("line", "\x1b[31mred\x07\x00 alert\r")
    lines = out.getvalue().splitlines()
    assert lines[0] == "searching for glasses"
    assert lines[1] == "connected to Lunette (board virtual, firmware 0.1.0, MTU 247)"
    assert lines[2] == "recording 7: speech (button)"
    levels = [line for line in lines if line.startswith("level ")]
    assert len(levels) == 1  # one a second
    assert "recorded 7: 1.00 s, 50 frames, 0 lost, CRC ok: /tmp/x.wav" in lines
    assert lines[-2:] == ["disconnected", "| [31mred alert"]
    assert not any(unicodedata.category(c) == "Cc" for c in out.getvalue().replace("\n", ""))


def test_what_was_not_captured_is_told():
    clock, out = Clock(), io.StringIO()
    recording = speech()
    for index, data in enumerate((frame(8000, 0), b"\x80\x3e\0", frame(8000, 0), b"\x40\x1f\0")):
        recording.take(index, data)
    recording.crc_ok, recording.complete, recording.path = True, True, Path("/tmp/x.wav")
    display.PlainView(display.Monitor(clock), out).observe("recorded", recording)
    assert out.getvalue() == "recorded 7: 1.54 s, 4 frames, 0 lost, 1.50 s not captured, CRC ok: /tmp/x.wav\n"
    assert display.as_json("recorded", recording, display.Monitor(clock))["gaps"] == [
        [0.02, 1.0],
        [1.04, 0.5],
    ]


@pytest.mark.parametrize(
    ("codec", "size", "data", "level"),
    [
        ("mulaw", 160, b"\0" * 160, -0.2),  # the loudest there is
        ("pcm", 80, b"\0\x80" * 80, 0.0),
        ("opus", 320, b"\0" * 60, -96),
        ("mulaw", 160, b"\x80\x3e\0", -96),  # a gap
    ],
)
def test_the_level_is_that_of_the_codec(codec, size, data, level):
    monitor = display.Monitor(Clock())
    recording = Recording(7, "speech", {"codec": codec, "rate": 16000, "frame": size})
    recording.take(0, data)
    monitor.observe("frame", (recording, 0))
    assert monitor.level == pytest.approx(level, abs=0.05)


def test_an_attempt_that_failed_is_no_disconnection():
    out = io.StringIO()
    view = display.PlainView(display.Monitor(Clock()), out)
    for what, detail in (
        ("searching", None),
        ("disconnected", None),
        ("problem", "could not connect"),
        ("connected", HELLO),
        ("disconnected", None),
        ("disconnected", None),
    ):
        view.observe(what, detail)
    assert [line.split(" ")[0] for line in out.getvalue().splitlines()] == [
        "searching",
        "problem:",
        "connected",
        "disconnected",
    ]


@given(st.text())
def test_clean_leaves_no_control_character(text):
    cleaned = display.clean(text)
    assert not any(unicodedata.category(c) == "Cc" and c != "\t" for c in cleaned)
    assert [c for c in text if unicodedata.category(c) != "Cc"] == [c for c in cleaned if c != "\t"]


def test_json_is_an_object_a_line_and_nothing_else():
    clock, out = Clock(), io.StringIO()
    view = display.JsonView(display.Monitor(clock, FakeClient), out)
    feed(view, clock)
    view.observe("line", "not for programs")
    view.say("nor this")
    documents = [json.loads(line) for line in out.getvalue().splitlines()]
    kinds = [d["event"] for d in documents if d["event"] != "level"]
    assert kinds == ["searching", "connected", "recording", "recorded", "disconnected"]
    levels = [d for d in documents if d["event"] == "level"]
    assert len(levels) == 4
    # every code adds an eighth of the step: from 8000 it only rises
    assert all(-12.5 < d["dbfs"] < 0 for d in levels)
    recorded = next(d for d in documents if d["event"] == "recorded")
    assert recorded | {"path": None} == {
        "event": "recorded",
        "id": 7,
        "kind": "speech",
        "cause": "button",
        "duration_s": 1.0,
        "frames": 50,
        "lost": 0,
        "gaps": [],
        "crc_ok": True,
        "path": None,
    }


@given(st.integers(20, 200), st.booleans(), st.floats(-96, 0))
def test_live_lines_fit_the_terminal(width, unicode, level):
    clock = Clock()
    monitor = display.Monitor(clock, FakeClient)
    recording = speech()
    for what, detail in (
        ("power", True),
        ("light", True),
        ("action", Action(0, "press", {"button": "talk"})),
        ("action", Action(0, "battery", {"volts": 3.7})),
        ("connected", HELLO),
        ("recording", recording),
    ):
        monitor.observe(what, detail)
    monitor.level = level
    lines = display.live_lines(monitor, width, unicode)
    assert len(lines) == 2
    assert all(line.cell_len <= width for line in lines)
    if not unicode:
        assert all(line.plain.isascii() for line in lines)


def test_live_lines_show_button_light_level_and_link():
    monitor = display.Monitor(Clock(), FakeClient)
    for what, detail in (
        ("power", True),
        ("action", Action(0, "press", {"button": "talk"})),
        ("light", True),
        ("connected", HELLO),
        ("recording", speech()),
    ):
        monitor.observe(what, detail)
    glasses, host = (line.plain for line in display.live_lines(monitor, 100))
    assert "● button" in glasses and "● light" in glasses
    assert "recording" in host and "dBFS" in host and "MTU 247" in host
    monitor.observe("action", Action(0, "release", {"button": "talk"}))
    monitor.observe("light", False)
    glasses = display.live_lines(monitor, 100)[0].plain
    assert "○ button" in glasses and "○ light" in glasses


def test_view_is_chosen_by_where_it_goes():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monitor = display.Monitor(Clock())
    assert isinstance(display.choose(monitor, io.StringIO()), display.PlainView)
    assert isinstance(display.choose(monitor, Terminal()), display.LiveView)
    assert isinstance(display.choose(monitor, Terminal(), as_json=True), display.JsonView)


# --- waveform -----------------------------------------------------------------------------------


def test_equal_signals_do_not_differ():
    pcm = np.arange(-8000, 8000, dtype=np.int16)
    result = waveform.compare(pcm, pcm.copy(), 16000)
    assert (result.seconds, result.missing_s, result.peak, result.snr_db) == (1.0, 0.0, 0, math.inf)


def test_signal_to_noise_of_a_known_difference():
    sent = np.full(1000, 10000, np.int16)
    received = np.full(900, 9900, np.int16)
    result = waveform.compare(sent, received, 1000)
    assert result.snr_db == pytest.approx(40.0)
    assert result.peak == 100
    assert result.missing_s == pytest.approx(0.1)


def test_difference_does_not_wrap():
    low, high = np.full(4, -32768, np.int16), np.full(4, 32767, np.int16)
    assert waveform.compare(low, high, 16000).peak == 65535


def test_silence_instead_of_speech_is_infinitely_bad():
    assert waveform.compare(np.zeros(9, np.int16), np.ones(9, np.int16), 16000).snr_db == -math.inf


@pytest.mark.parametrize("n", [0, 1, 1601, 50000])
def test_draws_a_png_of_any_length(tmp_path, n):
    path = tmp_path / "new" / "waveform.png"
    waveform.draw(path, np.ones(n, np.int16), np.ones(max(0, n - 1), np.int16), 16000)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(data[16:20], "big") == 1320
    assert [p.name for p in path.parent.iterdir()] == ["waveform.png"]
