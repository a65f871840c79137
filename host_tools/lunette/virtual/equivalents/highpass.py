"""The high-pass, on a list of plain integers."""

from __future__ import annotations

from typing import Any

import numpy as np

_BIAS = 0x20000000


def start(pcm: Any, state: Any) -> None:
    words = np.frombuffer(state, "<u4", 2)
    words[0] = _BIAS
    words[1] = _BIAS - (int(np.frombuffer(pcm, "<i2", 1)[0]) + 32768) * 512


def run(pcm: Any, y: int, n: int, state: Any) -> None:
    words = np.frombuffer(state, "<u4", 2)
    a, b = (int(word) - _BIAS for word in words)
    samples = np.frombuffer(pcm, "<i2")[:n]
    out = []
    source = iter((samples.astype(np.int32) + 32768).tolist())
    for x, then in zip(source, source, strict=True):
        y = x + ((23 * a + b) >> 9)
        out.append(y)
        a -= y
        y = then + ((23 * a + b) >> 9)
        out.append(y)
        a -= y
        b += a
    samples[:] = np.clip(out, -32768, 32767)
    words[:] = a + _BIAS, b + _BIAS


EQUIVALENTS = {"dsp.highpass.start": start, "dsp.highpass.run": run}
