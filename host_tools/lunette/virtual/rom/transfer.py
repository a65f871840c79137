"""Blocks on their way to RAM or flash, and what a loader may find wrong with them."""

from __future__ import annotations

import struct
import zlib
from functools import reduce
from operator import xor
from typing import Any

# The second status byte of the ROM, with 1 before it ...
FORMAT, FAILED, CHECKSUM, INFLATE, ADLER = 0x05, 0x06, 0x07, 0x0B, 0x0C
# ... and the first one of the stub.
BAD_LENGTH, BAD_CHECKSUM, NOT_BEGUN = 0xC0, 0xC1, 0xC6
BAD_DEFLATE, NOT_ENOUGH, TOO_MUCH, UNKNOWN = 0xC7, 0xC8, 0xC9, 0xFF
_OF_STUB = {
    FORMAT: BAD_LENGTH,
    FAILED: NOT_BEGUN,
    CHECKSUM: BAD_CHECKSUM,
    INFLATE: BAD_DEFLATE,
    ADLER: BAD_DEFLATE,
}


class Refused(Exception):
    """The command failed, for that `reason`."""

    def __init__(self, reason: int):
        super().__init__(f"{reason:#x}")
        self.reason = reason

    def status(self, stub: bool) -> bytes:
        """The two status bytes."""
        reason = _OF_STUB.get(self.reason, self.reason) if stub else self.reason
        return bytes((reason, 0)) if stub else bytes((1, reason))


class Transfer:
    """`size` bytes for `address` in `blocks` blocks. `erased`: all of flash up to there is."""

    def __init__(self, address: int, size: int, blocks: int, block_size: int, compressed: bool = False):
        self.address = address
        self.size = size
        self.block_size = block_size
        self.inflate: Any = zlib.decompressobj() if compressed else None
        self.erased = 0
        self.written = 0
        self._blocks = blocks
        self._next = 0

    def take(self, data: bytes, check: int, full: bool = False) -> bytes:
        """The block in a command, if it is whole (`full`: and of full size) and the next one. The one before
        may come once more, since its answer may be lost; compressed it may not. Raises Refused."""
        size, number, _, _ = struct.unpack_from("<IIII", data)
        block = data[16:]
        if len(block) != size or size > self.block_size or (full and size < self.block_size):
            raise Refused(FORMAT)
        if reduce(xor, block, 0xEF) != check & 0xFF:
            raise Refused(CHECKSUM)
        if number == self._next - 1 and self.inflate is None:
            self.written -= len(block)
        elif number != self._next or number >= self._blocks:
            raise Refused(FAILED)
        else:
            self._next += 1
        return block

    def plain(self, block: bytes) -> bytes:
        """What the block adds to what it was before compression. Raises Refused."""
        try:
            plain = bytes(self.inflate.decompress(block))
        except zlib.error as error:
            raise Refused(ADLER if "data check" in str(error) else INFLATE) from None
        if self.written + len(plain) > self.size:
            raise Refused(TOO_MUCH)
        return plain
