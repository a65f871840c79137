"""The firmware's kernels otherwise: in numpy, or in C by a library, bit for bit the same.

One file for each of `firmware/glasses/dsp`, with `EQUIVALENTS`: {"dsp.module.kernel": function of the same
arguments}. They stand in for the kernels in long runs, and the kernels' tests compare with them.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any


@functools.lru_cache(maxsize=1)
def equivalents() -> dict[str, Callable[..., Any]]:
    """All of them, by "dsp.module.kernel"."""
    found: dict[str, Callable[..., Any]] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= importlib.import_module(f"{__name__}.{module.name}").EQUIVALENTS
    return found


def octets(buffer: Any) -> memoryview:
    """The bytes of a buffer, whatever its items are."""
    return memoryview(buffer).cast("B")
