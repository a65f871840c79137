"""The host's side of Lunette glasses, for programs (docs/client.md).

async with connect(folder=Path("recordings")) as glasses:
    async for recording in glasses.recordings():
        print(recording.path)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from lunette import pairing
from lunette.asking import Asking
from lunette.connection import GlassesClient
from lunette.errors import Disconnected, InUse, LunetteError, NotPaired, Refused, UnknownCodec
from lunette.finding import Backends, Found, explain, find, scan
from lunette.listen import Listener
from lunette.recording import Recording

__all__ = [
    "Backends",
    "Disconnected",
    "Found",
    "Glasses",
    "GlassesClient",
    "InUse",
    "LunetteError",
    "NotPaired",
    "Recording",
    "Refused",
    "UnknownCodec",
    "connect",
    "explain",
    "find",
    "scan",
]

_REACH_S = 90.0  # for glasses that sleep to call
_FIRST_CONNECTION_S = 30.0  # after they were heard


def connect(
    name: str | None = None,
    *,
    folder: Path | str | None = None,
    format: str = "wav",
    timeout: float = 10.0,
    backends: Backends | None = None,
    observe: Callable[[str, Any], None] | None = None,
) -> Glasses:
    """Glasses of that name or address, or the first that are heard; use as an async context manager.

    `folder`: recordings are kept there, and acknowledged as soon as they are on disk. Without one they are
    in memory, and acknowledged when the program has taken them. `format`: speech is kept as "wav" or "flac".
    `timeout`: seconds to search at first. `observe(what, detail)` is told what `lunette.listen.Listener`
    tells, among it "connected", "disconnected" and "problem".
    """
    return Glasses(name, folder=folder, format=format, timeout=timeout, backends=backends, observe=observe)


class Glasses(Asking):
    """A pair of glasses that this program stays with: a connection that is lost is made again, for as long
    as the context lasts. See `connect`."""

    def __init__(
        self,
        name: str | None = None,
        *,
        folder: Path | str | None = None,
        format: str = "wav",
        timeout: float = 10.0,
        backends: Backends | None = None,
        observe: Callable[[str, Any], None] | None = None,
    ):
        self._name = name
        self._folder = Path(folder).absolute() if folder is not None else None
        self._format = format
        self._timeout = timeout
        self._backends = backends
        self._tell = observe or (lambda what, detail: None)
        self._listener: Listener | None = None
        self._task: asyncio.Task[None] | None = None
        self._finished: asyncio.Queue[Recording | None] = asyncio.Queue()  # None: no more will come
        self._handed: Recording | None = None
        self._asked = False  # somebody waits for the next recording
        self._connected = asyncio.Event()
        self._heard: dict[int, asyncio.Future[None]] = {}  # of those that wait for an acknowledgement

    async def __aenter__(self) -> Glasses:
        """Find and connect. Raises LunetteError if none are heard, NotPaired, Disconnected."""
        if self._task is not None:
            raise LunetteError("these glasses are in use: make another object with connect()")
        listener = self._listener = Listener(
            self._folder,
            name=self._name,
            backends=self._backends,
            observe=self._observe,
            first_timeout_s=self._timeout,
            patient=False,
            receive=False,
            format=self._format,
        )
        self._task = asyncio.create_task(listener.run())
        self._task.add_done_callback(lambda task: self._finished.put_nowait(None))
        try:
            await self.wait_connected(self._timeout + _FIRST_CONNECTION_S)
        except BaseException:
            await self._close()
            raise
        listener.patient = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.exception()  # it was told, or nobody has asked

    # --- the connection ---------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        return self._listener is not None and self._listener.connected

    @property
    def hello(self) -> dict[str, Any]:
        """What they said of themselves when they were last connected: `name`, `board`, `firmware`, ..."""
        client = self._listener.client if self._listener is not None else None
        return client.hello if client is not None else {}

    @property
    def address(self) -> str | None:
        """Their address (on macOS a name that the system gave them); None before they were found."""
        client = self._listener.client if self._listener is not None else None
        return client.address if client is not None else None

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Return when they are connected. Raises Disconnected (or NotPaired, if that is why they are not)
        after `timeout` seconds, or what has ended the search."""
        waiting = asyncio.ensure_future(self._connected.wait())
        task = self._running()
        try:
            await asyncio.wait({waiting, task}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not self.is_connected:
            raise self._why()

    async def request(self, op: str, **fields: Any) -> Any:
        """Ask for `op`; returns its result. Glasses that rest are waited for until they next call, which
        may take as long as their setting `reach_s`. Raises Disconnected at once while they are away (else),
        Refused, NotPaired."""
        if self._listener is not None and self._listener.resting:
            self._listener.want()
            await self.wait_connected(_REACH_S)
        return await self._client().request(op, **fields)

    async def _post(self, op: str, **fields: Any) -> Any:
        return await self._client()._post(op, **fields)

    def _room(self) -> int:
        return self._client()._room()

    async def pair(self) -> None:
        """Bond with them; needs no connection, and works before the context is entered. Raises NotPaired,
        whose message says how to put them into pairing mode, Disconnected, LunetteError."""
        listener = self._listener
        if listener is None:
            await pairing.pair(self._name, self._timeout, self._backends)
        elif self.is_connected:
            await self._client().pair()
        else:
            await listener.leave()
            try:
                await pairing.pair(self._name, self._timeout, self._backends)
            finally:
                listener.come_back()

    async def unpair(self) -> None:
        """This computer forgets the bond, and is disconnected. (The glasses forget by `forget`.)"""
        await self._client().unpair()

    def _running(self) -> asyncio.Task[None]:
        if self._task is None:
            raise LunetteError("use `async with connect(...) as glasses`")
        return self._task

    def _client(self) -> GlassesClient:
        self._running()
        listener = self._listener
        if listener is None or listener.client is None or not self.is_connected:
            raise self._why()
        return listener.client

    def _why(self) -> Exception:
        """Why they are not connected."""
        task = self._running()
        if task.done():
            if not task.cancelled() and (error := task.exception()) is not None:
                return error if isinstance(error, Exception) else LunetteError(str(error))
            return Disconnected("closed")
        trouble = self._listener.trouble if self._listener is not None else None
        if isinstance(trouble, NotPaired):
            return NotPaired(trouble.reason)
        why = f" ({trouble})" if trouble is not None else ""
        return Disconnected(f"the glasses are away, and looked for{why}")

    # --- recordings -------------------------------------------------------------------------------

    def recordings(self) -> AsyncIterator[Recording]:
        """Every finished recording, once, in the order in which they are complete: those that wait on the
        glasses and those to come, across reconnections. Ends when the context does.

        Nothing is received before this is asked for. With a folder, a recording is on disk and
        acknowledged by the time it is given. Without, it is acknowledged when the program comes back for the
        next one, by this iterator or a new one, or calls `acknowledge`: a program that stops before gets
        it again from its next start. One consumer at a time.
        """
        return _Recordings(self)

    async def acknowledge(self, recording: Recording) -> None:
        """The program has what it wanted of a recording: for the one with which it leaves off. Returns when
        the glasses have heard it; raises Disconnected if they have not (they will at the next connection,
        as long as this context lasts)."""
        self._take(recording)
        if recording.acknowledged or recording.truncated:
            return
        self._client()
        heard = self._heard.setdefault(recording.number, asyncio.get_running_loop().create_future())
        await asyncio.shield(heard)

    async def _next(self) -> Recording:
        task, listener = self._running(), self._listener
        assert listener is not None
        if self._asked:
            raise LunetteError("recordings() has one consumer at a time")
        if self._handed is not None:
            self._take(self._handed)
        listener.begin()
        self._asked = True
        try:
            recording = await self._finished.get()
        finally:
            self._asked = False
        if recording is None:
            self._finished.put_nowait(None)  # for whoever asks again
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
            raise StopAsyncIteration
        self._handed = recording
        return recording

    def _take(self, recording: Recording) -> None:
        self._handed = None if recording is self._handed else self._handed
        if self._folder is None and not recording.taken and self._listener is not None:
            self._listener.taken(recording)

    def _observe(self, what: str, detail: Any) -> None:
        if what == "connected":
            self._connected.set()
        elif what == "disconnected":
            self._connected.clear()
            for heard in self._heard.values():
                heard.set_exception(Disconnected("the glasses went away"))
                heard.exception()  # whoever waited may have left
            self._heard.clear()
        elif what == "acknowledged":
            if (heard_of := self._heard.pop(detail.number, None)) is not None:
                heard_of.set_result(None)
        elif what == "recorded":
            self._finished.put_nowait(detail)
        self._tell(what, detail)


class _Recordings:
    def __init__(self, glasses: Glasses):
        self._glasses = glasses

    def __aiter__(self) -> _Recordings:
        return self

    async def __anext__(self) -> Recording:
        return await self._glasses._next()
