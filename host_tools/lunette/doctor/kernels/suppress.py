"""Cases for noise suppression."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.suppress"
# 32 samples, then their squares added up, in two words.
_BEFORE = ("wave", 34, (900, -700, 3000, -9000, 20000, -32768, 32767, 1) * 4 + (500, 130))
_LEAST = ("wave", 34, (0,))
_OUT = ("fill", 192, 0x5A)
_BANDS = 24
# Where a band stands: smoothed, least, least of late, noise, and what the last gain left.
_AT_NOISE = ("wave", 5 * _BANDS, (5000, 4800, 4900, 4950, 1000))
_IN_SPEECH = ("wave", 5 * _BANDS, (9000, 4800, 4900, 4950, 1264))
_CUT_OFF = ("wave", 5 * _BANDS, (7000, 4800, 4900, 9000, 900))
_LEVELS = ("wave", _BANDS, (310, 290, 320, 400, 688, 16, 312, 305))
_GAINS = ("fill", 2 * _BANDS + 4, 0x5A)
_SOUNDS = {
    "speech": ("walk", 320, 1),
    "noise": ("noise", 320, 2),
    "silence": ("wave", 320, (0,)),
    "faint": ("wave", 320, (0, 1, 0, 0, -1)),
    "lowest": ("wave", 320, (-32768,)),
    "alternating": ("wave", 320, (32767, -32768)),
}

KERNELS = (
    Kernel(
        _MODULE,
        "_measure",
        {
            f"{name}, {off}": (0, 0, sound, off, _BEFORE if name == "speech" else _LEAST)
            for name, sound in _SOUNDS.items()
            for off in (0, 160)
        }
        | {"most": (0, 0, _SOUNDS["lowest"], 0, ("wave", 34, (0,) * 33 + (2048,)))},
        "speech, 0",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "_window",
        {
            f"{name}, {off}": (0, 0, sound, off, _BEFORE, _OUT, _OUT, up)
            for (name, sound), up in zip(_SOUNDS.items(), (4, 0, 10, 9, -1, -1), strict=True)
            for off in (0, 160)
        },
        "speech, 0",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "_overlap",
        {
            f"{case}, {up}": (0, 0, ("noise", 320, 5), 160, re, im, ("noise", 32, 8), up)
            for case, re, im in (
                ("noise", ("noise", 96, 6), ("noise", 96, 7)),
                ("lowest", ("wave", 96, (0,)), ("wave", 96, (0,))),
                ("highest", ("wave", 96, (-1,)), ("wave", 96, (-1,))),
            )
            for up in (-1, 4, 10)
        },
        "noise, 4",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "_levels",
        {
            "noise": (0, 0, ("wave", 196, (-32000, -32768, -32700, -32768, 31000)), _GAINS, 4),
            "loud": (0, 0, ("wave", 196, (-30000, -32768)), _GAINS, -1),
            "nothing": (0, 0, ("wave", 196, (-32768,)), _GAINS, 10),
            "steps": (0, 0, ("wave", 196, (-32768, -32767, -32752, -32512, -32760)), _GAINS, 9),
        },
        "noise",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "_start",
        {
            "some": (_LEVELS, ("noise", 5 * _BANDS, 9)),
            "lowest": (("wave", _BANDS, (16,)), ("fill", 10 * _BANDS, 0x5A)),
            "highest": (("wave", _BANDS, (688,)), ("fill", 10 * _BANDS, 0)),
        },
        "some",
        "a start",
    ),
    Kernel(
        _MODULE,
        "_gains",
        {
            "noise": (0, 0, _LEVELS, _AT_NOISE, _GAINS, 0, 5),
            "early": (0, 0, _LEVELS, _AT_NOISE, _GAINS, 0, 2),
            "speech": (0, 0, _LEVELS, _IN_SPEECH, _GAINS, 0, 5),
            "anew": (0, 0, _LEVELS, _AT_NOISE, _GAINS, 1, 5),
            "too high": (0, 0, _LEVELS, _CUT_OFF, _GAINS, 0, 5),
        },
        "noise",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "_smooth",
        {
            "all": (0, 0, ("wave", _BANDS + 2, (256,)), _GAINS),
            "some": (0, 0, ("wave", _BANDS + 2, (23, 256, 100)), _GAINS),
            "one": (0, 0, ("wave", _BANDS + 2, (23,) * 13 + (256,) + (23,) * 12), _GAINS),
        },
        "some",
        "a window",
        per_frame=2,
    ),
)
