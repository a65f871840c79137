"""Cases for voice activity."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.activity"
_SUMS = ("fill", 16, 0x5A)


def _words(*values: int) -> tuple[str, str]:
    return "hex", b"".join(value.to_bytes(4, "little") for value in values).hex()


def _state(frame: int, part: int, hangover: int, level: int, noise: int) -> tuple[str, str]:
    band = (level, level, noise, noise, *[noise] * 8)
    return _words(4, frame, part, hangover, *band * 4)


_FRESH = ("fill", 208, 0)
_QUIET = _words(900, 1700, 3100, 6000)
_SPEECH = _words(40000, 170000, 610000, 2900000)

KERNELS = (
    Kernel(
        _MODULE,
        "measure",
        {
            "speech": (("walk", 320, 1), 0, 320, _SUMS),
            "noise": (("noise", 320, 2), 0, 320, _SUMS),
            "negative": (("wave", 320, (-32768,)), 0, 320, _SUMS),
            "alternating": (("wave", 320, (32767, -32768)), 0, 320, _SUMS),
            "fours": (("wave", 320, (32767,) * 4 + (-32768,) * 4), 0, 320, _SUMS),
            "a part": (("noise", 40, 3), 0, 32, _SUMS),
            "nothing": (("noise", 40, 3), 0, 0, _SUMS),
        },
        "speech",
        "a frame",
        per_frame=1,
    ),
    Kernel(
        _MODULE,
        "decide",
        {
            "first": (_QUIET, _FRESH),
            "second": (_SPEECH, _words(1, 0, 0, 0, *[9000] * 48)),
            "voice": (_SPEECH, _state(3, 2, 0, 12000, 12000)),
            "hangover": (_QUIET, _state(7, 7, 3, 12000, 12000)),
            "noise": (_QUIET, _state(7, 0, 0, 12000, 12000)),
            "noise that stops": (_QUIET, _state(0, 0, 0, 30000, 30000)),
            "largest": (_words(*[40 * 8 * 32768] * 4), _state(0, 0, 0, 0, 0)),
            "nothing": (_words(0, 0, 0, 0), _state(7, 3, 0, 0, 0)),
        },
        "voice",
        "a frame",
        per_frame=1,
    ),
)
