"""The spool: recordings in files, for what must survive that the power goes. One file a recording.

A file is written under another name, closed, then renamed, so whatever has its name is whole. Names are
numbers that rise with every save: the order of age, which ids lose when the count of starts wraps.

    "LUN1", length of the JSON u16, width u8, 0, frames u32, crc32 u32 of all but this field
    JSON: number, kind, meta, end, count, lost, crc, base, first, hosts
    frames records of `width` bytes: index u32, size u8, frame, padding

Nothing here knows when flash may be written: `saver.py` does. Reading is allowed at any time.
"""

import binascii
import json
import os
import struct

from glasses import protocol
from glasses.dsp import crc32, pcm
from glasses.journal import MAX_RECORDINGS, SLOT
from glasses.recording import NONE, Recording

_HEADER = "<4sHBBII"
_HEADER_BYTES = 16
_CRC_AT = 12
_MAGIC = b"LUN1"
_SECTOR = 4096  # what the file system erases at a time
_RESERVE = 65536  # bytes of the file system that are left to others,
_RESERVE_PART = 10  # and at least this part of it
_HEAD = 5  # bytes of a record before the frame


class Damaged(ValueError):
    """A file that is not what a save leaves."""


class File:
    """Where a recording is: `frames` records of `width` bytes from `start` on in the file `path`, of
    `size` bytes. The first frame's index is `first`."""

    def __init__(self, path, size, start, width, frames, first):
        self.path = path
        self.size = size
        self.start = start
        self.width = width
        self.frames = frames
        self.first = first


def _checksum(header, body):
    state = bytearray(4)
    crc32.reset(state)
    crc32.update(state, header, 0, _CRC_AT)
    crc32.update(state, body, 0, len(body))
    return state


def _describe(recording, first, host):
    """The JSON part for a recording whose oldest held frame has the index `first`."""
    hosts = {}
    progress = recording.progress(host)
    for known in progress:
        hosts[binascii.hexlify(known).decode()] = progress[known]
    return protocol.dumps(
        {
            "number": recording.number,
            "kind": recording.kind,
            "meta": recording.meta,
            "end": recording.end,
            "count": recording.count,
            "lost": recording.lost,
            "crc": binascii.hexlify(recording.crc).decode(),
            "base": recording.base,
            "first": first,
            "hosts": hosts,
        }
    )


def _count(value):
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Damaged("no count")
    return value


def _recording(described):
    """A Recording and the places of its hosts from the JSON part."""
    if described["kind"] not in protocol.KINDS:
        raise Damaged("no kind")
    if not isinstance(described["meta"], dict) or not isinstance(described["end"], dict):
        raise Damaged("no metadata")
    recording = Recording(_count(described["number"]), described["kind"], described["meta"], False)
    recording.end = described["end"]
    recording.count = _count(described["count"])
    recording.lost = _count(described["lost"])
    recording.base = _count(described["base"])
    recording.crc = bytearray(binascii.unhexlify(described["crc"]))
    if len(recording.crc) != 4:
        raise Damaged("no crc")
    hosts = {}
    for name in described["hosts"]:
        acked, whole = described["hosts"][name]
        hosts[binascii.unhexlify(name)] = (_count(acked), bool(whole))
    return recording, hosts


class Writer:
    """Saves one recording, one flash operation a step. `step` raises OSError; `abort` then."""

    def __init__(self, spool, journal, recording):
        self._spool = spool
        self._journal = journal
        self._slot = recording.first
        self._left = recording.held
        first = recording.count if self._slot == NONE else journal.index_of(self._slot)
        body = _describe(recording, first, journal.host)
        width = _HEAD + recording.widest
        fixed = bytearray(struct.pack(_HEADER, _MAGIC, len(body), width, 0, recording.held, 0))
        fixed[_CRC_AT:] = _checksum(fixed, body)
        self._header = bytes(fixed) + body
        start = len(self._header)
        self.file = File(
            spool.path(spool.serial), start + recording.held * width, start, width, recording.held, first
        )
        self._output = None
        self._closed = False
        self.done = False

    def step(self):
        """One write of up to a sector, or the close, or the rename."""
        if self._output is None:
            self._spool.make_folder()
            self._output = open(self.file.path + ".new", "wb")  # noqa: SIM115 - open over many steps
            self._output.write(self._header)
        elif self._left:
            self._write()
        elif not self._closed:
            self._closed = True
            self._output.close()
        else:
            os.rename(self.file.path + ".new", self.file.path)
            self._spool.serial += 1
            self._spool.bytes += self.file.size
            self.done = True

    def _write(self):
        journal = self._journal
        buffer = self._spool.sector
        width = self.file.width
        at = 0
        while self._left and at + width <= _SECTOR:
            slot = self._slot
            size = journal.size_of(slot)
            struct.pack_into("<IB", buffer, at, journal.index_of(slot), size)
            pcm.copy(buffer, at + _HEAD, journal.data, slot * SLOT, size)
            at += width
            self._slot = journal.after(slot)
            self._left -= 1
        if self._output.write(memoryview(buffer)[:at]) != at:
            raise OSError(28)  # ENOSPC

    def abort(self):
        """Leave nothing behind. Writes flash."""
        if self._output is None:
            return
        try:
            if not self._closed:
                self._closed = True
                self._output.close()
        except OSError:  # what could not be written, at a full flash
            pass
        try:
            os.remove(self.file.path + ".new")
        except OSError:  # it is removed at the next start
            pass


class Spool:
    """The files in `folder`. `record` holds the frame that was read last, of `size` bytes from HEAD on,
    with `index`."""

    HEAD = _HEAD

    def __init__(self, log, folder="journal"):
        self._log = log
        self._folder = folder
        self._there = False
        self.serial = 0  # of the next save
        self.sector = bytearray(_SECTOR)
        self.record = bytearray(_HEAD + SLOT)
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
                recording, hosts, file = self._examine(path)
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

    def _examine(self, path):
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            fixed = file.read(_HEADER_BYTES)
            if len(fixed) != _HEADER_BYTES:
                raise Damaged("no header")
            magic, length, width, _, frames, _ = struct.unpack(_HEADER, fixed)
            if magic != _MAGIC:
                raise Damaged("no header")
            body = file.read(length)
        start = _HEADER_BYTES + length
        if len(body) != length or _checksum(fixed, body) != fixed[_CRC_AT:]:
            raise Damaged("checksum")
        if size != start + frames * width or not _HEAD <= width <= _HEAD + SLOT:
            raise Damaged("%d bytes" % size)
        described = json.loads(body)
        recording, hosts = _recording(described)
        return recording, hosts, File(path, size, start, width, frames, _count(described["first"]))

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
        if not 0 < self.size <= file.width - _HEAD:
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
        return found[1] * found[3] - reserve

    @staticmethod
    def space(size):
        """Bytes of the file system that a file of `size` bytes takes: whole sectors, with what links
        them, and an entry in the folder."""
        return (size + size // 128) // _SECTOR * _SECTOR + 2 * _SECTOR

    def need(self, recording):
        """That for a recording that is not saved yet."""
        return self.space(1024 + recording.held * (_HEAD + recording.widest))

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
