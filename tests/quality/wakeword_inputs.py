"""What a wake word's network is given of sound, by the reference's features."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymicro_features import MicroFrontend


def inputs_of(pcm: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int8]]:
    """A row for each step of a network that takes three vectors of 40."""
    raw = np.clip(np.round(pcm), -32768, 32767).astype("<i2").tobytes()
    frontend, vectors, at = MicroFrontend(), [], 0
    while at + 320 <= len(raw):
        heard = frontend.process_samples(raw[at : at + 320])
        at += 2 * heard.samples_read
        if heard.features:
            vectors.append(heard.features)
    rows = np.clip(np.round(np.array(vectors) / (26 / 255) - 128), -128, 127).astype(np.int8)
    return rows[: len(rows) // 3 * 3].reshape(-1, 120)
