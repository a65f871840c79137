"""The spectrum that a wake word is heard by: TensorFlow's micro frontend in numpy.

Whole numbers as complex ones, of which floats hold more than there are bits here: a pass takes as many
operations as one of real numbers, and the time goes into their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_Complex = np.ndarray[Any, np.dtype[np.complex128]]

HANN = np.floor(2048 * (1 - np.cos(2 * np.pi * (np.arange(480) + 0.5) / 480)) + 0.5).astype(np.int64)
HANN[17] = 54  # of 53.49995: as in floats
_PLACES = np.array([int(np.base_repr(n + 256, 4)[:0:-1], 4) for n in range(256)])


def _turns(angles: Any) -> _Complex:
    """32767 times what turns by them, rounded."""
    return np.floor(32767 * np.cos(angles) + 0.5) + 1j * np.floor(32767 * np.sin(angles) + 0.5)


_TWIDDLES = {
    apart: _turns(-2 * np.pi * np.outer((1, 2, 3), np.arange(64) // (64 // apart)) / (4 * apart))
    for apart in (4, 16, 64)
}
# Neighbours, of all fours, and where what becomes of them goes.
_ROWS = np.arange(256).reshape(64, 4).T
_TO = np.arange(256).reshape(4, 64)
_SUPER = _turns(-np.pi * (np.arange(5, 129) / 256 + 0.5))
_K = np.arange(5, 129)


def _load(re: Any, im: Any, places: Any) -> _Complex:
    numbers = np.empty(places.shape, complex)
    numbers.real = np.frombuffer(re, "<u2")[places]
    numbers.imag = np.frombuffer(im, "<u2")[places]
    numbers -= 32768 + 32768j
    return numbers


def _store(parts: Any, re: Any, im: Any, places: Any) -> None:
    words = parts.astype(np.int64)
    words += 32768
    np.frombuffer(re, "<u2")[places] = words[:, ::2]  # modulo 2**16
    np.frombuffer(im, "<u2")[places] = words[:, 1::2]


def _times(numbers: _Complex, factor: Any) -> _Complex:
    """Divided by 32768 and rounded."""
    product = numbers * factor
    parts = product.view(float)
    parts += 16384
    parts *= 1 / 32768
    np.floor(parts, parts)
    return product


def _wrapped(numbers: _Complex) -> _Complex:
    """To 16 bits, in place."""
    parts = numbers.view(float)
    parts -= 65536 * np.floor((parts + 32768) * (1 / 65536))
    return numbers


def window(r: Any, x: int, odd: Any, re: Any, im: Any, oldest: int) -> int:
    samples = np.empty(480, np.int64)
    samples[::2] = np.roll(np.frombuffer(r, "<u2")[:240], -oldest)
    samples[1::2] = np.roll(np.frombuffer(odd, "<u2")[:240], -oldest)
    samples -= 32768
    samples *= HANN
    samples >>= 12
    most = int(np.abs(samples[samples > -32768]).max(initial=0))
    up = 15 - most.bit_length()
    if up:
        samples[samples == -32768] = 0
    whole = np.full(512, 32768, np.int64)
    whole[:480] += samples
    np.frombuffer(re, "<u2")[_PLACES] = whole[::2]
    np.frombuffer(im, "<u2")[_PLACES] = whole[1::2]
    return up


def _butterflies(rows: _Complex, re: Any, im: Any) -> None:
    """Of four rows, added up: their parts' sums."""
    a, b, c, d = rows
    out = np.empty((4, 64), complex)
    even, odd, across, turned = a + c, b + d, a - c, (b - d) * -1j
    np.add(even, odd, out[0])
    np.add(across, turned, out[1])
    np.subtract(even, odd, out[2])
    np.subtract(across, turned, out[3])
    _store(out.view(float), re, im, _TO)


def first(re: Any, x: int, im: Any, to_re: Any, to_im: Any, up: int) -> None:
    _butterflies(_times(_load(re, im, _ROWS), 8191 << up), to_re, to_im)


def later(r: int, x: int, re: Any, im: Any, to_re: Any, to_im: Any) -> None:
    for apart in (4, 16, 64):
        rows = _times(_load(re, im, _ROWS), 8191)
        rows[1:] = _times(rows[1:], _TWIDDLES[apart])
        _butterflies(rows, to_re, to_im)
        re, im, to_re, to_im = to_re, to_im, re, im


def energies(r: int, x: int, re: Any, im: Any) -> None:
    a = _times(_load(re, im, _K), 16383)
    b = _times(_wrapped(np.conj(_load(re, im, 256 - _K))), 16383)
    turned = _wrapped(_times(a - b, _SUPER))
    for at, sum_ in ((_K, a + b + turned), (256 - _K, np.conj(a + b - turned))):
        halves = np.floor(sum_.view(float) * 0.5)
        halves *= halves
        energy = (halves[::2] + halves[1::2]).astype(np.int64)
        np.frombuffer(re, "<u2")[at] = energy
        np.frombuffer(im, "<u2")[at] = energy >> 16


EQUIVALENTS = {
    "wakeword.spectrum.window": window,
    "wakeword.spectrum.first": first,
    "wakeword.spectrum.later": later,
    "wakeword.spectrum.energies": energies,
}
