"""The chip's GATT server: attributes that a program registered, with NimBLE's manners, on Bumble's server."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from bumble import att, core, gatt
from bumble.device import Connection, Device

from lunette.virtual.chip.att_channel import AttChannel
from lunette.virtual.chip.bus import Bus
from lunette.virtual.chip.questions import Questions
from lunette.virtual.chip.security import Security
from lunette.virtual.hal import _ops as ops

E2BIG, ENOMEM, EINVAL = 7, 12, 22

DEFAULT_ATTRIBUTE = 20  # bytes an attribute holds until gatts_set_buffer
MAX_SERVICES = 8
# ESP32-S3 and C3 images: NimBLE's larger pool, one block a fragment of a notification.
BUFFERS = 24
FRAGMENT = 251
_L2CAP_HEADER, _ATT_HEADER = 4, 3
# Of a characteristic's flags.
_READ, _WRITE_ANY = 0x0002, 0x000C
_READ_ENCRYPTED, _READ_AUTHENTICATED, _WRITE_ENCRYPTED, _WRITE_AUTHENTICATED = 0x0200, 0x0400, 0x1000, 0x2000

_WRITE, _VALUE_NOTIFIED, _VALUE_INDICATED, _INDICATE_DONE = 3, 18, 19, 20
_NO_CONNECTION = 0xFFFF

_Later = Callable[[Callable[[], Awaitable[Any]]], None]


@dataclass
class Attribute:
    """A characteristic's or descriptor's value on the chip."""

    handle: int
    flags: int = 0
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


class GattServer:
    """Answers the requests about attributes.

    `need_active` gives the device or raises OSError, `connection` one of the program's connections or
    raises, `later` does work in order, in a task.
    """

    def __init__(
        self,
        bus: Bus,
        questions: Questions,
        security: Security,
        need_active: Callable[[], Device],
        connection: Callable[[int], Connection],
        later: _Later,
    ):
        self._bus = bus
        self._ask = questions
        self._security = security
        self._need_active = need_active
        self._connection = connection
        self._later = later
        self._attributes: dict[int, Attribute] = {}
        self.name = ""
        self.connected: Callable[[int], bool] = lambda handle: False
        self.counters = Counters()
        self._channel: AttChannel | None = None
        bus.register(
            {
                ops.BLE_REGISTER: self._on_register,
                ops.BLE_READ: self._on_read,
                ops.BLE_WRITE: self._on_write,
                ops.BLE_SET_BUFFER: self._on_set_buffer,
                ops.BLE_NOTIFY: self._on_notify,
                ops.BLE_INDICATE: self._on_indicate,
            }
        )

    def plug(self, device: Device) -> None:
        self._channel = AttChannel(device, self._may_write, self._on_value)

    def closed(self, handle: int) -> None:
        """A connection has ended."""
        if self._channel is not None:
            self._channel.forget(handle)

    # --- registering ----------------------------------------------------------------------------

    def _on_register(self, a: int, b: int, c: int, d: int, data: bytes | None) -> bytes:
        device = self._need_active()
        described = json.loads(data or b"[]")
        if len(described) > MAX_SERVICES:
            raise OSError(E2BIG)
        self.clear(device)
        handles = []
        for service_uuid, characteristics in described:
            made: list[list[Any]] = []
            built = []
            for uuid, flags, descriptors in characteristics:
                descriptor_slots = []
                bumble_descriptors = []
                for descriptor_uuid, descriptor_flags in descriptors:
                    slot = Attribute(0, descriptor_flags & (_READ | _WRITE_ANY))
                    # MicroPython hands nothing but read and write of a descriptor on to NimBLE.
                    bumble_descriptors.append(
                        gatt.Descriptor(
                            core.UUID(descriptor_uuid), _permissions(slot.flags), self._value(slot)
                        )
                    )
                    descriptor_slots.append((slot, bumble_descriptors[-1]))
                slot = Attribute(0, flags)
                characteristic: Any = gatt.Characteristic(
                    core.UUID(uuid),
                    gatt.Characteristic.Properties(flags & 0x3F),
                    _permissions(flags),
                    self._value(slot),
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

    def clear(self, device: Device | None) -> None:
        """Registering replaces everything but the GAP service that the stack itself brings."""
        self._attributes.clear()
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
                        att.AttributeValue(read=lambda connection: self.name.encode()),
                    )
                ],
            )
        )

    def _value(self, slot: Attribute) -> Any:
        flags = slot.flags

        # Bumble's server does not look at the two simplest permissions, and takes every encrypted link for
        # an authenticated one; NimBLE does neither.
        async def read(connection: Connection) -> bytes:
            self._check_connected(connection, slot.handle)
            if not flags & _READ:
                raise att.ATT_Error(att.ErrorCode.READ_NOT_PERMITTED, slot.handle)
            encrypted, authenticated = bool(flags & _READ_ENCRYPTED), bool(flags & _READ_AUTHENTICATED)
            await self._security.check(connection, encrypted, authenticated, slot.handle)
            refused = await self._ask.may_read(connection.handle, slot.handle)
            if refused:
                raise att.ATT_Error(att.ErrorCode(refused & 0xFF), slot.handle)
            return slot.value

        async def write(connection: Connection, value: bytes) -> None:
            # Whether it may was asked before: `_may_write`.
            self._check_connected(connection, slot.handle)
            kept = (slot.value if slot.append else b"") + bytes(value)
            if len(kept) > slot.size:
                self.counters.truncated += 1
            slot.value = kept[: slot.size]
            # The chip runs the handler before it takes the next write, so what that one reads goes with it.
            shown = b"" if slot.append else slot.value
            self._bus.interrupt(ops.SRC_BLE, _WRITE, connection.handle, slot.handle, shown)

        return att.AttributeValue(read=read, write=write)

    async def _may_write(self, connection: Connection, handle: int) -> None:
        """Raises the ATT error that answers a write to this handle; what the stack itself brings is free."""
        slot = self._attributes.get(handle)
        if slot is None:
            return
        self._check_connected(connection, handle)
        flags = slot.flags
        if not flags & _WRITE_ANY:
            raise att.ATT_Error(att.ErrorCode.WRITE_NOT_PERMITTED, handle)
        encrypted, authenticated = bool(flags & _WRITE_ENCRYPTED), bool(flags & _WRITE_AUTHENTICATED)
        await self._security.check(connection, encrypted, authenticated, handle)

    def _on_value(self, connection: int, handle: int, value: bytes, indication: bool) -> None:
        self._bus.interrupt(
            ops.SRC_BLE, _VALUE_INDICATED if indication else _VALUE_NOTIFIED, connection, handle, value
        )

    def _check_connected(self, connection: Connection, handle: int) -> None:
        # What was still on its way through Bumble when the connection ended.
        if not self.connected(connection.handle):
            raise att.ATT_Error(att.ErrorCode.UNLIKELY_ERROR, handle)

    # --- the program's own access ---------------------------------------------------------------

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
        if b:
            self._later(lambda: self._update(slot))
        return len(value)

    def _on_set_buffer(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        slot = self._attribute(a)
        slot.size, slot.append = b, bool(c)
        slot.value = b""

    # --- sending ------------------------------------------------------------------------------

    async def _update(self, slot: Attribute) -> None:
        """Tell whoever has subscribed, encrypted or not. NimBLE reads the value as for nobody."""
        server = self._need_active().gatt_server
        attribute = server.get_attribute(slot.handle)
        for connection, subscribed in list(server.subscribers.items()):
            bits = (subscribed.get(slot.handle) or b"\0")[0]
            if attribute is None or not bits & 3:
                continue
            if await self._ask.may_read(_NO_CONNECTION, slot.handle):
                continue
            if bits & 1:
                await server.notify_subscriber(connection, attribute, slot.value, force=True)
            else:
                await server.indicate_subscriber(connection, attribute, slot.value, force=True)

    def pending(self, handle: int) -> int:
        """ACL fragments that wait for the air on a connection."""
        queue = self._need_active().host.get_data_packet_queue(handle)
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
        self._need_active().send_l2cap_pdu(connection.handle, att.ATT_CID, bytes(pdu))
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


def _permissions(flags: int) -> Any:
    """For Bumble's eyes; what it does not check, or checks otherwise, is checked in `_value`."""
    permissions = att.Attribute.Permissions(0)
    if flags & _READ:
        permissions |= att.Attribute.Permissions.READABLE
    if flags & _WRITE_ANY:
        permissions |= att.Attribute.Permissions.WRITEABLE
    return permissions
