"""The spool: the folder of recordings in files, for what must survive that the power goes.

One file a recording (`savefile.py`). Names are numbers that rise with every save: the order of age, which
ids lose when the count of starts wraps.

Nothing here knows when flash may be written: `saver.py` does. Reading is allowed at any time.
"""

import os

from glasses.journal import MAX_RECORDINGS
from glasses.savefile import HEAD, SECTOR, Damaged, examine
from glasses.slots import SLOT

_RESERVE = 65536  # bytes of the file system that are left to others,
_RESERVE_PART = 10  # and at least this part of it


class Spool:
    """The files in `folder`. `record` holds the frame that was read last: `size` bytes from `start` on,
    with `index`."""

    def __init__(self, log, folder="journal"):
        self._log = log
        self._folder = folder
        self._there = False
        self.serial = 0  # of the next save
        self.record = bytearray(HEAD + SLOT)
        self.start = HEAD
        self._views = {}
        self.size = 0
        self.index = 0
        self._open = None  # the File that is being read,
        self._input = None  # its file,
        self._place = 0  # and the record that comes next in it
        self.doomed = []  # paths of files to be removed
        self.bytes = 0  # of all files but those
        self.removed = 0
        self.damaged = 0

    def path(self, serial):
        return "%s/%08x" % (self._folder, serial)

    def make_folder(self):
        if not self._there:
            try:
                os.mkdir(self._folder)
            except OSError as error:
                if error.args[0] != 17:  # EEXIST
                    raise
            self._there = True

    # --- at the start -----------------------------------------------------------------------

    def restore(self, journal):
        """Give the journal what is in flash, oldest first. Reads only: what is damaged or was
        not finished is removed later."""
        try:
            names = sorted(os.listdir(self._folder))
        except OSError:
            return
        self._there = True
        numbers = set()
        for name in names:
            path = self._folder + "/" + name
            try:
                self.serial = max(self.serial, int(name.split(".")[0], 16) + 1)
                if name.endswith(".new"):
                    self.doomed.append(path)
                    continue
                recording, hosts, file = examine(path)
                if recording.number in numbers:
                    raise Damaged("a second recording %d" % recording.number)
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
                self.damaged += 1
                self._log.error("spool", "%s is damaged and will be removed: %s" % (path, error))
                self.doomed.append(path)
                continue
            numbers.add(recording.number)
            self.bytes += file.size
            journal.restore(recording, file, hosts)
            if len(journal.recordings) > MAX_RECORDINGS:
                journal.evict_saved()

    # --- reading ----------------------------------------------------------------------------

    def read(self, file, place):
        """Read the frame at `place` (0 is the oldest) into `record`; False if flash does not give it.
        Allocates nothing while one file is read in order."""
        try:
            if self._open is not file:
                self.shut()
                self._input = open(file.path, "rb")  # noqa: SIM115 - open until another is read
                self._open = file
                self._place = -1
            if self._place != place:
                self._input.seek(file.start + place * file.width)
            view = self._views.get(file.width)
            if view is None:  # a width is met for the first time
                view = self._views[file.width] = memoryview(self.record)[: file.width]
            self._place = -1
            if self._input.readinto(view) != file.width:
                return self._broken(file, "too short")
        except OSError as error:
            return self._broken(file, error)
        self._place = place + 1
        record = self.record
        self.index = record[0] | record[1] << 8 | record[2] << 16 | record[3] << 24
        self.size = record[4]
        if not 0 < self.size <= file.width - HEAD:
            return self._broken(file, "no frame")
        return True

    def _broken(self, file, why):
        self.damaged += 1
        self._log.error("spool", "%s cannot be read: %s" % (file.path, why))
        return False

    def find(self, file, next_index, start=0):
        """The place of the first frame from `start` on whose index is at least `next_index`: `file.frames`
        if there is none, -1 if flash does not tell."""
        if next_index <= file.first:
            return start
        low = start
        # Indices rise by one at least, so it is not behind this; without holes it is this.
        high = min(file.frames, next_index - file.first)
        middle = high - 1
        while low < high:
            if not self.read(file, middle):
                return -1
            if self.index < next_index:
                low = middle + 1
            else:
                high = middle
            middle = (low + high) // 2
        return low

    def shut(self):
        """Read no file any more."""
        if self._input is not None:
            self._input.close()
        self._input = self._open = None

    # --- room -------------------------------------------------------------------------------

    def room(self):
        """Bytes that may still be written, negative when the reserve is touched. Takes a while: the file
        system counts its blocks. Raises OSError."""
        found = os.statvfs(".")
        reserve = max(_RESERVE, found[1] * found[2] // _RESERVE_PART)
        # littlefs may count more blocks than there are, as it shares some: less than none are free then.
        free = found[3] if found[3] <= found[2] else 0
        return found[1] * free - reserve

    @staticmethod
    def space(size):
        """Bytes of the file system that a file of `size` bytes takes: whole sectors, with what links
        them, and an entry in the folder."""
        return (size + size // 128) // SECTOR * SECTOR + 2 * SECTOR

    def need(self, recording):
        """That for a recording that is not saved yet."""
        return self.space(1024 + recording.held * (HEAD + recording.widest))

    def remove(self, file):
        """A recording is gone: its file is to be removed when flash may be written."""
        if self._open is file:
            self.shut()
        self.bytes -= file.size
        self.doomed.append(file.path)

    def sweep(self):
        """Remove one of the files that are to be removed. Writes flash."""
        path = self.doomed.pop(0)
        try:
            os.remove(path)
        except OSError as error:
            self._log.error("spool", "%s is not removed: %s" % (path, error))
        self.removed += 1

    def counters(self):
        return {"spool.removed": self.removed, "spool.damaged": self.damaged}
