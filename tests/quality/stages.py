"""The firmware's sound path on whole sounds, in MicroPython."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from lunette import paths
from lunette.virtual import interpreter

from .measures import Sound

FRAME = 320
SUPPRESSOR = "suppressor"
ALL = "all"
DELAYS = {SUPPRESSOR: 32, ALL: 64}
"""Samples by which a chain's sound is later: of the suppressor, and of that and the gain."""


class Stages:
    """`with Stages() as stages: stages.run(SUPPRESSOR, sound)`"""

    def __enter__(self) -> Stages:
        self._folder = tempfile.TemporaryDirectory(prefix="lunette-quality-")
        program = Path(__file__).with_name("run_stages.py")
        self._process = subprocess.Popen(
            interpreter.command(str(program), str(paths.FIRMWARE / "glasses")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def run(self, chain: str, sound: Sound) -> Sound:
        """What comes out, `DELAYS[chain]` later and of the same length."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        source, target = (Path(self._folder.name, name) for name in ("in", "out"))
        samples = np.concatenate([sound, np.zeros(-len(sound) % FRAME)])
        source.write_bytes(np.clip(np.round(samples), -32768, 32767).astype("<i2").tobytes())
        process.stdin.write(f"{chain}\t{source}\t{target}\n")
        process.stdin.flush()
        if not process.stdout.readline():
            raise RuntimeError(f"MicroPython died: {process.stderr.read().strip().splitlines()[-1:]}")
        return np.fromfile(target, "<i2").astype(float)[: len(sound)]
