"""The battery of a day: a cell that can also be charged, and says when it is empty."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lunette.virtual.battery import Battery

# For a board whose part "battery" does not say "charge_ma". Estimate: what small boards' chargers give.
CHARGE_MA = 100.0


class Cell(Battery):
    """`plug` and `unplug` the charger: while it is there it feeds the glasses, and the cell with `charge_ma`
    until that is full. Not modelled: the taper at the end, what charging loses.

    `on_empty` is called each time when nothing is left, from the event loop. Only with one running.
    """

    def __init__(self, mah: float, percent: float, charge_ma: float, on_empty: Callable[[], None]):
        super().__init__(mah, percent)
        self._loop = asyncio.get_running_loop()
        self._charge_ma = charge_ma
        self._on_empty = on_empty
        self._spared = 0.0  # mAh of what was used that did not come out of the cell, or went in again
        self._since: tuple[float, float] | None = None  # plugged: when, and what had been used by then
        self._told = False

    @property
    def plugged(self) -> bool:
        return self._since is not None

    def plug(self, used_mah: float) -> None:
        if self._since is None:
            self._since = (self._loop.time(), used_mah)

    def unplug(self, used_mah: float) -> None:
        if self._since is not None:
            self._spared += self._gain(used_mah)
            self._since = None

    def _gain(self, used_mah: float) -> float:
        """Since the charger is there."""
        if self._since is None:
            return 0.0
        at, used_then = self._since
        missing = self.mah * (1 - self._left(used_then - self._spared) / 100)
        return used_mah - used_then + min(missing, self._charge_ma * (self._loop.time() - at) / 3600)

    def _left(self, net_mah: float) -> float:
        return min(100.0, max(0.0, self.percent - 100 * net_mah / self.mah))

    def left(self, used_mah: float) -> float:
        percent = self._left(used_mah - self._spared - self._gain(used_mah))
        if percent > 0:
            self._told = False
        elif not self._told:
            self._told = True
            self._loop.call_soon(self._on_empty)
        return percent

    def volts(self, used_mah: float, ma: float) -> float:
        percent = self.left(used_mah)
        if self._since is None:
            return self.curve(percent) - self.ohms * ma / 1000
        return self.curve(percent) + (self.ohms * self._charge_ma / 1000 if percent < 100 else 0.0)
