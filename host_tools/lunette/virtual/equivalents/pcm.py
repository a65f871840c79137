"""Samples and bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lunette.virtual.equivalents import octets


def copy(dst: Any, dst_off: int, src: Any, src_off: int, n: int) -> None:
    octets(dst)[dst_off : dst_off + n] = octets(src)[src_off : src_off + n]


def peak(pcm: Any, n: int) -> int:
    samples = np.frombuffer(pcm, "<i2", n)
    return min(32767, max(int(samples.max()), -int(samples.min()))) if n > 0 else 0


EQUIVALENTS = {"dsp.pcm.copy": copy, "dsp.pcm.peak": peak}
