"""A connection to one pair of glasses, over Bleak.

    device = await find(timeout=10)
    async with GlassesClient(device) as glasses:
        print(await glasses.request("status"))

`Listener` in `lunette.listen` builds on it and keeps recordings. Any Bleak backend serves; the
virtual glasses' one is in `lunette.virtual.bleak_backend`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakCharacteristicNotFoundError, BleakError

from lunette.errors import LunetteError
from lunette.protocol import wire

REQUEST_TIMEOUT_S = 5.0


class Disconnected(LunetteError):
    """The glasses went away, before or during an operation."""


class Refused(LunetteError):
    """The glasses refused a request; the message is their reason, `code` the word for programs
    (docs/protocol.md)."""

    def __init__(self, message: str, code: str = "refused"):
        super().__init__(message)
        self.code = code


@dataclass
class Backends:
    """Bleak backend classes to use; None is the computer's own Bluetooth adapter."""

    client: Any = None
    scanner: Any = None

    def client_options(self) -> dict[str, Any]:
        return {"backend": self.client} if self.client else {}

    def scanner_options(self) -> dict[str, Any]:
        return {"backend": self.scanner} if self.scanner else {}


@dataclass
class Found:
    """Glasses that advertise: `device` to connect to, `name`, `address`, `rssi` in dBm."""

    device: BLEDevice
    name: str
    address: str
    rssi: int


def explain(error: Exception) -> LunetteError:
    """A Bluetooth failure in words that say what to do."""
    text = str(error) or type(error).__name__
    if isinstance(error, LunetteError):
        return error
    lowered = text.lower()
    if isinstance(error, FileNotFoundError) or any(word in lowered for word in ("dbus", "bluez", "adapter")):
        return LunetteError(
            f"no usable Bluetooth adapter ({text}): switch Bluetooth on, or add --virtual for virtual glasses"
        )
    return LunetteError(f"Bluetooth: {text}")


async def scan(timeout: float = 5.0, backends: Backends | None = None) -> list[Found]:
    """All Lunette glasses heard within `timeout` seconds, strongest first. Raises LunetteError."""
    backends = backends or Backends()
    try:
        seen = await BleakScanner.discover(
            timeout=timeout, return_adv=True, service_uuids=[wire.SERVICE], **backends.scanner_options()
        )
    except (BleakError, OSError) as error:
        raise explain(error) from error
    found = [
        Found(device, adv.local_name or device.name or "?", device.address, adv.rssi)
        for device, adv in seen.values()
        if wire.SERVICE in adv.service_uuids
    ]
    return sorted(found, key=lambda f: -f.rssi)


async def find(
    name: str | None = None, timeout: float = 10.0, backends: Backends | None = None
) -> BLEDevice | None:
    """The first glasses heard (of that name or address, if given), or None after `timeout` seconds.
    Raises LunetteError without a usable adapter."""
    backends = backends or Backends()

    def wanted(device: BLEDevice, adv: Any) -> bool:
        if wire.SERVICE not in adv.service_uuids:
            return False
        return name is None or name in (adv.local_name, device.name) or name.upper() == device.address.upper()

    try:
        return await BleakScanner.find_device_by_filter(
            wanted, timeout=timeout, service_uuids=[wire.SERVICE], **backends.scanner_options()
        )
    except (BleakError, OSError) as error:
        raise explain(error) from error


class GlassesClient:
    """One connection. `on_message` gets every message of the glasses as `wire.parse_message`
    gives it; `on_gap` is called when packets went missing on the way to this program;
    `on_disconnect` once when the connection ends."""

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
        self.hello: dict[str, Any] = {}
        self._greeted: asyncio.Future[None] | None = None
        self.notifications = 0
        self.bytes = 0
        self.malformed = 0

    @property
    def is_connected(self) -> bool:
        return bool(self._client.is_connected)

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
        """Connect and subscribe. Follow with `resume`s, if any, and `ready`. Raises Disconnected."""
        try:
            await self._client.connect()
            await self._client.start_notify(wire.STREAM, self._on_packet)
        except (BleakError, OSError, asyncio.TimeoutError) as error:
            raise Disconnected(f"could not connect: {error or type(error).__name__}") from error

    async def ready(self) -> dict[str, Any]:
        """Tell the glasses to send; returns their HELLO.

        Asked again on the same connection, they start over after that HELLO with what is not
        acknowledged: the way to repair a gap.
        """
        self._greeted = asyncio.get_running_loop().create_future()
        await self._write(wire.ready())
        try:
            await asyncio.wait_for(asyncio.shield(self._greeted), REQUEST_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise Disconnected("the glasses do not answer: is their firmware running?") from None
        return self.hello

    async def disconnect(self) -> None:
        with contextlib.suppress(BleakError, OSError):
            await self._client.disconnect()

    async def ack(self, recording: int, next_index: int, sure: bool = False) -> None:
        """Everything of the recording below `next_index` is on disk. `sure`: return when the glasses
        have heard it."""
        # Without response: the answer would wait behind a full queue of notifications, and take
        # a packet from each connection event. ACKs are cumulative, so a lost one costs nothing.
        await self._write(wire.ack(recording, next_index), response=sure)

    async def resume(self, recording: int, next_index: int) -> None:
        """Have the recording sent (again) from frame `next_index`."""
        await self._write(wire.resume(recording, next_index))

    async def request(self, op: str, **fields: Any) -> Any:
        """Ask for `op`; returns its result. Raises Refused with the glasses' reason, Disconnected."""
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._write(wire.dumps({"id": number, "op": op, **fields}))
            answer = await asyncio.wait_for(future, REQUEST_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise Disconnected(f"the glasses did not answer {op}") from None
        finally:
            self._waiting.pop(number, None)
        if not answer.get("ok"):
            raise Refused(str(answer.get("error")), str(answer.get("code", "refused")))
        return answer.get("result")

    async def write_raw(self, characteristic: str, data: bytes, response: bool = True) -> None:
        """Write any bytes to a characteristic, given by UUID. Raises Disconnected."""
        try:
            await self._client.write_gatt_char(characteristic, data, response=response)
        except BleakCharacteristicNotFoundError:
            raise LunetteError(f"the glasses have no characteristic {characteristic}") from None
        except (BleakError, OSError, asyncio.TimeoutError) as error:
            raise Disconnected(f"the glasses went away: {error or type(error).__name__}") from error

    async def _write(self, data: bytes, response: bool = True) -> None:
        await self.write_raw(wire.CONTROL, data, response)

    def _on_packet(self, characteristic: Any, packet: bytearray) -> None:
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
            future = self._waiting.get(message[1].get("id"))
            if future is not None and not future.done():
                future.set_result(message[1])
            return
        if self._on_message is not None:
            self._on_message(message)

    def _on_disconnected(self, client: BleakClient) -> None:
        lost = Disconnected("the glasses went away")
        for future in [*self._waiting.values(), self._greeted]:
            if future is not None and not future.done():
                future.set_exception(lost)
                future.exception()  # nobody may be waiting for it
        if self._on_disconnect is not None:
            self._on_disconnect()
