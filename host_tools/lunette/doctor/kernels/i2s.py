"""Cases for what an I2S microphone sends."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_PCM = ("fill", 640, 0x5A)
_EDGES = (-1, 16383, 0, 16384, -1, -16385, 0, -16384, 0, 0, -1, -1)  # low half, high half: around +-2**30

KERNELS = (
    Kernel(
        "glasses.dsp.i2s",
        "pick",
        {
            "noise": (0, 0, ("bytes", 1280, 1), _PCM, 320, 0, 0),
            "soft": (0, 0, ("wave", 640, tuple(range(-300, 340, 7))), _PCM, 320, 0, 5),
            "left": (0, 7, ("bytes", 512, 2), ("fill", 128, 0), 64, 1, 1),
            "right": (1, -7, ("bytes", 512, 3), ("fill", 128, 0), 64, 1, 3),
            "most": (0, 0, ("bytes", 256, 4), ("fill", 128, 0), 64, 0, 8),
            "full scale": (0, 0, ("wave", 64, (-1, 32767, 0, -32768)), ("fill", 64, 0), 32, 0, 0),
            "edges": (0, 0, ("wave", 12, _EDGES), ("fill", 12, 0), 6, 0, 1),
            "in place": (0, 0, ("bytes", 128, 5), ("same", 2), 32, 0, 2),
            "nothing": (0, 0, ("bytes", 8, 6), ("fill", 4, 0x5A), 0, 0, 2),
        },
        "soft",
        "a frame",
        per_frame=1,
    ),
)
