"""The journal's memory: equal slots in one buffer, chained, so that a frame costs no allocation."""

from array import array

from glasses.recording import NONE

SLOT = 176  # bytes a slot: one 20 ms DVI4 frame (164) or a piece of a picture or event


class Slots:
    """`size` bytes of slots, at least two; ValueError for less. Slot `n` is at ``n * SLOT`` in `data`."""

    def __init__(self, size):
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
        self._empty = 0  # head of the chain of empty slots
        self.free = slots  # empty and reclaimable ones
        self.reclaimable = 0

    def frame(self, slot):
        """(offset in `data`, size, index) of the frame in a slot. Allocates: not for the pump."""
        return slot * SLOT, self._size[slot], self._index[slot]

    def size_of(self, slot):
        return self._size[slot]

    def index_of(self, slot):
        return self._index[slot]

    def after(self, slot):
        return self._next[slot]

    # --- a recording's chain ------------------------------------------------------------------

    def _chain(self, recording, size):
        """The first empty slot holds `size` bytes: it is the recording's next frame."""
        slot = self._empty
        self._empty = self._next[slot]
        self.free -= 1
        self._next[slot] = NONE
        self._size[slot] = size
        self._index[slot] = recording.count
        if recording.last == NONE:
            recording.first = slot
        else:
            self._next[recording.last] = slot
        recording.last = slot
        recording.held += 1
        if recording.fresh == NONE:
            recording.fresh = slot
        if recording.cursor == NONE:
            recording.cursor = slot

    def _spare(self, recording, next_index):
        """Frames below `next_index` are some host's: their slots may be reclaimed."""
        slot = recording.fresh
        while slot != NONE and self._index[slot] < next_index:
            self.free += 1
            self.reclaimable += 1
            slot = self._next[slot]
        recording.fresh = slot

    def _release_first(self, recording):
        """Reclaim the oldest slot."""
        slot = recording.first
        following = self._next[slot]
        recording.first = following
        if following == NONE:
            recording.last = NONE
        recording.base = self._index[slot] + 1
        if recording.cursor == slot:  # not yet sent to this host, or to be sent again
            recording.cursor = following
        recording.held -= 1
        recording.saving = False
        self._next[slot] = self._empty
        self._empty = slot
        self.reclaimable -= 1

    def _release_all(self, recording):
        slot = recording.first
        fresh = recording.fresh == slot
        while slot != NONE:
            following = self._next[slot]
            fresh = fresh or slot == recording.fresh
            if fresh:
                self.free += 1
            else:
                self.reclaimable -= 1
            self._next[slot] = self._empty
            self._empty = slot
            slot = following
        recording.first = recording.fresh = recording.last = recording.cursor = NONE
        recording.held = 0
        recording.saving = False
