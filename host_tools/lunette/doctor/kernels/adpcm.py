"""Cases for the speech codec."""

from __future__ import annotations

from typing import Any

from lunette.doctor.kernels.registry import Kernel, Specs

_MODULE = "glasses.dsp.adpcm"
_FRAME = ("fill", 164, 0x5A)
_START = ("hex", "00000000")


def _encode(pcm: Any, pcm_off: int, out: Any, out_off: int, n: int, state: Any) -> Specs:
    """As `adpcm.encode` passes its arguments on."""
    return (0, 0, pcm, pcm_off, out, out_off, pcm_off + n, state)


def _decode(frame: Any, off: int, nbytes: int, pcm: Any, pcm_off: int) -> Specs:
    return (0, 0, frame, off, off + nbytes, pcm, pcm_off)


KERNELS = (
    Kernel(
        _MODULE,
        "_fill",
        {
            "steps": (("walk", 89, 1), ("fill", 1424, 0), ("fill", 712, 0)),
            "zero": (("fill", 178, 0), ("fill", 1424, 1), ("fill", 712, 1)),
            "largest": (("wave", 89, (32767,)), ("fill", 1424, 0), ("fill", 712, 0)),
        },
        "steps",
        "the tables",
    ),
    Kernel(
        _MODULE,
        "encode_frame",
        {
            "speech": _encode(("walk", 320, 1), 0, _FRAME, 0, 320, ("hex", "39f01400")),
            "soft": _encode(("walk", 320, 3), 0, _FRAME, 0, 320, _START),
            "noise": _encode(("noise", 320, 2), 0, _FRAME, 0, 320, _START),
            "silence": _encode(("wave", 320, (0,)), 0, _FRAME, 0, 320, ("hex", "00005800")),
            "positive": _encode(("wave", 320, (32767,)), 0, _FRAME, 0, 320, _START),
            "negative": _encode(("wave", 320, (-32768,)), 0, _FRAME, 0, 320, _START),
            "alternating": _encode(("wave", 320, (32767, -32768)), 0, _FRAME, 0, 320, ("hex", "ff7f5800")),
            "square": _encode(("wave", 320, (20000,) * 8 + (-20000,) * 8), 0, _FRAME, 0, 320, _START),
            "impulse": _encode(("wave", 320, (0,) * 160 + (32767,) + (0,) * 159), 0, _FRAME, 0, 320, _START),
            "odd places": _encode(
                ("noise", 67, 5),
                3,
                ("odd", ("fill", 41, 0)),
                5,
                64,
                ("odd", ("hex", "0180ff07")),
            ),
            "nothing": _encode(("noise", 2, 5), 0, ("fill", 8, 0), 1, 0, ("hex", "12340500")),
            "long": _encode(("walk", 1280, 2), 0, ("fill", 644, 0), 0, 1280, _START),
        },
        "speech",
        "a frame",
        per_frame=1,
    ),
    Kernel(
        _MODULE,
        "decode_frame",
        {
            "noise": _decode(("bytes", 164, 1), 0, 164, ("fill", 640, 0x5A), 0),
            "all codes": _decode(("hex", "00000000" + "0123456789abcdef" * 4), 0, 36, ("fill", 128, 0), 0),
            "to the top": _decode(("hex", "00000000" + "77" * 60), 0, 64, ("fill", 240, 0), 0),
            "to the bottom": _decode(("hex", "00000000" + "ff" * 60), 0, 64, ("fill", 240, 0), 0),
            "swinging": _decode(("hex", "7fff5800" + "7f" * 60), 0, 64, ("fill", 240, 0), 0),
            "falling index": _decode(("hex", "80005800" + "08" * 60), 0, 64, ("fill", 240, 0), 0),
            "index too high": _decode(("hex", "1234ff00" + "3c" * 16), 0, 20, ("fill", 64, 0), 0),
            "odd places": _decode(("odd", ("bytes", 70, 9)), 5, 40, ("fill", 160, 0x5A), 3),
            "header only": _decode(("bytes", 8, 9), 1, 4, ("fill", 8, 0x5A), 0),
        },
        "noise",
        "a frame",
    ),
)
