"""What is typed at the console: bytes in order to the interpreter, and Ctrl-C as what it means just then."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import termios
from collections.abc import Callable

from lunette.virtual import process
from lunette.virtual.child import Child
from lunette.virtual.process import State

CTRL_C = b"\x03"

_INPUT_LIMIT = 1 << 20
_TICK_S = 0.002
_READY_S = 5.0  # a process that neither runs code nor reads keys for so long gets Ctrl-C as a key
_RETRY_S = 0.3
_RETRIES = 10


class Keyboard:
    """Feeds the pipe that is every child's standard input; `child` tells which child that is now.

    Ctrl-C is not a byte for a program that runs: it is taken out of the stream, interrupts the program,
    and what was typed behind it waits until there is a prompt. Where the REPL reads, or the program has
    switched it off, it is a byte.
    """

    def __init__(self, child: Callable[[], Child | None]):
        self._child = child
        self.stdin, self._pipe = os.pipe()  # `stdin`: the end for the child
        os.set_blocking(self._pipe, False)
        self._input = bytearray()  # typed, not yet in the pipe
        self._ready = asyncio.Event()
        self._held = False
        self._breaking = False  # a Ctrl-C is being carried out
        self._feeder: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to carry keys; needs the running loop."""
        if self._feeder is None:
            self._feeder = asyncio.get_running_loop().create_task(self._feed())
        self._ready.set()

    async def close(self) -> None:
        if self._feeder is not None:
            self._feeder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._feeder
        os.close(self._pipe)
        os.close(self.stdin)

    def type(self, keys: bytes) -> None:
        """Take `keys` as typed. Returns at once; nobody receives them while power is off."""
        if self._child() is None:
            return
        room = _INPUT_LIMIT - len(self._input)
        self._input += keys[:room]
        if CTRL_C in keys[room:]:  # a full buffer loses keys, as on the chip, but not this one
            self._input += CTRL_C
        self._ready.set()

    def clear(self) -> None:
        """Forget what nobody has read: power is gone."""
        self._input.clear()
        self._drain()

    @property
    def break_waits(self) -> bool:
        """A Ctrl-C found no program to interrupt yet and would be the next thing to happen."""
        return self._breaking or self._input.startswith(CTRL_C)

    def hold(self) -> None:
        """Keep keys, those in the pipe too, until `release`: the next one is `press`ed, not typed."""
        self._held = True
        self._input[:0] = self._drain()

    def press(self, key: bytes) -> None:
        """Pass `key` before everything that was typed."""
        self._write(key)

    def release(self) -> None:
        """Go on after `hold`."""
        self._held = False
        self._ready.set()

    # --- the feeder ------------------------------------------------------------------------------

    async def _feed(self) -> None:
        while True:
            await self._ready.wait()
            if not self._input or self._child() is None:
                self._ready.clear()
            elif self._held:
                await self._only_break()
            elif self._input.startswith(CTRL_C):
                del self._input[:1]
                await self._break()
            else:
                end = self._input.find(CTRL_C)
                sent = self._write(bytes(self._input[: end if end >= 0 else None][:4096]))
                del self._input[:sent]
                if not sent:
                    await self._only_break()

    async def _only_break(self) -> None:
        # The bytes before it have to wait, Ctrl-C must not: on the chip it is no input either.
        at = self._input.find(CTRL_C)
        child = self._child()
        if at >= 0 and child is not None and process.state(child.pid) is State.RUNNING:
            del self._input[at]
            await self._break()
        else:
            await asyncio.sleep(_TICK_S)

    async def _break(self) -> None:
        self._breaking = True
        try:
            child = await self._interrupt_or_key()
            if child is not None:
                await self._until_prompt(child)
        finally:
            self._breaking = False

    async def _interrupt_or_key(self) -> Child | None:
        """Returns the child that was interrupted, None if Ctrl-C was a key."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READY_S
        while (child := self._child()) is not None:
            state = process.state(child.pid)
            if state is State.RUNNING:
                if process.interrupt(child.pid):
                    return child
            elif (state is State.READING and not self._unread()) or loop.time() > deadline:
                self._write(CTRL_C)
                return None
            # Starting, or about to run what was just typed.
            await asyncio.sleep(_TICK_S)
        return None

    async def _until_prompt(self, child: Child) -> None:
        # A KeyboardInterrupt can be swallowed: raised in a scheduled callback it is only printed.
        loop = asyncio.get_running_loop()
        for attempt in range(_RETRIES):
            until = loop.time() + _RETRY_S
            while loop.time() < until:
                await asyncio.sleep(_TICK_S)
                if self._child() is not child or process.state(child.pid) is State.READING:
                    return
            if attempt < _RETRIES - 1:
                process.interrupt(child.pid, again=True)

    # --- the pipe --------------------------------------------------------------------------------

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._pipe, data)
        except BlockingIOError:
            return 0

    def _unread(self) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(self.stdin, termios.FIONREAD, count)
        return count[0]

    def _drain(self) -> bytes:
        n = self._unread()
        return os.read(self.stdin, n) if n else b""
