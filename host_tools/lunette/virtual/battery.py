"""A LiPo cell: its voltage by how full it is and what is drawn from it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

# Volts of one resting cell at 0, 5, 10 ... 100 percent: estimate, the usual shape of a LiPo cell of 3.7 V
# nominal that is discharged slowly.
_VOLTS = (
    3.27, 3.61, 3.69, 3.71, 3.73, 3.75, 3.77, 3.79, 3.80, 3.82, 3.84,
    3.85, 3.87, 3.91, 3.95, 3.98, 4.02, 4.08, 4.11, 4.15, 4.20,
)  # fmt: skip
_STEP = 100 / (len(_VOLTS) - 1)


def lipo_volts(percent: float) -> float:
    """Volts at rest of a cell that is so full, 0..100."""
    percent = min(100.0, max(0.0, percent))
    i = min(len(_VOLTS) - 2, int(percent / _STEP))
    return _VOLTS[i] + (_VOLTS[i + 1] - _VOLTS[i]) * (percent / _STEP - i)


def lipo_percent(volts: float) -> float:
    """How full a resting cell of that voltage is, 0..100."""
    i = min(len(_VOLTS) - 1, bisect_right(_VOLTS, volts))
    if i == 0:
        return 0.0
    low, high = _VOLTS[i - 1], _VOLTS[i]
    return min(100.0, _STEP * (i - 1 + (volts - low) / (high - low)))


@dataclass
class Battery:
    """`mah` of it are usable, `percent` of which are left at the start. `ohms`: of the cell, its protection
    and its wires (estimate: 0.25 for small ones). `curve`: volts at rest by percent."""

    mah: float
    percent: float = 100.0
    ohms: float = 0.25
    curve: Callable[[float], float] = lipo_volts

    def left(self, used_mah: float) -> float:
        """Percent left after that charge, not below 0."""
        return max(0.0, self.percent - 100 * used_mah / self.mah)

    def volts(self, used_mah: float, ma: float) -> float:
        """Volts at the terminals after that charge, with a current of `ma` now."""
        return self.curve(self.left(used_mah)) - self.ohms * ma / 1000
