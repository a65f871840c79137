"""Samples of an I2S microphone."""

from __future__ import annotations

from typing import Any

import numpy as np

from lunette.virtual.equivalents import octets


def pick(raw: Any, word: int, pcm: Any, n: int, at: int, stereo: int, up: int) -> int:
    words = np.frombuffer(raw, "<i4")[at : n << stereo : 1 << stereo]
    wide = words >> (16 - up)
    samples = np.minimum(np.maximum(wide, -32768), 32767)
    octets(pcm)[: 2 * len(samples)] = samples.astype("<i2").tobytes()
    return int(np.count_nonzero(samples != wide)) if up else 0


EQUIVALENTS = {"dsp.i2s.pick": pick}
