"""One connection to one pair of glasses, over Bleak. `lunette.client` builds on it and makes the next one."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeVar

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakCharacteristicNotFoundError, BleakError, BleakGATTProtocolError

from lunette.asking import Asking
from lunette.errors import Disconnected, HungUp, LunetteError, NotPaired, Refused
from lunette.finding import Backends
from lunette.protocol import wire

T = TypeVar("T")

REQUEST_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 60.0  # Bleak has limits of its own, which are shorter; most of the time
_WRITE_TIMEOUT_S = 30.0  # as that of an ATT transaction
_LEAVE_TIMEOUT_S = 10.0
# Insufficient authentication, authorization, key size, encryption.
_SECURITY_CODES = (0x05, 0x08, 0x0C, 0x0F)
# How BlueZ, Windows, macOS and the virtual glasses' backend put it.
_SECURITY_WORDS = re.compile(
    r"authenticat|insufficient auth|encrypt|pairing|not paired|no longer knows|att error: 0x0?(5|8|c|f)\b",
    re.IGNORECASE,
)


def is_about_pairing(error: BaseException) -> bool:
    """The link failed because it is not (or can no longer be) encrypted with a bond."""
    if isinstance(error, BleakGATTProtocolError):
        return int(error.code) in _SECURITY_CODES
    return bool(_SECURITY_WORDS.search(str(error)))


class GlassesClient(Asking):
    """One connection. Whatever ends it, also in the middle of an await, raises `Disconnected`; a link that
    the glasses do not trust raises `NotPaired`.

    `on_message` gets every message of the glasses as `wire.parse_message` gives it; `on_gap` is called when
    packets went missing on the way to this program; `on_disconnect` once, when a connection that `connect`
    has made ends. None of them is called after that.
    """

    def __init__(
        self,
        device: BLEDevice | str,
        *,
        backends: Backends | None = None,
        on_message: Callable[[tuple[Any, ...]], None] | None = None,
        on_gap: Callable[[], None] | None = None,
        on_disconnect: Callable[[], None] | None = None,
    ):
        backends = backends or Backends()
        self._client = BleakClient(
            device, disconnected_callback=self._on_disconnected, **backends.client_options()
        )
        self._on_message = on_message
        self._on_gap = on_gap
        self._on_disconnect = on_disconnect
        self._unpacker = wire.Unpacker()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._asking = asyncio.Lock()  # requests leave one by one: BlueZ has no two writes at once
        self.hello: dict[str, Any] = {}
        self.bye = ""
        """Why the glasses said good-bye ("rest", "sleep", "off"): they want no host for now."""
        self._greeted: asyncio.Future[None] | None = None
        self._ended = False
        self._gone: asyncio.Future[None] | None = None  # done when it has ended
        self._up = False  # connect() has succeeded, and the end has not come
        self.notifications = 0
        self.bytes = 0
        self.malformed = 0

    @property
    def is_connected(self) -> bool:
        return not self._ended and bool(self._client.is_connected)

    @property
    def address(self) -> str:
        return str(self._client.address)

    @property
    def mtu(self) -> int:
        return int(self._client.mtu_size)

    async def __aenter__(self) -> GlassesClient:
        try:
            await self.connect()
            await self.ready()
        except BaseException:
            await self.disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def connect(self) -> None:
        """Connect and subscribe. Follow with `resume`s, if any, and `ready`. Only once.
        Raises Disconnected, NotPaired."""
        await self.open()
        await self.subscribe()

    async def open(self) -> None:
        """Connect and nothing else, which needs no bond. Raises Disconnected, NotPaired if there is one
        that the glasses no longer know."""
        await self._call(self._client.connect(), _CONNECT_TIMEOUT_S, "could not connect")

    async def subscribe(self) -> None:
        """The rest of `connect`."""
        subscribing = self._client.start_notify(wire.STREAM, self._on_packet)
        try:
            await self._call(subscribing, _WRITE_TIMEOUT_S, "could not connect")
            if self._ended:
                raise Disconnected("could not connect")
        except Disconnected as error:
            raise self._judge(error) from error.__cause__
        self._up = True

    async def pair(self) -> None:
        """Bond and encrypt; nothing happens if that is so. Raises NotPaired if the glasses will not,
        Disconnected. On macOS the system pairs by itself, when it is first needed."""
        try:
            await self._call(self._client.pair(), _CONNECT_TIMEOUT_S, "pairing failed")
        except Disconnected as error:
            if isinstance(error.__cause__, NotImplementedError):
                return
            # Glasses that are not in pairing mode refuse, or hang up.
            raise NotPaired(str(error)) from error

    async def unpair(self) -> None:
        """This computer forgets the bond, and disconnects. Where only the system can (macOS), nothing
        happens. Raises Disconnected."""
        # Not by _call: the end of the connection is no failure here.
        try:
            await asyncio.wait_for(self._client.unpair(), _WRITE_TIMEOUT_S)
        except NotImplementedError:
            pass
        except Exception as error:
            raise Disconnected(f"could not unpair: {error or type(error).__name__}") from error

    async def ready(self) -> dict[str, Any]:
        """Tell the glasses to send; returns their HELLO. Raises Disconnected, NotPaired.

        Asked again on the same connection, they start over after that HELLO with what is not
        acknowledged: the way to repair a gap.
        """
        self._greeted = asyncio.get_running_loop().create_future()
        try:
            await self._write(wire.ready())
            await asyncio.wait_for(asyncio.shield(self._greeted), REQUEST_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise Disconnected("the glasses do not answer: is their firmware running?") from None
        except Disconnected as error:
            raise self._judge(error) from error.__cause__
        return self.hello

    def _judge(self, error: Disconnected) -> Disconnected:
        """MicroPython cannot refuse to pair: the firmware can only hang up, and that looks like this."""
        return HungUp(str(error)) if self._ended and not self.hello else error

    async def disconnect(self) -> None:
        """Never fails, and may be called at any time."""
        leaving = asyncio.ensure_future(self._client.disconnect())
        leaving.add_done_callback(_swallow)
        await asyncio.wait({leaving}, timeout=_LEAVE_TIMEOUT_S)
        self._end()

    async def ack(self, recording: int, next_index: int, sure: bool = False) -> None:
        """Everything of the recording below `next_index` is on disk. `sure`: return when the glasses
        have heard it."""
        await self._write(wire.ack(recording, next_index), response=sure)

    async def resume(self, recording: int, next_index: int) -> None:
        """Have the recording sent (again) from frame `next_index`."""
        await self._write(wire.resume(recording, next_index))

    async def request(self, op: str, **fields: Any) -> Any:
        """Ask for `op`; returns its result. Raises Refused with the glasses' reason, Disconnected,
        NotPaired."""
        return await self._ask(op, fields, True)

    async def _post(self, op: str, **fields: Any) -> Any:
        return await self._ask(op, fields, False)

    def _room(self) -> int:
        try:
            control = self._client.services.get_characteristic(wire.CONTROL)
        except BleakError:  # not connected
            return 0
        return 0 if control is None else int(control.max_write_without_response_size)

    async def _ask(self, op: str, fields: dict[str, Any], response: bool) -> Any:
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with self._asking:
                await self._write(wire.dumps({"id": number, "op": op, **fields}), response)
            answer = await asyncio.wait_for(future, REQUEST_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise Disconnected(f"the glasses did not answer {op}") from None
        finally:
            self._waiting.pop(number, None)
        if not answer.get("ok"):
            raise Refused(str(answer.get("error")), str(answer.get("code", "refused")))
        return answer.get("result")

    async def write_raw(self, characteristic: str, data: bytes, response: bool = True) -> None:
        """Write any bytes to a characteristic, given by UUID. Raises Disconnected, NotPaired."""
        try:
            writing = self._client.write_gatt_char(characteristic, data, response=response)
            await self._call(writing, _WRITE_TIMEOUT_S, "the glasses went away")
        except Disconnected as error:
            if isinstance(error.__cause__, BleakCharacteristicNotFoundError):
                raise LunetteError(f"the glasses have no characteristic {characteristic}") from None
            raise

    async def _write(self, data: bytes, response: bool = True) -> None:
        await self.write_raw(wire.CONTROL, data, response)

    # --- Bleak ----------------------------------------------------------------------------------

    async def _call(self, work: Awaitable[T], limit_s: float, what: str) -> T:
        """The result of a call of Bleak's. Whatever it raises becomes ours.

        Backends differ in what they do when the link goes: some raise what is no BleakError, some cancel
        what waits, which would look as if the caller had been cancelled, some never return.
        """
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(work)
        either: list[asyncio.Future[Any]] = [task, self._gone]
        try:
            await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(_swallow)
            await asyncio.wait({task}, timeout=_LEAVE_TIMEOUT_S)  # it may have to tidy up
            raise
        if not task.done():
            task.cancel()
            task.add_done_callback(_swallow)
            raise Disconnected(what if self._ended else f"{what}: no answer")
        if task.cancelled():
            raise Disconnected(what)
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, LunetteError) or not isinstance(error, Exception):
            raise error
        text = str(error) or type(error).__name__
        if is_about_pairing(error):
            raise NotPaired(text) from error
        raise Disconnected(f"{what}: {text}") from error

    def _on_packet(self, characteristic: Any, packet: bytearray) -> None:
        if self._ended:
            return
        self.notifications += 1
        self.bytes += len(packet)
        gaps = self._unpacker.gaps + self._unpacker.errors
        messages = self._unpacker.feed(packet)
        # Before the messages of this packet: they are those after the gap.
        if self._unpacker.gaps + self._unpacker.errors != gaps and self._on_gap is not None:
            self._on_gap()
        for kind, body in messages:
            try:
                message = wire.parse_message(kind, body)
            except wire.ProtocolError:
                self.malformed += 1
                continue
            self._dispatch(message)

    def _dispatch(self, message: tuple[Any, ...]) -> None:
        if message[0] == wire.HELLO:
            self.hello = message[1]
            if self._greeted is not None and not self._greeted.done():
                self._greeted.set_result(None)
        elif message[0] == wire.REPLY:
            number = message[1].get("id")
            future = self._waiting.get(number) if isinstance(number, int) else None
            if future is not None and not future.done():
                future.set_result(message[1])
            return
        elif message[0] == wire.BYE:
            self.bye = str(message[1].get("why", "rest"))
            return
        if self._on_message is not None:
            self._on_message(message)

    def _on_disconnected(self, client: BleakClient) -> None:
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._gone is not None:
            self._gone.set_result(None)
        lost = Disconnected("the glasses went away")
        for future in [*self._waiting.values(), self._greeted]:
            if future is not None and not future.done():
                future.set_exception(lost)
                future.exception()  # nobody may be waiting for it
        if self._up:
            self._up = False
            if self._on_disconnect is not None:
                self._on_disconnect()


def _swallow(task: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more; asyncio would complain of an exception that nobody has seen."""
    if not task.cancelled():
        task.exception()
