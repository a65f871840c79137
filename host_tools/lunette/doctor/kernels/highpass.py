"""Cases for the high-pass."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.highpass"
_SETTLED = ("hex", "000000200000001f")  # on a DC of 0

KERNELS = (
    Kernel(
        _MODULE,
        "start",
        {
            "zero": (("wave", 2, (0,)), ("fill", 8, 0x5A)),
            "lowest": (("wave", 2, (-32768, 5)), ("fill", 8, 0x5A)),
            "highest": (("wave", 2, (32767, 5)), ("fill", 8, 0x5A)),
        },
        "zero",
        "a start",
    ),
    Kernel(
        _MODULE,
        "run",
        {
            "speech": (0, 0, ("walk", 320, 1), 320, _SETTLED),
            "noise": (0, 0, ("noise", 320, 2), 320, _SETTLED),
            "positive": (0, 0, ("wave", 320, (32767,)), 320, _SETTLED),
            "negative": (0, 0, ("wave", 320, (-32768,)), 320, _SETTLED),
            "alternating": (0, 0, ("wave", 320, (32767, -32768)), 320, _SETTLED),
            "saturating": (0, 0, ("wave", 320, (32767,) * 80 + (-32768,) * 80), 320, _SETTLED),
            "a part": (30, 0, ("noise", 100, 3), 60, _SETTLED),
            "nothing": (6, 0, ("noise", 10, 3), 6, _SETTLED),
        },
        "speech",
        "a frame",
        per_frame=1,
    ),
)
