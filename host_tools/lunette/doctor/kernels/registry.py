"""Which viper kernels there are, and what each is called with.

Later kernels: a file beside `adpcm.py` with a `KERNELS`, named in `kernels`; then
``python -m lunette.doctor.kernels.vectors`` writes what they give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Specs = tuple[Any, ...]


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
    """All of them."""
    from lunette.doctor.kernels import adpcm, crc32, halfband, pcm

    return [kernel for module in (adpcm, crc32, halfband, pcm) for kernel in module.KERNELS]
