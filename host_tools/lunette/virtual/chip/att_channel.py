"""What arrives on the attribute protocol's channel, answered as NimBLE answers it (ble_att.c, ble_att_svr.c).

Bumble's server does the well-formed rest. It raises for malformed PDUs, leaves some requests without an
answer, lets anybody rewrite declarations and keeps any number of prepared writes; the chip does not.
Not modelled: the connection ends when prepared writes lie about for 30 s.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from bumble import att, core, gatt
from bumble.device import Connection, Device
from bumble.utils import AsyncRunner

log = logging.getLogger(__name__)

MAX_PREPARED = 64  # BLE_ATT_SVR_MAX_PREP_ENTRIES, of all connections together
_LONGEST = 512  # BLE_ATT_ATTR_MAX_LEN
_COMMAND = 0x40
_OP = att.Opcode
# Bytes of the shortest PDU of each opcode that NimBLE knows. A shorter one is not answered at all.
_SHORTEST: dict[int, int] = {
    _OP.ATT_ERROR_RESPONSE: 5, _OP.ATT_EXCHANGE_MTU_REQUEST: 3, _OP.ATT_EXCHANGE_MTU_RESPONSE: 3,
    _OP.ATT_FIND_INFORMATION_REQUEST: 5, _OP.ATT_FIND_INFORMATION_RESPONSE: 2,
    _OP.ATT_FIND_BY_TYPE_VALUE_REQUEST: 7, _OP.ATT_FIND_BY_TYPE_VALUE_RESPONSE: 1,
    _OP.ATT_READ_BY_TYPE_REQUEST: 7, _OP.ATT_READ_BY_TYPE_RESPONSE: 2, _OP.ATT_READ_REQUEST: 3,
    _OP.ATT_READ_RESPONSE: 1, _OP.ATT_READ_BLOB_REQUEST: 5, _OP.ATT_READ_BLOB_RESPONSE: 1,
    _OP.ATT_READ_MULTIPLE_REQUEST: 1, _OP.ATT_READ_MULTIPLE_RESPONSE: 1,
    _OP.ATT_READ_BY_GROUP_TYPE_REQUEST: 7, _OP.ATT_READ_BY_GROUP_TYPE_RESPONSE: 2,
    _OP.ATT_READ_MULTIPLE_VARIABLE_REQUEST: 1, _OP.ATT_READ_MULTIPLE_VARIABLE_RESPONSE: 1,
    _OP.ATT_WRITE_REQUEST: 3, _OP.ATT_WRITE_RESPONSE: 1, _OP.ATT_WRITE_COMMAND: 3,
    _OP.ATT_PREPARE_WRITE_REQUEST: 5, _OP.ATT_PREPARE_WRITE_RESPONSE: 5, _OP.ATT_EXECUTE_WRITE_REQUEST: 2,
    _OP.ATT_EXECUTE_WRITE_RESPONSE: 1, _OP.ATT_HANDLE_VALUE_NOTIFICATION: 3,
    _OP.ATT_HANDLE_VALUE_INDICATION: 3, _OP.ATT_HANDLE_VALUE_CONFIRMATION: 1,
}  # fmt: skip
_BY_TYPE = (_OP.ATT_READ_BY_TYPE_REQUEST, _OP.ATT_READ_BY_GROUP_TYPE_REQUEST)
_RANGED = (*_BY_TYPE, _OP.ATT_FIND_INFORMATION_REQUEST, _OP.ATT_FIND_BY_TYPE_VALUE_REQUEST)
_NOTIFICATION, _INDICATION = _OP.ATT_HANDLE_VALUE_NOTIFICATION, _OP.ATT_HANDLE_VALUE_INDICATION

_Work = Callable[[Connection, bytes], Awaitable[None]]


class AttChannel:
    """`may_write(connection, handle)` raises the ATT error that refuses a write to a characteristic or
    descriptor of the program; `on_value(connection, handle, value, indication)` is told what a peer sent as
    if it were the server."""

    def __init__(
        self,
        device: Device,
        may_write: Callable[[Connection, int], Awaitable[None]],
        on_value: Callable[[int, int, bytes, bool], None],
    ):
        self._device = device
        self._server = device.gatt_server
        self._may_write = may_write
        self._on_value = on_value
        self._prepared: dict[int, list[tuple[int, int, bytes]]] = {}
        self._own: dict[int, _Work] = {
            _OP.ATT_FIND_BY_TYPE_VALUE_REQUEST: self._find_by_type_value,
            _OP.ATT_READ_MULTIPLE_REQUEST: self._read_multiple,
            _OP.ATT_READ_MULTIPLE_VARIABLE_REQUEST: self._read_multiple,
            _OP.ATT_WRITE_REQUEST: self._write_request,
            _OP.ATT_PREPARE_WRITE_REQUEST: self._prepare,
            _OP.ATT_EXECUTE_WRITE_REQUEST: self._execute,
        }
        device.l2cap_channel_manager.register_fixed_channel(att.ATT_CID, self._on_pdu)

    def forget(self, handle: int) -> None:
        """A connection has ended."""
        self._prepared.pop(handle, None)

    # --- what comes in ------------------------------------------------------------------------

    def _on_pdu(self, handle: int, pdu: bytes) -> None:
        connection = self._device.lookup_connection(handle)
        if connection is None or not pdu:
            return
        op = pdu[0]
        shortest = _SHORTEST.get(op)
        if shortest is None:
            if not op & _COMMAND:
                self._refuse(connection, op, 0, att.ErrorCode.REQUEST_NOT_SUPPORTED)
            return
        if len(pdu) < shortest or (op in _BY_TYPE and len(pdu) not in (7, 21)):
            return
        if op in _RANGED:
            first, last = struct.unpack_from("<HH", pdu, 1)
            if first == 0 or first > last:
                self._refuse(connection, op, first, att.ErrorCode.INVALID_HANDLE)
                return
        if op in (_NOTIFICATION, _INDICATION):
            self._value(connection, pdu)
        elif op == _OP.ATT_WRITE_COMMAND:
            self._spawn(self._write_command, connection, pdu)
        elif op in self._own:
            self._spawn(self._own[op], connection, pdu)
        else:
            try:
                self._device.on_gatt_pdu(handle, pdu)
            except (core.BaseBumbleError, ValueError, struct.error, asyncio.InvalidStateError) as error:
                log.debug("radio: ATT %s: %s", pdu.hex(), error)  # an answer to nothing, or twice

    def _value(self, connection: Connection, pdu: bytes) -> None:
        handle = int.from_bytes(pdu[1:3], "little")
        if handle == 0:
            return
        self._on_value(connection.handle, handle, pdu[3:], pdu[0] == _INDICATION)
        if pdu[0] == _INDICATION:
            self._send(connection, bytes((_OP.ATT_HANDLE_VALUE_CONFIRMATION,)))

    def _spawn(
        self, work: Callable[[Connection, bytes], Awaitable[None]], connection: Connection, pdu: bytes
    ) -> None:
        async def answer() -> None:
            try:
                await work(connection, pdu)
            except att.ATT_Error as error:
                if not pdu[0] & _COMMAND:
                    self._refuse(connection, pdu[0], error.att_handle, error.error_code)

        AsyncRunner.spawn(answer())

    # --- what goes out ------------------------------------------------------------------------

    def _send(self, connection: Connection, pdu: bytes) -> None:
        if self._device.lookup_connection(connection.handle) is connection:
            self._device.send_l2cap_pdu(connection.handle, att.ATT_CID, pdu)

    def _refuse(self, connection: Connection, op: int, handle: int, code: int) -> None:
        self._send(connection, struct.pack("<BBHB", _OP.ATT_ERROR_RESPONSE, op, handle, code))

    # --- requests that Bumble does not answer as NimBLE does -------------------------------------

    def _attribute(self, handle: int) -> Any:
        attribute = self._server.get_attribute(handle)
        if attribute is None:
            raise att.ATT_Error(att.ErrorCode.INVALID_HANDLE, handle)
        return attribute

    async def _find_by_type_value(self, connection: Connection, pdu: bytes) -> None:
        first, last, kind = struct.unpack_from("<HHH", pdu, 1)
        found = b""
        for attribute in list(self._server.attributes):
            if not first <= attribute.handle <= last or attribute.type != core.UUID.from_16_bits(kind):
                continue
            if await attribute.read_value(connection) == pdu[7:] and len(found) + 5 <= connection.att_mtu:
                end = getattr(attribute, "end_group_handle", attribute.handle)
                found += struct.pack("<HH", attribute.handle, end)
        if not found:
            raise att.ATT_Error(att.ErrorCode.ATTRIBUTE_NOT_FOUND, first)
        self._send(connection, bytes((_OP.ATT_FIND_BY_TYPE_VALUE_RESPONSE,)) + found)

    async def _read_multiple(self, connection: Connection, pdu: bytes) -> None:
        variable = pdu[0] == _OP.ATT_READ_MULTIPLE_VARIABLE_REQUEST
        answer = bytes((pdu[0] + 1,))
        for at in range(1, len(pdu) - 1, 2):
            if len(answer) >= connection.att_mtu:
                break
            value = await self._attribute(struct.unpack_from("<H", pdu, at)[0]).read_value(connection)
            answer += (struct.pack("<H", len(value)) if variable else b"") + value
        self._send(connection, answer[: connection.att_mtu])

    async def _write(self, connection: Connection, handle: int, value: bytes) -> None:
        attribute = self._attribute(handle)
        await self._check_write(connection, attribute)
        if len(value) > _LONGEST:
            raise att.ATT_Error(att.ErrorCode.INVALID_ATTRIBUTE_LENGTH, handle)
        if attribute.type == gatt.GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR:
            if len(value) != 2:
                raise att.ATT_Error(att.ErrorCode.INVALID_ATTRIBUTE_LENGTH, handle)
            if int.from_bytes(value, "little") & ~self._subscribable(handle):
                raise att.ATT_Error(att.ErrorCode.REQUEST_NOT_SUPPORTED, handle)
        await attribute.write_value(connection, value)

    async def _check_write(self, connection: Connection, attribute: Any) -> None:
        if not isinstance(attribute.value, (att.AttributeValue, att.AttributeValueV2)):
            raise att.ATT_Error(att.ErrorCode.WRITE_NOT_PERMITTED, attribute.handle)  # a declaration
        if not attribute.permissions & att.Attribute.Permissions.WRITEABLE:
            raise att.ATT_Error(att.ErrorCode.WRITE_NOT_PERMITTED, attribute.handle)
        await self._may_write(connection, attribute.handle)

    def _subscribable(self, handle: int) -> int:
        """The bits that may be set in this client configuration: 1 notify, 2 indicate."""
        bits = 0
        for attribute in self._server.attributes:
            if attribute.handle < handle and isinstance(attribute, gatt.Characteristic):
                properties = attribute.properties
                bits = bool(properties & gatt.Characteristic.Properties.NOTIFY) | (
                    bool(properties & gatt.Characteristic.Properties.INDICATE) << 1
                )
        return bits

    async def _write_command(self, connection: Connection, pdu: bytes) -> None:
        await self._write(connection, int.from_bytes(pdu[1:3], "little"), pdu[3:])

    async def _write_request(self, connection: Connection, pdu: bytes) -> None:
        await self._write_command(connection, pdu)
        self._send(connection, bytes((_OP.ATT_WRITE_RESPONSE,)))

    async def _prepare(self, connection: Connection, pdu: bytes) -> None:
        handle, offset = struct.unpack_from("<HH", pdu, 1)
        await self._check_write(connection, self._attribute(handle))
        if sum(map(len, self._prepared.values())) >= MAX_PREPARED:
            raise att.ATT_Error(att.ErrorCode.PREPARE_QUEUE_FULL, handle)
        self._prepared.setdefault(connection.handle, []).append((handle, offset, pdu[5:]))
        self._send(connection, bytes((_OP.ATT_PREPARE_WRITE_RESPONSE,)) + pdu[1:])

    async def _execute(self, connection: Connection, pdu: bytes) -> None:
        prepared = sorted(self._prepared.pop(connection.handle, []), key=lambda part: part[:2])
        values: dict[int, bytes] = {}
        if pdu[1]:
            for handle, offset, part in prepared:
                value = values.get(handle, b"")
                if offset != len(value):
                    raise att.ATT_Error(att.ErrorCode.INVALID_OFFSET, handle)
                values[handle] = value + part
                if len(values[handle]) > _LONGEST:
                    raise att.ATT_Error(att.ErrorCode.INVALID_ATTRIBUTE_LENGTH, handle)
        for handle, value in values.items():
            await self._write(connection, handle, value)
        self._send(connection, bytes((_OP.ATT_EXECUTE_WRITE_RESPONSE,)))
