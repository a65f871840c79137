"""Bleak on the simulated air: `VirtualClient` and `VirtualScanner`, to be given as `backend=`.

Behaves as a phone does: always exchanges the MTU, encrypts a bonded link by itself, pairs when the glasses or
an attribute ask for it, subscribes anew on every connection. `use_air` or the environment variable
LUNETTE_AIR (HOST:PORT) says where the glasses are; LUNETTE_KEYS names a file for bonds, LUNETTE_MTU the
ATT MTU to offer when the air is another process's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bleak.args import SizedBuffer
from bleak.assigned_numbers import AdvertisementDataType as Ad
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble import att, core, hci
from bumble.device import Advertisement, Connection
from bumble.hci import Address

from lunette.virtual.bleak_radio import Radio, until, use_air

__all__ = ["VirtualClient", "VirtualScanner", "use_air"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CCCD = "00002902-0000-1000-8000-00805f9b34fb"
_BASE_UUID_TAIL = bytes.fromhex("00001000800000805f9b34fb")
_DEFAULT_MTU = 23
_MAX_VALUE = 512  # longest attribute value (Vol 3, Part F, 3.2.9)
_PAIRING_TIMEOUT_S = 30.0
# ATT errors that a phone answers by securing the link and asking again.
_WANTS_SECURITY = (
    att.ErrorCode.INSUFFICIENT_AUTHENTICATION,
    att.ErrorCode.INSUFFICIENT_ENCRYPTION,
)


def _uuid(raw: bytes) -> str:
    """Bleak's form (128 bits, lower case) of a little-endian UUID of 2, 4 or 16 bytes."""
    big = raw[::-1]
    if len(big) < 16:
        big = bytes(4 - len(big)) + big + _BASE_UUID_TAIL
    return str(uuid.UUID(bytes=big))


def _address(text: str) -> Address:
    try:
        return Address(text, Address.RANDOM_DEVICE_ADDRESS)
    except ValueError:
        raise BleakDeviceNotFoundError(text, f"{text!r} is not a Bluetooth address") from None


def _advertisement_data(advertisement: Advertisement) -> AdvertisementData:
    complete = shortened = tx_power = None
    manufacturer_data: dict[int, bytes] = {}
    service_data: dict[str, bytes] = {}
    service_uuids: list[str] = []
    for kind, data in advertisement.data.ad_structures:
        match int(kind):
            case Ad.COMPLETE_LOCAL_NAME:
                complete = data.decode("utf-8", "replace")
            case Ad.SHORTENED_LOCAL_NAME:
                shortened = data.decode("utf-8", "replace")
            case Ad.TX_POWER_LEVEL if len(data) == 1:
                tx_power = struct.unpack("b", data)[0]
            case Ad.INCOMPLETE_LIST_SERVICE_UUID16 | Ad.COMPLETE_LIST_SERVICE_UUID16:
                service_uuids += [_uuid(data[i : i + 2]) for i in range(0, len(data) - 1, 2)]
            case Ad.INCOMPLETE_LIST_SERVICE_UUID32 | Ad.COMPLETE_LIST_SERVICE_UUID32:
                service_uuids += [_uuid(data[i : i + 4]) for i in range(0, len(data) - 3, 4)]
            case Ad.INCOMPLETE_LIST_SERVICE_UUID128 | Ad.COMPLETE_LIST_SERVICE_UUID128:
                service_uuids += [_uuid(data[i : i + 16]) for i in range(0, len(data) - 15, 16)]
            case Ad.SERVICE_DATA_UUID16 if len(data) >= 2:
                service_data[_uuid(data[:2])] = data[2:]
            case Ad.SERVICE_DATA_UUID32 if len(data) >= 4:
                service_data[_uuid(data[:4])] = data[4:]
            case Ad.SERVICE_DATA_UUID128 if len(data) >= 16:
                service_data[_uuid(data[:16])] = data[16:]
            case Ad.MANUFACTURER_SPECIFIC_DATA if len(data) >= 2:
                manufacturer_data[int.from_bytes(data[:2], "little")] = data[2:]
    return AdvertisementData(
        local_name=shortened if complete is None else complete,
        manufacturer_data=manufacturer_data,
        service_data=service_data,
        service_uuids=list(dict.fromkeys(service_uuids)),
        tx_power=tx_power,
        rssi=advertisement.rssi,
        platform_data=(advertisement,),
    )


class VirtualScanner(BaseBleakScanner):
    """Hears every advert on the air; scan responses are merged in unless scanning is passive."""

    def __init__(
        self,
        detection_callback: Any = None,
        service_uuids: list[str] | None = None,
        scanning_mode: str = "active",
        **_kwargs: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._active = scanning_mode != "passive"
        self._radio: Radio | None = None

    async def start(self) -> None:
        """BleakError if there is no air, or this scanner already runs."""
        if self._radio is not None:
            raise BleakError("the scanner is already running")
        self.seen_devices = {}
        radio = await Radio.acquire()
        try:
            await radio.listen(self._on_advertisement, self._active)
        except BaseException:
            radio.release()
            raise
        self._radio = radio

    async def stop(self) -> None:
        """Does nothing if the scanner does not run."""
        radio, self._radio = self._radio, None
        if radio is not None:
            try:
                await radio.unlisten(self._on_advertisement)
            finally:
                radio.release()

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        data = _advertisement_data(advertisement)
        if not self.is_allowed_uuid(data.service_uuids):
            return
        address = advertisement.address.to_string(False)
        known = self.seen_devices.get(address)
        name = data.local_name or (known[0].name if known else None)
        device = self.create_or_update_device(address, address, name, advertisement.address, data)
        self.call_detection_callbacks(device, data)


class VirtualClient(BaseBleakClient):
    """A GATT client on the air. Errors are Bleak's, as its documentation gives them."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        services: set[str] | None = None,
        *,
        disconnected_callback: Callable[[], None] | None = None,
        timeout: float = 30.0,
        **_kwargs: Any,
    ) -> None:
        super().__init__(address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout)
        device = address_or_ble_device if isinstance(address_or_ble_device, BLEDevice) else None
        self._known_address: Address | None = device.details if device else None
        self._name = device.name if device else None
        self._wanted_services = services
        self._connection: Connection | None = None
        self._gone: asyncio.Future[int] | None = None
        self._announced = False  # connect() has succeeded: the end of this connection is news
        self._callbacks: dict[int, NotifyCallback] = {}
        self._security_lock = asyncio.Lock()
        self._security_task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The advertised name, else the address with dashes."""
        return self._name or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        """The ATT MTU of this connection; 23 without one."""
        return self._connection.att_mtu if self._connection else _DEFAULT_MTU

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    # Connecting

    async def connect(self, pair: bool = False, **kwargs: Any) -> None:
        """Find (if given by address), connect, exchange the MTU, encrypt if bonded, discover services.

        BleakDeviceNotFoundError if nobody advertises with that address, asyncio.TimeoutError if known glasses
        do not answer, BleakError if the connection is lost half way or there is no air.
        """
        if self.is_connected:
            raise BleakError("Client is already connected")
        timeout = kwargs.get("timeout") or self._timeout
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        radio = await Radio.acquire()
        try:
            address = self._known_address or await self._find(radio, timeout)
            connection = await radio.connect(address, max(deadline - loop.time(), 0.0))
        except BaseException:
            radio.release()
            raise
        self._begin(radio, connection)
        try:
            await asyncio.wait_for(self._set_up(connection, radio.mtu, pair), timeout)
        except BaseException:
            with contextlib.suppress(BleakError):
                await self.disconnect()
            raise
        if not self.is_connected:
            raise BleakError(f"{self.address} disconnected")
        self._announced = True

    async def _find(self, radio: Radio, timeout: float) -> Address:
        advertisement = await radio.find(_address(self.address), timeout)
        if advertisement is None:
            raise BleakDeviceNotFoundError(self.address, f"Device with address {self.address} was not found.")
        self._name = _advertisement_data(advertisement).local_name or self._name
        return advertisement.address

    def _begin(self, radio: Radio, connection: Connection) -> None:
        self._connection = connection
        self._gone = gone = asyncio.get_running_loop().create_future()
        self._announced = False
        self._callbacks = {}

        def on_disconnection(reason: int) -> None:
            if gone.done():
                return
            gone.set_result(reason)
            self._connection = None
            self.services = None
            if self._announced and self._disconnected_callback is not None:
                asyncio.get_running_loop().call_soon(self._disconnected_callback)
            radio.release()

        def on_security_request(_auth_req: int) -> None:
            if self._security_task is None or self._security_task.done():
                self._security_task = asyncio.ensure_future(self._answer_security_request())

        connection.on(Connection.EVENT_DISCONNECTION, on_disconnection)
        connection.on(Connection.EVENT_SECURITY_REQUEST, on_security_request)

    async def _set_up(self, connection: Connection, mtu: int, pair: bool) -> None:
        try:
            await self._request(lambda: connection.gatt_client.request_mtu(mtu))
        except BleakGATTProtocolError as error:
            if error.code != att.ErrorCode.REQUEST_NOT_SUPPORTED:
                raise
        if pair or await self._is_bonded(connection):
            await self._secure()
        self.services = await self._request(lambda: self._discover(connection))

    async def _discover(self, connection: Connection) -> BleakGATTServiceCollection:
        client = connection.gatt_client
        collection = BleakGATTServiceCollection()
        for found in await client.discover_services():
            service = BleakGATTService(found, found.handle, _uuid(found.uuid.to_bytes()))
            if self._wanted_services is not None and service.uuid not in self._wanted_services:
                continue
            collection.add_service(service)
            for proxy in await client.discover_characteristics([], found):
                characteristic = BleakGATTCharacteristic(
                    proxy,
                    proxy.handle,
                    _uuid(proxy.uuid.to_bytes()),
                    sorted(gatt_char_props_to_strs(int(proxy.properties))),
                    lambda: self.mtu_size - 3,
                    service,
                )
                collection.add_characteristic(characteristic)
                for entry in await client.discover_descriptors(proxy):
                    descriptor = BleakGATTDescriptor(
                        entry, entry.handle, _uuid(entry.type.to_bytes()), characteristic
                    )
                    collection.add_descriptor(descriptor)
        return collection

    async def disconnect(self) -> None:
        """Returns when the connection is down; out of range, that is after the supervision timeout."""
        connection, gone = self._connection, self._gone
        if connection is None or gone is None:
            return
        # Somebody else may have asked first, or the link is going down by itself: then wait for that.
        with contextlib.suppress(core.BaseBumbleError, BleakError):
            await until(connection.disconnect(), gone, "")
        await asyncio.shield(gone)

    # Security

    async def _is_bonded(self, connection: Connection) -> bool:
        keystore = connection.device.keystore
        return keystore is not None and await keystore.get(str(connection.peer_address)) is not None

    async def _secure(self) -> None:
        """Encrypt with the bond, or bond first."""
        async with self._security_lock:
            connection = self._require_connection()
            if connection.is_encrypted:
                return
            try:
                if await self._is_bonded(connection):
                    await self._wait_for_security(connection.encrypt())
                else:
                    await self._wait_for_security(self._pair(connection))
                    if connection.peer_address != (self._known_address or _address(self.address)):
                        # What was advertised is a private address; the bond is with the identity.
                        self._known_address = connection.peer_address
            except hci.HCI_Error as error:
                if error.error_code != hci.HCI_ErrorCode.PIN_OR_KEY_MISSING_ERROR:
                    raise BleakError(f"encryption failed: {error}") from error
                raise BleakError(
                    f"{self.address} no longer knows this host: remove the bond with unpair() and pair again"
                ) from error
            except core.BaseBumbleError as error:
                raise BleakError(f"pairing failed: {error}") from error
            except asyncio.TimeoutError as error:
                raise BleakError("pairing failed: no answer") from error

    @staticmethod
    async def _pair(connection: Connection) -> None:
        """Until the keys are stored: Bumble says that it has paired before that."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_pairing(_keys: Any) -> None:
            if not stored.done():
                stored.set_result(None)

        connection.on(Connection.EVENT_PAIRING, on_pairing)
        try:
            await connection.pair()
            await stored
        finally:
            connection.remove_listener(Connection.EVENT_PAIRING, on_pairing)

    async def _wait_for_security(self, procedure: Awaitable[None]) -> None:
        assert self._gone is not None
        bounded = asyncio.wait_for(procedure, _PAIRING_TIMEOUT_S)
        await until(bounded, self._gone, f"{self.address} disconnected")

    async def _answer_security_request(self) -> None:
        try:
            await self._secure()
        except BleakError as error:
            logger.info("security request of %s: %s", self.address, error)

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Bond and encrypt. Returns at once if that is already so. BleakError if the glasses refuse."""
        await self._secure()

    async def unpair(self) -> None:
        """Forget the bond, and disconnect."""
        radio = await Radio.acquire()
        try:
            address = self._known_address or _address(self.address)
            if await radio.identity.keystore.get(str(address)) is not None:
                await radio.identity.keystore.delete(str(address))
                await radio.device.refresh_resolving_list()
            await self.disconnect()
        finally:
            radio.release()

    # Requests

    def _require_connection(self) -> Connection:
        if self._connection is None:
            raise BleakError("Not connected")
        return self._connection

    async def _request(self, request: Callable[[], Awaitable[T]]) -> T:
        """Run an ATT request; its failures become Bleak's."""
        self._require_connection()
        assert self._gone is not None
        try:
            return await until(request(), self._gone, f"{self.address} disconnected")
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(int(error.error_code)) from error
        except core.BaseBumbleError as error:
            raise BleakError(str(error) or type(error).__name__) from error

    async def _secured_request(self, request: Callable[[], Awaitable[T]]) -> T:
        """As `_request`, and once more on a secured link if the glasses insist on one."""
        try:
            return await self._request(request)
        except BleakGATTProtocolError as error:
            if error.code not in _WANTS_SECURITY or self._require_connection().is_encrypted:
                raise
            try:
                await self._secure()
            except BleakError as reason:
                raise error from reason
        return await self._request(request)

    async def _read(self, handle: int) -> bytearray:
        client = self._require_connection().gatt_client
        return bytearray(await self._secured_request(lambda: client.read_value(handle)))

    async def _write(self, handle: int, data: SizedBuffer, response: bool) -> None:
        connection = self._require_connection()
        value = bytes(data)
        if response:
            if len(value) > _MAX_VALUE:
                raise BleakError(f"{len(value)} bytes are too long: an attribute holds at most {_MAX_VALUE}")
            await self._secured_request(lambda: connection.gatt_client.write_value(handle, value, True))
            return
        if len(value) > connection.att_mtu - 3:
            raise BleakError(
                f"{len(value)} bytes are too long for a write without response: "
                f"at most {connection.att_mtu - 3}"
            )
        await self._wait_for_room(connection)
        await self._request(lambda: connection.gatt_client.write_value(handle, value, False))

    async def _wait_for_room(self, connection: Connection) -> None:
        """Until the host's queue is short: it has no limit of its own."""
        queue = connection.data_packet_queue
        assert self._gone is not None
        while queue is not None and queue.pending >= 2 * queue.max_in_flight:
            flow: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def on_flow(flow: asyncio.Future[None] = flow) -> None:
                if not flow.done():
                    flow.set_result(None)

            queue.on("flow", on_flow)
            try:
                await until(flow, self._gone, f"{self.address} disconnected")
            finally:
                queue.remove_listener("flow", on_flow)

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return await self._read(characteristic.handle)

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return await self._read(descriptor.handle)

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Without response it returns when the data is on its way and no more than a few packets wait."""
        await self._write(characteristic.handle, data, response)

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        await self._write(descriptor.handle, data, True)

    # Notifications

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Notifications are preferred to indications if the characteristic has both."""
        connection = self._require_connection()
        handle, properties = characteristic.handle, characteristic.properties
        cccd = characteristic.get_descriptor(_CCCD)
        if cccd is None or not {"notify", "indicate"} & set(properties):
            raise BleakError(f"{characteristic.uuid} has neither notifications nor indications")
        if handle in self._callbacks:
            raise BleakError(f"notifications of {characteristic.uuid} are already started")
        bits = 1 if "notify" in properties else 2
        client = connection.gatt_client
        subscribers = client.notification_subscribers if bits == 1 else client.indication_subscribers
        loop = asyncio.get_running_loop()

        def on_value(value: bytes) -> None:
            # Not called from here: an exception in it would end Bumble's handling of the packet.
            if (current := self._callbacks.get(handle)) is not None:
                loop.call_soon(current, bytearray(value))

        self._callbacks[handle] = callback
        subscribers[handle] = {on_value}
        try:
            await self._write(cccd.handle, struct.pack("<H", bits), True)
        except BaseException:
            self._callbacks.pop(handle, None)
            subscribers.pop(handle, None)
            raise

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """BleakError if they were not started on this connection."""
        connection = self._require_connection()
        handle = characteristic.handle
        if self._callbacks.pop(handle, None) is None:
            raise BleakError(f"notifications of {characteristic.uuid} were not started")
        cccd = characteristic.get_descriptor(_CCCD)
        assert cccd is not None
        await self._write(cccd.handle, b"\0\0", True)
        connection.gatt_client.notification_subscribers.pop(handle, None)
        connection.gatt_client.indication_subscribers.pop(handle, None)
