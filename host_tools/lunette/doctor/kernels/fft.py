"""Cases for the Fourier transform. Numbers have 32768 added: a noise of 16 bits is one around nothing."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_MODULE = "glasses.dsp.fft"
_ZERO = ("wave", 96, (-32768,))
_OUT = ("fill", 192, 0x5A)
_SPECTRA = {
    "noise": (0, 0, ("noise", 96, 1), ("noise", 96, 2)),
    "nothing": (0, 0, _ZERO, _ZERO),
    "impulse": (0, 0, ("wave", 96, (-12768,) + (-32768,) * 95), _ZERO),
    "lowest": (0, 0, ("wave", 96, (0,)), ("wave", 96, (0,))),
    "highest": (0, 0, ("wave", 96, (-1,)), ("wave", 96, (-1,))),
    "turning": (0, 0, ("wave", 96, (-1, -32768, 0, -32768)), ("wave", 96, (-32768, 0, -32768, -1))),
    "scratch": (7, -9, ("walk", 96, 1), ("walk", 96, 2)),
}


KERNELS = (
    Kernel(_MODULE, "_threes", _SPECTRA, "noise", "a transform", per_frame=4),
    Kernel(_MODULE, "_fours", _SPECTRA, "noise", "a transform", per_frame=4),
    Kernel(
        _MODULE,
        "_eights",
        {f"{case}, {shift}": (*args, shift) for case, args in _SPECTRA.items() for shift in (1, 2)},
        "noise, 1",
        "a transform",
        per_frame=4,
    ),
    Kernel(
        _MODULE,
        "split",
        {case: (*args, ("fill", 392, 0x5A)) for case, args in _SPECTRA.items()},
        "noise",
        "a window",
        per_frame=2,
    ),
    Kernel(
        _MODULE,
        "merge",
        {
            f"{case}, {name}": (0, 0, bins, ("wave", 24, gains), _OUT, _OUT)
            for case, bins in (
                ("noise", ("noise", 196, 3)),
                ("nothing", ("wave", 196, (-32768,))),
                ("lowest", ("wave", 196, (0,))),
                ("highest", ("wave", 196, (-1,))),
                ("one", ("wave", 196, (-32768,) * 80 + (-12768,) + (-32768,) * 115)),
            )
            for name, gains in (("all", (256,)), ("some", (32, 256, 77, 0)))
        },
        "noise, some",
        "a window",
        per_frame=2,
    ),
)
