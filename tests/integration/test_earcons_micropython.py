"""The firmware's sounds out of the real MicroPython: what the amplifier gets, beside a recording."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from lunette import boards
from lunette.virtual.scene import Scene, check, expand
from lunette.virtual.stage import Stage

pytestmark = pytest.mark.timeout(60)

RATE = 16000
NOTE = 640


def test_start_and_stop_in_micropython(tmp_path: Path) -> None:
    actions = expand(check({"t": 0.3, "do": "hold", "seconds": 1.2}, "earcons"))
    stage = Stage(Scene(duration_s=3.5, actions=actions, folder=tmp_path), tmp_path / "host")
    report = asyncio.run(stage.play())
    assert stage.glasses is not None and report["errors"] == []
    start, stop = stage.glasses.chip.i2s.playbacks
    (take,) = stage.glasses.chip.i2s.takes
    assert take.started < start.started < (start.ended or 0) < (take.ended or 0) <= stop.started
    assert stop.ended is not None
    for session, notes in ((start, (1000, 1600)), (stop, (1600, 1000))):
        ((_, played),) = session.played
        pcm = np.frombuffer(played, np.int16).astype(float)
        assert len(pcm) == 2 * NOTE and session.underruns == session.refused == 0
        t = np.arange(NOTE) / RATE
        for n, hz in enumerate(notes):
            note = pcm[n * NOTE :][:NOTE]
            # As a formula has it: a sine at -20 dBFS, and half a cosine of whole periods at both edges.
            fade = -(-96 * hz // RATE) * RATE // hz
            edge = (1 - np.cos(np.pi * np.arange(fade) / fade)) / 2
            shape = np.concatenate([edge, np.ones(NOTE - 2 * fade), edge[::-1]])
            assert np.max(np.abs(note - 3276.7 * shape * np.sin(2 * np.pi * hz * t))) < 2
    (recording,) = report["recordings"]
    assert recording["lost"] == 0


def test_a_buzzer_in_micropython(tmp_path: Path) -> None:
    data = boards.load("virtual").path.read_text()
    (line,) = [line for line in data.splitlines() if '"i2s_speaker"' in line]
    folder = tmp_path / "buzzing"
    folder.mkdir()
    data = data.replace('NAME = "virtual"', 'NAME = "buzzing"')
    (folder / "board.py").write_text(data.replace(line, '    "buzzer": {"driver": "buzzer", "pin": 10},'))
    actions = expand(check({"t": 0.3, "do": "hold", "seconds": 1.2}, "earcons"))
    scene = Scene(duration_s=3.5, board=str(folder), actions=actions, folder=tmp_path)
    stage = Stage(scene, tmp_path / "host")
    report = asyncio.run(stage.play())
    assert stage.glasses is not None and report["errors"] == []
    chip = stage.glasses.chip
    tones = chip.pwm.tones(10)
    assert [hz for hz, _, _ in tones] == pytest.approx([1000, 1600, 1600, 1000], abs=1)
    assert all(until is not None for _, _, until in tones) and chip.pins.level(10) == 0
