"""`bluetooth` on the simulated chip: MicroPython's BLE, peripheral role, over NimBLE's manners.

Modelled: the interrupt handler is removed for good by an exception in it, and what it is shown is
void after the call; attributes hold 20 bytes until `gatts_set_buffer`, longer writes are cut
silently and a second write replaces the first unless append is on; `gatts_notify` sends whether
or not the host subscribed, cuts to MTU-3 silently, raises OSError(12) when the stack is out of
buffers and OSError(128) when there is no such connection; advertising data is 31 bytes; at most 8
services; registering replaces all services; nothing works before `active(True)`.
Pairing and bonds: the handler is asked for secrets and asked to keep them (events 29 and 30) in NimBLE's
order, and what it returns counts, as it does for reads (event 4). `active(True)` asks for the identity
key and the bonds, so `irq` comes before it. Deleting is repeated until the handler says that there was
nothing to delete; one that never says so hangs the stack. A host that pairs again has its old bond
deleted first, and is never refused; MicroPython does not limit the number of bonds. Own keys
(type 1) are counted by an address of zeros, not by None. A secret of another size than this stack's
is none. Event 28 also comes when a procedure failed; a host whose key is not found causes none.
Refused accesses are not told; whether there is a bond is asked, to choose between 0x05 and 0x0f. Values
that are sent from the database (`send_update`, `gatts_notify` without data) are first read with connection
0xFFFF. Descriptors have no security; subscriptions are not kept. Four connections; advertising that
would take a fifth raises OSError(12). ``addr_mode=2``: from the next `gap_advertise` on the address is
private, made with the identity key, and another one every 15 minutes; `mac` then raises OSError(22).
Malformed requests are not answered, unknown ones refused; 64 prepared writes wait at most; what a peer
notifies or indicates is told (events 18 and 19).
Not modelled: the central role, L2CAP channels, passkeys (`io` is 3: NotImplementedError), the public
address (addresses are static random), hosts with private addresses, prepared writes that time out, signed
writes, authorisation, the identity of the data tuple (the chip reuses one object), and the rest of Python
waiting while NimBLE's task waits for the handler.
"""

import json
import struct
import sys

import _ops
import _port

FLAG_BROADCAST = 0x0001
FLAG_READ = 0x0002
FLAG_WRITE_NO_RESPONSE = 0x0004
FLAG_WRITE = 0x0008
FLAG_NOTIFY = 0x0010
FLAG_INDICATE = 0x0020
FLAG_AUTHENTICATED_SIGNED_WRITE = 0x0040
FLAG_AUX_WRITE = 0x0100
FLAG_READ_ENCRYPTED = 0x0200
FLAG_READ_AUTHENTICATED = 0x0400
FLAG_READ_AUTHORIZED = 0x0800
FLAG_WRITE_ENCRYPTED = 0x1000
FLAG_WRITE_AUTHENTICATED = 0x2000
FLAG_WRITE_AUTHORIZED = 0x4000

_ADVERTISE_MAX = 31

_READ_REQUEST = 4
_GET_SECRET = 29
_SET_SECRET = 30
_PEER_SEC = 2
_OUR_IRK = 10
_NO_CONNECTION = 0xFFFF
_ETIMEDOUT = 116
_BLE_HS_EAPP = 9
_MAX_PEERS = 100  # NimBLE has no limit


def _is_buffer(value):
    return isinstance(value, (bytes, bytearray, memoryview))


def _shown(data):
    """What a handler is given is a view of the stack's own memory."""
    return memoryview(bytearray(data))


class UUID:
    """``UUID(0x180F)``, ``UUID("4c55...")`` or ``UUID(bytes)`` (little-endian, as on the air)."""

    def __init__(self, value):
        if isinstance(value, int):
            if not 0 <= value <= 0xFFFF:
                raise ValueError("invalid UUID")
            self._bytes = struct.pack("<H", value)
        elif isinstance(value, str):
            digits = value.replace("-", "")
            if len(digits) != 32:
                raise ValueError("invalid UUID")
            raw = bytes(int(digits[i : i + 2], 16) for i in range(0, 32, 2))
            self._bytes = bytes(reversed(raw))
        else:
            self._bytes = bytes(value)
            if len(self._bytes) not in (2, 4, 16):
                raise ValueError("invalid UUID")

    def __bytes__(self):
        return self._bytes

    def __eq__(self, other):
        return isinstance(other, UUID) and self._bytes == other._bytes

    def __hash__(self):
        return hash(self._bytes)

    def __len__(self):
        return len(self._bytes)

    def _text(self):
        text = "".join("%02x" % b for b in reversed(self._bytes))
        if len(text) == 4:
            return text
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def __repr__(self):
        text = self._text()
        return "UUID(0x%s)" % text if len(text) == 4 else "UUID('%s')" % text


# Buffer protocol for UUID does not exist in plain Python: `bytes(uuid)` serves both interpreters.


class BLE:
    """The radio. There is one: ``BLE()`` always gives the same object."""

    _only = None

    def __new__(cls):
        if BLE._only is None:
            ble = super().__new__(cls)
            ble._handler = None
            ble._written = None  # handle and value of the write that the handler is being told of
            BLE._only = ble
            _port.on(_ops.SRC_BLE, ble._on_event)
        return BLE._only

    def active(self, state=None):
        if state is None:
            return bool(_port.call(_ops.BLE_ACTIVE, -1))
        was = _port.call(_ops.BLE_ACTIVE, -1)
        now = bool(_port.call(_ops.BLE_ACTIVE, 1 if state else 0))
        if now and not was:
            self._load_secrets()
        return now

    def _load_secrets(self):
        """As the stack starts: our identity key, then the bonds, for the identity keys of peers."""
        irk = self._call(_GET_SECRET, (_OUR_IRK, 0, _shown(b"irk")))
        if _is_buffer(irk) and len(irk) == 16:
            _port.call(_ops.BLE_IRK, data=irk)
        else:
            irk = _port.call_bytes(_ops.BLE_IRK, 1)
            if self._call(_SET_SECRET, (_OUR_IRK, _shown(b"irk"), _shown(irk))):
                _port.call(_ops.BLE_IRK, data=irk)
            else:
                _port.call(_ops.BLE_IRK)
        for i in range(_MAX_PEERS):
            secret = self._call(_GET_SECRET, (_PEER_SEC, i, None))
            if not _is_buffer(secret) or not _port.call(_ops.BLE_PEER, data=secret):
                return
        # There is always another one: on the chip the start is given up after two seconds.
        _port.call(_ops.BLE_ACTIVE, 0)
        raise OSError(_ETIMEDOUT)

    def _call(self, event, data):
        """The handler's return value; None without one, or if it raises, which removes it."""
        if self._handler is None:
            return None
        try:
            return self._handler(event, data)
        except Exception as error:
            self._handler = None
            sys.print_exception(error)
            return None

    def irq(self, handler):
        """``handler(event, data)``. An exception in it removes it until the next `irq`."""
        if handler is not None and not callable(handler):
            raise ValueError("invalid handler")
        self._handler = handler

    def config(self, *names, **values):
        if values:
            if names:
                raise TypeError("can't specify pos and kw args")
            for name in values:
                value = values[name]
                if isinstance(value, (bytes, bytearray)):
                    values[name] = value.decode()
            _port.call(_ops.BLE_CONFIG, 0, 0, 0, 0, json.dumps(values).encode())
            return None
        if len(names) != 1:
            raise TypeError("must query one param")
        value = json.loads(_port.call_bytes(_ops.BLE_CONFIG, 1, 0, 0, names[0].encode()))
        if names[0] == "mac":
            return value[0], bytes(value[1])
        return value.encode() if names[0] == "gap_name" else value

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        if interval_us is None:
            _port.call(_ops.BLE_ADVERTISE, -1)
            return
        for data in (adv_data, resp_data):
            if data is not None and len(data) > _ADVERTISE_MAX:
                raise OSError(22)
        request = {}
        if adv_data is not None:
            request["adv"] = list(bytes(adv_data))
        if resp_data is not None:
            request["resp"] = list(bytes(resp_data))
        _port.call(
            _ops.BLE_ADVERTISE, interval_us, 1 if connectable else 0, 0, 0, json.dumps(request).encode()
        )

    def gap_disconnect(self, conn_handle):
        return bool(_port.call(_ops.BLE_DISCONNECT, conn_handle))

    def gap_scan(self, *args):
        raise NotImplementedError("the chip model has no central role")

    def gap_connect(self, *args):
        raise NotImplementedError("the chip model has no central role")

    def gap_pair(self, conn_handle):
        _port.call(_ops.BLE_PAIR, conn_handle)

    def gatts_register_services(self, services):
        """Replaces all services; returns the value handles, a tuple of tuples."""
        described = []
        for service in services:
            uuid, characteristics = service
            described.append([uuid._text(), [self._describe(c) for c in characteristics]])
        answer = _port.call_bytes(_ops.BLE_REGISTER, 0, 0, 0, json.dumps(described).encode())
        return tuple(tuple(handles) for handles in json.loads(answer))

    def _describe(self, characteristic):
        descriptors = characteristic[2] if len(characteristic) > 2 else ()
        return [
            characteristic[0]._text(),
            characteristic[1],
            [[d[0]._text(), d[1]] for d in descriptors],
        ]

    def gatts_read(self, value_handle):
        if self._written is not None and self._written[0] == value_handle:
            return bytes(self._written[1])
        return _port.call_bytes(_ops.BLE_READ, value_handle)

    def gatts_write(self, value_handle, data, send_update=False):
        data = data.encode() if isinstance(data, str) else data
        self._written = None
        _port.call(_ops.BLE_WRITE, value_handle, 1 if send_update else 0, 0, 0, data)

    def gatts_set_buffer(self, value_handle, len, append=False):
        _port.call(_ops.BLE_SET_BUFFER, value_handle, len, 1 if append else 0)

    def gatts_notify(self, conn_handle, value_handle, data=None):
        if data is None:
            self._may_read(value_handle)
        _port.call(_ops.BLE_NOTIFY, conn_handle, value_handle, 1 if data is None else 0, 0, data)

    def gatts_indicate(self, conn_handle, value_handle, data=None):
        if data is None:
            self._may_read(value_handle)
        _port.call(_ops.BLE_INDICATE, conn_handle, value_handle, 1 if data is None else 0, 0, data)

    def gattc_exchange_mtu(self, conn_handle):
        _port.call(_ops.BLE_MTU, conn_handle)

    def _on_question(self, event, e2, e3, data):
        """The stack waits for what the handler returns. The data begin with the question's number."""
        number = data[0] | data[1] << 8
        if event == _READ_REQUEST:
            shown = (e2, e3)
        elif event == _GET_SECRET:  # type, index, key
            shown = (e2, e3, data[2:] if len(data) > 2 else None)
        else:  # type, key, value
            end = 2 + e3
            shown = (e2, data[2:end], data[end + 1 :] if data[end] else None)
        result = None
        try:
            if self._handler is not None:
                result = self._handler(event, shown)
        except BaseException:
            self._handler = None
            raise
        finally:
            if event == _GET_SECRET:
                if _is_buffer(result):
                    _port.call(_ops.BLE_ANSWER, number, 1, data=result)
                else:
                    _port.call(_ops.BLE_ANSWER, number)
            elif event == _SET_SECRET:
                _port.call(_ops.BLE_ANSWER, number, 0, 1 if result else 0)
            else:
                # None, and whatever else is not a number, allows it; True is ATT error 1.
                _port.call(_ops.BLE_ANSWER, number, 0, int(result) if isinstance(result, int) else 0)

    def _may_read(self, value_handle):
        """Before a value of the database is sent the stack reads it, as on behalf of nobody."""
        result = self._call(_READ_REQUEST, (_NO_CONNECTION, value_handle))
        if isinstance(result, int) and result:
            raise OSError(-_BLE_HS_EAPP)

    def _on_event(self, event, e2, e3, data):
        if event in (_READ_REQUEST, _GET_SECRET, _SET_SECRET):
            self._on_question(event, e2, e3, data)
            return
        handler = self._handler
        if handler is None:
            return
        if event in (1, 2):  # central connected, disconnected: handle, address type, address
            shown = (e2, e3, data)
        elif event == 3:  # written: connection, handle
            shown = (e2, e3)
            if data is not None:
                self._written = (e3, data)
        elif event in (18, 19):  # a peer notified, indicated: connection, handle, value
            shown = (e2, e3, data)
        elif event == 21:  # MTU exchanged: handle, number
            shown = (e2, e3)
        elif event == 20:  # indicate done: connection, handle, status
            shown = (e2, e3, data[0])
        elif event == 27:  # connection update: handle, interval, latency, timeout, status
            shown = (e2,) + struct.unpack("<HHHB", data)
        elif event == 28:  # encryption: handle, encrypted, authenticated, bonded, key size
            shown = (e2,) + struct.unpack("<BBBB", data)
        else:
            return
        try:
            handler(event, shown)
        except BaseException:
            self._handler = None  # as on the chip: no further event is ever delivered
            raise
        finally:
            self._written = None
