"""A recording in a file: its format, writing and checking it.

    "LUN1", length of the JSON u16, width u8, 0, frames u32, crc32 u32 of all but this field
    JSON: number, kind, meta, end, count, lost, crc, base, first, hosts
    frames records of `width` bytes: index u32, size u8, frame, padding

A file is written under another name, closed, then renamed, so whatever has its name is whole.
"""

import binascii
import json
import os
import struct

from glasses import protocol
from glasses.dsp import crc32, pcm
from glasses.recording import NONE, Recording
from glasses.slots import SLOT

_HEADER = "<4sHBBII"
_HEADER_BYTES = 16
_CRC_AT = 12
_MAGIC = b"LUN1"
SECTOR = 4096  # what the file system erases at a time
HEAD = 5  # bytes of a record before the frame
_ENOMEM = 12


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


def examine(path):
    """(Recording, places of its hosts, File) of a file. Raises Damaged and whatever its contents provoke:
    OSError, ValueError, KeyError, TypeError, RuntimeError."""
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
    if size != start + frames * width or not HEAD <= width <= HEAD + SLOT:
        raise Damaged("%d bytes" % size)
    described = json.loads(body)
    recording, hosts = _recording(described)
    return recording, hosts, File(path, size, start, width, frames, _count(described["first"]))


class Writer:
    """Saves one recording, one flash operation a step. `step` raises OSError; `abort` then."""

    def __init__(self, spool, journal, recording):
        self._spool = spool
        self._journal = journal
        self._slot = recording.first
        self._left = recording.held
        first = recording.count if self._slot == NONE else journal.index_of(self._slot)
        body = _describe(recording, first, journal.host)
        width = HEAD + recording.widest
        fixed = bytearray(struct.pack(_HEADER, _MAGIC, len(body), width, 0, recording.held, 0))
        fixed[_CRC_AT:] = _checksum(fixed, body)
        self._header = bytes(fixed) + body
        start = len(self._header)
        self.file = File(
            spool.path(spool.serial), start + recording.held * width, start, width, recording.held, first
        )
        self._output = None
        self._sector = b""  # 4 KB, which are there while something is saved, and not for good
        self._closed = False
        self.done = False

    def step(self):
        """One write of up to a sector, or the close, or the rename."""
        if self._output is None:
            try:
                self._sector = bytearray(SECTOR)
            except MemoryError:
                raise OSError(_ENOMEM) from None
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
        buffer = self._sector
        width = self.file.width
        at = 0
        while self._left and at + width <= SECTOR:
            slot = self._slot
            size = journal.size_of(slot)
            struct.pack_into("<IB", buffer, at, journal.index_of(slot), size)
            pcm.copy(buffer, at + HEAD, journal.data, slot * SLOT, size)
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
