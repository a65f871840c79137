"""Frames in a file: records of ``index u32, size u16, crc32 u32`` (little-endian), which is the CRC of index,
size and frame, and the frame.

Half a recording is kept as that, and the whole of one that cannot be decoded (``.frames``).
"""

from __future__ import annotations

import struct
import zlib

_HEAD = struct.Struct("<IHI")


def pack(index: int, frame: bytes) -> bytes:
    """One record."""
    head = struct.pack("<IH", index, len(frame))
    return head + struct.pack("<I", zlib.crc32(frame, zlib.crc32(head))) + frame


def unpack(data: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """(index, frame) of each record up to the first that is not whole, and how many bytes they take: a file
    that was being written when its program, or the computer, stopped may end in anything."""
    found = []
    at = 0
    while at + _HEAD.size <= len(data):
        index, size, check = _HEAD.unpack_from(data, at)
        frame = data[at + _HEAD.size : at + _HEAD.size + size]
        if len(frame) < size or zlib.crc32(frame, zlib.crc32(data[at : at + 6])) != check:
            break
        found.append((index, frame))
        at += _HEAD.size + size
    return found, at
