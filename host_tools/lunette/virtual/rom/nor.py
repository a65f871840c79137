"""Serial NOR flash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

SECTOR = 4096
_WINBOND = 0xEF, 0x40


class NorFlash:
    """`size` bytes, a power of two: erased to ones by sectors of 4 KB, programmed by clearing bits.

    `content` is what it holds at first, ones without it. Sectors (numbers) in `bad` keep what they hold.
    `erases` counts sectors, `programmed` bytes.
    """

    def __init__(self, size: int, content: bytes = b"", bad: Collection[int] = ()):
        if size & (size - 1) or not SECTOR <= size <= 1 << 24:
            raise ValueError(f"flash of {size} bytes: a power of two, 4 KB to 16 MB")
        if len(content) > size:
            raise ValueError(f"{len(content)} bytes do not fit {size}")
        self.data = bytearray(content.ljust(size, b"\xff"))
        self.bad = frozenset(bad)
        self.erases = 0
        self.programmed = 0

    def __len__(self) -> int:
        return len(self.data)

    @property
    def jedec_id(self) -> int:
        """As command 0x9F gives it, the manufacturer in the lowest byte."""
        return _WINBOND[0] | _WINBOND[1] << 8 | (len(self.data).bit_length() - 1) << 16

    def erase(self, address: int, size: int) -> None:
        """Erase every sector that has one of these bytes. Raises ValueError beyond the end."""
        self._check(address, size)
        for sector in range(address // SECTOR, -(-(address + size) // SECTOR)):
            self.erases += 1
            if sector not in self.bad:
                self.data[sector * SECTOR : (sector + 1) * SECTOR] = b"\xff" * SECTOR

    def program(self, address: int, data: bytes) -> None:
        """Clear the bits that are clear in `data`. Raises ValueError beyond the end."""
        self._check(address, len(data))
        self.programmed += len(data)
        at = 0
        while at < len(data):
            sector = (address + at) // SECTOR
            piece = data[at : at + SECTOR - (address + at) % SECTOR]
            if sector not in self.bad:
                here = slice(address + at, address + at + len(piece))
                both = int.from_bytes(self.data[here], "big") & int.from_bytes(piece, "big")
                self.data[here] = both.to_bytes(len(piece), "big")
            at += len(piece)

    def read(self, address: int, size: int) -> bytes:
        """Raises ValueError beyond the end."""
        self._check(address, size)
        return bytes(self.data[address : address + size])

    def md5(self, address: int, size: int) -> bytes:
        """Digest of what is there, 16 bytes. Raises ValueError beyond the end."""
        return hashlib.md5(self.read(address, size), usedforsecurity=False).digest()

    def _check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > len(self.data):
            raise ValueError(f"{size} bytes at {address:#x} are beyond {len(self.data):#x}")
