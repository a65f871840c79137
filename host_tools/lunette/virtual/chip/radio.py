"""The chip's Bluetooth: NimBLE's behaviour, as MicroPython shows it, on a Bumble device.

What is modelled and what is not is listed in ``hal/bluetooth.py``, the module that programs see.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from bumble import att, core, gatt, hci
from bumble.device import AdvertisingType, Connection, Device

from lunette.virtual.chip.bus import Bus
from lunette.virtual.hal import _ops as ops

log = logging.getLogger(__name__)

ENOENT, EIO, E2BIG, ENOMEM, ENODEV, EINVAL, EALREADY, ENOTCONN = 2, 5, 7, 12, 19, 22, 114, 128

DEFAULT_ATTRIBUTE = 20  # bytes an attribute holds until gatts_set_buffer
MAX_SERVICES = 8
# ESP32-S3 and C3 images: NimBLE's larger pool, one block a fragment of a notification.
BUFFERS = 24
FRAGMENT = 251
_L2CAP_HEADER, _ATT_HEADER = 4, 3
_READ, _WRITE_ANY = 0x0002, 0x000C  # of a characteristic's flags

_CONNECT, _DISCONNECT, _WRITE, _INDICATE_DONE, _MTU, _PARAMETERS, _ENCRYPTION = 1, 2, 3, 20, 21, 27, 28


@dataclass
class Attribute:
    """A characteristic's or descriptor's value on the chip."""

    handle: int
    size: int = DEFAULT_ATTRIBUTE
    append: bool = False
    value: bytes = b""


@dataclass
class Counters:
    notifications: int = 0
    bytes: int = 0
    truncated: int = 0
    enomem: int = 0
    by_handle: dict[int, int] = field(default_factory=dict)


class Radio:
    """Answers the BLE_ requests. `plug` gives it the Bumble device that is its antenna."""

    def __init__(self, bus: Bus):
        self._bus = bus
        self._device: Device | None = None
        self._active = False
        self._name = "MPY ESP32"
        self._mtu = 256
        self._attributes: dict[int, Attribute] = {}
        self._connections: dict[int, Connection] = {}
        self._work: asyncio.Queue[Callable[[], Awaitable[Any]]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._adv_data = b""
        self._resp_data = b""
        self.counters = Counters()
        bus.register(
            {
                ops.BLE_ACTIVE: self._on_active,
                ops.BLE_CONFIG: self._on_config,
                ops.BLE_REGISTER: self._on_register,
                ops.BLE_ADVERTISE: self._on_advertise,
                ops.BLE_READ: self._on_read,
                ops.BLE_WRITE: self._on_write,
                ops.BLE_SET_BUFFER: self._on_set_buffer,
                ops.BLE_NOTIFY: self._on_notify,
                ops.BLE_INDICATE: self._on_indicate,
                ops.BLE_DISCONNECT: self._on_disconnect,
                ops.BLE_MTU: self._on_exchange_mtu,
            }
        )

    # --- the simulator's side ---------------------------------------------------------------

    @property
    def active(self) -> bool:
        return self._active

    @property
    def connected(self) -> bool:
        return bool(self._connections)

    @property
    def connections(self) -> list[Connection]:
        return list(self._connections.values())

    def plug(self, device: Device) -> None:
        """Use this (powered on) device as the radio."""
        self._device = device
        device.on(Device.EVENT_CONNECTION, self._on_connection)
        if self._worker is None:
            self._worker = asyncio.ensure_future(self._run())

    async def unplug(self) -> None:
        """Take the device away at once, without a word to its peers."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        while not self._work.empty():
            self._work.get_nowait()
        self._connections.clear()
        self._attributes.clear()
        self._active = False
        self._device = None

    def reset(self) -> None:
        """The chip was reset: the radio is off and has forgotten everything."""
        self._forget()
        self._name = "MPY ESP32"
        self._mtu = 256

    async def close(self) -> None:
        await self.unplug()

    # --- work that Bumble does asynchronously -------------------------------------------------

    def _later(self, work: Callable[[], Awaitable[Any]]) -> None:
        self._work.put_nowait(work)

    async def _run(self) -> None:
        # A cancellation that meets the answer to an HCI command gets lost on its way through Bumble,
        # so it is not what ends this: it hung about once in ten times on a busy computer.
        while asyncio.current_task() is self._worker:
            work = await self._work.get()
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # a host that left in between
                log.debug("radio: %s", error)

    def _forget(self) -> None:
        self._active = False
        self._attributes.clear()
        device = self._device
        if device is None:
            return
        for connection in list(self._connections.values()):
            self._later(lambda c=connection: c.disconnect())  # type: ignore[misc]
        self._connections.clear()
        self._later(self._stop_advertising)
        self._clear_services()

    def _need_active(self) -> Device:
        if not self._active or self._device is None:
            raise OSError(ENODEV)
        return self._device

    # --- requests -------------------------------------------------------------------------------

    def _on_active(self, a: int, b: int, c: int, d: int, data: bytes | None) -> int:
        if a < 0:
            return int(self._active)
        if a and not self._active:
            if self._device is None:
                raise OSError(EIO)
            self._active = True
            self._clear_services()
            self._device.gatt_server.max_mtu = self._mtu
        elif not a and self._active:
            self._forget()
        return int(self._active)

    def _on_config(self, a: int, b: int, c: int, d: int, data: bytes | None) -> bytes:
        if a:
            device = self._need_active()
            name = (data or b"").decode()
            if name == "mac":
                return json.dumps([1, list(reversed(bytes(device.random_address)))]).encode()
            known: dict[str, Any] = {"gap_name": self._name, "mtu": self._mtu, "rxbuf": 256, "addr_mode": 1}
            if name not in known:
                raise ValueError("unknown config param")
            return json.dumps(known[name]).encode()
        for name, value in json.loads(data or b"{}").items():
            if name == "gap_name":
                self._name = str(value)[:32]
            elif name == "mtu":
                if not 23 <= int(value) <= 527:
                    raise OSError(EINVAL)
                self._mtu = int(value)
                if self._device is not None:
                    self._device.gatt_server.max_mtu = self._mtu
            elif name not in ("rxbuf", "addr_mode", "io", "bond", "mitm", "le_secure"):
                raise ValueError("unknown config param")
        return b""

    def _on_register(self, a: int, b: int, c: int, d: int, data: bytes | None) -> bytes:
        device = self._need_active()
        described = json.loads(data or b"[]")
        if len(described) > MAX_SERVICES:
            raise OSError(E2BIG)
        self._clear_services()
        handles = []
        for service_uuid, characteristics in described:
            made: list[list[Any]] = []
            built = []
            for uuid, flags, descriptors in characteristics:
                descriptor_slots = []
                bumble_descriptors = []
                for descriptor_uuid, descriptor_flags in descriptors:
                    slot = Attribute(0)
                    bumble_descriptors.append(
                        gatt.Descriptor(
                            core.UUID(descriptor_uuid),
                            _permissions(descriptor_flags),
                            self._value(slot, descriptor_flags),
                        )
                    )
                    descriptor_slots.append((slot, bumble_descriptors[-1]))
                slot = Attribute(0)
                characteristic: Any = gatt.Characteristic(
                    core.UUID(uuid),
                    gatt.Characteristic.Properties(flags & 0x3F),
                    _permissions(flags),
                    self._value(slot, flags),
                    bumble_descriptors,
                )
                made.append([(slot, characteristic), *descriptor_slots])
                built.append(characteristic)
            device.gatt_server.add_service(gatt.Service(core.UUID(service_uuid), built))
            row = []
            for group in made:
                for slot, attribute in group:
                    slot.handle = attribute.handle
                    self._attributes[slot.handle] = slot
                    row.append(slot.handle)
            handles.append(row)
        return json.dumps(handles).encode()

    def _clear_services(self) -> None:
        """Registering replaces everything but the GAP service that the stack itself brings."""
        self._attributes.clear()
        device = self._device
        if device is None:
            return
        server = device.gatt_server
        server.services.clear()
        server.attributes.clear()
        server.attributes_by_handle.clear()
        server.add_service(
            gatt.Service(
                gatt.GATT_GENERIC_ACCESS_SERVICE,
                [
                    gatt.Characteristic(
                        gatt.GATT_DEVICE_NAME_CHARACTERISTIC,
                        gatt.Characteristic.Properties.READ,
                        gatt.Characteristic.READABLE,
                        att.AttributeValue(read=lambda connection: self._name.encode()),
                    )
                ],
            )
        )

    def _value(self, slot: Attribute, flags: int) -> Any:
        # Bumble's server does not look at the two simplest permissions; NimBLE does.
        def read(connection: Connection | None) -> bytes:
            if not flags & _READ:
                raise att.ATT_Error(att.ErrorCode.READ_NOT_PERMITTED, slot.handle)
            return slot.value

        def write(connection: Connection | None, value: bytes) -> None:
            if not flags & _WRITE_ANY:
                raise att.ATT_Error(att.ErrorCode.WRITE_NOT_PERMITTED, slot.handle)
            if connection is None or connection.handle not in self._connections:
                return
            kept = (slot.value if slot.append else b"") + bytes(value)
            if len(kept) > slot.size:
                self.counters.truncated += 1
            slot.value = kept[: slot.size]
            # The chip runs the handler before it takes the next write, so what that one reads goes with it.
            shown = b"" if slot.append else slot.value
            self._bus.interrupt(ops.SRC_BLE, _WRITE, connection.handle, slot.handle, shown)

        return att.AttributeValue(read=read, write=write)

    def _on_advertise(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        self._need_active()
        if a < 0:
            self._later(self._stop_advertising)
            return
        request = json.loads(data or b"{}")
        # Data that is not given stays as it was, as on the chip.
        self._adv_data = bytes(request["adv"]) if "adv" in request else self._adv_data
        self._resp_data = bytes(request["resp"]) if "resp" in request else self._resp_data
        interval_ms = max(20.0, a / 1000)
        connectable = bool(b)

        async def start() -> None:
            device = self._device
            if device is None or not self._active:
                return
            if device.is_advertising:
                await device.stop_advertising()
            device.advertising_data = self._adv_data
            device.scan_response_data = self._resp_data
            await device.start_advertising(
                advertising_type=AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE
                if connectable
                else AdvertisingType.UNDIRECTED_SCANNABLE,
                own_address_type=hci.OwnAddressType.RANDOM,
                advertising_interval_min=interval_ms,
                advertising_interval_max=interval_ms,
                auto_restart=False,
            )

        self._later(start)

    async def _stop_advertising(self) -> None:
        if self._device is not None and self._device.is_advertising:
            await self._device.stop_advertising()

    def _attribute(self, handle: int) -> Attribute:
        self._need_active()
        slot = self._attributes.get(handle)
        if slot is None:
            raise OSError(EINVAL)
        return slot

    def _on_read(self, a: int, b: int, c: int, d: int, data: bytes | None) -> bytes:
        slot = self._attribute(a)
        value = slot.value
        if slot.append:
            slot.value = b""  # an appending buffer is emptied by reading
        return value

    def _on_write(self, a: int, b: int, c: int, d: int, data: bytes | None) -> int:
        slot = self._attribute(a)
        value = data or b""
        if len(value) > slot.size:
            slot.size = len(value)  # the program's own writes grow the attribute
        slot.value = value
        if b and self._device is not None:
            attribute = self._device.gatt_server.get_attribute(a)
            if attribute is not None:
                self._later(lambda: self._device.gatt_server.notify_subscribers(attribute))  # type: ignore
        return len(value)

    def _on_set_buffer(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        slot = self._attribute(a)
        slot.size, slot.append = b, bool(c)
        slot.value = b""

    def _connection(self, handle: int) -> Connection:
        self._need_active()
        connection = self._connections.get(handle)
        if connection is None:
            raise OSError(ENOTCONN)
        return connection

    def pending(self, handle: int) -> int:
        """ACL fragments that wait for the air on a connection."""
        device = self._device
        queue = device.host.get_data_packet_queue(handle) if device is not None else None
        return queue.pending if queue is not None else 0

    def _payload(self, a: int, b: int, c: int, data: bytes | None) -> tuple[Connection, bytes]:
        connection = self._connection(a)
        slot = self._attributes.get(b)
        if slot is None:
            raise OSError(EINVAL)
        value = slot.value if c else (data or b"")
        room = connection.att_mtu - _ATT_HEADER
        if len(value) > room:
            self.counters.truncated += 1
            value = value[:room]
        return connection, value

    def _on_notify(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        connection, value = self._payload(a, b, c, data)
        fragments = math.ceil((len(value) + _ATT_HEADER + _L2CAP_HEADER) / FRAGMENT)
        if self.pending(a) + fragments > BUFFERS:
            self.counters.enomem += 1
            raise OSError(ENOMEM)
        # Straight to L2CAP: NimBLE does not ask whether the host has subscribed, and nor may we.
        pdu = att.ATT_Handle_Value_Notification(attribute_handle=b, attribute_value=value)
        assert self._device is not None
        self._device.send_l2cap_pdu(connection.handle, att.ATT_CID, bytes(pdu))
        self.counters.notifications += 1
        self.counters.bytes += len(value)
        self.counters.by_handle[b] = self.counters.by_handle.get(b, 0) + 1

    def _on_indicate(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        connection, value = self._payload(a, b, c, data)
        device = self._need_active()
        attribute = device.gatt_server.get_attribute(b)
        if attribute is None:
            raise OSError(EINVAL)

        async def indicate() -> None:
            status = 0
            try:
                await device.gatt_server.indicate_subscriber(connection, attribute, value, force=True)
            except Exception:
                status = 1
            self._bus.interrupt(ops.SRC_BLE, _INDICATE_DONE, a, b, bytes([status]))

        self._later(indicate)

    def _on_disconnect(self, a: int, b: int, c: int, d: int, data: bytes | None) -> int:
        self._need_active()
        connection = self._connections.get(a)
        if connection is None:
            return 0
        self._later(lambda: connection.disconnect())
        return 1

    def _on_exchange_mtu(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        connection = self._connection(a)
        self._later(lambda: connection.gatt_client.request_mtu(self._mtu))

    # --- Bumble's events ---------------------------------------------------------------------

    def _on_connection(self, connection: Connection) -> None:
        if not self._active:
            self._later(lambda: connection.disconnect())
            return
        handle = connection.handle
        self._connections[handle] = connection
        address = bytes(reversed(bytes(connection.peer_address)))
        kind = 0 if connection.peer_address.is_public else 1
        self._bus.interrupt(ops.SRC_BLE, _CONNECT, handle, kind, address)

        def gone(reason: int) -> None:
            if self._connections.pop(handle, None) is not None:
                self._bus.interrupt(ops.SRC_BLE, _DISCONNECT, handle, kind, address)

        def mtu() -> None:
            self._bus.interrupt(ops.SRC_BLE, _MTU, handle, connection.att_mtu)

        def parameters() -> None:
            p = connection.parameters
            self._bus.interrupt(
                ops.SRC_BLE,
                _PARAMETERS,
                handle,
                0,
                struct.pack(
                    "<HHHB",
                    round(p.connection_interval / 1.25),
                    p.peripheral_latency,
                    round(p.supervision_timeout / 10),
                    0,
                ),
            )

        connection.on(Connection.EVENT_DISCONNECTION, gone)
        connection.on(Connection.EVENT_CONNECTION_ATT_MTU_UPDATE, mtu)
        connection.on(Connection.EVENT_CONNECTION_PARAMETERS_UPDATE, parameters)


def _permissions(flags: int) -> Any:
    permissions = att.Attribute.Permissions(0)
    if flags & 0x0002:
        permissions |= att.Attribute.Permissions.READABLE
    if flags & 0x000C:
        permissions |= att.Attribute.Permissions.WRITEABLE
    if flags & 0x0200:
        permissions |= att.Attribute.Permissions.READ_REQUIRES_ENCRYPTION
    if flags & 0x0400:
        permissions |= att.Attribute.Permissions.READ_REQUIRES_AUTHENTICATION
    if flags & 0x1000:
        permissions |= att.Attribute.Permissions.WRITE_REQUIRES_ENCRYPTION
    if flags & 0x2000:
        permissions |= att.Attribute.Permissions.WRITE_REQUIRES_AUTHENTICATION
    return permissions
