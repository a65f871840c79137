"""Cases for the filters behind a PDM microphone."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.pdm"
_EMPTY = ("hex", "000000000000000000000010")
_BEGUN = ("hex", "d2049a01390500004d3c2b12")
# Whatever lets no sum leave its 16 or 15 bits. Of few values: every case sends them to the glasses.
_TABLES = ("wave", 4096, tuple(k * 367 % 2039 for k in range(23)))
_OUT = ("fill", 2 * 670, 0x5A)
_PCM = ("fill", 640, 0x5A)
_HALF_SCALE = ("wave", 670, (32640,))

KERNELS = (
    Kernel(
        _MODULE,
        "build",
        {
            "ramp": (("fill", 8192, 0x5A), ("wave", 64, tuple(range(1, 65)))),
            "none": (("fill", 8192, 0x5A), ("wave", 64, (0,))),
            "most": (("fill", 8192, 0x5A), ("wave", 64, (511,))),
        },
        "ramp",
        "when a capture begins",
    ),
    Kernel(
        _MODULE,
        "first",
        {
            "noise": (0, 0, ("bytes", 2560, 1), _OUT, 30, 2560, _TABLES, _EMPTY),
            "goes on": (7, -7, ("bytes", 160, 2), ("fill", 80, 0x5A), 0, 160, _TABLES, _BEGUN),
            "ones": (0, 0, ("fill", 160, 0xFF), ("fill", 80, 0x5A), 0, 160, _TABLES, _EMPTY),
            "zeros": (0, 0, ("fill", 160, 0), ("fill", 80, 0x5A), 0, 160, _TABLES, _BEGUN),
            "in turn": (0, 0, ("fill", 160, 0x55), ("fill", 80, 0x5A), 0, 160, _TABLES, _BEGUN),
            "nothing": (0, 0, ("fill", 8, 0), ("fill", 4, 0x5A), 0, 0, _TABLES, _BEGUN),
        },
        "noise",
        "a frame",
        per_frame=1,
    ),
    Kernel(
        _MODULE,
        "second",
        {
            "noise": (("noise", 670, 1), 0, _PCM, 640, _EMPTY, 0),
            "loud": (("noise", 670, 2), 0, _PCM, 640, _BEGUN, 5),
            "most": (("noise", 670, 3), 0, _PCM, 640, _BEGUN, 13),
            "silence": (_HALF_SCALE, 0, _PCM, 640, _EMPTY, 0),
            "ones": (("wave", 70, (65280,)), 0, ("fill", 40, 0x5A), 40, _EMPTY, 0),
            "zeros": (("wave", 70, (0,)), 0, ("fill", 40, 0x5A), 40, _EMPTY, 0),
            "nothing": (("noise", 30, 4), 0, ("fill", 4, 0x5A), 0, _BEGUN, 2),
        },
        "noise",
        "a frame",
        per_frame=1,
    ),
)
