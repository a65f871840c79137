"""Requests of the HAL in, interrupts out: the part of the chip model that both transports share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lunette.virtual.hal import _ops as ops

Answer = tuple[int, bytes]
Handler = Callable[[int, int, int, int, bytes | None], "int | bytes | Answer | Awaitable[Any] | None"]

# micropython.schedule holds eight entries on the ESP32; a completion that finds it full is lost.
SCHEDULER_DEPTH = 8
SCHEDULED = (ops.SRC_PIN, ops.SRC_I2S, ops.SRC_TIMER)


@dataclass
class Interrupt:
    number: int
    e0: int
    e1: int
    e2: int
    e3: int
    payload: bytes


def normalise(result: Any) -> Answer:
    """What a handler may return (None, int, bytes or both) as (integer, bytes)."""
    if result is None:
        return 0, b""
    if isinstance(result, tuple):
        return result[0], bytes(result[1])
    if isinstance(result, (bytes, bytearray, memoryview)):
        return len(result), bytes(result)
    return int(result), b""


class Bus:
    """Dispatches requests to peripherals and queues interrupts for the program.

    `ring` is called when an interrupt is waiting and nobody was told yet.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {ops.IRQ_NEXT: self._irq_next}
        self._queue: deque[Interrupt] = deque()
        self._number = 0
        self._taken: Interrupt | None = None
        self.ring: Callable[[], None] | None = None
        self._rung = False
        self.dropped = 0  # interrupts that found the scheduler's queue full
        self.requests = 0

    def register(self, handlers: dict[int, Handler]) -> None:
        """Add a peripheral's request handlers, keyed by request number."""
        self._handlers.update(handlers)

    def call(self, op: int, a: int, b: int, c: int, d: int, data: Any) -> Answer:
        """A request made in this process. Raises the chip's refusals as they are."""
        result = self.request(op, a, b, c, d, None if data is None else bytes(data))
        if asyncio.iscoroutine(result) or isinstance(result, asyncio.Future):
            if asyncio.iscoroutine(result):
                result.close()
            raise NotImplementedError("blocking driver calls need MicroPython: here nothing may block")
        return normalise(result)

    def request(self, op: int, a: int, b: int, c: int, d: int, data: bytes | None) -> Any:
        self.requests += 1
        handler = self._handlers.get(op)
        if handler is None:
            raise NotImplementedError(f"the chip model has no request {op}")
        return handler(a, b, c, d, data)

    def interrupt(self, e0: int, e1: int = 0, e2: int = 0, e3: int = 0, payload: bytes = b"") -> bool:
        """Queue an interrupt; returns False when the scheduler was full and it is lost."""
        if e0 in SCHEDULED and sum(i.e0 in SCHEDULED for i in self._queue) >= SCHEDULER_DEPTH:
            self.dropped += 1
            return False
        self._number = (self._number % 0x3FFFFFFF) + 1
        self._queue.append(Interrupt(self._number, e0, e1, e2, e3, payload))
        self._notify()
        return True

    def _notify(self) -> None:
        if self.ring is not None and not self._rung and self._queue:
            self._rung = True
            self.ring()

    def next_interrupt(self, handled: int = 0) -> Interrupt | None:
        """The oldest interrupt after the one numbered `handled`; None re-arms the doorbell."""
        while self._queue and self._taken is not None and self._queue[0].number == handled:
            self._queue.popleft()
            self._taken = None
        if not self._queue:
            self._rung = False
            self._taken = None
            return None
        self._taken = self._queue[0]
        return self._taken

    def _irq_next(self, a: int, b: int, c: int, d: int, data: bytes | None) -> Any:
        return self.next_interrupt(a)

    def drain(self, deliver: Callable[[int, int, int, int, bytes], None]) -> None:
        """Deliver everything queued to a program in this process."""
        self._rung = False
        while self._queue:
            i = self._queue.popleft()
            deliver(i.e0, i.e1, i.e2, i.e3, i.payload)

    def reset(self) -> None:
        """The program is gone: forget what it was to be told."""
        self._queue.clear()
        self._taken = None
        self._rung = False
