"""The link: connections, the one host that is served, and when to pump.

The Bluetooth interrupt only copies and sets a flag. An exception there would disable Bluetooth
until a reset, so the whole handler is guarded. It may come wherever a task branches: what it changes, a
task looks at once. Who may be served is the guard's business.
"""

import asyncio
import sys
from collections import deque

from glasses.guard import DEFAULT_INTERVAL_MS, DEFAULT_MTU
from glasses.peripheral import Peripheral
from glasses.pump import Pump
from glasses.session import Session

_CONNECT = 1
_DISCONNECT = 2
_WRITE = 3
_READ = 4
_MTU = 21
_PARAMETERS = 27
_ENCRYPTION = 28
_GET_SECRET = 29
_SET_SECRET = 30

_ALLOWED = 0
_NOT_AUTHORIZED = 0x08
_THE_STACK = 0xFFFF

_INBOX = 32


class Link:
    """`handle(request) -> result` answers JSON requests; it raises ValueError to refuse one."""

    def __init__(self, journal, bus, log, settings, guard, hello, handle):
        self._bus = bus
        self._log = log
        self._journal = journal
        self.guard = guard
        self.radio = Peripheral(settings, log, guard)
        guard.watch(self._touch)
        self._host = None  # the guard.Peer that is served; the interrupt's to change
        self._session = 0  # which host the rest of the runtime knows of, 0 = none,
        # and its connection: the task sets it, and whatever ends that session makes it -1 at once. So what is
        # sent in a session never goes to whoever has its connection's number next.
        self._conn = -1
        self._inbox = deque((), _INBOX)  # type: deque[tuple[int, int, bytes]]
        self._flag = asyncio.ThreadSafeFlag()
        self._changed = False
        self._retry = False
        self._wait_ms = DEFAULT_INTERVAL_MS  # when there was no room: when to try again
        self.pump = Pump(journal, self._notify)
        self.session = Session(journal, self.pump, log, hello, handle)
        journal.on_gone = self.pump.gone
        self.connects = 0
        self.disconnects = 0
        self.inbox_full = 0
        self.irq_errors = 0
        self.failed = 0  # other services that raised while they sent

    @property
    def connected(self):
        host = self._host
        return host is not None and host.trusted

    @property
    def streaming(self):
        return self.pump.running

    @property
    def mtu(self):
        host = self._host
        return DEFAULT_MTU if host is None else host.mtu

    @property
    def interval_ms(self):
        host = self._host
        return DEFAULT_INTERVAL_MS if host is None else host.interval_ms

    @property
    def refused(self):
        """Requests that broke the protocol."""
        return self.session.refused

    def offer(self, service):
        """Offer another service (`glasses.services.Service`) as well. Only before `start`."""
        self.radio.offer(service)

    # --- Bluetooth --------------------------------------------------------------------------

    def start(self):
        """Switch the radio on, offer the services and advertise."""
        self.radio.start(self._irq)

    def stop(self):
        self.radio.stop()
        self._host = None
        self._conn = -1
        self._changed = True
        self.guard.peers.clear()
        self.pump.stop()

    def _notify(self, buffer):
        # One expression, which no interrupt can come into.
        self.radio.ble.gatts_notify(self._conn, self.radio.stream, buffer)

    def _irq(self, event, data):
        try:
            return self._on_event(event, data)
        except Exception:
            self.irq_errors += 1
            return _NOT_AUTHORIZED if event == _READ else None

    def _on_event(self, event, data):
        guard = self.guard
        if event == _WRITE:
            host = self._host
            if self.connected and data[0] == host.conn and data[1] in self.radio.owners:
                value = self.radio.ble.gatts_read(data[1])
                if len(self._inbox) >= _INBOX:
                    self.inbox_full += 1
                else:
                    self._inbox.append((host.session, data[1], value))
        elif event == _READ:
            # The stack itself reads what it sends to subscribers; see `Service.update`.
            if data[0] == _THE_STACK or guard.trusted(data[0]) or data[1] in self.radio.public:
                return _ALLOWED
            return _NOT_AUTHORIZED
        elif event == _GET_SECRET:
            return guard.secret(data[0], data[1], None if data[2] is None else bytes(data[2]))
        elif event == _SET_SECRET:
            value = None if data[2] is None else bytes(data[2])
            return guard.take_secret(data[0], bytes(data[1]), value)
        elif event == _CONNECT:
            self.radio.interrupted()
            peer = guard.connected(data[0], data[1], data[2])
            if peer.trusted:
                self._begin(peer)
            elif self.connected and not guard.window_open:
                guard.send_away(peer)  # it slipped in before advertising ended
        elif event == _ENCRYPTION:
            if guard.encrypted(data[0], data[1], data[3], data[4]):
                self._begin(guard.peers[data[0]])
        elif event == _DISCONNECT:
            self.radio.interrupted()
            host = self._host
            guard.disconnected(data[0])
            if host is not None and data[0] == host.conn:
                self._end()
        elif event == _MTU:
            peer = guard.peers.get(data[0])
            if peer is not None:
                peer.mtu = data[1]
                if peer is self._host:
                    self.pump.resize(data[1])
        elif event == _PARAMETERS:
            peer = guard.peers.get(data[0])
            if peer is not None:
                peer.interval_ms = max(8, data[1] * 5 // 4)
                if peer is self._host:
                    self.pump.pace.changed()
        self._flag.set()
        return None

    def _begin(self, peer):
        if self._host is None:
            self.connects += 1
            peer.session = self.connects
            self._host = peer
            self._changed = True
        elif self._host is not peer:
            self.guard.send_away(peer)  # another host is served

    def _end(self):
        self._host = None
        self._mute()
        self.disconnects += 1
        self._changed = True

    def _mute(self):
        # No more than this: the pump may be in the middle of a packet right now.
        self._conn = -1
        self.pump.running = False

    def _touch(self):
        """The guard has something to be done. Interrupts call this, and tasks."""
        host = self._host
        if host is not None and not host.trusted:
            self._mute()
        self._changed = True
        self._flag.set()

    # --- work -------------------------------------------------------------------------------

    def kick(self):
        """Send what can be sent now. Called for each new frame; allocates nothing."""
        done = self.pump.pump()
        self._wait_ms = self.interval_ms if done else self.pump.wait_ms
        if not self._changed:  # else `_on_change` comes first: it tells them who is there
            for extra in self.radio.services:
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
                await asyncio.sleep_ms(self._wait_ms)
            else:
                await self._flag.wait()
            if self._changed:
                self._changed = False
                self._on_change()
            while self._inbox:
                session, handle, data = self._inbox.popleft()
                if session == self._session:  # not from a host that has left meanwhile
                    owner = self.radio.owners.get(handle)
                    if owner is None:
                        self.session.serve(data, self.mtu)
                    else:
                        self._pass_on(owner, handle, data)
            self.kick()

    def _on_change(self):
        # Hosts may have come and gone several times since this task last ran.
        host = self._host
        if host is not None and not host.trusted:
            host = None
        if self._session and self._session != (0 if host is None else host.session):
            self._session = 0
            self._conn = -1
            for extra in self.radio.services:
                extra.disconnected()
            self._log.info(
                "link", "disconnected, %d frames wait" % (self._journal.slots - self._journal.free)
            )
            self._bus.emit("disconnected", 0)
        if host is not None and not self._session:
            self._log.info("link", "connected")
            self.session.begin(host.key)
            self._session = host.session
            self._conn = host.conn
            if self._host is not host or not host.trusted:  # it has left meanwhile
                self._conn = -1
            for extra in self.radio.services:
                extra.connected(host.conn)
            self._bus.emit("connected", 0)
        self.send_away()
        self.radio.renew(self.connected)

    def send_away(self):
        """End the connections of those who have no business here."""
        for conn in self.guard.unwanted():
            try:
                self.radio.ble.gap_disconnect(conn)
            except OSError:
                pass  # it is on its way

    def _pass_on(self, service, handle, data):
        try:
            service.written(handle, data)
        except ValueError as error:
            self.session.refuse(error)

    def counters(self):
        counts = {
            "link.connects": self.connects,
            "link.disconnects": self.disconnects,
            "link.refused": self.refused,
            "link.inbox_full": self.inbox_full,
            "link.irq_errors": self.irq_errors,
            "link.failed": self.failed,
            "link.advertising_failed": self.radio.failed,
        }
        counts.update(self.guard.counters())
        counts.update(self.pump.counters())
        return counts
