"""Cases for the spectrum of a wake word. Numbers have 32768 added."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.wakeword.spectrum"
_OUT = ("fill", 512, 0x5A)
_SILENCE = ("wave", 240, (-32768,))
_SPECTRA = {
    "noise": (("noise", 256, 1), ("noise", 256, 2)),
    "nothing": (("wave", 256, (-32768,)), ("wave", 256, (-32768,))),
    "lowest": (("wave", 256, (0,)), ("wave", 256, (0,))),
    "highest": (("wave", 256, (-1,)), ("wave", 256, (-1,))),
    "turning": (("wave", 256, (-1, -32768, 0, -32768)), ("wave", 256, (-32768, 0, -32768, -1))),
    "too much": (("wave", 256, (-1, 0, 0, 0, -1)), ("wave", 256, (0, -1, 0, 0, 0, -1, -1))),
}

KERNELS = (
    Kernel(
        _MODULE,
        "window",
        {
            name: (even, 0, odd, _OUT, _OUT, oldest)
            for name, even, odd, oldest in (
                ("speech", ("walk", 240, 1), ("walk", 240, 3), 160),
                ("noise", ("noise", 240, 2), ("noise", 240, 4), 80),
                ("silence", _SILENCE, _SILENCE, 0),
                ("faint", ("wave", 240, (-32768, -32767, -32769)), _SILENCE, 0),
                ("below 0", ("wave", 240, (-32768, -32768, -32768 - 64)), _SILENCE, 236),
                ("lowest", ("wave", 240, (0,)), ("wave", 240, (0,)), 0),
                ("highest", ("wave", 240, (-1,)), ("wave", 240, (-1,)), 80),
                # -32768 at the top of the window, and little else: counts as nothing.
                ("one", ("wave", 240, (-32768,) * 120 + (0,) + (-32768,) * 119), _SILENCE, 0),
            )
        },
        "speech",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "first",
        {f"{name}, 0": (re, 0, im, _OUT, _OUT, 0) for name, (re, im) in _SPECTRA.items()}
        | {
            "faint, 3": (
                ("wave", 256, (-30000, -32000, 31000)),
                0,
                ("wave", 256, (-32768, -28673)),
                _OUT,
                _OUT,
                3,
            )
        }
        | {"least, 15": (("wave", 256, (-32768,)), 0, ("wave", 256, (-32768,)), _OUT, _OUT, 15)},
        "noise, 0",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "later",
        {name: (0, 0, *numbers, _OUT, _OUT) for name, numbers in _SPECTRA.items()},
        "noise",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "energies",
        {name: (0, 0, *numbers) for name, numbers in _SPECTRA.items()},
        "noise",
        "a window",
        per_frame=2,
    ),
)
