"""The Fourier transform, on complex numbers whose parts are whole: exact, as they stay far below 2**53."""

from __future__ import annotations

from typing import Any

import numpy as np

_Complex = np.ndarray[Any, np.dtype[np.complex128]]

_DFT_4 = np.array([[1, 1, 1, 1], [1, -1j, -1, 1j], [1, -1, 1, -1], [1, 1j, -1, -1j]])


def _twiddles(step: int, count: int) -> _Complex:
    """8192 * exp(-2j pi k step / 192), each part rounded."""
    turned = 8192 * np.exp(-2j * np.pi * step * np.arange(count) / 192)
    return np.rint(turned.real) + 1j * np.rint(turned.imag)


_W32 = np.array([_twiddles(6 * power, 8) for power in (1, 2, 3)])
_W192 = _twiddles(1, 48)[1:]

_N = np.arange(96)
# (a, b) of 3 * 32 from n = 32 a + 3 b and from k = 64 a + 33 b, by the Chinese remainder theorem.
PLACES = 32 * (2 * _N % 3) + 11 * _N % 32
_K = _N % 32
FOUND = 32 * (_N % 3) + 8 * (_K % 4) + _K // 4


# Bins of each gain that `merge` is given: one by one, then more and more of them.
WIDTHS = np.array((*[1] * 6, *[2] * 6, 3, 3, 4, 4, 5, 5, 5, 6, 7, 8, 12, 15))
_GAIN_OF = np.append(0, np.repeat(np.arange(len(WIDTHS)), WIDTHS))


def load(re: Any, im: Any) -> _Complex:
    """The numbers, without their offset."""
    return np.frombuffer(re, "<u2") - 32768.0 + 1j * (np.frombuffer(im, "<u2") - 32768.0)


def bins_of(bins: Any) -> _Complex:
    """Bins 0 to 95 of a spectrum, from its pairs."""
    quads = np.frombuffer(bins, "<u2")[:196].reshape(49, 4) - 32768.0
    numbers = quads[:, ::2] + 1j * quads[:, 1::2]
    return np.concatenate([numbers[:48, 0], numbers[:0:-1, 1]])


def _words(numbers: _Complex) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A row for each, its parts with the offset, as 16 bits hold them."""
    return np.column_stack([numbers.real, numbers.imag]).astype(np.int64) + 32768 & 65535


def store(numbers: _Complex, re: Any, im: Any, at: Any = slice(None)) -> None:
    np.frombuffer(re, "<u2")[at], np.frombuffer(im, "<u2")[at] = _words(numbers).T


def _shifted(numbers: _Complex, bits: int) -> _Complex:
    """Divided by a power of two and rounded, each part."""
    scaled = numbers / (1 << bits)
    return np.floor(scaled.real + 0.5) + 1j * np.floor(scaled.imag + 0.5)


def threes(r: int, x: int, re: Any, im: Any) -> None:
    a, b, c = load(re, im).reshape(3, 32)
    middle = _shifted((2 * a - b - c) * 4730, 13)
    across = -1j * (b - c)
    outputs = _shifted((a + b + c) * 4730, 13), _shifted(middle + across, 1), _shifted(middle - across, 1)
    store(np.concatenate(outputs), re, im)


def fours(r: int, x: int, re: Any, im: Any) -> None:
    points = load(re, im).reshape(3, 4, 8)
    sums = _DFT_4 @ points
    turned = _shifted(sums[:, 1:] * _W32, 14)
    store(np.concatenate([_shifted(sums[:, :1], 1), turned], axis=1).ravel(), re, im)


def eights(r: int, x: int, re: Any, im: Any, shift: int) -> None:
    points = load(re, im).reshape(12, 8).T
    sums, differences = points[:4] + points[4:], points[:4] - points[4:]
    out = np.empty((8, 12), complex)
    out[::2] = _DFT_4 @ sums
    a, b, c, d = differences
    up, down = (b - 1j * d) * 5793 * (1 - 1j), (b + 1j * d) * 5793 * (1 + 1j)
    up, down = _shifted(up, 13), _shifted(-down.real + 1j * down.imag, 13).conj()
    out[1], out[5] = a - 1j * c + up, a - 1j * c - up
    out[3], out[7] = a + 1j * c + down, a + 1j * c - down
    store(_shifted(out, shift).T.ravel(), re, im)


def split(r: int, x: int, re: Any, im: Any, bins: Any) -> None:
    found = load(re, im)[FOUND]
    one, other = found[1:48], found[95:48:-1].conj()
    even, odd = one + other, -1j * (one - other)
    turned = _shifted(odd * _W192, 13)
    high = even - turned
    quads = np.frombuffer(bins, "<u2")[:196].reshape(49, 4)
    quads[:48, :2] = _words(np.append(found[:1], _shifted(even + turned, 1)))
    quads[1:, 2:] = _words(np.append(_shifted(high.real - 1j * high.imag, 1), found[48:49].conj()))


def merge(r: int, x: int, bins: Any, gains: Any, re: Any, im: Any) -> None:
    spectrum = bins_of(bins) * np.frombuffer(gains, "<u2")[_GAIN_OF]
    one, other = spectrum[1:48], spectrum[95:48:-1].conj()
    even, odd = one + other, _shifted(one - other, 8) * _W192.conj()
    odd = 1j * _shifted(odd, 5)
    middle = _shifted(np.array([spectrum[0], spectrum[48].conj()]), 8)
    first, last = _shifted(even + odd, 9), _shifted((even - odd).conj(), 9)
    store(np.concatenate([middle[:1], first, middle[1:], last[::-1]]), re, im, PLACES)


EQUIVALENTS = {
    "dsp.fft._threes": threes,
    "dsp.fft._fours": fours,
    "dsp.fft._eights": eights,
    "dsp.fft.split": split,
    "dsp.fft.merge": merge,
}
