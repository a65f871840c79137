"""Cases for the network of a wake word."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.wakeword.layers"
_ADDED = 1 << 29


def _words(*values: int) -> tuple[object, ...]:
    return ("hex", struct.pack(f"<{len(values)}I", *values).hex())


def _records(n: int, bits: int, adds: Sequence[int], factors: Sequence[int], shifts: Sequence[int]) -> object:
    """`n` of them, from what repeats: what is added, factors of 3 `bits` bits, shifts."""
    made = b""
    for i in range(n):
        factor = factors[i % len(factors)]
        parts = (factor >> 2 * bits, (factor >> bits) % (1 << bits), factor % (1 << bits))
        made += struct.pack("<I4H", _ADDED + adds[i % len(adds)], *parts, shifts[i % len(shifts)])
    return ("hex", made.hex())


def _sums(n: int, *values: int) -> tuple[object, ...]:
    return _words(*(values[i % len(values)] for i in range(n)))


_LARGE = (700000, 12, 1000000, 912345, 0, 1048575, 500000, 333333)
_SMALL = (0, 1, 2, 3, 1000, 65000, 120000, 131071)
_FACTORS = (0x25A5A5A5, 0x3FFFFFFF, 0x20000000, 0x2DEADBEE, 0x20000001)


def _scaled(name: str, after: tuple[object, ...], n: int) -> dict[str, tuple[object, ...]]:
    """Cases of a kernel that scales. `after` are the arguments after `zero`."""
    layer = _records(n, 10, (-400000, 30000, -900000), _FACTORS, (16, 17, 19))
    few = _records(n, 12, (0, -100000, 20000), (0x8A5A5A5A5, 0xFFFFFFFFF, 0x800000000), (16, 18, 20))
    even = _records(n, 10, (0,), (0x20000000,), (10,))  # halves: a factor of 1/2, and again
    # The lower parts alone, with the shifts that let them be seen.
    low = _records(n, 10, (-1000000, 0, -400000), (1023, 0xFFFFF, 700, 0xA5A5A, 512), (2, 12, 1, 12, 3))
    return {
        "layer": (0, layer, n, _sums(n, *_LARGE), 0, _ADDED, 10, 1, *after),
        "few bits": (0, few, n, _sums(n, *_SMALL), 0, _ADDED, 12, 281, *after),
        "halves": (0, even, n, _sums(n, *range(64)), 0, _ADDED + 32, 10, 257, *after),
        "small factors": (0, low, n, _sums(n, *_LARGE), 0, _ADDED, 10, 257, *after),
        "from the middle": (0, layer, n - 2, _sums(n, *_LARGE), 2, _ADDED + 100000, 10, 255, *after),
    }


_BYTES = ("bytes", 4096, 1)

KERNELS = (
    Kernel(
        _MODULE,
        "dense",
        {
            "layer": (0, _BYTES, ("bytes", 64, 7), 0, 64, ("fill", 256, 0), 64),
            "blocks": (0, ("bytes", 600, 2), ("bytes", 204, 3), 4, 200, _words(1, 2, 3), 3),
            "eights": (0, ("bytes", 160, 4), ("bytes", 40, 3), 0, 32, ("fill", 20, 0), 5),
            "nothing": (0, ("bytes", 512, 4), ("fill", 64, 0), 0, 64, ("fill", 32, 1), 8),
            "most": (0, ("fill", 512, 255), ("fill", 128, 255), 0, 128, ("fill", 16, 0), 4),
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "sparse",
        {
            "layer": (0, ("bytes", 12800, 1), ("wave", 100, (0, 99, 0, 30000)), 0, 200, _BYTES, 0, 64),
            "full": (0, ("bytes", 3200, 2), ("bytes", 204, 3), 4, 200, _words(*range(20)), 4, 16),
            "nothing": (0, ("bytes", 512, 4), ("fill", 16, 0), 0, 16, ("fill", 128, 1), 0, 32),
            "most": (0, ("fill", 3200, 255), ("fill", 200, 255), 0, 200, ("fill", 64, 0), 0, 16),
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "depthwise",
        {
            name: (
                0,
                ("bytes", taps * n, taps),
                ("bytes", 2048, 3),
                at,
                stride,
                taps,
                ("fill", 256, 0),
                first,
                n,
            )
            for name, at, stride, taps, first, n in (
                ("layer", 4, 18, 12, 0, 64),
                ("four", 2, 6, 4, 1, 60),
                ("eight", 9, 14, 8, 0, 32),
                ("sixteen", 0, 30, 16, 32, 32),
                ("twenty", 8, 34, 20, 0, 50),
                ("most", 0, 64, 32, 0, 32),
            )
        },
        "layer",
        "a layer",
    ),
    Kernel(
        _MODULE,
        "gather",
        {
            "layer": (0, _sums(64, *_LARGE), 64),
            "one": (0, _words(5, 6), 1),
            "some": (0, _sums(32, *_SMALL), 10),
        },
        "layer",
        "a layer",
    ),
    Kernel(_MODULE, "scale", _scaled("scale", (("fill", 80, 1), 8), 64), "layer", "a layer"),
    Kernel(_MODULE, "scale_away", _scaled("scale_away", (("fill", 80, 1), 8), 64), "layer", "a layer"),
    Kernel(_MODULE, "remember", _scaled("remember", (("fill", 640, 1), 2, 5), 64), "layer", "a layer"),
    Kernel(
        _MODULE,
        "slide",
        {
            "window": (("bytes", 208, 1), 0, 4, 80, 120),
            "by one": (("bytes", 64, 2), 0, 0, 63, 1),
            "nothing": (("bytes", 16, 2), 0, 0, 0, 16),
        },
        "window",
        "a window",
    ),
    Kernel(
        _MODULE,
        "take",
        {
            "step": (0, 0, ("bytes", 120, 1), ("fill", 204, 1), 84, 120),
            "all": (0, 0, ("wave", 128, tuple(range(0, 65536, 257))), ("fill", 256, 1), 0, 256),
            "nothing": (0, 0, ("bytes", 4, 1), ("fill", 4, 1), 0, 0),
        },
        "step",
        "a step",
    ),
)
