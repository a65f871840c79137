"""Cases for mu-law."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.mulaw"
# Where segments begin and end, on both sides of zero, and around what is clipped.
_EDGES = tuple(
    sample + off
    for n in range(8)
    for sample in ((1 << n + 7) - 132, 132 - (1 << n + 7))
    for off in (-4, -1, 0, 1, 3)
)
_EXTREMES = (32635, 32636, 32767, -32632, -32633, -32768, 0, -1)

KERNELS = (
    Kernel(
        _MODULE,
        "encode",
        {
            "speech": (("walk", 160, 1), 0, ("fill", 160, 0x5A), 0, 160),
            "noise": (("noise", 160, 2), 0, ("fill", 160, 0x5A), 0, 160),
            "segments": (("wave", 80, _EDGES), 0, ("fill", 80, 0x5A), 0, 80),
            "extremes": (("wave", 8, _EXTREMES), 0, ("fill", 8, 0x5A), 0, 8),
            "odd places": (("noise", 40, 5), 3, ("odd", ("fill", 41, 0x5A)), 5, 33),
            "nothing": (("noise", 2, 5), 1, ("fill", 4, 0x5A), 1, 0),
        },
        "speech",
        "a coded frame",
    ),
    Kernel(
        _MODULE,
        "decode",
        {
            "all codes": (("hex", bytes(range(256)).hex()), 0, 256, ("fill", 512, 0), 0),
            "noise": (("bytes", 160, 1), 0, 160, ("fill", 320, 0x5A), 0),
            "odd places": (("odd", ("bytes", 70, 9)), 5, 33, ("fill", 160, 0x5A), 3),
            "nothing": (("bytes", 4, 9), 1, 0, ("fill", 4, 0x5A), 1),
        },
        "noise",
        "a coded frame",
    ),
)
