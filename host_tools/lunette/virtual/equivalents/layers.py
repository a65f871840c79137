"""The kernels of a wake word's network, in matrices and numbers of 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from lunette.virtual.equivalents import octets

_Numbers = np.ndarray[Any, np.dtype[np.int64]]


def _bytes(buffer: Any, at: int, count: int) -> _Numbers:
    return np.frombuffer(octets(buffer), np.uint8)[at : at + count].astype(np.int64)


def _words(buffer: Any, first: int, count: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    return np.frombuffer(octets(buffer), "<u4")[first : first + count]


def dense(s: int, w: Any, x: Any, at: int, inputs: int, acc: Any, n: int) -> int:
    given = _bytes(x, at, inputs)
    weights = _bytes(w, 0, inputs * n)
    whole = inputs // 64 * 64
    sums = np.einsum("bi,bni->n", given[:whole].reshape(-1, 64), weights[: whole * n].reshape(-1, n, 64))
    sums += np.einsum("bi,bni->n", given[whole:].reshape(-1, 8), weights[whole * n :].reshape(-1, n, 8))
    _words(acc, 0, n)[:] += sums.astype(np.uint32)
    return int(given.sum())


def sparse(s: int, w: Any, q: Any, at: int, inputs: int, acc: Any, first: int, n: int) -> int:
    given = _bytes(q, at, inputs)
    weights = _bytes(w, 0, inputs * n).reshape(-1, inputs, 16)
    _words(acc, first, n)[:] = np.einsum("i,bio->bo", given, weights).ravel()
    return int(given.sum())


def depthwise(
    s: int, w: Any, ring: Any, at: int, stride: int, taps: int, acc: Any, first: int, n: int
) -> None:
    given = np.array([_bytes(ring, at + stride * i, taps) for i in range(n)]).reshape(n, taps)
    weights = _bytes(w, 0, n * taps) - 128
    cut = taps // 16 * 16 if taps < 32 else 16
    parts = weights[: n * cut].reshape(n, cut), weights[n * cut :].reshape(n, taps - cut)
    sums = (given * np.hstack(parts)).sum(1) + (-(-taps // 16) << 20)
    _words(acc, first, n)[:] += sums.astype(np.uint32)


def gather(s: int, acc: Any, n: int) -> None:
    sums = _words(acc, 0, n)
    total = int(sums.astype(np.int64).sum())
    sums[:] = 0
    sums[0] = total


def _scaled(r: Any, n: int, acc: Any, first: int, less: int, p: int, zero: int, away: bool) -> _Numbers:
    sums = _words(acc, first, n)
    halves = np.frombuffer(octets(r), "<u2")[: 6 * n].reshape(n, 6).astype(np.int64)
    a = (halves[:, 1] << 16) + halves[:, 0] + sums - less
    sums[:] = 0
    factor = (halves[:, 2] << 2 * p) + (halves[:, 3] << p) + halves[:, 4]
    x = (a * factor + (1 << (3 * p - 1))) >> 2 * p
    x -= (away & (a < 0)).astype(np.int64) << p
    return np.clip(((x >> halves[:, 5]) + zero) >> 1, 0, 255)


def scale(
    a: int, r: Any, n: int, acc: Any, first: int, less: int, p: int, zero: int, out: Any, at: int
) -> None:
    octets(out)[at : at + n] = _scaled(r, n, acc, first, less, p, zero, False).astype(np.uint8).tobytes()


def scale_away(
    a: int, r: Any, n: int, acc: Any, first: int, less: int, p: int, zero: int, out: Any, at: int
) -> None:
    octets(out)[at : at + n] = _scaled(r, n, acc, first, less, p, zero, True).astype(np.uint8).tobytes()


def remember(
    a: int,
    r: Any,
    n: int,
    acc: Any,
    first: int,
    less: int,
    p: int,
    zero: int,
    ring: Any,
    at: int,
    slots: int,
) -> None:
    made = _scaled(r, n, acc, first, less, p, zero, False)
    view = np.frombuffer(octets(ring), np.uint8)
    places = at + 2 * slots * np.arange(n)
    view[places] = view[places + slots] = made


def slide(x: Any, i: int, at: int, n: int, by: int) -> None:
    view = octets(x)
    view[at : at + n] = bytes(view[at + by : at + by + n])


def take(i: int, x: int, inputs: Any, out: Any, at: int, n: int) -> None:
    octets(out)[at : at + n] = (_bytes(inputs, 0, n) ^ 128).astype(np.uint8).tobytes()


EQUIVALENTS = {
    f"wakeword.layers.{kernel.__name__}": kernel
    for kernel in (dense, sparse, depthwise, gather, scale, scale_away, remember, slide, take)
}
