"""Runs a wake word here as the glasses do: their own code in MicroPython."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lunette import paths
from lunette.errors import LunetteError
from lunette.virtual import interpreter

_SCRIPT = Path(__file__).with_name("on_glasses.py")
_LIMIT_S = 600


@dataclass(frozen=True)
class Heard:
    """The `probabilities` of all steps, of 256; `size` is the bytes of the network's buffers, `us` the
    microseconds of a step in the mean."""

    probabilities: np.ndarray[Any, np.dtype[np.uint8]]
    size: int
    us: float


def of_samples(model: bytes, pcm: np.ndarray[Any, Any]) -> Heard:
    """What the glasses' file makes of int16 samples at 16 kHz. LunetteError if they would refuse the file."""
    return _run(model, np.asarray(pcm, "<i2").tobytes(), "pcm")


def of_inputs(model: bytes, rows: np.ndarray[Any, np.dtype[np.int8]]) -> Heard:
    """What it makes of the network's inputs, a row for each step."""
    return _run(model, rows.tobytes(), "rows")


def _run(model: bytes, inputs: bytes, kind: str) -> Heard:
    with tempfile.TemporaryDirectory(prefix="lunette-wakeword-") as folder:
        files = [Path(folder) / name for name in ("model", "inputs")]
        for path, content in zip(files, (model, inputs), strict=True):
            path.write_bytes(content)
        command = interpreter.command(str(_SCRIPT), str(paths.FIRMWARE), *map(str, files), kind)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S
        )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise LunetteError(said[-1] if said else "MicroPython died")
    probabilities, numbers = done.stdout.splitlines()
    size, us = numbers.split()
    return Heard(np.frombuffer(bytes.fromhex(probabilities), np.uint8), int(size), float(us))
