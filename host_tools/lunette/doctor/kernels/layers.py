"""Cases for the network of a wake word."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.wakeword.layers"
_ADDED = 1 << 29


def _words(*values: int) -> tuple[object, ...]:
    return ("hex", struct.pack(f"<{len(values)}I", *values).hex())


def _plan(*values: int) -> tuple[object, ...]:
    return ("hex", struct.pack(f"<{len(values)}H", *values).hex())


def _records(n: int, bits: int, adds: Sequence[int], factors: Sequence[int], shifts: Sequence[int]) -> object:
    """`n` of them, from what repeats: what is added, factors of 3 `bits` bits, shifts."""
    made = b""
    for i in range(n):
        factor = factors[i % len(factors)]
        parts = (factor >> 2 * bits, (factor >> bits) % (1 << bits), factor % (1 << bits))
        made += struct.pack("<I4H", _ADDED + adds[i % len(adds)], *parts, shifts[i % len(shifts)])
    return ("hex", made.hex())


def _sums(inputs: int, n: int, *values: int) -> tuple[object, ...]:
    """The sum of the `inputs`, and `n` words of what repeats."""
    return _words(inputs, *(values[i % len(values)] for i in range(n)))


_LARGE = (700000, 12, 1000000, 912345, 0, 1048575, 500000, 333333)
_SMALL = (0, 1, 2, 3, 1000, 65000, 120000, 131071)
_FACTORS = (0x25A5A5A5, 0x3FFFFFFF, 0x20000000, 0x2DEADBEE, 0x20000001)


def _scaled(arena: object, n: int, *after: int) -> dict[str, tuple[object, ...]]:
    """Cases of a kernel that scales. `after` is what its plan has after `zero`."""
    layer = _records(n, 10, (-400000, 30000, -900000), _FACTORS, (16, 17, 19))
    few = _records(n, 12, (0, -100000, 20000), (0x8A5A5A5A5, 0xFFFFFFFFF, 0x800000000), (16, 18, 20))
    even = _records(n, 10, (0,), (0x20000000,), (10,))  # halves: a factor of 1/2, and again
    # The lower parts alone, with the shifts that let them be seen.
    low = _records(n, 10, (-1000000, 0, -400000), (1023, 0xFFFFF, 700, 0xA5A5A, 512), (2, 12, 1, 12, 3))
    large = _sums(0, n, *_LARGE)
    return {
        "layer": (0, layer, _plan(1, n, 10, 1, *after), arena, large),
        "few bits": (0, few, _plan(1, n, 12, 281, *after), arena, _sums(0, n, *_SMALL)),
        "halves": (0, even, _plan(1, n, 10, 257, *after), arena, _sums(0, n, *range(64))),
        "halves below 0": (0, even, _plan(1, n, 10, 257, *after), arena, _sums(1, n, *range(64, 128))),
        "small factors": (0, low, _plan(1, n, 10, 257, *after), arena, large),
        "from the middle": (0, layer, _plan(3, n - 2, 10, 255, *after), arena, _sums(781, n, *_LARGE)),
    }


_BYTES = ("bytes", 4096, 1)


def _dense(inputs: int, n: int, at: int, weights: object, arena: object, kept: object) -> tuple[object, ...]:
    """Sums of `n` outputs from word 1 on, then their state, then the changes; `kept` is all of that."""
    return (0, weights, _plan(at, inputs, n, 1, 1 + n, 2 + 2 * n + inputs // 4), arena, kept)


def _kept(inputs: int, n: int, old: Sequence[int]) -> tuple[object, ...]:
    """What `_dense` begins with if the inputs were `old`, which repeats, and all weights 0."""
    before = bytes(old[i % len(old)] for i in range(inputs))
    words = struct.pack("<I", sum(before)) + bytes(4 * n) + before
    return ("hex", (bytes(4 + 4 * n) + words + bytes(4 * inputs + 4)).hex())


KERNELS = (
    Kernel(
        _MODULE,
        "dot",
        {
            "layer": (0, _BYTES, _plan(0, 64, 1), ("bytes", 64, 7), ("fill", 8, 0)),
            "from the middle": (0, _BYTES, _plan(5, 200, 2), ("bytes", 205, 3), ("fill", 12, 1)),
            "nothing": (0, _BYTES, _plan(0, 64, 1), ("fill", 64, 0), ("fill", 8, 1)),
            "most": (0, ("fill", 128, 255), _plan(0, 128, 1), ("fill", 128, 255), ("fill", 8, 0)),
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "turn",
        {
            "layer": (0, ("fill", 4096, 0), _BYTES, 64, 64),
            "sixty": (0, ("fill", 4096, 7), _BYTES, 64, 60),
            "blocks": (0, ("fill", 200 * 16, 0), ("bytes", 600, 2), 200, 3),
            "eights": (0, ("fill", 32 * 48, 0), ("bytes", 32 * 41, 3), 32, 41),
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "dense",
        {
            "layer": _dense(64, 64, 0, _BYTES, ("bytes", 64, 7), ("fill", 4 * 211, 0)),
            "some": _dense(64, 64, 0, _BYTES, ("wave", 32, (0, 0x203, 3)), _kept(64, 64, (0, 0, 3, 2, 9))),
            "most": _dense(
                32, 48, 4, ("fill", 1536, 255), ("fill", 36, 255), _kept(32, 48, (255, 254, 255, 0, 128))
            ),
            "less": _dense(16, 16, 3, ("fill", 256, 0), ("bytes", 19, 5), _kept(16, 16, (255, 1))),
            "nothing": _dense(8, 32, 0, ("bytes", 256, 4), ("fill", 8, 9), _kept(8, 32, (9,))),
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "sparse",
        {
            "layer": (
                *(0, ("bytes", 12800, 1), _plan(0, 200, 1, 64)),
                *(("wave", 100, (0, 99, 0, 30000)), ("fill", 260, 0)),
            ),
            "full": (0, ("bytes", 3200, 2), _plan(4, 200, 4, 16), ("bytes", 204, 3), _words(*range(20))),
            "nothing": (0, ("bytes", 512, 4), _plan(0, 16, 1, 32), ("fill", 16, 0), ("fill", 132, 1)),
            "most": (0, ("fill", 3200, 255), _plan(0, 200, 1, 16), ("fill", 200, 255), ("fill", 68, 0)),
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "depthwise",
        {
            name: (
                *(0, ("bytes", taps * n, taps), _plan(at, 2048 - newest, stride, taps, first, n)),
                *(("bytes", 2049, 3), ("fill", 260, 0)),
            )
            for name, at, newest, stride, taps, first, n in (
                ("layer", 4, 0, 18, 12, 1, 64),
                ("four", 2, 1, 6, 4, 1, 60),
                ("eight", 9, 2, 14, 8, 1, 32),
                ("sixteen", 0, 3, 30, 16, 33, 32),
                ("twenty", 8, 0, 34, 20, 1, 50),
                ("most", 0, 4, 56, 32, 1, 28),
            )
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "gather",
        {
            "layer": (0, _BYTES, _plan(1, 64), ("fill", 4, 0), _sums(9, 64, *_LARGE)),
            "one": (0, _BYTES, _plan(1, 1), ("fill", 4, 0), _words(5, 6, 7)),
            "some": (0, _BYTES, _plan(3, 10), ("fill", 4, 0), _sums(0, 32, *_SMALL)),
        },
        "layer",
        "a layer",
    ),
    Kernel(_MODULE, "scale", _scaled(("fill", 80, 1), 64, 8), "layer", "a layer"),
    Kernel(_MODULE, "scale_away", _scaled(("fill", 80, 1), 64, 8), "layer", "a layer"),
    Kernel(
        _MODULE,
        "remember",
        _scaled(("fill", 648, 1), 64, 2, 642, 5)
        | {
            "from the last slot": (
                *(0, _records(3, 10, (0,), _FACTORS, (12,)), _plan(1, 3, 10, 1, 0, 6, 2)),
                *(("fill", 13, 1), _sums(0, 3, *_LARGE)),
            )
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "slide",
        {
            "window": (0, _BYTES, _plan(4, 80, 120), ("bytes", 208, 1), ("fill", 4, 0)),
            "by one": (0, _BYTES, _plan(0, 63, 1), ("bytes", 64, 2), ("fill", 4, 0)),
            "by three": (0, _BYTES, _plan(1, 22, 3), ("bytes", 26, 2), ("fill", 4, 0)),
            "nothing": (0, _BYTES, _plan(0, 0, 16), ("bytes", 16, 2), ("fill", 4, 0)),
        },
        "window",
        "a window",
    ),
    Kernel(
        _MODULE,
        "take",
        {
            "step": (("fill", 204, 1), ("bytes", 120, 1), 84, 120),
            "all": (("fill", 256, 1), ("wave", 128, tuple(range(0, 65536, 257))), 0, 256),
            "nothing": (("fill", 4, 1), ("bytes", 4, 1), 0, 0),
        },
        "step",
        "a step",
    ),
)
