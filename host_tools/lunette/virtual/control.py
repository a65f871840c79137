"""How other programs find the running virtual glasses, and tell them what to do.

`sim.json` in the runtime folder says where they are; `sim.lock` beside it is held while they run,
which the kernel ends with the process however that dies. Orders come over a Unix socket: a JSON
object a line, ``{"do": "hold", "values": {"seconds": 2}}``, answered when done by ``{"ok": true,
"result": ...}`` or ``{"ok": false, "error": "..."}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunette import paths
from lunette.errors import LunetteError

_INFO, _LOCK, _SOCKET = "sim.json", "sim.lock", "sim.sock"
_MAX_LINE = 64 * 1024
_SOCKET_PATH_MAX = 100  # the kernel takes 107 bytes (macOS 103)
_CONNECT_TIMEOUT_S = 5.0

Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Running:
    """Where running virtual glasses are found. `air` is HOST:PORT, `mtu` what a host should offer, `keys`
    the file with the address and the bonds of this computer's host."""

    pid: int
    board: str
    air: str
    repl_port: int
    pty: str
    control: str
    mtu: int
    keys: str


def find() -> Running | None:
    """The running virtual glasses, or None. A file left by ones that were killed does not count."""
    path = paths.runtime_dir() / _INFO
    try:
        running = Running(**json.loads(path.read_text()))
        os.kill(running.pid, 0)
        _connect(running.control).close()
    except PermissionError as error:
        raise LunetteError(f"{path} is not yours to use: {error.strerror}") from None
    except (OSError, ValueError, TypeError):
        return None
    return running


def require() -> Running:
    """The running virtual glasses. Raises LunetteError if there are none."""
    running = find()
    if running is None:
        raise LunetteError("no virtual glasses are running: start them with `lunette sim`")
    return running


@contextlib.contextmanager
def claim() -> Iterator[Callable[[Running], None]]:
    """Be the one simulator of this runtime folder; gives what publishes where it is found.

    Raises LunetteError if another one runs. On leaving, what was published is gone.
    """
    folder = paths.runtime_dir()
    info = folder / _INFO
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = find()
            who = f" (process {other.pid})" if other else ""
            raise LunetteError(
                f"virtual glasses are already running{who}: stop them with `lunette sim quit`, or set "
                "LUNETTE_RUNTIME to another folder for a second pair"
            ) from None

        def publish(running: Running) -> None:
            new = info.with_name(info.name + ".new")
            new.write_text(json.dumps(dataclasses.asdict(running), indent=1) + "\n")
            os.replace(new, info)

        info.unlink(missing_ok=True)
        try:
            yield publish
        finally:
            info.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


class ControlServer:
    """Takes orders for `handler(do, values)`, which raises LunetteError to refuse.

    A client that goes away before its order is done cancels it. `on_answered(do)` is called when
    the client has been told of the end of its order.
    """

    def __init__(self, handler: Handler, on_answered: Callable[[str], None] = lambda do: None):
        self._handler = handler
        self._on_answered = on_answered
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._own_folder: Path | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listen; returns the path of the socket (mode 0600)."""
        path = paths.runtime_dir() / _SOCKET
        if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
            self._own_folder = Path(tempfile.mkdtemp(prefix="lunette-", dir="/tmp"))
            path = self._own_folder / _SOCKET
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            before = os.umask(0o177)
            try:
                listening.bind(str(path))
            finally:
                os.umask(before)
            self._path = path
            self._server = await asyncio.start_unix_server(self._accept, sock=listening, limit=_MAX_LINE)
        except BaseException:
            listening.close()
            raise
        return str(path)

    async def close(self) -> None:
        """Stop listening and cancel every order."""
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                order = asyncio.ensure_future(self._answer(line))
                # One order at a time: whatever else comes in before the answer is the end.
                ending = asyncio.ensure_future(reader.read(1))
                try:
                    await asyncio.wait({order, ending}, return_when=asyncio.FIRST_COMPLETED)
                    if not order.done():
                        return
                    do, answer = order.result()
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
                    self._on_answered(do)
                    if ending.done():
                        return
                finally:
                    order.cancel()
                    ending.cancel()
                    await asyncio.gather(order, ending, return_exceptions=True)
        except (OSError, ValueError):
            pass  # the client went away, or sent a line without end
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> tuple[str, dict[str, Any]]:
        try:
            order = json.loads(line)
            do, values = order["do"], order.get("values", {})
            if not isinstance(do, str) or not isinstance(values, dict):
                raise TypeError
        except (ValueError, TypeError, KeyError, AttributeError):
            return "", {"ok": False, "error": 'an order is a line {"do": NAME, "values": {...}}'}
        try:
            return do, {"ok": True, "result": await self._handler(do, values)}
        except LunetteError as error:
            return do, {"ok": False, "error": str(error)}
        except Exception as error:
            # A mistake in here must not look to the client as if the glasses had ended.
            return do, {"ok": False, "error": f"internal error: {type(error).__name__}: {error}"}


def ask(do: str, values: dict[str, Any] | None = None) -> Any:
    """Have the running virtual glasses do something; returns its result when it is done.

    Raises LunetteError: none are running, they refuse, or they end meanwhile.
    """
    running = require()
    try:
        connection = _connect(running.control)
    except OSError as error:
        raise LunetteError(f"the virtual glasses do not answer: {error.strerror}") from None
    with connection, connection.makefile("rwb") as file:
        try:
            file.write(json.dumps({"do": do, "values": values or {}}).encode() + b"\n")
            file.flush()
            line = file.readline()
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
            line = b""
    if not line:
        raise LunetteError("the virtual glasses ended before it was done")
    answer = json.loads(line)
    if not answer["ok"]:
        raise LunetteError(answer["error"])
    return answer.get("result")


def quit_running() -> None:
    """Have the running virtual glasses end, and wait until everything of them is gone.

    Raises LunetteError if none are running.
    """
    ask("quit")
    with (paths.runtime_dir() / _LOCK).open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT_TIMEOUT_S)
        connection.connect(path)
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection
