"""The spectrum that a wake word is heard by: TensorFlow's micro frontend in whole numbers of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

_Numbers = np.ndarray[Any, np.dtype[np.int64]]

HANN = np.floor(2048 * (1 - np.cos(2 * np.pi * (np.arange(480) + 0.5) / 480)) + 0.5).astype(np.int64)
HANN[17] = 54  # of 53.49995: as in floats
_PLACES = np.array([int(np.base_repr(n + 256, 4)[:0:-1], 4) for n in range(256)])


def _turns(angles: Any) -> tuple[_Numbers, _Numbers]:
    """32767 times cosines and sines, rounded."""
    cos, sin = (np.floor(32767 * f(angles) + 0.5).astype(np.int64) for f in (np.cos, np.sin))
    return cos, sin


_TWIDDLES = {
    apart: _turns(-2 * np.pi * np.outer((1, 2, 3), np.arange(apart)) / (4 * apart)) for apart in (4, 16, 64)
}
_SUPER = _turns(-np.pi * (np.arange(5, 129) / 256 + 0.5))


def _load(buffer: Any) -> _Numbers:
    return np.frombuffer(buffer, "<u2").astype(np.int64) - 32768


def _store(numbers: _Numbers, buffer: Any, at: Any = slice(None)) -> None:
    np.frombuffer(buffer, "<u2")[at] = numbers + 32768 & 65535


def _rounded(numbers: _Numbers) -> _Numbers:
    return numbers + 16384 >> 15


def _times(re: _Numbers, im: _Numbers, by: tuple[_Numbers, _Numbers]) -> tuple[_Numbers, _Numbers]:
    cos, sin = by
    return _rounded(re * cos - im * sin), _rounded(re * sin + im * cos)


def _wrapped(numbers: _Numbers) -> _Numbers:
    return (numbers + 32768 & 65535) - 32768


def window(r: Any, x: int, odd: Any, re: Any, im: Any) -> int:
    samples = np.column_stack([_load(r)[:240], _load(odd)[:240]]).ravel()
    weighted = samples * HANN >> 12
    most = int(np.abs(weighted[weighted > -32768]).max(initial=0))
    up = 15 - most.bit_length()
    if up:
        weighted[weighted == -32768] = 0
    whole = np.zeros((256, 2), np.int64)
    whole[:240] = weighted.reshape(240, 2)
    _store(whole[:, 0], re, _PLACES)
    _store(whole[:, 1], im, _PLACES)
    return up


def _butterflies(re: _Numbers, im: _Numbers) -> tuple[list[_Numbers], list[_Numbers]]:
    """Of four rows, added up: their parts' sums."""
    (ar, br, cr, dr), (ai, bi, ci, di) = re, im
    out_re = [ar + cr + br + dr, ar - cr + bi - di, ar + cr - br - dr, ar - cr - bi + di]
    out_im = [ai + ci + bi + di, ai - ci - br + dr, ai + ci - bi - di, ai - ci + br - dr]
    return out_re, out_im


def first(re: Any, x: int, im: Any, up: int) -> None:
    parts = [_rounded((_load(part) << up) * 8191).reshape(64, 4).T for part in (re, im)]
    for sums, part in zip(_butterflies(*parts), (re, im), strict=True):
        _store(np.array(sums).T.ravel(), part)


def later(r: int, x: int, re: Any, im: Any, apart: int) -> None:
    rows = [_rounded(_load(part) * 8191).reshape(-1, 4, apart) for part in (re, im)]
    for numbers in zip(_times(rows[0][:, 1:], rows[1][:, 1:], _TWIDDLES[apart]), rows, strict=True):
        numbers[1][:, 1:] = numbers[0]
    for sums, part in zip(_butterflies(*(row.swapaxes(0, 1) for row in rows)), (re, im), strict=True):
        _store(np.array(sums).swapaxes(0, 1).ravel(), part)


def energies(r: int, x: int, re: Any, im: Any) -> None:
    k = np.arange(5, 129)
    numbers_re, numbers_im = _load(re), _load(im)
    ar, ai, br, bi = (
        _rounded(part * 16383)
        for part in (numbers_re[k], numbers_im[k], numbers_re[256 - k], _wrapped(-numbers_im[256 - k]))
    )
    turned_re, turned_im = map(_wrapped, _times(ar - br, ai - bi, _SUPER))
    low = ((ar + br + turned_re) >> 1) ** 2 + ((ai + bi + turned_im) >> 1) ** 2
    high = ((ar + br - turned_re) >> 1) ** 2 + ((turned_im - ai - bi) >> 1) ** 2
    for at, energy in ((k, low), (256 - k, high)):
        np.frombuffer(re, "<u2")[at] = energy & 65535
        np.frombuffer(im, "<u2")[at] = energy >> 16


EQUIVALENTS = {
    "wakeword.spectrum.window": window,
    "wakeword.spectrum.first": first,
    "wakeword.spectrum.later": later,
    "wakeword.spectrum.energies": energies,
}
