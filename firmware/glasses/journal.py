"""The journal: what was captured and not yet acknowledged by a host.

A bounded pool of equal slots in one buffer. A recording is a chain of slots, one frame each, so
recordings can grow side by side and a frame costs no allocation: `slot()` finds room, the caller
writes the frame into `data`, `append()` takes it in. A recording that waits long is moved to a file
(`spool.py`) and gives its slots back; it stays in `recordings` and is read from there.

Each host has a place of its own in each recording. Frames that some host has acknowledged are kept for
others as long as there is room: they are reclaimable, and count as free. A recording leaves when it is
closed and a host has acknowledged all of it.

When there is no room, reclaimable frames go first, then the oldest complete recording that is not in
flash is evicted, never one that is still being recorded; when that does not help the new frame is
lost. All are counted.
"""

import gc

from glasses.dsp import crc32
from glasses.recording import FROM_FILE, NONE, Recording
from glasses.slots import SLOT, Slots

MAX_RECORDINGS = 256  # recordings without a frame take no slot, but they take memory
_SMALLEST = 8192  # bytes
MAX_HOSTS = 4  # whose places are kept; one that was not here for longest is forgotten first


class JournalError(Exception):
    """The journal was asked for something that is not so (a frame of a closed recording, ...)."""


def largest(size, boot, reserve):
    """A Journal of `size` bytes, or a quarter less, and so on, so that the heap has `reserve` bytes left.
    About a second of speech has to fit, whatever that leaves. Raises MemoryError when it does not."""
    while True:
        gc.collect()
        try:
            journal = Journal(size, boot)
            if size <= _SMALLEST or gc.mem_free() >= reserve:
                return journal
            del journal
        except MemoryError:
            if size <= _SMALLEST:
                raise
        size = max(size // 4 * 3, _SMALLEST)


class Journal(Slots):
    """`size` bytes of frames (at least two slots). `boot` distinguishes the recordings of this
    start of the glasses from those of earlier ones (0..16383)."""

    def __init__(self, size, boot=0):
        Slots.__init__(self, size)
        self.recordings = []  # oldest first
        self.spool = None  # the files of recordings: a `Spool`
        self.on_gone = None  # called with a recording that left without having been acknowledged
        self.on_work = None  # called when there may be something to save or a file to remove
        self.host = None  # that is connected, or was last
        self._hosts = []  # the one that was here last at the end
        self._base = (boot & 0x3FFF) << 16
        self.serial = 0
        # The frame that `load` found: `frame_size` bytes at `frame_at` in `frame_data`.
        self.frame_data = self.data
        self.frame_at = 0
        self.frame_size = 0
        self.frame_index = 0
        self.evicted_recordings = 0
        self.evicted_frames = 0
        self.lost_frames = 0
        self.reclaimed = 0
        self.refused_acks = 0
        self.damaged = 0
        self.high_water = 0

    def waiting(self):
        """How many recordings wait for hosts, drafts not counted."""
        return len([recording for recording in self.recordings if not recording.draft])

    # --- the recorder's side ---------------------------------------------------------------

    def open(self, kind, meta, draft=False):
        """Start a recording. A draft is not shown to the host until `publish`."""
        if len(self.recordings) >= MAX_RECORDINGS:
            self._evict(True)
        taken = True
        while taken:  # by one that waits since before the serial wrapped, or was restored
            self.serial = (self.serial + 1) & 0xFFFF
            number = self._base | self.serial
            taken = False
            for recording in self.recordings:
                if recording.number == number:
                    taken = True
        recording = Recording(number, kind, meta, draft)
        self.recordings.append(recording)
        return recording

    def slot(self):
        """Offset in `data` of SLOT free bytes for the next frame, or -1 when there is no room."""
        if self._empty == NONE:
            if self.reclaimable:
                self._reclaim()
            elif not self._evict(False):
                return -1
        return self._empty * SLOT

    def append(self, recording, size):
        """Take the `size` bytes (1..SLOT) at the offset that `slot()` gave as the next frame."""
        if recording.closed:
            raise JournalError("recording is closed")
        if not 0 < size <= SLOT:
            raise JournalError("frame of %d bytes" % size)
        slot = self._empty
        if slot == NONE:
            raise JournalError("no slot was asked for")
        crc32.update(recording.crc, self.data, slot * SLOT, size)
        self._chain(recording, size)
        recording.count += 1
        if size > recording.widest:
            recording.widest = size
        used = self.slots - self.free
        if used > self.high_water:
            self.high_water = used

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
        self._tell_work()

    def close(self, recording, end=None):
        """No more frames will come. `end` is metadata that is sent with CLOSE."""
        recording.closed = True
        if end:
            recording.end = end
        self._tell_work()

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

    # --- hosts ------------------------------------------------------------------------------

    def connect(self, host):
        """`host` (its identity, bytes) is there. It is sent everything from where it acknowledged;
        one that is not known, everything that is held."""
        if host != self.host:
            for recording in self.recordings:
                if self.host is not None:
                    recording.leave(self.host)
                recording.meet(host)
            self.host = host
            if host in self._hosts:
                self._hosts.remove(host)
                self._hosts.append(host)
        for recording in list(self.recordings):
            self.rewind(recording, recording.acked)
            recording.open_sent = recording.close_sent = recording.finished

    def _know(self, host):
        # Only who acknowledges: passers-by must not push out those who do.
        if host is not None and host not in self._hosts:
            if len(self._hosts) >= MAX_HOSTS:
                self.forget(self._hosts[0])
            self._hosts.append(host)

    def forget(self, host):
        """Nobody needs to know any more how far `host` had come. (The host that is connected stays.)"""
        if host not in self._hosts or host == self.host:
            return
        self._hosts.remove(host)
        for recording in list(self.recordings):
            recording.forget(host)
            self._settle(recording)

    def ack(self, number, next_index):
        """The host that is connected has stored all frames below `next_index`; ``count + 1`` says that
        it has stored the CLOSE as well and the recording can go. False (and counted) if that cannot
        be: an unknown recording, or something that was never sent to this host."""
        recording = self.find(number)
        if recording is None or next_index > recording.sent:
            self.refused_acks += 1
            return False
        self._know(self.host)
        if next_index > recording.acked:
            recording.acked = next_index
        recording.miss()
        if next_index > recording.wanted:
            recording.wanted = next_index
            self._skip(recording, next_index)
        if next_index > recording.safe:
            recording.safe = next_index
            self._spare(recording, next_index)
        self._settle(recording)
        return True

    def _skip(self, recording, next_index):
        """The host knows more than this connection has sent: go on behind that."""
        slot = recording.cursor
        if slot == NONE:
            return
        if slot >= FROM_FILE:
            # The n-th record holds the n-th frame or a later one, so this is mostly all.
            if recording.file.first + slot - FROM_FILE < next_index:
                self._seek(recording, next_index, slot - FROM_FILE)
            return
        while slot != NONE and self._index[slot] < next_index:
            slot = self._next[slot]
        recording.cursor = slot

    def _settle(self, recording):
        if recording.settled() and recording in self.recordings:
            self._drop(recording)

    @property
    def saved(self):
        """How many recordings are in flash."""
        n = 0
        for recording in self.recordings:
            if recording.file is not None:
                n += 1
        return n

    def find(self, number):
        """The published recording with that id, or None."""
        for recording in self.recordings:
            if recording.number == number and not recording.draft:
                return recording
        return None

    def rewind(self, recording, next_index):
        """Point the cursor at the first held frame whose index is at least `next_index`."""
        recording.wanted = next_index
        if recording.file is not None:
            self._seek(recording, next_index, 0)
            return
        slot = recording.first
        while slot != NONE and self._index[slot] < next_index:
            slot = self._next[slot]
        recording.cursor = slot

    # --- frames -----------------------------------------------------------------------------

    def load(self, recording):
        """Find the frame at the cursor (which is not NONE) and move on: `frame_data` and so on tell where
        it is, until the next call. False if flash does not give it: the recording is gone then.
        Allocates nothing, but for the first frame after another recording's."""
        recording.miss()
        slot = recording.cursor
        if slot >= FROM_FILE:
            spool = self.spool
            place = slot - FROM_FILE
            if not spool.read(recording.file, place):
                self._damage(recording)
                return False
            self.frame_data = spool.record
            self.frame_at = spool.start
            self.frame_size = spool.size
            self.frame_index = spool.index
            recording.cursor = slot + 1 if place + 1 < recording.file.frames else NONE
            recording.wanted = spool.index + 1
            return True
        self.frame_data = self.data
        self.frame_at = slot * SLOT
        self.frame_size = self._size[slot]
        self.frame_index = self._index[slot]
        recording.cursor = self._next[slot]
        recording.wanted = self.frame_index + 1
        return True

    # --- flash ------------------------------------------------------------------------------

    def _seek(self, recording, next_index, start):
        place = self.spool.find(recording.file, next_index, start)
        if place < 0:
            self._damage(recording)
        else:
            recording.cursor = FROM_FILE + place if place < recording.file.frames else NONE

    def _damage(self, recording):
        self.damaged += 1
        self._drop(recording)
        self._tell_gone(recording)

    def move(self, recording, file):
        """All frames that are held are now in `file` as well: give the slots back."""
        place = 0
        slot = recording.first
        while slot != NONE and slot != recording.cursor:
            place += 1
            slot = self._next[slot]
        at_end = recording.cursor == NONE
        self._release_all(recording)
        recording.file = file
        recording.saving = False
        recording.cursor = NONE if at_end else FROM_FILE + place

    def restore(self, recording, file, progress):
        """A recording of an earlier start was found in flash; `progress` is what it said of the hosts."""
        recording.file = file
        recording.closed = True
        recording.cursor = FROM_FILE if file.frames else NONE
        for host in progress:
            if host not in self._hosts and len(self._hosts) < MAX_HOSTS:
                self._hosts.append(host)
            if host in self._hosts:
                recording.restore(host, *progress[host])
        self.recordings.append(recording)

    def evict_saved(self):
        """Flash is short: give up the oldest recording there. False if there is none."""
        for recording in self.recordings:
            if recording.file is not None:
                self._give_up(recording)
                return True
        return False

    # --- room ---------------------------------------------------------------------------------

    def _reclaim(self):
        for recording in self.recordings:
            if recording.first != recording.fresh:
                self._release_first(recording)
                self.reclaimed += 1
                return

    def _tell_gone(self, recording):
        if self.on_gone is not None and not recording.draft:
            self.on_gone(recording)

    def _tell_work(self):
        if self.on_work is not None:
            self.on_work()

    def _drop(self, recording):
        self._release_all(recording)
        self.recordings.remove(recording)
        if recording.file is not None:
            self.spool.remove(recording.file)
            self._tell_work()

    def _give_up(self, recording):
        if recording.file is not None:
            self.evicted_frames += recording.file.frames
        slot = recording.fresh
        while slot != NONE:
            self.evicted_frames += 1
            slot = self._next[slot]
        self.evicted_recordings += 1
        self._drop(recording)
        self._tell_gone(recording)

    def _evict(self, empty):
        for recording in self.recordings:
            if recording.closed and not recording.draft and (empty or recording.first != NONE):
                self._give_up(recording)
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
            "journal.reclaimed": self.reclaimed,
            "journal.refused_acks": self.refused_acks,
            "journal.damaged": self.damaged,
        }
