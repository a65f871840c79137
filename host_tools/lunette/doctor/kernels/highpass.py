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
            "speech": (("walk", 320, 1), 0, 320, _SETTLED),
            "noise": (("noise", 320, 2), 0, 320, _SETTLED),
            "positive": (("wave", 320, (32767,)), 0, 320, _SETTLED),
            "negative": (("wave", 320, (-32768,)), 0, 320, _SETTLED),
            "alternating": (("wave", 320, (32767, -32768)), 0, 320, _SETTLED),
            "saturating": (("wave", 320, (32767,) * 80 + (-32768,) * 80), 0, 320, _SETTLED),
            "a part": (("noise", 100, 3), 0, 60, _SETTLED),
            "nothing": (("noise", 10, 3), 0, 0, _SETTLED),
        },
        "speech",
        "a frame",
        per_frame=1,
    ),
)
