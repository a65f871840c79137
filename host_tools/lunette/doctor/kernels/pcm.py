"""Cases for samples and bytes."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.pcm"
_LEVELS = {
    "speech": (("walk", 320, 1), 320),
    "noise": (("noise", 320, 2), 320),
    "silence": (("wave", 320, (0,)), 320),
    "positive": (("wave", 320, (32767,)), 320),
    "negative": (("wave", 320, (-32768,)), 320),
    "alternating": (("wave", 321, (32767, -32768, 1)), 321),
    "one": (("wave", 2, (-1, 32767)), 1),
    "none": (("noise", 2, 3), 0),
}

KERNELS = (
    Kernel(
        _MODULE,
        "copy",
        {
            "frame": (("fill", 164, 0), 0, ("bytes", 164, 1), 0, 164),
            "odd places": (("odd", ("fill", 40, 0x5A)), 3, ("bytes", 50, 2), 8, 29),
            "within": (("bytes", 60, 3), 1, ("same", 0), 7, 50),
            "nothing": (("fill", 4, 0), 1, ("bytes", 4, 4), 1, 0),
        },
        "frame",
        "a coded frame",
        per_frame=1,
    ),
    Kernel(_MODULE, "peak", _LEVELS, "speech", "a frame"),
    Kernel(
        _MODULE,
        "mean_square",
        _LEVELS | {"longest and loudest": (("wave", 16384, (-32768,)), 16384)},
        "speech",
        "a frame",
    ),
    Kernel(
        _MODULE,
        "_root",
        {
            "zero": (0,),
            "one": (1,),
            "below a square": (99 * 99 - 1,),
            "a square": (181 * 181,),
            "largest": (0x3FFFFFFF,),
            "largest square": (32767 * 32767,),
            "bits": (0x2AAAAAAA,),
        },
        "largest",
        "a value",
    ),
)
