"""Cases for what an I2S microphone sends."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_PCM = ("fill", 640, 0x5A)
_EDGES = (
    -1,
    16383,
    0,
    16384,
    -1,
    -16385,
    0,
    -16384,
    0,
    0,
    -1,
    -1,
    1,
    1,
    -1,
    -2,
)  # low half, high half: around +-2**30

KERNELS = (
    Kernel(
        "glasses.dsp.i2s",
        "pick",
        {
            "noise": (("bytes", 1280, 1), 0, _PCM, 320, 0, 0, 0),
            "soft": (("wave", 640, tuple(range(-300, 340, 7))), 0, _PCM, 320, 0, 0, 5),
            "left": (("bytes", 512, 2), 7, ("fill", 128, 0), 64, 0, 1, 1),
            "right": (("bytes", 512, 3), -7, ("fill", 128, 0), 64, 1, 1, 3),
            "most": (("bytes", 256, 4), 0, ("fill", 128, 0), 64, 0, 0, 8),
            "full scale": (("wave", 64, (-1, 32767, 0, -32768)), 0, ("fill", 64, 0), 32, 0, 0, 0),
            "edges": (("wave", 16, _EDGES), 0, ("fill", 16, 0), 8, 0, 0, 1),
            "in place": (("bytes", 128, 5), 0, ("same", 0), 32, 0, 0, 2),
            "nothing": (("bytes", 8, 6), 0, ("fill", 4, 0x5A), 0, 0, 0, 2),
        },
        "soft",
        "a frame",
        per_frame=1,
    ),
)
