"""What goes wrong between a computer and a chip."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """Positions count bytes from 0, since the port was made.

    dead: the chip says nothing at all (not in its boot loader, no data lines in the cable).
    noise: what else comes out before its first byte.
    flip_out, drop_out: bytes of what it says that arrive inverted, or not at all; drop_in: bytes that it
    does not get. unplug_in: the port goes when it has got so many. erase_s: how long each erase takes.
    """

    dead: bool = False
    noise: bytes = b""
    flip_out: Collection[int] = ()
    drop_out: Collection[int] = ()
    drop_in: Collection[int] = ()
    unplug_in: int | None = None
    erase_s: float = 0.0


class Wire:
    """One direction of it."""

    def __init__(self, flip: Collection[int] = (), drop: Collection[int] = ()):
        self._flip = frozenset(flip)
        self._drop = frozenset(drop)
        self.count = 0

    def carry(self, data: bytes) -> bytes:
        """What arrives of `data`."""
        first, self.count = self.count, self.count + len(data)
        if not self._flip and not self._drop:
            return data
        return bytes(
            byte ^ 0xFF if at in self._flip else byte
            for at, byte in enumerate(data, first)
            if at not in self._drop
        )
