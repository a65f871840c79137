"""What of a .mpy file stays on a 32-bit heap once it is imported, apart from the objects that it made: byte
code of its functions, constants, and the tables that join them. A frozen module has all of that in flash.

The code of the module itself and of its classes' bodies has run then and is garbage. Without native code;
py/persistentcode.c has the format, py/bc.h that of byte code.
"""

from __future__ import annotations

_BLOCK = 16  # what a 32-bit heap is divided into
_WORD = 4
_HEADER_BYTES = 4
_STR, _BYTES, _INT, _TUPLE = 5, 6, 7, 10
_FIRST_WITH_DATA = _STR  # what comes before: None, False, True, ...
_SMALL = 1 << 30
_HAS_CHILDREN = 4
_LOAD_NAME = 0x11  # with which only the body of a class begins: it asks for __name__


def _blocks(octets: int) -> int:
    return -(-octets // _BLOCK) * _BLOCK


class _File:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = _HEADER_BYTES

    def number(self) -> int:
        value = 0
        while True:
            octet = self.content[self.at]
            self.at += 1
            value = value << 7 | octet & 0x7F
            if not octet & 0x80:
                return value

    def take(self, octets: int) -> bytes:
        self.at += octets
        return self.content[self.at - octets : self.at]

    def constant(self) -> int:
        kind = self.take(1)[0]
        if kind < _FIRST_WITH_DATA:
            return 0
        size = self.number()
        if kind == _TUPLE:
            return _blocks((2 + size) * _WORD) + sum(self.constant() for _ in range(size))
        text = self.take(size + (kind in (_STR, _BYTES)))
        if kind == _INT and abs(int(text)) < _SMALL:
            return 0
        return _BLOCK + (_blocks(size + 1) if kind in (_STR, _BYTES) else 0)

    def code(self, module: bool) -> int:
        kind = self.number()
        code = self.take(kind >> 3)
        children = self.number() if kind & _HAS_CHILDREN else 0
        below = sum(self.code(False) for _ in range(children))
        if module or code[_start(code)] == _LOAD_NAME:
            return below
        # Without children, the byte code stands for itself.
        return below + _blocks(len(code)) + (2 * _BLOCK + _blocks(children * _WORD) if children else 0)


def _start(code: bytes) -> int:
    """Where the instructions begin: behind the signature, and what the two sizes after it are of."""
    at = 0
    while code[at] & 0x80:
        at += 1
    at += 1
    info = cells = shift = 0
    while True:
        octet = code[at]
        at += 1
        info |= (octet >> 1 & 0x3F) << 6 * shift
        cells |= (octet & 1) << shift
        shift += 1
        if not octet & 0x80:
            return at + info + cells


def octets(content: bytes) -> int:
    """Bytes of the heap, names (qstrs) left out: those are shared. ValueError for a file with more in it."""
    file = _File(content)
    names, constants = file.number(), file.number()
    for _ in range(names):
        size = file.number()
        if not size & 1:
            file.take((size >> 1) + 1)
    used = _blocks((-(-names * 2 // _WORD) + constants) * _WORD)
    used += sum(file.constant() for _ in range(constants))
    used += file.code(True)
    if file.at != len(content):
        raise ValueError("no .mpy file of byte code alone")
    return used
