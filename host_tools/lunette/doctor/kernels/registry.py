"""Which viper kernels there are, and what each is called with.

Later kernels: a file beside `adpcm.py`, named like the firmware's, with a `KERNELS`; then
``python -m lunette.doctor.kernels.vectors`` writes what they give.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Specs = tuple[Any, ...]
_OTHERS = ("check", "on_glasses", "registry", "vectors")


@dataclass(frozen=True)
class Kernel:
    """`cases` maps names to arguments, written as on_glasses.py says. `timed` is the case whose time is told,
    `what` that is, and `per_frame` how often it is called for a frame (20 ms) of speech."""

    module: str
    name: str
    cases: Mapping[str, Specs]
    timed: str
    what: str
    per_frame: int = 0

    @property
    def full(self) -> str:
        """As in ``adpcm.encode``."""
        return f"{self.module.rpartition('.')[2]}.{self.name}"


def kernels() -> list[Kernel]:
    """All of them: of each file here that has a `KERNELS`, in the order of their names."""
    import lunette.doctor.kernels as package

    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    # Not on_glasses.py, which is a program, nor those which import this file.
    modules = (importlib.import_module(f"{package.__name__}.{name}") for name in names if name not in _OTHERS)
    return [kernel for module in modules for kernel in module.KERNELS]
