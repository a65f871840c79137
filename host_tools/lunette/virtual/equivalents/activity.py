"""Voice activity: its sums in numpy, its decision in plain integers."""

from __future__ import annotations

from typing import Any

import numpy as np

_BIAS = (680, 680, 680, 1020)


def _magnitudes(numbers: Any) -> int:
    return int((numbers ^ (numbers >> 31)).sum())


def measure(pcm: Any, v: int, n: int, sums: Any) -> None:
    eights = np.frombuffer(pcm, "<i2")[:n].astype(np.int32).reshape(-1, 8)
    pairs = eights[:, ::2] + eights[:, 1::2]
    fours = pairs[:, ::2] + pairs[:, 1::2]
    np.frombuffer(sums, "<u4")[:4] = (
        _magnitudes(eights[:, 1] - eights[:, 0]),
        _magnitudes(pairs[:, 1] - pairs[:, 0]),
        _magnitudes(fours[:, 1] - fours[:, 0]),
        _magnitudes(fours[:, 0] + fours[:, 1]),
    )


def _logarithm(value: int) -> int:
    exponent = value.bit_length() - 9
    return exponent * 4096 + ((value >> exponent) - 256) * 16


def decide(sums: Any, state: Any) -> int:
    words = np.frombuffer(state, "<u4")
    age, frame, part, hangover, *rest = words.tolist()
    bands = [rest[12 * k : 12 * k + 12] for k in range(4)]
    levels = [_logarithm(value + 256) for value in np.frombuffer(sums, "<u4")[:4].tolist()]
    if age < 4:
        for band, level in zip(bands, levels, strict=True):
            band[:] = level, *[(band[2] * age + level) // (age + 1)] * 11
        voice = 0
        age += 1
    else:
        loud = 0
        for band, level, bias in zip(bands, levels, _BIAS, strict=True):
            smooth = band[1] + (level - band[1]) // 4
            band[:2] = level, smooth
            band[3] = min(band[3], smooth)
            band[2] = min(max(band[2], min(band[3:]) + bias), smooth + 2040)
            loud += max(0, level - band[2] - 340)
        voice = int(loud > 6800 or hangover > 0)
        hangover = 16 if loud > 6800 else max(0, hangover - 1)
        frame += 1
        for band in bands:
            if not voice:
                band[2] += (band[0] - band[2]) // 8
            if frame == 8:
                band[4 + part] = band[3]
                band[3] = band[1]
        if frame == 8:
            frame = 0
            part = (part + 1) % 8
    words[:52] = [age, frame, part, hangover] + [word for band in bands for word in band]
    return voice


EQUIVALENTS = {"dsp.activity.measure": measure, "dsp.activity.decide": decide}
