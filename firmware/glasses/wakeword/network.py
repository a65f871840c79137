"""A wake word's network, of any model that `lunette.wakeword.convert` makes; its file is described beside that,
in `host_tools/lunette/wakeword/format.py`.

A step takes some vectors of features and gives the probability that the words were just said. Everything is
checked when it is loaded, so that no file, whoever made it, can have a kernel read or write beside its buffers.
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
_DEPTHWISE_ADDED = const(1048576)
_ADDED = const(8388608)

_INPUT = const(1)
_SLIDE = const(2)
_DENSE = const(3)
_DEPTHWISE = const(4)
_GATHER = const(5)
_SCALE = const(6)
_TABLE = const(7)
_NAMES = ("INPUT", "SLIDE", "DENSE", "DEPTHWISE", "GATHER", "SCALE", "TABLE")


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
        try:
            self.phrase = str(bytes(phrase), "utf-8").rstrip("\0")
        except UnicodeError:
            raise ValueError("wake word: the phrase is no text")

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
        """(kind, what `step` needs): a tuple of the kind, the data, and numbers."""
        kind, bits, a, b, c, d, e, f, g, _, _ = struct.unpack("<2B9H", self._read(_OPERATION))
        size = 0
        if kind == _INPUT:
            self._inside(a, b)
            _need(b == self.rows * self.bands, "other inputs")
        elif kind == _SLIDE:
            self._inside(a, b)
            _need(0 < c <= b, "a window that does not move")
        elif kind == _DENSE:
            self._inside(a, b)
            self._summed(0, c)
            _need(b & 7 == 0, "inputs that are not eights")
            size = b * c
        elif kind == _DEPTHWISE:
            _need(a < len(self._rings), "no such ring")
            at, slots, channels = self._rings[a]
            self._summed(c, channels)
            _need(b & 3 == 0 and 0 < b <= 32 and b <= slots + 3, "taps beside the ring")
            size = b * channels
            # The number of the ring, then where the window begins if its newest byte is in slot 0.
            a, b, c, d, e, f = a, at + 1 + slots - b, 2 * slots, b, c, channels
        elif kind == _GATHER:
            self._summed(0, a)
        elif kind == _SCALE:
            size = _RECORD * b
            self._summed(a, b)
            _need(8 <= bits <= 15 and d < 512 and c < 1024, "a scale that is out of range")
            if e:
                _need(e <= len(self._rings), "no such ring")
                at, slots, channels = self._rings[e - 1]
                _need(b == channels and not g, "other channels than the ring's")
                e, f = e, at
                c, g = c, 0
                kind_of = slots
            else:
                self._inside(f, b)
                kind_of = 0
            less = c * _DEPTHWISE_ADDED + _ADDED
            data = self._read(size)
            for i in range(10, size, _RECORD):
                _need(data[i] < 31 and data[i + 1] == 0, "a shift that is out of range")
            self.size += len(data)
            return kind, (kind, data, a, b, less if c else 0, bits, d, e, f, kind_of, g)
        elif kind == _TABLE:
            self._inside(a, 1)
            size = 256
        else:
            raise ValueError("wake word: an operation of kind %d, which this firmware does not know" % kind)
        data = self._read(size) if size else None
        self.size += size
        return kind, (kind, data, a, b, c, d, e, f)

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
        slots = self._at
        total = 0
        for operation in self._operations:
            kind = operation[0]
            if kind == _SCALE:
                _, records, first, n, less, bits, zero, ring, at, twin, away = operation
                if less == 0:
                    less = (total << 7) + _ADDED
                step = 1
                if ring:
                    slot = slots[ring - 1] + 1
                    if slot == twin:
                        slot = 0
                    slots[ring - 1] = slot
                    at += slot
                    step = twin + twin
                if away:
                    layers.scale_away(0, records, n, sums, first, less, bits, zero, arena, at)
                else:
                    layers.scale(0, records, n, sums, first, less, bits, zero, arena, at, step, twin)
                continue
            _, data, a, b, c, d, e, f = operation
            if kind == _DENSE:
                total = layers.dense(0, data, arena, a, b, sums, c)
            elif kind == _DEPTHWISE:
                layers.depthwise(0, data, arena, b + slots[a], c, d, sums, e, f)
            elif kind == _SLIDE:
                layers.slide(arena, 0, a, b - c, c)
            elif kind == _INPUT:
                layers.take(0, 0, inputs, arena, a, b)
            elif kind == _GATHER:
                layers.gather(0, sums, a)
        return data[arena[a]]
