"""Cases for two microphones as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.beam"
_OUT = ("fill", 640, 0x5A)
_START = ("fill", 88, 0)
# Of an earlier frame: 16 samples, and 14 sums, each with its lower half first.
_HELD = ("wave", 44, (*range(-4000, 4000, 500), *(-27000, 90, 5, -1, 31000, -700, 1, 0) * 3, 17, -2, -3, 400))
# Those of the breadboard.
_H = (-121, 213, -381, 881, 5633, -613, 275, -141)
_W = (318, -1918, -1570, -1123, -829, -607, -433, -360)


def _taps(h: Sequence[int], w: Sequence[int], delay: int) -> tuple[Any, ...]:
    return ("wave", 17, (*h, *w, delay))


_BOTH = _taps(_H, _W, 5)
_PART = (("walk", 48, 1), ("walk", 48, 2), ("fill", 96, 0x5A))
_LOUD = _taps((4096, -4096) * 4, (-900, 900) * 4, 14)

KERNELS = (
    Kernel(
        _MODULE,
        "combine",
        {
            "speech": (0, 0, ("walk", 320, 1), ("walk", 320, 2), _OUT, 320, _HELD, _BOTH),
            "noise": (0, 0, ("noise", 320, 1), ("noise", 320, 2), _OUT, 320, _START, _BOTH),
            "loudest": (
                0,
                0,
                ("wave", 320, (-32768, 32767)),
                ("wave", 320, (32767, -32768)),
                _OUT,
                320,
                _START,
                _LOUD,
            ),
            "near alone": (0, 3, *_PART, 48, _START, _taps(_H, (0,) * 8, 13)),
            "far alone": (0, -3, *_PART, 48, _START, _taps(_H, (4096, 0, 0, 0, 0, 0, 0, 0), 5)),
            "a part": (20, 0, *_PART, 40, _HELD, _BOTH),
            "in place of near": (0, 0, ("walk", 48, 3), ("walk", 48, 4), ("same", 2), 48, _START, _BOTH),
            "in place of far": (0, 0, ("walk", 48, 3), ("walk", 48, 4), ("same", 3), 48, _START, _BOTH),
            "nothing": (7, 0, *_PART, 7, _HELD, _BOTH),
        },
        "speech",
        "a frame of two microphones",
    ),
    Kernel(
        _MODULE,
        "blend",
        {
            "begin": (_BOTH, ("wave", 8, _W), ("noise", 8, 1), 0),
            "on the way": (_BOTH, ("wave", 8, _W), ("wave", 8, (4096, 0, -1, 5, 0, 0, 0, 7)), 5),
            "far apart": (_BOTH, ("wave", 8, (32767, -32768)), ("wave", 8, (-32768, 32767)), 15),
            "end": (_BOTH, ("wave", 8, _W), ("noise", 8, 2), 16),
        },
        "on the way",
        "a sixteenth of a change",
    ),
    Kernel(
        _MODULE,
        "survey",
        {
            "speech": (0, 0, ("walk", 320, 1), 320, ("fill", 8, 0x5A)),
            "noise": (0, 9, ("noise", 320, 2), 320, ("fill", 8, 0)),
            "silence": (0, 0, ("wave", 320, (-7,)), 320, ("fill", 8, 0)),
            "full scale": (
                0,
                0,
                ("wave", 64, (32767, -32768, 0, 1, -32768, 32767, 5, 5)),
                64,
                ("fill", 8, 0),
            ),
            "few": (0, 0, ("wave", 8, (-300, 200, 999, -999)), 8, ("fill", 8, 0)),
        },
        "speech",
        "a frame of a microphone",
    ),
)
