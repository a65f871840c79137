"""Serves a `Bus` to a MicroPython child over a SOCK_SEQPACKET socket and a doorbell."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from lunette.virtual.chip.bus import Bus, Interrupt, normalise
from lunette.virtual.hal import _ops as ops

log = logging.getLogger(__name__)

HEADER = struct.Struct("<8i")
MARK = 0x4C554E45
_MIN_PAYLOAD = HEADER.size  # a shorter message would let a resynchronising reader join two

_KINDS: list[tuple[type[BaseException], int]] = [
    (NotImplementedError, ops.E_NOTIMPL),
    (ValueError, ops.E_VALUE),
    (TypeError, ops.E_TYPE),
    (MemoryError, ops.E_MEMORY),
    (IndexError, ops.E_INDEX),
    (AttributeError, ops.E_ATTRIBUTE),
]


class ChipServer:
    """Answers one MicroPython child at a time. `attach` and `detach` follow the child's life."""

    def __init__(self, bus: Bus, on_scheduled: Callable[[], None] | None = None):
        self.bus = bus
        self.on_scheduled = on_scheduled  # the child has scheduled its interrupt handler
        self._request: socket.socket | None = None
        self._bell: socket.socket | None = None
        self._header: tuple[int, ...] | None = None
        self._tasks: set[asyncio.Future[Any]] = set()

    def attach(self, request: socket.socket, bell: socket.socket) -> None:
        self.detach()
        loop = asyncio.get_running_loop()
        request.setblocking(False)
        bell.setblocking(False)
        # A blocked child may lag behind with a long answer: let the kernel hold a few.
        request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        self._request, self._bell, self._header = request, bell, None
        loop.add_reader(request, self._on_request)
        loop.add_reader(bell, self._on_bell)
        self.bus.ring = self._ring

    def detach(self) -> None:
        loop = asyncio.get_running_loop()
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        for sock in (self._request, self._bell):
            if sock is not None:
                loop.remove_reader(sock)
                sock.close()
        self._request = self._bell = None
        self.bus.ring = None

    def _ring(self) -> None:
        if self._bell is not None:
            try:
                self._bell.send(b"!")
            except OSError:
                log.debug("doorbell: child is gone")

    def _on_bell(self) -> None:
        assert self._bell is not None
        try:
            if not self._bell.recv(64):
                asyncio.get_running_loop().remove_reader(self._bell)
                return
        except OSError:
            return
        if self.on_scheduled is not None:
            self.on_scheduled()

    def _on_request(self) -> None:
        assert self._request is not None
        for _ in range(8):  # a bounded batch, so that one busy child cannot starve the loop
            try:
                message = self._request.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                asyncio.get_running_loop().remove_reader(self._request)
                return
            self._on_message(message)
            if self._request is None:
                return

    def _on_message(self, message: bytes) -> None:
        if len(message) == HEADER.size:
            words = HEADER.unpack(message)
            if words[0] == ops.RESYNC and words[2:] == (MARK,) * 6:
                self._header = None
                self._resync(words[1])
                return
        if self._header is None:
            if len(message) != HEADER.size:
                log.debug("stray message of %d bytes", len(message))
                return
            words = HEADER.unpack(message)
            if words[6]:
                self._header = words
                return
            self._run(words, None)
        else:
            words, self._header = self._header, None
            self._run(words, message)

    def _resync(self, mark: int) -> None:
        # A blocking driver call that Ctrl-C cut short ends before anything else is asked of it,
        # and its answer never comes.
        answer = (ops.RESYNC, mark, MARK, 0, 0, 0, 0, 0)
        cut_short = list(self._tasks)
        if not cut_short:
            self._send(answer, b"")
            return
        for task in cut_short:
            task.cancel()
        ended = asyncio.gather(*cut_short, return_exceptions=True)
        ended.add_done_callback(lambda _: self._send(answer, b""))

    def _run(self, words: tuple[int, ...], data: bytes | None) -> None:
        seq = words[1]
        try:
            result = self.bus.request(words[0], words[2], words[3], words[4], words[5], data)
        except Exception as error:
            self._refuse(seq, error)
            return
        if inspect.isawaitable(result):
            task: asyncio.Future[Any] = asyncio.ensure_future(result)
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._finish(seq, done))
            return
        self._answer(seq, result)

    def _finish(self, seq: int, done: asyncio.Future[Any]) -> None:
        self._tasks.discard(done)
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, Exception):
            self._refuse(seq, error)
        elif error is not None:
            raise error
        else:
            self._answer(seq, done.result())

    def _answer(self, seq: int, result: Any) -> None:
        if isinstance(result, Interrupt):
            i = result
            self._send((seq, ops.OK, i.number, len(i.payload), i.e0, i.e1, i.e2, i.e3), i.payload)
            return
        value, payload = normalise(result)
        self._send((seq, ops.OK, value, len(payload), 0, 0, 0, 0), payload)

    def _refuse(self, seq: int, error: Exception) -> None:
        if isinstance(error, OSError):
            # OSError(12) has no errno in CPython, only an argument.
            number = error.errno if error.errno is not None else (error.args or (5,))[0]
            self._send((seq, ops.E_OS, int(number), 0, 0, 0, 0, 0), b"")
            return
        kind = next((k for t, k in _KINDS if isinstance(error, t)), ops.E_RUNTIME)
        if kind == ops.E_RUNTIME and not isinstance(error, RuntimeError):
            log.exception("the chip model failed", exc_info=error)
        text = str(error).encode()[: ops.ANSWER_BYTES] or b"?"
        self._send((seq, kind, 0, len(text), 0, 0, 0, 0), text)

    def _send(self, words: tuple[int, ...], payload: bytes) -> None:
        if self._request is None:
            return
        if len(payload) > ops.ANSWER_BYTES:
            raise RuntimeError(f"answer of {len(payload)} bytes")
        try:
            self._request.send(HEADER.pack(*words))
            if payload:
                self._request.send(payload.ljust(_MIN_PAYLOAD, b"\0"))
        except OSError:
            log.debug("answer: child is gone")
