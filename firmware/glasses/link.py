"""The link: the one host that is served, and when to pump.

The Bluetooth interrupt is the door's; it only copies and sets a flag, and may come wherever a task branches.
Who may be served is the guard's business.
"""

import asyncio
import sys
import time

from glasses import protocol
from glasses.guard import DEFAULT_INTERVAL_MS
from glasses.pump import Pump
from glasses.session import Session

_BYE_MS = 300  # for the good-bye to leave


class Link:
    """`radio` (Peripheral) and `door` may be at work already: a beacon has brought them up.
    `handle(request) -> result` answers JSON requests; it raises ValueError to refuse one."""

    def __init__(self, radio, door, journal, bus, log, guard, hello, handle):
        self._bus = bus
        self._log = log
        self._journal = journal
        self.guard = guard
        self.radio = radio
        self.door = door
        guard.watch(self._touch)
        self._session = 0  # which host the rest of the runtime knows of, 0 = none,
        # and its connection: the task sets it, and whatever ends that session makes it -1 at once. So what is
        # sent in a session never goes to whoever has its connection's number next.
        self._conn = -1
        self._flag = asyncio.ThreadSafeFlag()
        self._changed = False
        self._retry = False
        self._wait_ms = DEFAULT_INTERVAL_MS  # when there was no room: when to try again
        self.pump = Pump(journal, self._notify)
        self.session = Session(journal, self.pump, log, hello, handle)
        journal.on_gone = self.pump.gone
        self.asked_ms = time.ticks_ms()  # when a host last asked for something, or came
        self._leave_at = None  # ticks_ms at which the host is to go
        self.failed = 0  # other services that raised while they sent

    @property
    def connected(self):
        return self.door.connected

    @property
    def mtu(self):
        return self.door.mtu

    @property
    def streaming(self):
        return self.pump.running

    @property
    def refused(self):
        """Requests that broke the protocol."""
        return self.session.refused

    def offer(self, service):
        """Offer another service (`glasses.services.Service`) as well. Only before `start`."""
        self.radio.offer(service)

    # --- Bluetooth --------------------------------------------------------------------------

    def start(self, beacon_ms=0):
        """Switch the radio on, offer the services and advertise; if a beacon has done so, take over.
        `beacon_ms` as in `Peripheral`."""
        self.radio.beacon_ms = beacon_ms
        if not self.radio.running:
            self.radio.start(self.door.irq)
        self.door.keep(self)

    def stop(self):
        self.radio.stop()
        self.door.reset()
        self._conn = -1
        self._changed = True
        self.pump.stop()

    def good_bye(self, why):
        """Tell the host that it need not come back by itself, then end its connection. Harmless without."""
        if self._session and self.pump.running:
            self.pump.control(protocol.BYE, protocol.dumps({"why": why}))
            self.kick()
        self._leave_at = time.ticks_add(time.ticks_ms(), _BYE_MS)
        self._flag.set()

    def _hang_up(self):
        host = self.door.host
        if host is not None:
            try:
                self.radio.ble.gap_disconnect(host.conn)
            except OSError:
                pass  # it has left

    def _notify(self, buffer):
        # One expression, which no interrupt can come into.
        self.radio.ble.gatts_notify(self._conn, self.radio.stream, buffer)

    # The door calls these, in the interrupt.

    def begun(self, peer):
        self._changed = True

    def ended(self):
        self._mute()
        self._changed = True

    def resized(self, mtu):
        self.pump.resize(mtu)

    def changed_pace(self):
        self.pump.pace.changed()

    def woken(self):
        self._flag.set()

    def _mute(self):
        # No more than this: the pump may be in the middle of a packet right now.
        self._conn = -1
        self.pump.running = False

    def _touch(self):
        """The guard has something to be done. Interrupts call this, and tasks."""
        host = self.door.host
        if host is not None and not host.trusted:
            self._mute()
        self._changed = True
        self._flag.set()

    # --- work -------------------------------------------------------------------------------

    def kick(self):
        """Send what can be sent now. Called for each new frame; allocates nothing."""
        done = self.pump.pump()
        self._wait_ms = self.door.interval_ms if done else self.pump.wait_ms
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
            if self._leave_at is not None:
                # What is queued for the host still leaves.
                await asyncio.sleep_ms(max(0, time.ticks_diff(self._leave_at, time.ticks_ms())))
                self._leave_at = None
                self._hang_up()
            if self._changed:
                self._changed = False
                self._on_change()
            while self.door.inbox:
                session, handle, data = self.door.inbox.popleft()
                self.asked_ms = time.ticks_ms()
                if session == self._session:  # not from a host that has left meanwhile
                    owner = self.radio.owners.get(handle)
                    if owner is None:
                        self.session.serve(data, self.door.mtu)
                    else:
                        self._pass_on(owner, handle, data)
            self.kick()

    def _on_change(self):
        # Hosts may have come and gone several times since this task last ran.
        host = self.door.host
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
            self.asked_ms = time.ticks_ms()
            self.session.begin(host.key)
            self._session = host.session
            self._conn = host.conn
            if self.door.host is not host or not host.trusted:  # it has left meanwhile
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
            "link.connects": self.door.connects,
            "link.disconnects": self.door.disconnects,
            "link.refused": self.refused,
            "link.inbox_full": self.door.inbox_full,
            "link.irq_errors": self.door.errors,
            "link.failed": self.failed,
            "link.advertising_failed": self.radio.failed,
        }
        counts.update(self.guard.counters())
        counts.update(self.pump.counters())
        return counts
