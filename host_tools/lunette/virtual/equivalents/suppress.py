"""Noise suppression, all samples, bins or bands at once; its tables are formulas here."""

from __future__ import annotations

from typing import Any

import numpy as np

from lunette.virtual.equivalents import fft

_Numbers = np.ndarray[Any, np.dtype[np.int64]]

_HOP, _OVERLAP = 160, 32
_WIDTHS = fft.WIDTHS
_BANDS = len(_WIDTHS)
_EDGES = 1 + np.cumsum(_WIDTHS) - _WIDTHS
_RISE = np.rint(16384 * np.sin(np.pi / 2 * (np.arange(_OVERLAP) + 0.5) / _OVERLAP)).astype(np.int64)
_WEIGHTS = np.concatenate([_RISE, np.full(_HOP - _OVERLAP, 16384), _RISE[::-1]])
_SPEECH = 425  # 5 dB, in 1/256 of an octave


def _sixteenths(power: Any) -> _Numbers:
    """16 times its logarithm to base 2, rounded."""
    rounded: _Numbers = np.floor(16 * np.log2(power) + 0.5).astype(np.int64)
    return rounded


_LOGS = _sixteenths(np.maximum(np.arange(256), 1))
_SUMS = _sixteenths(1 + 2 ** (-np.arange(2400) / 16))
_FADES = np.append(0, -_sixteenths(1 - 2 ** (-np.arange(1, 1200) / 16)))
_RATIOS = 2 ** (np.arange(-128, 128) / 16)
_LOSSES = np.minimum(233, np.floor(256 / (1 + _RATIOS))).astype(np.int64)
_LOSSES[255] = 0


def _int16(buffer: Any, off: int, n: int) -> _Numbers:
    return np.frombuffer(buffer, "<i2")[off : off + n].astype(np.int64)


def _heard(pcm: Any, off: int, before: Any) -> _Numbers:
    return np.concatenate([_int16(before, 0, _OVERLAP), _int16(pcm, off, _HOP)])


def measure(r: int, x: int, pcm: Any, off: int, before: Any) -> int:
    kept = np.frombuffer(before, "<u4", 1, 64)
    squares = (_int16(pcm, off, _HOP) ** 2 >> 8).sum(), (_int16(pcm, off + 128, _OVERLAP) ** 2 >> 8).sum()
    total = int(kept[0]) + 192 + int(squares[0])
    kept[0] = squares[1]
    return 10 - max(0, (total.bit_length() - 8) // 2)


def window(r: int, x: int, pcm: Any, off: int, before: Any, re: Any, im: Any, up: int) -> None:
    heard = _heard(pcm, off, before)
    shift = 18 - up
    scaled = (heard * _WEIGHTS + (1 << shift - 1)) >> shift
    fft.store(scaled[::2] + 1j * scaled[1::2], re, im, fft.PLACES)
    np.frombuffer(before, "<i2")[:_OVERLAP] = heard[-_OVERLAP:]


def overlap(r: int, x: int, pcm: Any, off: int, re: Any, im: Any, tail: Any, up: int) -> None:
    pairs = fft.load(re, im)[fft.FOUND]
    samples = np.column_stack([pairs.real, pairs.imag]).ravel().astype(np.int64)
    shift = 10 + up
    out = (samples * _WEIGHTS + (1 << shift - 1)) >> shift
    kept = np.frombuffer(tail, "<u2")
    out[:_OVERLAP] += kept[:_OVERLAP].astype(np.int64) - 32768
    out = np.clip(out, -32768, 32767)
    np.frombuffer(pcm, "<i2")[off : off + _HOP] = out[:_HOP]
    kept[:_OVERLAP] = out[_HOP:] + 32768


def levels(r: int, x: int, bins: Any, out: Any, up: int) -> None:
    numbers = fft.bins_of(bins)
    energies = np.add.reduceat((numbers.real**2 + numbers.imag**2).astype(np.int64), _EDGES)
    steps = np.zeros(_BANDS, np.int64)
    for bits in (8, 12, 16, 20, 24, 28):
        steps += energies >> bits > 0
    found = 192 - 32 * up + 64 * steps + _LOGS[energies >> 4 * steps]
    np.frombuffer(out, "<u2")[:_BANDS] = np.maximum(found, 16)


def start(levels: Any, state: Any) -> None:
    words = np.frombuffer(state, "<u2")[: 5 * _BANDS].reshape(_BANDS, 5)
    words[:, :4] = 16 * np.frombuffer(levels, "<u2")[:_BANDS, None]
    words[:, 4] = 0


def gains(r: int, x: int, levels: Any, state: Any, gains: Any, anew: int, rate: int) -> None:
    level = np.frombuffer(levels, "<u2")[:_BANDS].astype(np.int64)
    words = np.frombuffer(state, "<u2")[: 5 * _BANDS].reshape(_BANDS, 5)
    smooth, least, late, noise, left = words.T.astype(np.int64)
    smooth += (16 * level - smooth + 2) >> 2
    late = np.minimum(late, smooth)
    least = np.minimum(least, late)
    if anew:
        least, late = late, smooth
    quiet = smooth < least + _SPEECH
    noise += np.where(quiet, (16 * level - noise + ((1 << rate) >> 1)) >> rate, 0)
    noise = np.minimum(noise, least + _SPEECH)
    above = level - ((noise + 8) >> 4) + 5 - 13 // _WIDTHS
    # The ratio: what was left of the one before and what is new, as logarithms.
    ratio = left - 1025
    new = above - _FADES[np.maximum(above, 0)] - 65
    both = np.maximum(ratio, new) + _SUMS[np.abs(ratio - new)]
    ratio = np.clip(np.where(above > 0, both, ratio), -106, 127)
    words.T[:] = smooth, least, late, noise, 2 * (np.minimum(ratio, 0) - _SUMS[np.abs(ratio)]) + above + 1024
    np.frombuffer(gains, "<u2")[: _BANDS + 2] = np.pad(256 - _LOSSES[ratio + 128], 1, "edge")


def smooth(r: int, x: int, gains: Any, smoothed: Any) -> None:
    bands = np.frombuffer(gains, "<u2")[: _BANDS + 2].astype(np.int64)
    np.frombuffer(smoothed, "<u2")[:_BANDS] = (bands[:-2] + 2 * bands[1:-1] + bands[2:] + 2) >> 2


EQUIVALENTS = {
    "dsp.suppress._measure": measure,
    "dsp.suppress._window": window,
    "dsp.suppress._overlap": overlap,
    "dsp.suppress._levels": levels,
    "dsp.suppress._start": start,
    "dsp.suppress._gains": gains,
    "dsp.suppress._smooth": smooth,
}
