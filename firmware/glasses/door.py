"""The door: takes the Bluetooth interrupt for whoever serves the host.

It knows who may be served, by the guard, and tells its `keeper`. Until there is one, as in the brief
moment of a beacon, it keeps what a host writes; so the runtime that is loaded only then loses nothing.

An exception in the interrupt would disable Bluetooth until a reset, so the whole handler is guarded. It may
come wherever a task branches: what it changes, a task looks at once.
"""

from collections import deque

from glasses.guard import DEFAULT_INTERVAL_MS, DEFAULT_MTU

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


class Door:
    """`radio` (Peripheral), `guard`. `host` is the guard.Peer that is served, or None.

    The keeper has ``begun(peer)``, ``ended()``, ``resized(mtu)``, ``changed_pace()`` and ``woken()``, all of
    them called in the interrupt.
    """

    def __init__(self, radio, guard):
        self._radio = radio
        self._guard = guard
        self._keeper = None
        self.host = None
        self.inbox = deque((), _INBOX)  # type: deque[tuple[int, int, bytes]]
        self.connects = 0
        self.disconnects = 0
        self.inbox_full = 0
        self.errors = 0

    @property
    def connected(self):
        """Is a host there that may be served?"""
        host = self.host
        return host is not None and host.trusted

    @property
    def mtu(self):
        host = self.host
        return DEFAULT_MTU if host is None else host.mtu

    @property
    def interval_ms(self):
        host = self.host
        return DEFAULT_INTERVAL_MS if host is None else host.interval_ms

    def keep(self, keeper):
        """From now on `keeper` is told. Who came before is told of at once."""
        self._keeper = keeper
        host = self.host
        if host is not None:
            keeper.begun(host)
        keeper.woken()

    def reset(self):
        """The radio is off: nobody is there."""
        self.host = None
        while self.inbox:  # MicroPython's has no clear()
            self.inbox.popleft()
        self._guard.peers.clear()

    def irq(self, event, data):
        """The handler for ``BLE.irq``."""
        try:
            return self._on_event(event, data)
        except Exception:
            self.errors += 1
            return _NOT_AUTHORIZED if event == _READ else None

    def _on_event(self, event, data):
        guard = self._guard
        if event == _WRITE:
            host = self.host
            if self.connected and data[0] == host.conn and data[1] in self._radio.owners:
                value = self._radio.ble.gatts_read(data[1])
                if len(self.inbox) >= _INBOX:
                    self.inbox_full += 1
                else:
                    self.inbox.append((host.session, data[1], value))
        elif event == _READ:
            # The stack itself reads what it sends to subscribers; see `Service.update`.
            if data[0] == _THE_STACK or guard.trusted(data[0]) or data[1] in self._radio.public:
                return _ALLOWED
            return _NOT_AUTHORIZED
        elif event == _GET_SECRET:
            return guard.secret(data[0], data[1], None if data[2] is None else bytes(data[2]))
        elif event == _SET_SECRET:
            value = None if data[2] is None else bytes(data[2])
            return guard.take_secret(data[0], bytes(data[1]), value)
        elif event == _CONNECT:
            self._radio.interrupted()
            peer = guard.connected(data[0], data[1], data[2])
            if peer.trusted:
                self._begin(peer)
            elif self.connected and not guard.window_open:
                guard.send_away(peer)  # it slipped in before advertising ended
        elif event == _ENCRYPTION:
            if guard.encrypted(data[0], data[1], data[3], data[4]):
                self._begin(guard.peers[data[0]])
        elif event == _DISCONNECT:
            self._radio.interrupted()
            host = self.host
            guard.disconnected(data[0])
            if host is not None and data[0] == host.conn:
                self._end()
        elif event == _MTU:
            peer = guard.peers.get(data[0])
            if peer is not None:
                peer.mtu = data[1]
                if peer is self.host and self._keeper is not None:
                    self._keeper.resized(data[1])
        elif event == _PARAMETERS:
            peer = guard.peers.get(data[0])
            if peer is not None:
                peer.interval_ms = max(8, data[1] * 5 // 4)
                if peer is self.host and self._keeper is not None:
                    self._keeper.changed_pace()
        if self._keeper is not None:
            self._keeper.woken()
        return None

    def _begin(self, peer):
        if self.host is None:
            self.connects += 1
            peer.session = self.connects
            self.host = peer
            if self._keeper is not None:
                self._keeper.begun(peer)
        elif self.host is not peer:
            self._guard.send_away(peer)  # another host is served

    def _end(self):
        self.host = None
        self.disconnects += 1
        if self._keeper is not None:
            self._keeper.ended()
