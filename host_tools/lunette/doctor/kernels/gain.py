"""Cases for the automatic gain."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.gain"


def _words(*values: int) -> tuple[str, str]:
    return "hex", b"".join(value.to_bytes(4, "little") for value in values).hex()


_TOPS = ("fill", 44, 0)
_LATE = ("walk", 64, 7)
_SPEECH = _words(0, 900, 4000, 12000, 9000, 15000, 7000, 2000, 800, 300, 100)
_SOFT = _words(0, 90, 400, 1200, 900, 1500, 700, 200, 80, 30, 10)
_LOUD = _words(*[32768] * 11)
_UNITY = _words(*[16384] * 11)

KERNELS = (
    Kernel(
        _MODULE,
        "peaks",
        {
            "speech": (("walk", 320, 1), 0, 10, _TOPS),
            "noise": (("noise", 320, 2), 0, 10, _TOPS),
            "silence": (("wave", 320, (0,)), 0, 10, _TOPS),
            "lowest": (("wave", 320, (-32768, 0, 1)), 0, 10, _TOPS),
            "signs": (("wave", 320, (1, -1, 2, -3, 32767, -32767, 0)), 0, 10, _TOPS),
            "a part": (("noise", 200, 3), 0, 4, _TOPS),
            "nothing": (("noise", 10, 3), 0, 0, _TOPS),
        },
        "speech",
        "a frame",
        per_frame=1,
    ),
    Kernel(
        _MODULE,
        "adapt",
        {
            "first": (_SPEECH, _words(0, 0, 16384)),
            "tenth": (_SOFT, _words(50000, 9, 16384)),
            "up": (_SOFT, _words(40000, 128, 16384)),
            "up slowly": (_SPEECH, _words(20000000, 128, 16384)),
            "down": (_LOUD, _words(400000000, 128, 200000)),
            "down slowly": (_SPEECH, _words(60000000, 128, 16384)),
            "pause": (_SOFT, _words(500000000, 50, 16384)),
            "silence": (_TOPS, _words(500000000, 50, 16384)),
            "bounds": (_LOUD, _words(671088640, 128, 4115)),
        },
        "first",
        "a frame",
        per_frame=1,
    ),
    Kernel(
        _MODULE,
        "plan",
        {
            "speech": (_SPEECH, _UNITY, 30000),
            "loud": (_LOUD, _UNITY, 16384),
            "most": (_SOFT, _words(*[518112] * 11), 518112),
            "release": (_SOFT, _words(*[5000] * 11), 16384),
        },
        "speech",
        "a frame",
        per_frame=1,
    ),
    Kernel(
        _MODULE,
        "apply",
        {
            "speech": (("walk", 320, 1), 0, _words(*range(16384, 16384 + 11 * 160, 160)), _LATE, 1),
            "noise": (("noise", 320, 2), 0, _UNITY, _LATE, 0),
            "falling": (("walk", 320, 3), 0, _words(*range(20000, 4600, -1440)), _LATE, 1),
            "lowest": (("wave", 320, (-32768,)), 0, _words(*[14600] * 11), ("wave", 64, (-32768,)), 0),
        },
        "speech",
        "a frame",
        per_frame=1,
    ),
)
