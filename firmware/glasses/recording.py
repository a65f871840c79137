"""One recording: what it is, which of its frames are held, and how far each host has come with it."""

from glasses.dsp import crc32

NONE = 0xFFFF  # no slot
FROM_FILE = 0x10000  # cursors from here on are places in the recording's file


class Recording:
    """An ordered run of frames. `number` is its 32-bit id on the wire, `kind` one of
    protocol.KINDS, `meta` a dict of JSON values that is sent with OPEN.

    The frames are a chain of the journal's slots, or records of `file` once it is saved. What
    the pump reads and moves (`cursor`, `sent`, `open_sent`, `close_sent`) and what `ack` moves (`acked`)
    belongs to the host that is connected, or was last; `leave` and `meet` change the host.
    """

    def __init__(self, number, kind, meta, draft):
        self.number = number
        self.kind = kind
        self.meta = meta
        self.end = {}  # metadata known at the close
        self.draft = draft  # not (yet) meant for the host
        self.closed = False
        self.count = 0  # index of the next frame; lost frames count too
        self.lost = 0
        self.crc = bytearray(4)
        crc32.reset(self.crc)
        # What is held.
        self.first = NONE  # oldest slot
        self.fresh = NONE  # oldest slot that no host has acknowledged; those before it are reclaimable
        self.last = NONE
        self.held = 0  # slots
        self.widest = 0  # bytes of the largest frame so far
        self.base = 0  # frames below this index were reclaimed
        self.safe = 0  # frames below this index are some host's
        # The flash tier.
        self.file = None  # where it is, once it is saved
        self.saving = False  # being saved; False again when a slot is lost to that
        self.waited = 0  # seconds since it could be saved
        self.failed = -1  # removals that there had been when it could not be saved
        # The host that is connected.
        self.acked = 0  # frames below this index are the host's; count + 1 is "and the CLOSE"
        self.sent = 0  # how far anything was ever sent to it
        self.whole = True  # nothing that it needs was reclaimed
        self.wanted = 0  # index of the frame that it is to be sent next, if that is still there
        self.cursor = NONE  # next slot or record to send
        self.open_sent = False
        self.close_sent = False
        self._others = {}  # host: (acked, sent, whole)

    @property
    def finished(self):
        """The host that is connected has acknowledged all that it can be sent."""
        return self.closed and self.acked > self.count

    def leave(self, host):
        """Another host than `host` will be connected: keep how far that one has come."""
        if self.acked:
            self._others[host] = (self.acked, self.sent, self.whole)

    def meet(self, host):
        """`host` is the one that is connected from now on."""
        self.acked, self.sent, self.whole = self._others.pop(host, (0, 0, True))

    def forget(self, host):
        """A host that is not connected will not come back."""
        self._others.pop(host, None)

    def miss(self):
        """Note whether the host that is connected can no longer get all of it."""
        if self.wanted < self.base:
            self.whole = False

    def settled(self):
        """Some host has acknowledged all of it, the CLOSE included; or has done so for what was
        still held when it came, and no host is known that has what was before."""
        if not self.closed:
            return False
        done = self.acked > self.count
        head = self.whole and self.sent > 0 and self.sent >= self.base
        if done and self.whole:
            return True
        for acked, sent, whole in self._others.values():
            if acked > self.count:
                if whole:
                    return True
                done = True
            head = head or (whole and sent >= self.base)
        return done and not head

    def progress(self, host):
        """{host: (acked, whole)} of all hosts; `host` is the one that is connected, or None."""
        found = {}
        for other in self._others:
            acked, _, whole = self._others[other]
            found[other] = (acked, whole)
        if host is not None and self.acked:
            found[host] = (self.acked, self.whole)
        return found

    def restore(self, host, acked, whole):
        """What `progress` said of a host before the glasses were off."""
        self._others[host] = (acked, acked, whole)
