"""Cases for the half-rate filter."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_OUT = ("fill", 320, 0x5A)

KERNELS = (
    Kernel(
        "glasses.dsp.halfband",
        "decimate",
        {
            "speech": (("walk", 350, 1), _OUT, 160),
            "noise": (("noise", 350, 2), _OUT, 160),
            "positive": (("wave", 94, (32767,)), ("fill", 64, 0), 32),
            "negative": (("wave", 94, (-32768,)), ("fill", 64, 0), 32),
            "alternating": (("wave", 94, (32767, -32768)), ("fill", 64, 0), 32),
            "signs of the taps": (
                # What makes the sum largest, so that it is cut: each sample has its tap's sign.
                (
                    "wave",
                    32,
                    (-32768, 0, 32767, 0) * 3 + (-32768, 0, 32767, 32767) + (32767, 0, -32768, 0) * 4,
                ),
                ("fill", 2, 0),
                1,
            ),
            "impulse": (("wave", 94, (0,) * 31 + (32767,) + (0,) * 62), ("fill", 64, 0), 32),
            "nothing": (("noise", 32, 4), ("fill", 4, 0x5A), 0),
        },
        "speech",
        "a frame",
    ),
)
