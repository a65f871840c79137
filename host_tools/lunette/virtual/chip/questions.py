"""What the Bluetooth stack asks the program, and waits for the handler's return value.

A question is an interrupt whose payload begins with its number (16 bits, little-endian); the HAL runs the
handler and sends the answer in a request of its own. A program that does not answer in time, or is
gone, has answered None, as a program without a handler does.
"""

from __future__ import annotations

import asyncio
import logging
import struct

from lunette.virtual.chip.bus import Bus
from lunette.virtual.hal import _ops as ops

log = logging.getLogger(__name__)

READ_REQUEST, GET_SECRET, SET_SECRET = 4, 29, 30
TIMEOUT_S = 5.0
_NUMBERS = 0xFFFF


class Questions:
    """`unanswered` counts what the program did not answer within `TIMEOUT_S`."""

    def __init__(self, bus: Bus):
        self._bus = bus
        self._number = 0
        self._open: dict[int, asyncio.Future[tuple[int, bytes | None]]] = {}
        self.unanswered = 0
        bus.register({ops.BLE_ANSWER: self._on_answer})

    async def may_read(self, connection: int, handle: int) -> int:
        """Before a value is read: 0, or the ATT error that the program refuses with."""
        return (await self._ask(READ_REQUEST, connection, handle, b""))[0]

    async def get_secret(self, kind: int, index: int, key: bytes | None) -> bytes | None:
        """The secret of `key`, or the `index`'th of its kind if that is None; None if there is none."""
        return (await self._ask(GET_SECRET, kind, index, key or b""))[1]

    async def set_secret(self, kind: int, key: bytes, value: bytes | None) -> bool:
        """Have the program keep a secret, or delete it (None); False if it did not."""
        rest = b"\0" if value is None else b"\1" + value
        return (await self._ask(SET_SECRET, kind, len(key), key + rest))[0] != 0

    def forget(self) -> None:
        """The program is gone."""
        for answer in self._open.values():
            if not answer.done():
                answer.set_result((0, None))
        self._open.clear()

    async def _ask(self, event: int, e2: int, e3: int, payload: bytes) -> tuple[int, bytes | None]:
        self._number = self._number % _NUMBERS + 1
        number = self._number
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        self._bus.interrupt(ops.SRC_BLE, event, e2, e3, struct.pack("<H", number) + payload)
        try:
            return await asyncio.wait_for(answer, TIMEOUT_S)
        except asyncio.TimeoutError:
            self.unanswered += 1
            log.error("radio: the program did not answer Bluetooth event %d in %g s", event, TIMEOUT_S)
            return 0, None
        finally:
            self._open.pop(number, None)

    def _on_answer(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        answer = self._open.get(a)
        if answer is not None and not answer.done():
            answer.set_result((c, (data or b"") if b else None))
