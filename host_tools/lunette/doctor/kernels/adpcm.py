"""Cases for the speech codec."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.adpcm"
_FRAME = ("fill", 164, 0x5A)
_START = ("hex", "00000000")

KERNELS = (
    Kernel(
        _MODULE,
        "encode",
        {
            "speech": (("walk", 320, 1), 0, _FRAME, 0, 320, ("hex", "39f01400")),
            "soft": (("walk", 320, 3), 0, _FRAME, 0, 320, _START),
            "noise": (("noise", 320, 2), 0, _FRAME, 0, 320, _START),
            "silence": (("wave", 320, (0,)), 0, _FRAME, 0, 320, ("hex", "00005800")),
            "positive": (("wave", 320, (32767,)), 0, _FRAME, 0, 320, _START),
            "negative": (("wave", 320, (-32768,)), 0, _FRAME, 0, 320, _START),
            "alternating": (("wave", 320, (32767, -32768)), 0, _FRAME, 0, 320, ("hex", "ff7f5800")),
            "square": (("wave", 320, (20000,) * 8 + (-20000,) * 8), 0, _FRAME, 0, 320, _START),
            "impulse": (("wave", 320, (0,) * 160 + (32767,) + (0,) * 159), 0, _FRAME, 0, 320, _START),
            "odd places": (
                ("noise", 67, 5),
                3,
                ("odd", ("fill", 41, 0)),
                5,
                64,
                ("odd", ("hex", "0180ff07")),
            ),
            "nothing": (("noise", 2, 5), 0, ("fill", 8, 0), 1, 0, ("hex", "12340500")),
            "long": (("walk", 1280, 2), 0, ("fill", 644, 0), 0, 1280, _START),
        },
        "speech",
        "a frame",
        per_frame=1,
    ),
    Kernel(
        _MODULE,
        "decode",
        {
            "noise": (("bytes", 164, 1), 0, 164, ("fill", 640, 0x5A), 0),
            "all codes": (("hex", "00000000" + "0123456789abcdef" * 4), 0, 36, ("fill", 128, 0), 0),
            "to the top": (("hex", "00000000" + "77" * 60), 0, 64, ("fill", 240, 0), 0),
            "to the bottom": (("hex", "00000000" + "ff" * 60), 0, 64, ("fill", 240, 0), 0),
            "swinging": (("hex", "7fff5800" + "7f" * 60), 0, 64, ("fill", 240, 0), 0),
            "falling index": (("hex", "80005800" + "08" * 60), 0, 64, ("fill", 240, 0), 0),
            "index too high": (("hex", "1234ff00" + "3c" * 16), 0, 20, ("fill", 64, 0), 0),
            "odd places": (("odd", ("bytes", 70, 9)), 5, 40, ("fill", 160, 0x5A), 3),
            "header only": (("bytes", 8, 9), 1, 4, ("fill", 8, 0x5A), 0),
        },
        "noise",
        "a frame",
    ),
)
