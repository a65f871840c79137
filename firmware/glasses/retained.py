"""Values that outlive sleep, resets and the watchdog, but not the loss of power: RTC memory.

In the memory: b"LU", a version byte, CRC-32 (little endian) over what follows, one JSON object. Whatever
else is found there, of an older firmware or half written, is taken for empty. Every start reads this, the
short ones out of deep sleep too, so it imports nothing of the firmware.
"""

import binascii
import json
import struct

import machine

ROOM = 2048  # bytes of RTC memory (the ESP32 port's MICROPY_HW_RTC_USER_MEM_MAX)
_VERSION = 1
_HEAD = "<2sBI"
_HEAD_BYTES = 7


def unpack(memory):
    """The dict in these bytes of RTC memory, or None if they are not ours, damaged or too old."""
    if len(memory) < _HEAD_BYTES:
        return None
    mark, version, crc = struct.unpack(_HEAD, memory[:_HEAD_BYTES])
    if mark != b"LU" or version != _VERSION:
        return None
    text = memory[_HEAD_BYTES:]
    if binascii.crc32(text) & 0xFFFFFFFF != crc:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        return None
    return values if isinstance(values, dict) else None


class Retained:
    """A dict of JSON values. What `get` returns is not to be changed in place: `put` it anew.

    `refused` counts what was not stored, because it was too long or no JSON. `found` says whether this
    start found what an earlier one left; None before the first use.
    """

    def __init__(self):
        self.refused = 0
        self.found = None
        self._values = {}

    def _load(self):
        # At the first use, not at import: whoever imports this need not have the chip's memory yet.
        values = unpack(machine.RTC().memory())
        self.found = values is not None
        if self.found:
            self._values = values

    def get(self, key, default=None):
        if self.found is None:
            self._load()
        return self._values.get(key, default)

    def put(self, key, value):
        """Store one value at once; False, and nothing changes, if it has no room or is no JSON."""
        return self.put_all({key: value})

    def put_all(self, values):
        """Store several values, all or none of them."""
        if self.found is None:
            self._load()
        wanted = dict(self._values)
        wanted.update(values)
        return self._write(wanted)

    def remove(self, key):
        """Forget a value, which may be absent."""
        if self.get(key, self) is not self:
            wanted = dict(self._values)
            del wanted[key]
            self._write(wanted)

    def bytes(self):
        """Length of all that is stored, of `ROOM`."""
        if self.found is None:
            self._load()
        return len(self._pack(self._values))

    def _pack(self, values):
        text = json.dumps(values, separators=(",", ":")).encode()
        return struct.pack(_HEAD, b"LU", _VERSION, binascii.crc32(text) & 0xFFFFFFFF) + text

    def _write(self, values):
        try:
            memory = self._pack(values)
        except (TypeError, ValueError):
            memory = b""
        # Read back as the next start will: MicroPython writes what is no JSON, too, and can't read it.
        # So a list stays a list here and there, and nobody's later changes to it come in by the back door.
        kept = unpack(memory) if len(memory) <= ROOM else None
        if kept is None:
            self.refused += 1
            return False
        machine.RTC().memory(memory)
        self._values = kept
        return True


retained = Retained()
