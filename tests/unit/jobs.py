"""Work for `lunette.energy.workers`, in a module that is loaded quickly."""

from __future__ import annotations

from collections.abc import Callable

from lunette.errors import LunetteError


def divide(value: int, *, progress: Callable[[float], None]) -> int:
    progress(0.5)
    if value < 0:
        raise LunetteError("not below 0")
    return value * 1000 // (value - 7)
