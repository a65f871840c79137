"""Cases for the features of a wake word."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.wakeword.features"
_BANDS = 40
_OUT = ("fill", 4 * _BANDS, 0x5A)


def _words(*values: int) -> tuple[object, ...]:
    """Words of 32 bits."""
    return ("wave", 2 * _BANDS, tuple(half for value in values for half in (value & 65535, value >> 16)))


_LEVELS = _words(0, 1, 77, 1500, 40000, 70000, 300000, 1400000)
_NOISES = _words(0, 1, 2, 3, 1000, 65535, 65536, 8000000, 300000000, 1440000000)

KERNELS = (
    Kernel(
        _MODULE,
        "bands",
        {
            name: (0, 0, low, high, _OUT)
            for name, low, high in (
                ("speech", ("noise", 256, 1), ("wave", 256, (0, 3, 100, 1, 0))),
                ("nothing", ("wave", 256, (0,)), ("wave", 256, (0,))),
                ("most", ("wave", 256, (65535,)), ("wave", 256, (32767,))),
                ("lines", ("wave", 256, (0, 65535, 0)), ("wave", 256, (0, 32767, 0, 0))),
            )
        },
        "speech",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "roots",
        {
            name: (0, 0, low, levels, up)
            for name, low, levels, up in (
                ("speech", ("noise", 40, 1), _words(5, 700, 0x1234567, 0xFFFF, 0x100000), 3),
                ("nothing", ("wave", 40, (0,)), _words(0), 0),
                ("small", ("wave", 40, (0, 1, 2, 3, 4, 6, 7, 65535)), _words(0), 0),
                ("near squares", ("wave", 40, (0, 1, 65535)), _words(65535, 65534, 1, 0x3FFFFFFF), 0),
                ("most", ("wave", 40, (65535,)), _words(0x7FFFFFFF), 15),
            )
        },
        "speech",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "loudness",
        {
            name: (0, 0, levels, noise, _OUT)
            for name, levels, noise in (
                ("speech", _LEVELS, _NOISES),
                ("start", _LEVELS, _words(0)),
                ("silence", _words(0), _NOISES),
                ("a twentieth", _LEVELS, _words(0xFFFFFFFF)),
                ("bits of noise", _words(100000), _words(*(3 << bits >> 1 for bits in range(32)))),
                ("bits of levels", _words(*(5 << bits >> 2 for bits in range(25))), _words(0, 80000)),
                ("beyond 32 bits", _words(0x3FFFFF, 0x400000, 0xFFFFFF), _words(0, 5, 0xFFFFFFFF)),
            )
        },
        "speech",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "quantise",
        {
            "speech": (0, 0, ("wave", 40, tuple(range(0, 680, 17))), _OUT, 40),
            "least": (0, 0, ("wave", 40, tuple(range(40))), _OUT, 0),
            "most": (0, 0, ("wave", 40, (664, 665, 666, 667, 1300, 65535)), _OUT, 80),
        },
        "speech",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "take",
        {
            name: (r, 0, ("walk", 320, 1), n, ("fill", 480, 1), ("fill", 480, 2), at)
            for name, r, n, at in (
                ("a hop", 0, 160, 320),
                ("the other", 160, 160, 320),
                ("odd", 3, 77, 401),
                ("one", 5, 1, 479),
                ("none", 0, 0, 3),
            )
        },
        "a hop",
        "a hop",
        per_frame=2,
    ),
)
