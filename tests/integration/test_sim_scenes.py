"""`lunette sim --scene` and `lunette demo`: what they leave."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import (
    LUNETTE,
    PATIENCE_S,
    alive,
    children,
    environment,
    find,
    lunette,
)

from lunette import paths
from lunette.audio_files import read_audio

# --- scenes and the demo ------------------------------------------------------------------------


def test_a_scene_runs_headless_to_its_report(tmp_path):
    (tmp_path / "short.toml").write_text(
        "duration_s = 2.0\n"
        '[[at]]\nt = 0.1\ndo = "hold"\nseconds = 1.2\n'
        f'[[at]]\nt = 0.2\ndo = "say"\nwav = "{paths.DATA / "speech.wav"}"\n'
    )
    path = tmp_path / "report.json"
    done = lunette(tmp_path / "run", "sim", "--scene", str(tmp_path / "short.toml"), "--report", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and "\x1b" not in done.stderr
    report = json.loads(path.read_text())
    for key in ("recordings", "events", "link", "latency_ms", "counters", "heap", "states", "errors"):
        assert key in report
    (recording,) = report["recordings"]
    assert recording["lost"] == 0 and recording["crc_ok"] is True
    assert recording["duration_s"] == pytest.approx(1.2, abs=0.06)
    wav = Path(recording["wav"])
    assert wav.is_absolute() and wav.parent == tmp_path / "report_recordings"
    assert len(read_audio(wav)) == pytest.approx(recording["duration_s"] * 16000, abs=16)
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".new" or p.name == ".partial"]


def test_an_interrupted_scene_leaves_no_report(tmp_path):
    path = tmp_path / "report.json"
    process = subprocess.Popen(
        [*LUNETTE, "sim", "--scene", str(paths.DATA / "drop.toml"), "--report", str(path)],
        env=environment(tmp_path / "run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "light on" in line:
            break
    family = children(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and out == ""
    assert "Traceback" not in err and "lunette:" not in err
    assert not path.exists()
    assert family and not any(alive(pid) for pid in family)


def test_the_demo_leaves_everything_it_promises(tmp_path):
    done = lunette(tmp_path / "run", "demo", "--out", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "" and "\x1b" not in done.stdout
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {"recording.wav", "waveform.png", "report.json"}
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    (recording,) = report["recordings"]
    assert recording["lost"] == 0 and recording["crc_ok"] is True and report["errors"] == []
    assert recording["wav"] == str(tmp_path / "demo" / "recording.wav")
    pcm = read_audio(recording["wav"])
    assert len(pcm) == pytest.approx(recording["duration_s"] * 16000, abs=16)
    assert abs(len(pcm) / 16000 - 6.1) <= 0.06
    clip = read_audio(paths.DATA / "speech.wav")
    at = find(clip, pcm)
    assert 0 < at <= 0.4 * 16000  # 0.3 s after the press, and what cleaning takes
    assert np.corrcoef(clip, pcm[at : at + len(clip)])[0, 1] > 0.9
    for words in ("0 lost, CRC ok", "ms (median)", "dB by automatic gain", "recording.wav", "waveform.png"):
        assert words in done.stdout
