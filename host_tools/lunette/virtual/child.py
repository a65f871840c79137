"""One run of the MicroPython interpreter, from power on or reset to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from lunette.errors import LunetteError
from lunette.virtual import interpreter

_BOOT = Path(__file__).with_name("boot.py")
_CHUNK = 65536
_END_S = 2.0


class Child:
    """A MicroPython process whose console are two pipes; `on_output` and `on_end` report from the loop.

    `stdin` is the read end of the pipe with what was typed: it outlives the child, like the receive
    buffer of a UART outlives a soft reset. `request` and `doorbell` are the simulator's ends of the two
    sockets to the HAL; they stay open until `release`.

    `on_end(returncode)` is called once, when everything it printed was reported; not after `kill`.
    Raises LunetteError if it cannot be started.

    Pipes and not a terminal, because the interpreter sets up a terminal with a flush: keys that were
    typed while it started got lost.
    """

    def __init__(
        self,
        stdin: int,
        environment: dict[str, str],
        heap_kb: int,
        with_hal: bool,
        on_output: Callable[[bytes], None],
        on_end: Callable[[int], None],
    ):
        self._on_output = on_output
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self.request: socket.socket | None = None
        self.doorbell: socket.socket | None = None
        inherited: list[socket.socket] = []
        environment = {**environment, "LUNETTE_FDS": ""}
        self._out, out_child = os.pipe()
        try:
            command = interpreter.command("-X", f"heapsize={heap_kb}k", str(_BOOT))
            if with_hal:
                self.request, request = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                inherited.append(request)
                self.doorbell, doorbell = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
                inherited.append(doorbell)
                environment["LUNETTE_FDS"] = f"{request.fileno()},{doorbell.fileno()}"
            self._process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=out_child,
                stderr=out_child,
                env=environment,
                cwd=_BOOT.parent,  # boot.py goes to /, which tells that Ctrl-C may come (`process`)
                pass_fds=[sock.fileno() for sock in inherited],
                start_new_session=True,  # Ctrl-C in the simulator's terminal is not for the glasses
            )
        except OSError as error:
            self._close()
            self.release()
            raise LunetteError(f"cannot start MicroPython: {error.strerror}") from None
        except BaseException:
            self._close()
            self.release()
            raise
        finally:
            os.close(out_child)
            for sock in inherited:
                sock.close()
        os.set_blocking(self._out, False)
        self._loop.add_reader(self._out, self._read)

    @property
    def pid(self) -> int:
        return self._process.pid

    def flow(self, on: bool) -> None:
        """Stop or go on taking output; a child that prints waits meanwhile."""
        self._paused = not on
        if self._out < 0:
            return
        if on:
            self._loop.add_reader(self._out, self._read)
        else:
            self._loop.remove_reader(self._out)

    def kill(self) -> None:
        """End it now, wherever it is. What it had printed until then is still reported."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._out, _CHUNK):
                self._on_output(data)
        self._close()

    def _read(self) -> None:
        try:
            data = os.read(self._out, _CHUNK)
        except BlockingIOError:
            return
        if data:
            self._on_output(data)
            return
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:  # it has closed its own console
            self._process.kill()
            code = self._process.wait()
        self._close()
        self._on_end(code)

    def _close(self) -> None:
        self._loop.remove_reader(self._out)
        os.close(self._out)
        self._out = -1

    def release(self) -> None:
        """Close the simulator's ends of the sockets, once nobody uses them any more."""
        for sock in (self.request, self.doorbell):
            if sock is not None:
                sock.close()
