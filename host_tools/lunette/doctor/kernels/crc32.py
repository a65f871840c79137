"""Cases for the checksum."""

from __future__ import annotations

from lunette.doctor.kernels.registry import Kernel

_START = ("hex", "00000000")

KERNELS = (
    Kernel(
        "glasses.dsp.crc32",
        "update",
        {
            "frame": (_START, ("bytes", 164, 1), 0, 164),
            "nothing": (("hex", "78563412"), ("bytes", 4, 1), 2, 0),
            "one zero": (_START, ("hex", "00"), 0, 1),
            "check": (_START, ("hex", "313233343536373839"), 0, 9),  # of the catalogues: cbf43926
            "going on": (("hex", "2639f4cb"), ("bytes", 64, 7), 0, 64),
            "high bits": (("hex", "ffffffff"), ("fill", 64, 0xFF), 0, 64),
            "zeros": (("hex", "00000080"), ("fill", 64, 0), 0, 64),
            "odd places": (("odd", ("hex", "deadbeef")), ("odd", ("bytes", 50, 3)), 7, 37),
            "long": (_START, ("bytes", 1500, 11), 0, 1500),
        },
        "frame",
        "a coded frame",
        per_frame=1,
    ),
)
