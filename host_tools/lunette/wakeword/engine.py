"""A wake word's network alone, over rows of its inputs, as the glasses run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lunette import paths
from lunette.wakeword import program

_LIMIT_S = 600


@dataclass(frozen=True)
class Given:
    """The `probabilities` of all steps, of 256; `size` is the bytes of the network's buffers, `us` the
    microseconds of a step in the mean."""

    probabilities: np.ndarray[Any, np.dtype[np.uint8]]
    size: int
    us: float


def of_inputs(model: bytes, rows: np.ndarray[Any, np.dtype[np.int8]]) -> Given:
    """What the glasses' file makes of the network's inputs, a row for each step. LunetteError if they would
    refuse the file."""
    lines = program.printed("on_glasses.py", [str(paths.FIRMWARE)], [model, rows.tobytes()], _LIMIT_S)
    probabilities, numbers = lines
    size, us = numbers.split()
    return Given(np.frombuffer(bytes.fromhex(probabilities), np.uint8), int(size), float(us))
