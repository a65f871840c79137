"""Bits of a PDM microphone to samples."""

from __future__ import annotations

from typing import Any

import numpy as np

_ODD = (-72, 95, -212, 349, -595, 997, -1882, 5983)
_TAPS = np.zeros(31, np.int64)
_TAPS[:15:2], _TAPS[15], _TAPS[16::2] = _ODD, 9471, _ODD[::-1]
_MIDDLE = 536842320
_BIAS = 0x10000000


def build(tables: Any, taps: Any) -> None:
    half = np.frombuffer(taps, "<u2", 64).astype(np.int64)
    # The word that comes now is an output's newest one, the next output's second newest one, and so on.
    weights = np.concatenate([half, half[::-1]]).reshape(4, 4, 8)[::-1]
    bits = np.arange(256)[:, None] >> np.arange(7, -1, -1) & 1
    sums = np.einsum("jkb,vb->jkv", weights, bits)
    both = np.concatenate([sums[0] + (sums[2] << 16), sums[1] + (sums[3] << 16)])
    np.frombuffer(tables, "<u4", 2048)[:] = both.reshape(-1)


def first(byte: int, this: int, raw: Any, out: Any, at: int, n: int, tables: Any, state: Any) -> None:
    words = np.frombuffer(state, "<u4", 3)
    entries = np.frombuffer(tables, "<u4", 2048).reshape(2, 4, 256).astype(np.int64)
    octets = np.frombuffer(raw, np.uint8, n).reshape(-1, 4)[:, ::-1]
    added = entries[:, np.arange(4), octets].sum(axis=2)
    sums = np.zeros(len(octets) + 3, np.int64)
    sums[:3] = int(words[0]) & 0xFFFF, int(words[1]), int(words[0]) >> 16
    sums[:-3] += added[0] & 0xFFFF
    sums[1:-2] += added[1] & 0xFFFF
    sums[2:-1] += added[0] >> 16
    sums[3:] += added[1] >> 16
    done, later = sums[: len(octets)], sums[len(octets) :]
    np.frombuffer(out, "<u2")[at : at + len(done)] = done
    words[0] = later[0] + (later[2] << 16)
    words[1] = later[1]


def second(middle: Any, total: int, pcm: Any, n: int, state: Any, up: int) -> int:
    words = np.frombuffer(state, "<u4", 3)
    every = np.frombuffer(middle, "<u2")
    sums = np.convolve(every[: n + 30].astype(np.int64), _TAPS, "valid")[:n:2]
    eighths = np.concatenate([[int(words[2]) - _BIAS], sums >> 3])
    down = 14 - up
    wide = (sums - eighths[:-1] - (_MIDDLE - (1 << down >> 1))) >> down
    samples = np.clip(wide, -32768, 32767)
    np.frombuffer(pcm, "<i2")[: len(samples)] = samples
    every[:30] = every[n : n + 30].copy()
    words[2] = eighths[-1] + _BIAS
    return int(np.count_nonzero(samples != wide))


EQUIVALENTS = {"dsp.pdm.build": build, "dsp.pdm.first": first, "dsp.pdm.second": second}
