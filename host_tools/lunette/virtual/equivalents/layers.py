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


def _plan(buffer: Any) -> list[int]:
    return [int(n) for n in np.frombuffer(octets(buffer), "<u2")]


def dot(s: int, w: Any, plan: Any, arena: Any, sums: Any) -> None:
    at, inputs, first = _plan(plan)[:3]
    given = _bytes(arena, at, inputs)
    _words(sums, 0, 1)[0] = given.sum()
    _words(sums, first, 1)[0] = given @ _bytes(w, 0, inputs)


def turn(i: int, to: Any, data: Any, inputs: int, n: int) -> None:
    whole = inputs // 64 * 64
    blocks = _bytes(data, 0, whole * n).reshape(-1, n, 64), _bytes(data, whole * n, (inputs - whole) * n)
    rows = np.vstack(
        [part.swapaxes(1, 2).reshape(-1, n) for part in (blocks[0], blocks[1].reshape(-1, n, 8))]
    )
    made = np.frombuffer(octets(to), np.uint8)
    for first in range(0, n, 32):
        columns = rows[:, first : first + 32]
        wide = 32 if n - first > 16 else 16
        group = made[first * inputs :][: wide * inputs].reshape(inputs, wide)
        group[:, : columns.shape[1]] = columns


def dense(x: int, w: Any, plan: Any, arena: Any, sums: Any) -> None:
    at, inputs, n, first, state, items = _plan(plan)[:6]
    given = _bytes(arena, at, inputs)
    before = np.frombuffer(octets(sums), np.uint8)[4 * (state + 1 + n) :][:inputs]
    change = given - before
    listed = np.flatnonzero(change)
    halves = np.frombuffer(octets(sums), "<u2")[2 * items :]
    halves[: 2 * len(listed) : 2] = listed
    halves[1 : 2 * len(listed) : 2] = change[listed] + 256
    halves[2 * len(listed) + 1] = 0
    before[:] = given
    kept = _words(sums, state, 1 + n)
    kept[0] = kept[0] + change.sum()
    for o in range(0, n, 32):
        wide = min(32, n - o)
        weights = _bytes(w, o * inputs, wide * inputs).reshape(inputs, wide)
        kept[1 + o : 1 + o + wide] = kept[1 + o : 1 + o + wide] + change @ weights
    _words(sums, 0, 1)[0] = kept[0]
    _words(sums, first, n)[:] = kept[1:]


def sparse(x: int, w: Any, plan: Any, arena: Any, sums: Any) -> None:
    at, inputs, first, n = _plan(plan)[:4]
    given = _bytes(arena, at, inputs)
    weights = _bytes(w, 0, inputs * n).reshape(-1, inputs, 16)
    _words(sums, 0, 1)[0] = given.sum()
    _words(sums, first, n)[:] = np.einsum("i,bio->bo", given, weights).ravel()


def depthwise(s: int, w: Any, plan: Any, arena: Any, sums: Any) -> None:
    at, newest, stride, taps, first, n = _plan(plan)[:6]
    at += int(_bytes(arena, newest, 1)[0])
    given = np.array([_bytes(arena, at + stride * i, taps) for i in range(n)]).reshape(n, taps)
    weights = _bytes(w, 0, n * taps) - 128
    cut = taps // 16 * 16 if taps < 32 else 16
    parts = weights[: n * cut].reshape(n, cut), weights[n * cut :].reshape(n, taps - cut)
    made = (given * np.hstack(parts)).sum(1) + (-(-taps // 16) << 20)
    _words(sums, 0, 1)[0] = 0
    _words(sums, first, n)[:] += made.astype(np.uint32)


def gather(s: int, w: Any, plan: Any, arena: Any, sums: Any) -> None:
    first, n = _plan(plan)[:2]
    several = _words(sums, first, n)
    total = int(several.astype(np.int64).sum())
    several[:] = 0
    several[0] = total


def _scaled(r: Any, plan: Any, sums: Any, away: bool) -> _Numbers:
    first, n, p, zero = _plan(plan)[:4]
    several = _words(sums, first, n)
    less = (int(_words(sums, 0, 1)[0]) << 7) + (1 << 29)
    halves = np.frombuffer(octets(r), "<u2")[: 6 * n].reshape(n, 6).astype(np.int64)
    a = (halves[:, 1] << 16) + halves[:, 0] + several - less
    several[:] = 0
    factor = (halves[:, 2] << 2 * p) + (halves[:, 3] << p) + halves[:, 4]
    x = (a * factor + (1 << (3 * p - 1))) >> 2 * p
    x -= (away & (a < 0)).astype(np.int64) << p
    return np.clip(((x >> halves[:, 5]) + zero) >> 1, 0, 255)


def scale(a: int, r: Any, plan: Any, arena: Any, sums: Any) -> None:
    made, at = _scaled(r, plan, sums, False), _plan(plan)[4]
    octets(arena)[at : at + len(made)] = made.astype(np.uint8).tobytes()


def scale_away(a: int, r: Any, plan: Any, arena: Any, sums: Any) -> None:
    made, at = _scaled(r, plan, sums, True), _plan(plan)[4]
    octets(arena)[at : at + len(made)] = made.astype(np.uint8).tobytes()


def remember(a: int, r: Any, plan: Any, arena: Any, sums: Any) -> None:
    made, (at, newest, slots) = _scaled(r, plan, sums, False), _plan(plan)[4:7]
    view = np.frombuffer(octets(arena), np.uint8)
    slot = int(view[newest]) + 1
    view[newest] = slot = 0 if slot == slots else slot
    places = at + slot + 2 * slots * np.arange(len(made))
    view[places] = view[places + slots] = made


def slide(s: int, w: Any, plan: Any, arena: Any, sums: Any) -> None:
    at, n, by = _plan(plan)[:3]
    view = octets(arena)
    view[at : at + n] = bytes(view[at + by : at + by + n])


def take(x: Any, y: Any, at: int, n: int) -> None:
    octets(x)[at : at + n] = (_bytes(y, 0, n) ^ 128).astype(np.uint8).tobytes()


EQUIVALENTS = {
    f"wakeword.layers.{kernel.__name__}": kernel
    for kernel in (dot, turn, dense, sparse, depthwise, gather, scale, scale_away, remember, slide, take)
}
