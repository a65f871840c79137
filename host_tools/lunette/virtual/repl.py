"""The console of the glasses for other programs: over TCP and as a pseudo terminal."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import termios
import tty
from collections.abc import Callable
from typing import cast

from lunette.errors import LunetteError

# A client may lag behind this far before the program waits for it, as it does for a slow UART ...
_BACKLOG = 64 * 1024
# ... but one that takes nothing at all for this long is not allowed to stop the glasses.
_STALL_S = 5.0
# A connection that is being closed may still be there when the same user's next one comes in.
_HANDOVER_S = 0.3
_PTY_POLL_S = 0.05


class Console:
    """Carries what the glasses print to every client, and what clients type to `on_input`.

    `on_flow(False)` asks for no more output until `on_flow(True)`.
    """

    def __init__(self, on_input: Callable[[bytes], None], on_flow: Callable[[bool], None]):
        self._on_input = on_input
        self._on_flow = on_flow
        self._full: set[object] = set()
        self._server: asyncio.Server | None = None
        self._client: _TcpClient | None = None
        self._waiting: set[_TcpClient] = set()
        self._connections: set[_TcpClient] = set()  # all of them, refused ones too
        self._pty: _Pty | None = None

    async def serve(self, host: str, port: int) -> int:
        """Listen on TCP `host`:`port` (0 chooses); returns the port. Raises LunetteError if it is taken."""
        if self._server is not None:
            raise RuntimeError("the console is already served over TCP")
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _TcpClient(self), host, port)
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise LunetteError(f"REPL port {port} on {host} {reason}; choose another") from None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def pty_path(self) -> str:
        """Path of a terminal device that is the console; made when first asked for."""
        if self._pty is None:
            self._pty = _Pty(self._on_input, self.set_full)
        return self._pty.path

    def write(self, data: bytes) -> None:
        """Send `data` to whoever is there; nobody is a fine audience."""
        if self._client is not None:
            self._client.write(data)
        if self._pty is not None:
            self._pty.write(data)

    async def close(self) -> None:
        """Disconnect everybody and stop listening."""
        if self._pty is not None:
            self._pty.close()
        if self._server is not None:
            self._server.close()
        for client in list(self._connections):
            client.abort()
        while self._connections:
            await asyncio.sleep(0)
        if self._server is not None:
            await self._server.wait_closed()

    # --- for the clients below -----------------------------------------------------------------

    def arrived(self, client: _TcpClient) -> None:
        self._connections.add(client)
        if self._client is None:
            self._client = client
            client.accept(self._on_input)
            return
        self._waiting.add(client)
        asyncio.get_running_loop().call_later(_HANDOVER_S, self._refuse, client)

    def left(self, client: _TcpClient) -> None:
        self.set_full(client, False)
        self._connections.discard(client)
        self._waiting.discard(client)
        if self._client is client:
            self._client = None
            if self._waiting:
                self.arrived(self._waiting.pop())

    def _refuse(self, client: _TcpClient) -> None:
        if client in self._waiting:
            self._waiting.discard(client)
            client.refuse("busy: another program has the console of these glasses\r\n")

    def set_full(self, who: object, full: bool) -> None:
        was = bool(self._full)
        (self._full.add if full else self._full.discard)(who)
        if bool(self._full) != was:
            self._on_flow(was)


class _TcpClient(asyncio.Protocol):
    def __init__(self, console: Console):
        self._console = console
        self._transport: asyncio.Transport | None = None
        self._on_input: Callable[[bytes], None] | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_BACKLOG)
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._transport.pause_reading()
        self._console.arrived(self)

    def accept(self, on_input: Callable[[bytes], None]) -> None:
        self._on_input = on_input
        if self._transport is not None:
            self._transport.resume_reading()

    def refuse(self, reason: str) -> None:
        if self._transport is not None:
            self._transport.write(reason.encode())
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._on_input is not None:
            self._on_input(data)

    def pause_writing(self) -> None:
        self._console.set_full(self, True)
        self._watch_stall(-1)

    def _watch_stall(self, before: int) -> None:
        if self._transport is None:
            return
        left = self._transport.get_write_buffer_size()
        if left == before:
            self.abort()
            return
        self._stall = asyncio.get_running_loop().call_later(_STALL_S, self._watch_stall, left)

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        self._console.set_full(self, False)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stall is not None:
            self._stall.cancel()
        self._transport = None
        self._console.left(self)


class _Pty:
    """A pseudo terminal, raw in both directions. What is printed while nobody has it open is not kept."""

    def __init__(self, on_input: Callable[[bytes], None], set_full: Callable[[object, bool], None]):
        self._on_input = on_input
        self._set_full = set_full
        self._master, slave = os.openpty()
        tty.setraw(slave, termios.TCSANOW)
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._backlog = bytearray()
        self._deaf = False  # has stalled, and taken nothing since
        self._writing = False
        self._stall: asyncio.TimerHandle | None = None
        self._present = False
        self._loop = asyncio.get_running_loop()
        self._poll: asyncio.Handle | None = self._loop.call_soon(self._look)

    def _is_open(self) -> bool:
        poller = select.poll()
        poller.register(self._master, 0)
        return not any(event & select.POLLHUP for _, event in poller.poll(0))

    def _look(self) -> None:
        # A terminal nobody has open is always "ready", so it is looked at instead of selected on.
        if self._is_open():
            self._poll = None
            self._present = True
            self._loop.add_reader(self._master, self._read)
        else:
            self._poll = self._loop.call_later(_PTY_POLL_S, self._look)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last program closed it
            self._loop.remove_reader(self._master)
            self._present = False
            self._drop()
            self._look()
            return
        self._on_input(data)

    def write(self, data: bytes) -> None:
        if not self._present and not self._is_open():
            return
        self._backlog += data
        self._flush()

    def _flush(self) -> None:
        try:
            while self._backlog:
                del self._backlog[: os.write(self._master, self._backlog[:4096])]
                self._deaf = False
                self._cancel_stall()
        except BlockingIOError:
            pass
        except OSError:
            self._drop()
            return
        if self._deaf:
            self._backlog.clear()
        if bool(self._backlog) != self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._master, self._flush)
            else:
                self._loop.remove_writer(self._master)
        if self._backlog and self._stall is None:
            self._stall = self._loop.call_later(_STALL_S, self._stalled)
        self._set_full(self, len(self._backlog) > _BACKLOG)

    def _cancel_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self) -> None:
        self._deaf = True
        self._drop()

    def _drop(self) -> None:
        self._cancel_stall()
        self._backlog.clear()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._master)
        self._set_full(self, False)

    def close(self) -> None:
        self._drop()
        self._loop.remove_reader(self._master)
        if self._poll is not None:
            self._poll.cancel()
        os.close(self._master)
