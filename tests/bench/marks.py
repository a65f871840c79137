"""When a start of the firmware comes to something: seen by what it asks of the chip."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lunette.virtual.chip.chip import Chip
from lunette.virtual.hal import _ops as ops

FIRST_LINE = "first line"  # of wake.py, or of a boot.py that asks for the cause of the reset before
MICROPHONE = "microphone on"
FRAME = "first stored frame"
ADVERTISING = "advertising"

_REQUESTS = {
    FIRST_LINE: (ops.RESET_CAUSE, 1),
    MICROPHONE: (ops.I2S_INIT, 1),
    FRAME: (ops.I2S_READ, 3),  # two buffers are queued at first: the third request gives back the one stored
    ADVERTISING: (ops.BLE_ADVERTISE, 1),
}
LIMIT_S = 30.0


class Tap:
    """`found`: {mark: what ``look()`` gave when it was reached}, since the last `clear`; `look` gives the
    time of the loop unless told otherwise."""

    def __init__(self, chip: Chip, look: Callable[[], Any] | None = None):
        self._inner = chip.bus.request
        self._look = look or asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._counts: dict[int, int] = {}
        self.found: dict[str, Any] = {}
        chip.bus.request = self._request  # type: ignore[method-assign]

    def _request(self, op: int, *arguments: Any) -> Any:
        count = self._counts[op] = self._counts.get(op, 0) + 1
        for mark, request in _REQUESTS.items():
            if request == (op, count):
                self.found[mark] = self._look()
                self._changed.set()
        return self._inner(op, *arguments)

    async def when(self, *marks: str) -> dict[str, Any]:
        """`found`, once all of them are. asyncio.TimeoutError if they are not in 30 s."""

        async def wait() -> None:
            while any(mark not in self.found for mark in marks):
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), LIMIT_S)
        return self.found

    def clear(self) -> None:
        self._counts.clear()
        self.found = {}
