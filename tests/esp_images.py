"""MicroPython images for ESP32 chips: small, of the real form, and with nothing in them that runs.

The format is that of ESP-IDF's programming guide ("App Image Format", "Partition Tables").
"""

from __future__ import annotations

import hashlib
import random
import struct
from functools import reduce
from operator import xor

IDS = {"esp32": 0, "esp32s3": 9, "esp32c3": 5}
OFFSETS = {"esp32": 0x1000, "esp32s3": 0, "esp32c3": 0}
_RAM = {"esp32": 0x3FFB0000, "esp32s3": 0x3FC90000, "esp32c3": 0x3FC90000}


def part(chip: str, payload: bytes, flash_mb: int = 4, digest: bool = True) -> bytes:
    """A boot loader or an application with one segment, and its SHA-256 after it."""
    payload += bytes(-len(payload) % 4)
    size = flash_mb.bit_length() - 1 << 4
    data = struct.pack("<BBBBI", 0xE9, 1, 2, size, _RAM[chip])
    data += struct.pack("<B3sHBHH4sB", 0xEE, b"", IDS[chip], 0, 0, 0xFFFF, b"", digest)
    data += struct.pack("<II", _RAM[chip], len(payload)) + payload
    data += bytes(15 - len(data) % 16) + bytes((reduce(xor, payload, 0xEF),))
    return data + (hashlib.sha256(data).digest() if digest else b"")


def image(chip: str, size: int = 0x12000, flash_mb: int = 4) -> bytes:
    """About `size` bytes, half of them such that they do not compress."""
    offset = OFFSETS[chip]
    noise = random.Random(chip).randbytes(4096)
    entries = [(1, 2, 0x9000, 0x6000, b"nvs"), (1, 1, 0xF000, 0x1000, b"phy_init")]
    entries += [(0, 0, 0x10000, 0x1F0000, b"factory")]
    table = b"".join(struct.pack("<HBBII16sI", 0x50AA, *entry, 0) for entry in entries)
    data = part(chip, noise, flash_mb).ljust(0x8000 - offset, b"\xff") + table
    data = data.ljust(0x10000 - offset, b"\xff")
    rest = size - len(data) - 128
    return data + part(chip, (noise * (rest // 8192 + 1))[: rest // 2] + bytes(rest - rest // 2), flash_mb)
