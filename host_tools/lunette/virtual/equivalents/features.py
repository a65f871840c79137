"""A wake word's features after their spectrum: TensorFlow's micro frontend, in numbers of 64 bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_Numbers = np.ndarray[Any, np.dtype[np.int64]]


def _filterbank() -> tuple[_Numbers, _Numbers]:
    """(by bins their band, for which they count with their weight; these weights, of 4096)"""
    mels = np.log1p(np.array([125, 7500, *(np.arange(5, 241) * 31.25)]) / 700)
    places = (mels[2:] - mels[0]) / (mels[1] - mels[0]) * 41
    band = np.ceil(places - 1e-9).astype(np.int64) - 1
    weights = np.floor(4096 * (band + 1 - places) + 0.5).astype(np.int64)
    weights[[149 - 5, 221 - 5]] = 2471, 1401  # of 2470.49 and 1400.49: as in floats
    return band, weights


BAND, WEIGHTS = _filterbank()
_STARTS = np.searchsorted(BAND, np.arange(41))


def gain_points(bits: int) -> list[int]:
    """Gains for the least noise of so many bits, for a half more, and for twice that."""
    noises = [0] * 3 if bits < 1 else [1] * 3 if bits < 2 else [2 ** (bits - 1) * k // 2 for k in (2, 3, 4)]
    return [int(2**21 * (80 + noise / 128) ** -0.95 + 0.5) for noise in noises]


_GAINS = np.array([gain_points(bits) for bits in range(33)], np.int64)
LOGS = np.array([round(65536 * (math.log2(1 + i / 128) - i / 128)) for i in range(129)], np.int64)


def _words(buffer: Any, count: int = 40) -> np.ndarray[Any, np.dtype[np.uint32]]:
    return np.frombuffer(buffer, "<u4")[:count]


def _bits(numbers: _Numbers) -> _Numbers:
    return np.frexp(numbers.astype(float))[1].astype(np.int64)  # exact below 2**53


def bands(r: int, x: int, low: Any, high: Any, levels: Any) -> None:
    halves = [np.frombuffer(part, "<u2")[5:241].astype(np.int64) for part in (low, high)]
    energy = halves[0] + (halves[1] << 16)
    weighted = np.add.reduceat(energy * WEIGHTS, _STARTS)
    rest = np.add.reduceat(energy * (4096 - WEIGHTS), _STARTS)
    sums = weighted[1:] + rest[:-1]
    np.frombuffer(low, "<u2")[:40] = sums & 65535
    _words(levels)[:] = sums >> 16


def _root(number: int) -> int:
    root = math.isqrt(number)
    if number - root * root > root and not (number < 1 << 32 and root == 65535):
        root += 1
    return root


def roots(r: int, x: int, low: Any, levels: Any, up: int) -> None:
    sums = (_words(levels).astype(np.int64) << 16) + np.frombuffer(low, "<u2")[:40]
    _words(levels)[:] = [_root(number) >> up for number in sums.tolist()]


def _quiet(level: _Numbers, noise: Any) -> _Numbers:
    """Levels less their noise, which follows them."""
    much = level << 10 & 0xFFFFFFFF
    rate = np.where(np.arange(40) % 2, 983, 409)
    after = (much * rate + _words(noise).astype(np.int64) * (16384 - rate)) >> 14
    _words(noise)[:] = after
    return np.maximum(np.maximum(much - after, 0) >> 10, level * 819 >> 14)


def _gained(level: _Numbers, noise: Any) -> _Numbers:
    numbers = _words(noise).astype(np.int64)
    bits = _bits(numbers)
    y0, y1, y2 = _GAINS[bits].T
    part = (
        np.where(bits < 11, numbers << np.maximum(11 - bits, 0), numbers >> np.maximum(bits - 11, 0)) & 1023
    )
    linear = 4 * (y1 - y0) - (y2 - y0)
    square = y2 - y0 - linear
    gain = ((((square * part >> 5) + (linear << 5)) * part + 16384) >> 15) + y0
    ratio = level * gain >> 6 & 0xFFFFFFFF
    return np.where(ratio < 8192, np.minimum(ratio, 8192) ** 2 >> 20, (ratio >> 6) - 64)


def _logarithms(level: _Numbers) -> _Numbers:
    numbers = np.maximum(level << 3, 1)
    whole = _bits(numbers) - 1
    part = ((numbers << 16) >> whole) - 65536
    segment = part >> 9
    bent = LOGS[segment] + ((LOGS[np.minimum(segment + 1, 128)] - LOGS[segment]) * (part & 511) >> 16)
    natural = (45426 * ((whole << 16) + part + bent) + 32768) >> 16
    return np.where(numbers > 1, ((natural << 6) + 32768) >> 16, 0)


def loudness(r: int, x: int, levels: Any, noise: Any, vector: Any) -> None:
    level = _quiet(_words(levels).astype(np.int64), noise)
    np.frombuffer(vector, "<u2")[:40] = _logarithms(_gained(level, noise))


def quantise(r: int, x: int, vector: Any, inputs: Any, at: int) -> None:
    # The scale is 0.10196079 as a 32-bit float.
    numbers = np.frombuffer(vector, "<u2")[:40] * 0.0390625 / float(np.float32(0.10196079)) - 128
    np.frombuffer(inputs, "i1")[at : at + 40] = np.minimum(np.round(numbers), 127)


def take(r: int, x: int, pcm: Any, n: int, even: Any, odd: Any, at: int) -> None:
    samples = np.frombuffer(pcm, "<u2")[r : r + n] ^ 32768
    for half, parity in ((even, at & 1), (odd, at & 1 ^ 1)):
        begin = at + parity
        heard = samples[begin - at :: 2]
        np.frombuffer(half, "<u2")[begin >> 1 : (begin >> 1) + len(heard)] = heard


EQUIVALENTS = {
    f"wakeword.features.{kernel.__name__}": kernel for kernel in (bands, roots, loudness, quantise, take)
}
