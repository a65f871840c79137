"""The link: GATT service, advertising, one host at a time, its requests, and when to pump.

The Bluetooth interrupt only copies and sets a flag. An exception there would disable Bluetooth
until a reset, so the whole handler is guarded.
"""

import asyncio
import binascii
import sys
from collections import deque

import bluetooth

from glasses import protocol
from glasses.pump import Pump

_CONNECT = 1
_DISCONNECT = 2
_WRITE = 3
_MTU = 21
_PARAMETERS = 27

_FLAG_WRITE_NO_RESPONSE = 0x0004
_FLAG_WRITE = 0x0008
_FLAG_NOTIFY = 0x0010
_CONTROL_BYTES = 512
_INBOX = 32
_WRITTEN_BYTES = 64  # of what is written to other services
_MAX_SERVICES = 8  # of the stack, ours included
_RESPONSE_BYTES = 31
_DEFAULT_MTU = 23
_DEFAULT_INTERVAL_MS = 15


def _uuid_field(text):
    """Advertising data: a 128-bit service UUID, others may follow elsewhere."""
    return b"\x11\x06" + bytes(reversed(binascii.unhexlify(text.replace("-", ""))))


def _name_field(name, room):
    """Advertising data of at most `room` bytes: the name, shortened to whole characters if need be."""
    if len(name) + 2 <= room:
        return bytes((len(name) + 1, 0x09)) + name
    end = room - 2
    while name[end] & 0xC0 == 0x80:  # in the middle of a character
        end -= 1
    return bytes((end + 1, 0x08)) + name[:end]


class Link:
    """`handle(request) -> result` answers JSON requests; it raises ValueError to refuse one."""

    def __init__(self, journal, bus, log, settings, hello, handle):
        self._bus = bus
        self._log = log
        self._journal = journal
        self._hello = hello
        self._handle = handle
        self._settings = settings
        self._ble = None
        self._stream = 0
        self._control = 0
        self._conn = -1
        self._peer = b""  # address of the host
        self._session = 0  # which connection the rest of the runtime knows of, 0 = none
        self.mtu = _DEFAULT_MTU
        self.interval_ms = _DEFAULT_INTERVAL_MS
        self._inbox = deque((), _INBOX)  # type: deque[tuple[int, int, bytes]]
        self._flag = asyncio.ThreadSafeFlag()
        self._changed = False
        self._retry = False
        self._extra = []  # further services: see `offer`
        self._owners = {}  # value handle of what a host may write: its service, None is this one
        self.pump = Pump(journal, self._notify)
        journal.on_gone = self.pump.gone
        self.connects = 0
        self.disconnects = 0
        self.refused = 0  # requests that broke the protocol
        self.inbox_full = 0
        self.irq_errors = 0
        self.failed = 0  # other services that raised while they sent

    @property
    def connected(self):
        return self._conn >= 0

    @property
    def streaming(self):
        return self.pump.running

    def offer(self, service):
        """Offer another service (`glasses.services.Service`) as well. Only before `start`."""
        if len(self._extra) >= _MAX_SERVICES - 1:
            raise ValueError("no more than %d services" % _MAX_SERVICES)
        self._extra.append(service)

    # --- Bluetooth --------------------------------------------------------------------------

    def start(self):
        """Switch the radio on, offer the service and advertise."""
        ble = self._ble = bluetooth.BLE()
        ble.irq(self._irq)
        ble.active(True)
        ble.config(mtu=self._settings.mtu, gap_name=self._settings.name)
        service = (
            bluetooth.UUID(protocol.SERVICE),
            (
                (bluetooth.UUID(protocol.STREAM), _FLAG_NOTIFY),
                (bluetooth.UUID(protocol.CONTROL), _FLAG_WRITE | _FLAG_WRITE_NO_RESPONSE),
            ),
        )
        definitions = [extra.definition() for extra in self._extra]
        # All in one call: each call replaces what was registered before.
        handles = ble.gatts_register_services(tuple(definitions) + (service,))
        self._stream, self._control = handles[-1]
        self._owners = {self._control: None}
        # An attribute holds 20 bytes unless told otherwise, and cuts longer writes silently.
        ble.gatts_set_buffer(self._control, _CONTROL_BYTES)
        for i in range(len(self._extra)):
            extra = self._extra[i]
            characteristics = definitions[i][1]
            for j in range(len(characteristics)):
                if characteristics[j][1] & (_FLAG_WRITE | _FLAG_WRITE_NO_RESPONSE):
                    ble.gatts_set_buffer(handles[i][j], _WRITTEN_BYTES)
                    self._owners[handles[i][j]] = extra
            extra.bind(ble, handles[i])
        self.advertise()

    def stop(self):
        if self._ble is not None:
            self._ble.active(False)
        self._conn = -1
        self.pump.stop()

    def advertise(self):
        # 31 bytes hold the flags and one 128-bit UUID; the name goes into the scan response.
        name = self._settings.name.encode()
        first = _uuid_field(protocol.SERVICE)
        second = b""
        for extra in self._extra:
            if extra.ADVERTISED:
                # Other products' apps look into the advertisement only; ours looks everywhere.
                first, second = _uuid_field(extra.ADVERTISED), first
        self._ble.gap_advertise(
            self._settings.adv_ms * 1000,
            adv_data=b"\x02\x01\x06" + first,
            resp_data=second + _name_field(name, _RESPONSE_BYTES - len(second)),
        )

    def _notify(self, buffer):
        self._ble.gatts_notify(self._conn, self._stream, buffer)

    def _irq(self, event, data):
        try:
            if event == _WRITE:
                if data[0] == self._conn and data[1] in self._owners:
                    value = self._ble.gatts_read(data[1])
                    if len(self._inbox) >= _INBOX:
                        self.inbox_full += 1
                    else:
                        self._inbox.append((self.connects, data[1], value))
            elif event == _CONNECT:
                if self._conn < 0:
                    self._conn = data[0]
                    self._peer = bytes(data[2])
                    self.mtu = _DEFAULT_MTU
                    self.connects += 1
                    self._changed = True
            elif event == _DISCONNECT:
                if data[0] == self._conn:
                    self._conn = -1
                    # No more than this: the pump may be in the middle of a packet right now.
                    self.pump.running = False
                    self.disconnects += 1
                    self._changed = True
            elif event == _MTU:
                if data[0] == self._conn:
                    self.mtu = data[1]
                    self.pump.resize(data[1])
            elif event == _PARAMETERS and data[0] == self._conn:
                self.interval_ms = max(8, data[1] * 5 // 4)
            self._flag.set()
        except Exception:
            self.irq_errors += 1

    # --- work -------------------------------------------------------------------------------

    def kick(self):
        """Send what can be sent now. Called for each new frame; allocates nothing."""
        done = self.pump.pump()
        if not self._changed:  # else `_on_change` comes first: it tells them who is there
            for extra in self._extra:
                try:
                    if not extra.send():
                        done = False
                except Exception as error:  # the caller is the microphone: it must go on
                    self.failed += 1
                    sys.print_exception(error)
        if not done and not self._retry:
            self._retry = True
            self._flag.set()

    async def run(self):
        """The task that serves requests and retries when the stack was out of buffers."""
        while True:
            if self._retry:
                self._retry = False
                # There is no "sent" event: buffers come back with the next connection event.
                await asyncio.sleep_ms(self.interval_ms)
            else:
                await self._flag.wait()
            if self._changed:
                self._changed = False
                self._on_change()
            while self._inbox:
                session, handle, data = self._inbox.popleft()
                if session == self._session:  # not from a host that has left meanwhile
                    owner = self._owners.get(handle)
                    if owner is None:
                        self._serve(data)
                    else:
                        self._pass_on(owner, handle, data)
            self.kick()

    def _on_change(self):
        # Hosts may have come and gone several times since this task last ran.
        if self._session and self._session != (self.connects if self._conn >= 0 else 0):
            self._session = 0
            for extra in self._extra:
                extra.disconnected()
            self._log.info(
                "link", "disconnected, %d frames wait" % (self._journal.slots - self._journal.free)
            )
            self._bus.emit("disconnected", 0)
        if self._conn < 0:
            self.advertise()
        elif not self._session:
            self._session = self.connects
            self._log.info("link", "connected")
            self.pump.connect(self._peer)
            for extra in self._extra:
                extra.connected(self._conn)
            self._bus.emit("connected", 0)

    def _pass_on(self, service, handle, data):
        try:
            service.written(handle, data)
        except ValueError as error:
            self.refused += 1
            self._log.debug("link", "refused: %s" % error)

    def _serve(self, data):
        try:
            request = protocol.parse_request(data)
        except protocol.ProtocolError as error:
            self.refused += 1
            self._log.debug("link", "refused: %s" % error)
            if data and data[0] == protocol.JSON_REQUEST:
                self._reply({"id": None, "ok": False, "code": "malformed", "error": str(error)})
            return
        kind = request[0]
        if kind == protocol.ACK:
            if not self._journal.ack(request[1], request[2]):
                self.refused += 1
        elif kind == protocol.RESUME:
            recording = self._journal.find(request[1])
            if recording is None:
                self.pump.control(protocol.GONE, protocol.gone_body(request[1]))
            else:
                self.pump.resume(recording, request[2])
        elif kind == protocol.READY:
            if request[1] != protocol.VERSION:
                self.refused += 1
            self.pump.start(self.mtu)
            self.pump.control(protocol.HELLO, protocol.dumps(self._hello()))
        else:
            self._answer(request[1])

    def _answer(self, request):
        number = request.get("id")
        # Anything else might be nested so deep that it cannot be sent back.
        answer = {"id": number if isinstance(number, (int, str)) else None, "ok": True}
        try:
            answer["result"] = self._handle(request)
        except ValueError as error:
            answer["ok"] = False
            answer["code"] = getattr(error, "code", "refused")
            answer["error"] = str(error)
        except Exception as error:
            sys.print_exception(error)
            answer["ok"] = False
            answer["code"] = "failed"
            answer["error"] = "failed: %s" % type(error).__name__
        self._reply(answer)

    def _reply(self, answer):
        body = protocol.dumps(answer)
        if len(body) > protocol.MAX_MESSAGE:
            short = {"id": answer["id"], "ok": False, "code": "too-long", "error": "the answer is too long"}
            body = protocol.dumps(short)
        self.pump.control(protocol.REPLY, body)

    def counters(self):
        counts = {
            "link.connects": self.connects,
            "link.disconnects": self.disconnects,
            "link.refused": self.refused,
            "link.inbox_full": self.inbox_full,
            "link.irq_errors": self.irq_errors,
            "link.failed": self.failed,
        }
        counts.update(self.pump.counters())
        return counts
