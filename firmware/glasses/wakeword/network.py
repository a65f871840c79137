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
        self.size = 0
        # Behind what the file knows of: a byte for each ring, in which slot its newest are.
        self._arena = bytearray(arena + rings)
        self._end = arena
        # The first word is the kernels'. Behind the sums are the states of dense layers, then their changes.
        self._room = sums
        self._words = 1 + ((sums + 15) & -16)
        self._most = 0
        self._rings = []
        for _ in range(rings):
            self._ring()
        self._before = None
        operations = []
        states = []
        for i in range(count):
            kind, operation = self._operation()
            _need((kind == _TABLE) == (i == count - 1), "it has to end with TABLE")
            if kind != _INPUT and kind != _TABLE:
                operations.append(operation)
                if operation[0] is layers.dense:
                    states.append(operation[2])
            elif kind == _INPUT:
                _need(self._before is None, "its inputs come twice")
                self._before = tuple(operations)
                operations = []
            else:
                self._table = operation
        _need(self._before is not None, "it takes no inputs")
        _need(self._left == 0 and not self._file.readinto(bytearray(1)), "the file is longer than it says")
        _need(self._crc & 0xFFFFFFFF == struct.unpack("<I", crc)[0], "the file is damaged")
        self._after = tuple(operations)
        for plan in states:
            plan[5] = self._words
        self._words += self._most + 1
        self._sums = array("I", bytes(4 * self._words))
        self.size += len(self._arena) + 4 * self._words
        self._crc = 0
        self.phrase = str(phrase, "utf-8").rstrip("\0")

    def _ring(self):
        at, slots, channels, _ = struct.unpack("<4H", self._read(8))
        _need(0 < slots <= 127 and channels > 0, "an empty ring")
        self._inside(at, 2 * slots * channels)
        self._rings.append((at, slots, channels))

    def _inside(self, at, n):
        _need(at >= _PAD and n > 0 and at + n <= self._end, "an operation beside its buffer")

    def _summed(self, first, n):
        _need(n > 0 and first + n <= self._room, "an operation beside its sums")

    def _operation(self):
        """(kind, what `step` needs): a kernel, its data, and its plan. Of INPUT and TABLE other things."""
        kind, bits, a, b, c, d, e = struct.unpack("<2B9H", self._read(_OPERATION))[:7]
        data = self._arena  # of those that need none
        if kind == _INPUT:
            self._inside(a, b)
            _need(b == self.rows * self.bands and b & 3 == 0, "other inputs")
            self._place = a
            return kind, None
        if kind == _TABLE:
            self._inside(a, 1)
            self._result = a
            return kind, self._data(256)
        if kind == _SLIDE:
            self._inside(a, b)
            _need(0 < c <= b, "a window that does not move")
            kernel = layers.slide
            plan = (a, b - c, c)
        elif kind == _DENSE:
            self._inside(a, b)
            self._summed(d, c)
            _need(b & 7 == 0 and d == 0, "inputs that are no eights")
            data = self._data(b * c)
            kernel = layers.dot
            plan = (a, b, 1)
            if c > 1:
                kernel = layers.dense
                filled = (c + 15) & -16
                turned = bytearray(b * filled)
                layers.turn(0, turned, data, b, c)
                self.size += len(turned) - len(data)
                data = turned
                plan = (a, b, filled, 1, self._words, 0)
                self._words += 1 + filled + b // 4
                self._most = max(self._most, b)
                _need(self._words + self._most < 65535, "too large")
        elif kind == _SPARSE:
            self._inside(a, b)
            self._summed(d, c)
            _need(b & 3 == 0 and c & 15 == 0, "inputs or outputs that are no fours or sixteens")
            data = self._data(b * c)
            kernel = layers.sparse
            plan = (a, b, 1 + d, c)
        elif kind == _DEPTHWISE:
            at, slots, channels = self._ring_of(a)
            self._summed(c, channels)
            _need(b & 3 == 0 and 0 < b <= 32 and b <= slots + 3, "taps beside the ring")
            data = self._data(b * channels)
            kernel = layers.depthwise
            # Where the window begins if its newest byte is in slot 0.
            plan = (at + 1 + slots - b, self._end + a, 2 * slots, b, 1 + c, channels)
        elif kind == _GATHER:
            self._summed(0, a)
            kernel = layers.gather
            plan = (1, a)
        elif kind == _SCALE:
            self._inside(d, b)
            _need(e or b & 1 == 0, "an odd number of bytes")
            data = self._records(a, b, bits, c)
            kernel = layers.scale_away if e else layers.scale
            plan = (1 + a, b, bits, c, d)
        elif kind == _REMEMBER:
            at, slots, channels = self._ring_of(c)
            data = self._records(a, channels, bits, b)
            kernel = layers.remember
            plan = (1 + a, channels, bits, b, at, self._end + c, slots)
        else:
            raise ValueError("wake word: an operation of kind %d, which this firmware does not know" % kind)
        return kind, (kernel, data, array("H", plan))

    def _data(self, size):
        self.size += size
        return self._read(size)

    def _records(self, first, n, bits, zero):
        self._summed(first, n)
        _need(8 <= bits <= 15 and zero < 512, "a scale that is out of range")
        data = self._data(_RECORD * n)
        for i in range(10, len(data), _RECORD):
            _need(data[i] < 31 and data[i + 1] == 0, "a shift that is out of range")
        return data

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

    def step(self, inputs):
        """The probability, of 255, after ``rows`` more vectors of ``bands`` signed bytes each."""
        count = self.rows * self.bands
        if len(inputs) < count:
            raise ValueError("wake word: too few inputs")
        arena = self._arena
        sums = self._sums
        for kernel, data, plan in self._before:
            kernel(0, data, plan, arena, sums)
        layers.take(arena, inputs, self._place, count)
        for kernel, data, plan in self._after:
            kernel(0, data, plan, arena, sums)
        return self._table[arena[self._result]]
