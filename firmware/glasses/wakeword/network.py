"""A wake word's network: any that `host_tools/lunette/wakeword/convert.py` makes. Its file is described in
`format.py` beside that.

A step takes some vectors of features and gives the probability that the words were just said. All is checked
when a file is loaded: whoever made it, no kernel reads or writes beside its buffers.
"""

import binascii
import struct
from array import array

from micropython import const

from . import layers

_VERSION = const(1)
_HEAD = const(24)
_OPERATION = const(20)
_RECORD = const(12)

_PAD = const(4)
_ARENA = const(16384)
_SUMS = const(1024)
_SIZE = const(200000)
_ADDED = const(536870912)

_INPUT = const(1)
_SLIDE = const(2)
_DENSE = const(3)
_SPARSE = const(4)
_DEPTHWISE = const(5)
_GATHER = const(6)
_SCALE = const(7)
_REMEMBER = const(8)
_TABLE = const(9)


class _Bytes:
    """Read like a file."""

    def __init__(self, data):
        self._data = memoryview(data)
        self._at = 0

    def readinto(self, buffer):
        part = self._data[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def _need(right, what):
    if not right:
        raise ValueError("wake word: " + what)


class Network:
    """``rows`` vectors of ``bands`` signed bytes a step; ``phrase`` is what it hears.

    Whoever decides compares the mean of the last ``window`` results with ``cutoff``; both are of 255.
    ``size`` is the bytes of all buffers. Raises ValueError for a file that is damaged or not understood.
    """

    def __init__(self, model):
        """``model`` is the file's content, or the open file."""
        self._file = model if hasattr(model, "readinto") else _Bytes(model)
        self._crc = 0
        self._left = 12
        self._load()
        self._file = None
        self.reset()

    # --- loading ----------------------------------------------------------------------------------------

    def _read(self, n):
        """The next ``n`` bytes, which are filled up to a multiple of 4 in the file."""
        whole = (n + 3) & -4
        _need(whole <= self._left, "the file ends too early")
        self._left -= whole
        data = bytearray(whole)
        _need(self._file.readinto(data) == whole, "the file ends too early")
        self._crc = binascii.crc32(data, self._crc)
        return data

    def _load(self):
        magic, version, self.rows, self.bands, self.cutoff, size = struct.unpack("<4s4BI", self._read(12))
        _need(magic == b"LuWW", "this is no model")
        _need(version == _VERSION, "a model of version %d, which this firmware does not know" % version)
        _need(_HEAD <= size <= _SIZE, "%d bytes are too many" % size)
        crc = bytearray(4)
        _need(self._file.readinto(crc) == 4, "the file ends too early")
        self._left = size - 16
        arena, sums, rings, count, self.window, phrase = struct.unpack("<HH4B", self._read(8))
        _need(_PAD < arena <= _ARENA and sums <= _SUMS, "too large")
        _need(self.rows and self.bands and self.window and self.cutoff and count, "nothing to do")
        phrase = self._read(phrase)
        self._arena = bytearray(arena)
        self._sums = array("I", bytes(4 * sums))
        self.size = arena + 4 * sums
        self._rings = []
        for _ in range(rings):
            self._ring()
        self._at = bytearray(rings)
        operations = []
        kind = 0
        for i in range(count):
            kind, operation = self._operation()
            _need((kind == _TABLE) == (i == count - 1), "it has to end with TABLE")
            operations.append(operation)
        _need(self._left == 0 and not self._file.readinto(bytearray(1)), "the file is longer than it says")
        _need(self._crc & 0xFFFFFFFF == struct.unpack("<I", crc)[0], "the file is damaged")
        self._operations = tuple(operations)
        self._crc = 0
        self.phrase = str(phrase, "utf-8").rstrip("\0")

    def _ring(self):
        at, slots, channels, _ = struct.unpack("<4H", self._read(8))
        _need(0 < slots <= 127 and channels > 0, "an empty ring")
        self._inside(at, 2 * slots * channels)
        self._rings.append((at, slots, channels))

    def _inside(self, at, n):
        _need(at >= _PAD and n > 0 and at + n <= len(self._arena), "an operation beside its buffer")

    def _summed(self, first, n):
        _need(n > 0 and first + n <= len(self._sums), "an operation beside its sums")

    def _operation(self):
        """(kind, what `step` needs): a tuple of the kind, the data, and seven numbers."""
        kind, bits, a, b, c, d, e, f, _, _, _ = struct.unpack("<2B9H", self._read(_OPERATION))
        size = g = 0
        if kind == _INPUT:
            self._inside(a, b)
            _need(b == self.rows * self.bands, "other inputs")
        elif kind == _SLIDE:
            self._inside(a, b)
            _need(0 < c <= b, "a window that does not move")
        elif kind == _DENSE or kind == _SPARSE:
            self._inside(a, b)
            self._summed(d, c)
            if kind == _DENSE:
                _need(b & 7 == 0 and d == 0, "inputs that are no eights")
            else:
                _need(b & 3 == 0 and c & 15 == 0, "inputs or outputs that are no fours or sixteens")
            size = b * c
        elif kind == _DEPTHWISE:
            at, slots, channels = self._ring_of(a)
            self._summed(c, channels)
            _need(b & 3 == 0 and 0 < b <= 32 and b <= slots + 3, "taps beside the ring")
            size = b * channels
            # Where the window begins if its newest byte is in slot 0, and from channel to channel.
            b, c, d, e, f = at + 1 + slots - b, 2 * slots, b, c, channels
        elif kind == _GATHER:
            self._summed(0, a)
        elif kind == _SCALE or kind == _REMEMBER:
            # Then: first sum, how many, zero, place, `away` or slots, ring, bits.
            if kind == _SCALE:
                self._inside(d, b)
                _need(e or b & 1 == 0, "an odd number of bytes")
            else:
                f = c
                c = b
                d, e, b = self._ring_of(f)
            self._summed(a, b)
            _need(8 <= bits <= 15 and c < 512, "a scale that is out of range")
            size = _RECORD * b
            g = bits
        elif kind == _TABLE:
            self._inside(a, 1)
            size = 256
        else:
            raise ValueError("wake word: an operation of kind %d, which this firmware does not know" % kind)
        data = self._read(size) if size else b""
        if g:
            for i in range(10, size, _RECORD):
                _need(data[i] < 31 and data[i + 1] == 0, "a shift that is out of range")
        self.size += len(data)
        return kind, (kind, data, a, b, c, d, e, f, g)

    def _ring_of(self, number):
        _need(number < len(self._rings), "no such ring")
        return self._rings[number]

    # --- running ----------------------------------------------------------------------------------------

    def reset(self):
        """As if nothing had been heard."""
        arena = self._arena
        for i in range(len(arena)):
            arena[i] = 0
        sums = self._sums
        for i in range(len(sums)):
            sums[i] = 0
        at = self._at
        for i in range(len(at)):
            at[i] = 0

    def step(self, inputs):
        """The probability, of 255, after ``rows`` more vectors of ``bands`` signed bytes each."""
        if len(inputs) < self.rows * self.bands:
            raise ValueError("wake word: too few inputs")
        arena = self._arena
        sums = self._sums
        newest = self._at
        total = 0
        for kind, data, a, b, c, d, e, f, g in self._operations:
            if kind == _SCALE:
                if e:
                    layers.scale_away(0, data, b, sums, a, (total << 7) + _ADDED, g, c, arena, d)
                else:
                    layers.scale(0, data, b, sums, a, (total << 7) + _ADDED, g, c, arena, d)
            elif kind == _REMEMBER:
                slot = newest[f] + 1
                if slot == e:
                    slot = 0
                newest[f] = slot
                layers.remember(0, data, b, sums, a, (total << 7) + _ADDED, g, c, arena, d + slot, e)
            elif kind == _DEPTHWISE:
                layers.depthwise(0, data, arena, b + newest[a], c, d, sums, e, f)
                total = 0
            elif kind == _DENSE:
                total = layers.dense(0, data, arena, a, b, sums, c)
            elif kind == _SPARSE:
                total = layers.sparse(0, data, arena, a, b, sums, d, c)
            elif kind == _SLIDE:
                layers.slide(arena, 0, a, b - c, c)
            elif kind == _INPUT:
                layers.take(0, 0, inputs, arena, a, b)
            elif kind == _GATHER:
                layers.gather(0, sums, a)
        return data[arena[a]]
