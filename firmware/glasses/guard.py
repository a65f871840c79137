"""The guard: who is connected, and who of them may be served.

Pure policy, called from the Bluetooth interrupt: no radio, no flash, no waiting. The interrupt may come
wherever a task branches, so tasks look at copies, and at what may become None only once. A peer is trusted
when its link is encrypted with a key that

* was in the store before it connected: the stack has asked for it by this peer's address, or
* has just been made while the pairing window was open.

The stack itself refuses nobody. It pairs with whoever asks, at any time, and it has a known host's keys
deleted when somebody under that host's address pairs anew. All of that a stranger can cause. So outside
the window a peer that begins to pair is sent away, its keys are refused should it get that far, and
"deleted" keys are only hidden from the look-ups that pairing makes: who really has them can go on using
them.
"""

import time

from glasses.bonds import IRK, OURS, THEIRS

WINDOW_MS = 60000
# A host encrypts within a second of connecting. Whoever does not is not one.
STRANGER_MS = 15000
_AGAIN_MS = 1000  # between two attempts to end a connection
_GRACE_MS = 5000  # after the window, for a pairing that had begun
# Of four connections that the stack has, one is the host's and one is free for it.
MAX_STRANGERS = 2
KEY_BYTES = 16
# Of a connection, until the stack tells.
DEFAULT_MTU = 23
DEFAULT_INTERVAL_MS = 15


class Peer:
    """One connection. `key` names it as secrets are named, see `bonds.Host`."""

    def __init__(self, conn, key, deadline):
        self.conn = conn
        self.key = key
        self.deadline = deadline  # ticks_ms at which a stranger is sent away
        self.known = False  # the stack has asked for the key that we share with it
        self.trusted = False
        self.leaves = False  # its connection is over, whatever its deadline
        self.session = 0  # the link's number of it, when it is served
        self.mtu = DEFAULT_MTU
        self.interval_ms = DEFAULT_INTERVAL_MS


class Guard:
    """`paired`: False serves whoever connects (the setting "open")."""

    def __init__(self, bonds, paired=True):
        self.bonds = bonds
        self.paired = paired
        self.peers = {}  # type: dict[int, Peer]
        self._watchers = []
        self._open_until = None  # ticks_ms
        self._hidden = []  # (type, key of the host) of what the stack wanted deleted
        self._counted = False  # the stack has just counted bonds: a pairing begins
        self._clean()
        self.refused_pairings = 0
        self.strangers = 0  # sent away
        self.added = None  # type: bytes | None  # key of the host that was paired last; the task takes it

    def _clean(self):
        # Both are about the very next event of encryption: the stack stores the keys of a pairing
        # immediately before it tells of that.
        self._staged = {}  # type: dict[int, bytes]
        self._staged_for = None  # type: bytes | None  # key of the peer that they were made with
        self._refused = False  # a key was just refused

    def watch(self, watcher):
        """Have ``watcher()`` called, maybe in an interrupt, when something is to be done about
        connections, the window or keys."""
        self._watchers.append(watcher)

    # --- the window ---------------------------------------------------------------------------

    @property
    def window_open(self):
        return self.window_ms() > 0

    def window_ms(self):
        """Milliseconds that the window stays open, 0 if it is closed."""
        until = self._open_until
        return 0 if until is None else max(0, time.ticks_diff(until, time.ticks_ms()))

    def lapsed(self):
        """The window's time is over: it is to be closed, before the ticks wrap and it is open again."""
        until = self._open_until
        return until is not None and time.ticks_diff(until, time.ticks_ms()) <= 0

    def open_window(self, ms=WINDOW_MS):
        """Hosts may pair for so long, until one has."""
        now = time.ticks_ms()
        self._open_until = time.ticks_add(now, ms)
        for peer in list(self.peers.values()):  # who is here already may stay as long
            peer.deadline = time.ticks_add(now, ms + _GRACE_MS)
        self._changed()

    def close_window(self):
        self._open_until = None
        now = time.ticks_ms()
        for peer in list(self.peers.values()):
            if time.ticks_diff(peer.deadline, now) > _GRACE_MS:
                peer.deadline = time.ticks_add(now, _GRACE_MS)
        self._changed()

    # --- connections --------------------------------------------------------------------------

    def connected(self, conn, kind, address):
        """A peer of that address type and address (6 bytes, highest first)."""
        key = bytes([kind]) + bytes([address[i] for i in range(5, -1, -1)])
        wait = self.window_ms() + _GRACE_MS if self.window_open else STRANGER_MS
        self._counted = False
        self._clean()
        peer = Peer(conn, key, time.ticks_add(time.ticks_ms(), wait))
        self.peers[conn] = peer
        if not self.paired:
            peer.trusted = True
        else:
            self._limit(peer)
        self._changed()
        return peer

    def _limit(self, newest):
        """Nobody may take all the connections: the oldest stranger goes, unknown ones first."""
        waiting = [peer for peer in self.peers.values() if not peer.trusted and not peer.leaves]
        if len(waiting) <= MAX_STRANGERS:
            return
        order = sorted(waiting, key=self._rank)
        self.send_away(order[0] if order[0] is not newest else order[1])

    def _rank(self, peer):
        left = time.ticks_diff(peer.deadline, time.ticks_ms())
        return left + (1 << 20 if self.bonds.find(peer.key) is not None else 0)

    def disconnected(self, conn):
        self.peers.pop(conn, None)
        self._clean()
        if self.alone():  # whatever was going on is over
            self._hidden = []
        self._changed()

    def trusted(self, conn):
        peer = self.peers.get(conn)
        return peer is not None and peer.trusted

    def alone(self):
        """No stranger is connected: what is sent to all subscribers reaches only who may have it."""
        return all(peer.trusted for peer in list(self.peers.values()))

    def send_away(self, peer):
        """End this connection: `unwanted` has it from now on."""
        if not peer.leaves:
            peer.trusted = False
            peer.leaves = True
            self.strangers += 1

    def unwanted(self):
        """Connections that have to be ended now. To be asked again until they are."""
        now = time.ticks_ms()
        over = []
        for peer in list(self.peers.values()):
            if not peer.trusted and time.ticks_diff(peer.deadline, now) <= 0:
                self.send_away(peer)
            if peer.leaves:
                over.append(peer.conn)
        return over

    def next_ms(self):
        """Milliseconds until something is due, or -1."""
        now = time.ticks_ms()
        wait = -1
        until = self._open_until
        if until is not None:
            wait = max(0, time.ticks_diff(until, now))
        for peer in list(self.peers.values()):
            if peer.leaves:
                wait = _AGAIN_MS if wait < 0 else min(wait, _AGAIN_MS)
            elif not peer.trusted:
                left = max(0, time.ticks_diff(peer.deadline, now))
                wait = left if wait < 0 else min(wait, left)
        return wait

    def forget(self, host):
        """Remove a bond; who uses it is sent away."""
        self.bonds.forget(host)
        self._send_away_all(host)
        self._changed()

    # --- secrets ------------------------------------------------------------------------------

    def secret(self, kind, index, key):
        """What the stack wants to know: bytes, or None."""
        bonds = self.bonds
        if kind == IRK:
            return bonds.irk
        if kind == OURS:
            host = bonds.find(key)
            if host is None:
                return None
            for peer in self.peers.values():
                if peer.key == key:
                    peer.known = True
            return host.ours
        if kind != THEIRS:
            return None
        if key is None:
            self._counted = True
            shown = [host for host in bonds.hosts if (THEIRS, host.key) not in self._hidden]
            return shown[index].theirs if index < len(shown) else None
        if self._counted:
            self._counted = False
            self._pairing_begins(key)
        host = bonds.find(key)
        return host.theirs if host is not None and (THEIRS, key) not in self._hidden else None

    def _pairing_begins(self, key):
        peers = [peer for peer in self.peers.values() if peer.key == key and not peer.leaves]
        for peer in peers:
            peer.known = False  # that the stack has asked for the old keys vouches for nothing any more
        # Outside the window it is ended here: a host that got as far as exchanging keys would believe
        # that it is paired now, and meet us with keys that we have not.
        if self.window_open or not self.paired:
            return
        # Who has taken a host's address must not end the host's connection with that.
        strangers = [peer for peer in peers if not peer.trusted]
        for peer in strangers or peers:
            self.refused_pairings += 1
            self.send_away(peer)
        self._changed()

    def take_secret(self, kind, key, value):
        """A secret that the stack wants kept (False: refused), or with None deleted."""
        if kind == IRK:
            self.bonds.set_irk(value)
            return True
        if kind not in (OURS, THEIRS):
            return False
        if value is None:
            # The stack deletes until it is told that there is nothing (more) of that.
            if self.bonds.find(key) is None or (kind, key) in self._hidden:
                return False
            self._hidden.append((kind, key))
            return True
        if not self.window_open:
            self._refused = True
            return False
        if key != self._staged_for:
            self._staged = {}
            self._staged_for = key
        self._staged[kind] = value
        return True

    def encrypted(self, conn, encrypted, bonded, key_size):
        """The link's encryption has changed. True if the peer is trusted now."""
        peer = self.peers.get(conn)
        refused, secrets, made = self._refused, self._staged, self._staged_for
        self._clean()
        if peer is None or not self.paired:
            return peer is not None
        if refused:
            if not peer.leaves:
                self.refused_pairings += 1
            self.send_away(peer)
        elif not encrypted or not bonded or key_size < KEY_BYTES or peer.leaves:
            peer.trusted = False
        elif len(secrets) == 2:
            for gone in self.bonds.keep(made, secrets[OURS], secrets[THEIRS]):
                self._send_away_all(gone)
            peer.key = made  # a phone's identity, where it had connected under a private address
            peer.trusted = True
            self.added = made
            self._hidden = []
            self.close_window()
        elif peer.known:
            host = self.bonds.find(peer.key)
            if host is not None:
                self.bonds.used(host)
                peer.trusted = True
        self._changed()
        return peer.trusted

    def _send_away_all(self, host):
        for peer in list(self.peers.values()):
            if peer.key == host.key:
                self.send_away(peer)

    def _changed(self):
        for watcher in self._watchers:
            watcher()

    def counters(self):
        return {"link.strangers": self.strangers, "link.refused_pairings": self.refused_pairings}
