"""The journal: what was captured and not yet acknowledged by a host.

A bounded pool of equal slots in one buffer. A recording is a chain of slots, one frame each, so
recordings can grow side by side and a frame costs no allocation: `slot()` finds room, the caller
writes the frame into `data`, `append()` takes it in. Frames leave when the host acknowledges
them; a recording leaves when it is closed and wholly acknowledged.

When there is no room the oldest complete recording is evicted, never one that is still being
recorded; when that does not help the new frame is lost. Both are counted.
"""

from array import array

from glasses.dsp import crc32

SLOT = 176  # bytes a slot: one 20 ms DVI4 frame (164) or a piece of a picture or event
NONE = 0xFFFF
MAX_RECORDINGS = 256  # recordings without a frame take no slot, but they take memory


class JournalError(Exception):
    """The journal was asked for something that is not so (a frame of a closed recording, ...)."""


class Recording:
    """An ordered run of frames. `number` is its 32-bit id on the wire, `kind` one of
    protocol.KINDS, `meta` a dict of JSON values that is sent with OPEN."""

    def __init__(self, number, kind, meta, draft):
        self.number = number
        self.kind = kind
        self.meta = meta
        self.end = {}  # metadata known at the close
        self.draft = draft  # not (yet) meant for the host
        self.closed = False
        self.first = NONE  # oldest slot that is still held
        self.last = NONE
        self.count = 0  # index of the next frame; lost frames count too
        self.lost = 0
        self.acked = 0  # frames below this index are the host's; count + 1 is "and the CLOSE"
        self.crc = bytearray(4)
        crc32.reset(self.crc)
        # The pump's cursor: next slot to send, and how far anything was ever sent.
        self.cursor = NONE
        self.sent = 0
        self.open_sent = False
        self.close_sent = False


class Journal:
    """`size` bytes of frames (at least two slots). `boot` distinguishes the recordings of this
    start of the glasses from those of earlier ones (0..16383)."""

    def __init__(self, size, boot=0):
        slots = size // SLOT
        if slots < 2:
            raise ValueError("journal of %d bytes holds no two frames" % size)
        slots = min(slots, NONE)
        self.slots = slots
        self.data = bytearray(slots * SLOT)
        self._next = array("H", range(1, slots + 1))
        self._next[slots - 1] = NONE
        self._size = array("B", bytes(slots))
        self._index = array("I", bytes(4 * slots))
        self._free = 0  # head of the chain of free slots
        self.free = slots
        self.recordings = []  # oldest first
        self.on_gone = None  # called with a recording that left without having been acknowledged
        self._base = (boot & 0x3FFF) << 16
        self._serial = 0
        self.evicted_recordings = 0
        self.evicted_frames = 0
        self.lost_frames = 0
        self.refused_acks = 0
        self.high_water = 0

    # --- the recorder's side ---------------------------------------------------------------

    def open(self, kind, meta, draft=False):
        """Start a recording. A draft is not shown to the host until `publish`."""
        if len(self.recordings) >= MAX_RECORDINGS:
            self._evict(True)
        self._serial = (self._serial + 1) & 0xFFFF
        recording = Recording(self._base | self._serial, kind, meta, draft)
        self.recordings.append(recording)
        return recording

    def slot(self):
        """Offset in `data` of SLOT free bytes for the next frame, or -1 when there is no room."""
        if self._free == NONE and not self._evict(False):
            return -1
        return self._free * SLOT

    def append(self, recording, size):
        """Take the `size` bytes (1..SLOT) at the offset that `slot()` gave as the next frame."""
        if recording.closed:
            raise JournalError("recording is closed")
        if not 0 < size <= SLOT:
            raise JournalError("frame of %d bytes" % size)
        slot = self._free
        if slot == NONE:
            raise JournalError("no slot was asked for")
        self._free = self._next[slot]
        self.free -= 1
        used = self.slots - self.free
        if used > self.high_water:
            self.high_water = used
        self._next[slot] = NONE
        self._size[slot] = size
        self._index[slot] = recording.count
        recording.count += 1
        crc32.update(recording.crc, self.data, slot * SLOT, size)
        if recording.last == NONE:
            recording.first = slot
        else:
            self._next[recording.last] = slot
        recording.last = slot
        if recording.cursor == NONE:
            recording.cursor = slot

    def lose(self, recording):
        """Count a frame that found no room: its index stays empty, so time stays true."""
        recording.count += 1
        recording.lost += 1
        self.lost_frames += 1

    def write(self, recording, data):
        """Append `data` (bytes of any length) as as many frames as it takes; False if some is lost."""
        kept = True
        for start in range(0, len(data), SLOT):
            piece = data[start : start + SLOT]
            offset = self.slot()
            if offset < 0:
                self.lose(recording)
                kept = False
                continue
            self.data[offset : offset + len(piece)] = piece
            self.append(recording, len(piece))
        return kept

    def publish(self, recording):
        """A draft is meant for the host after all."""
        recording.draft = False

    def close(self, recording, end=None):
        """No more frames will come. `end` is metadata that is sent with CLOSE."""
        recording.closed = True
        if end:
            recording.end = end

    def delete(self, recording):
        """A host wants a complete recording gone, acknowledged or not."""
        if not recording.closed:
            raise JournalError("it is being recorded")
        self._drop(recording)
        self._tell_gone(recording)

    def discard(self, recording):
        """Forget a draft, as if it had never been."""
        if not recording.draft:
            raise JournalError("only drafts are discarded")
        self._drop(recording)

    # --- the host's side --------------------------------------------------------------------

    def find(self, number):
        """The published recording with that id, or None."""
        for recording in self.recordings:
            if recording.number == number and not recording.draft:
                return recording
        return None

    def frame(self, slot):
        """(offset in `data`, size, index) of the frame in a slot. Allocates: not for the pump."""
        return slot * SLOT, self._size[slot], self._index[slot]

    def size_of(self, slot):
        return self._size[slot]

    def index_of(self, slot):
        return self._index[slot]

    def after(self, slot):
        return self._next[slot]

    def ack(self, number, next_index):
        """The host has stored all frames below `next_index`; ``count + 1`` says that it has stored
        the CLOSE as well and the recording can go. False (and counted) if that cannot be: an
        unknown recording, or something that was never sent."""
        recording = self.find(number)
        if recording is None or next_index > recording.sent:
            self.refused_acks += 1
            return False
        if next_index > recording.acked:
            recording.acked = next_index
        slot = recording.first
        while slot != NONE and self._index[slot] < next_index:
            following = self._next[slot]
            if recording.cursor == slot:  # the host knows more than this connection has sent
                recording.cursor = following
            self._release(slot)
            slot = following
        recording.first = slot
        if slot == NONE:
            recording.last = NONE
        if recording.closed and recording.acked > recording.count:
            self._drop(recording)
        return True

    def rewind(self, recording, next_index):
        """Point the cursor at the first held frame whose index is at least `next_index`."""
        slot = recording.first
        while slot != NONE and self._index[slot] < next_index:
            slot = self._next[slot]
        recording.cursor = slot

    def rewind_all(self):
        """A new connection: everything not acknowledged is sent again unless the host says otherwise."""
        for recording in self.recordings:
            recording.cursor = recording.first
            recording.open_sent = False
            recording.close_sent = False

    # --- room ---------------------------------------------------------------------------------

    def _release(self, slot):
        self._next[slot] = self._free
        self._free = slot
        self.free += 1

    def _tell_gone(self, recording):
        if self.on_gone is not None and not recording.draft:
            self.on_gone(recording)

    def _drop(self, recording):
        slot = recording.first
        while slot != NONE:
            following = self._next[slot]
            self._release(slot)
            slot = following
        recording.first = recording.last = recording.cursor = NONE
        self.recordings.remove(recording)

    def _evict(self, empty):
        for recording in self.recordings:
            if recording.closed and not recording.draft and (empty or recording.first != NONE):
                slot = recording.first
                while slot != NONE:
                    self.evicted_frames += 1
                    slot = self._next[slot]
                self.evicted_recordings += 1
                self._drop(recording)
                self._tell_gone(recording)
                return True
        return False

    def counters(self):
        """Counters by name, for status and reports."""
        return {
            "journal.slots": self.slots,
            "journal.free": self.free,
            "journal.high_water": self.high_water,
            "journal.recordings": len(self.recordings),
            "journal.evicted_recordings": self.evicted_recordings,
            "journal.evicted_frames": self.evicted_frames,
            "journal.lost_frames": self.lost_frames,
            "journal.refused_acks": self.refused_acks,
        }
