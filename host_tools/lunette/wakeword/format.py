"""The file of a wake word's model that the glasses run (`firmware/glasses/wakeword/network.py` reads it).

All little-endian, every part at a multiple of 4 bytes. Numbers of the network are bytes without a sign: those
of the model plus 128.

    head    "LuWW"; version 1 u8; rows u8, bands u8: what a step is given; cutoff u8, of 255;
            length of the file u32; CRC-32 u32 of all but itself; arena u16, sums u16: how many bytes and
            words the network works in; rings u8, operations u8, window u8: of how many steps' results the
            mean counts; phrase u8: the bytes of what follows, the words it hears, in UTF-8
    rings   at u16, slots u16, channels u16, 0 u16; each
    operations, each with its data after it: kind u8, bits u8, nine u16

A ring holds the newest bytes of its channels: 2 x slots bytes a channel, in which each byte is stored twice,
`slots` apart, so that the newest are always next to each other.

    kind          u16                                    data
    1 INPUT       at, count                              none
      the step's inputs to arena[at] and on
    2 SLIDE       at, size, by                           none
      arena[at .. at + size] moves down by so many bytes
    3 DENSE       at, inputs, outputs                    inputs x outputs weights
      adds weighted sums of arena[at ..] to sum 0 and on; inputs a multiple of 8. Weights: of 64 inputs
      those of the first output, of the second, ...; then of the next 64; what remains, 8 inputs at a time
    4 SPARSE      at, inputs, outputs, first             inputs x outputs weights
      stores such sums, from `first` on, skipping inputs that are 0; inputs a multiple of 4, outputs of 16.
      Weights: for 16 outputs those of the first input, of the second, ...; then for the next 16
    5 DEPTHWISE   ring, taps, first                      channels x taps weights
      adds those of the newest `taps` of each channel to sum `first` and on; taps a multiple of 4, up to 32,
      and at most 3 more than slots: then the first weights are 0 (that is 128). Weights: of each channel the
      first 16 if there are more, then of each what remains; and both times 2**20 is added
    6 GATHER      count                                  none
      sum 0 becomes the sum of the first `count`
    7 SCALE       first, count, zero, at, away           count records of 12 bytes
      sums become bytes, arena[at] and on, and then 0; count is even if not `away`. `bits` are those of a
      factor's part. Record: add u32, factor 3 x u16, shift u16
    8 REMEMBER    first, zero, ring                      channels records
      the same, to the ring's next slot
    9 TABLE       at                                     256 bytes
      the last: the result is what the table has for arena[at]

SCALE, in numbers of any size: a = sum + add - 2**29 - 128 x inputs, where `inputs` is the sum of those of the
last DENSE or SPARSE, and 0 after DEPTHWISE; factor = (f0 << 2 bits) + (f1 << bits) + f2;
x = (a factor + 2**(3 bits - 1)) >> 2 bits, less 2**bits if `away` and a < 0;
byte = ((x >> shift) + zero) >> 1, at least 0 and at most 255.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

MAGIC, VERSION = b"LuWW", 1
HEAD = struct.Struct("<4s4BIIHH4B")
_CRC_AT = 12
RING = struct.Struct("<4H")
OPERATION = struct.Struct("<2B9H")
FACTOR = struct.Struct("<I4H")

INPUT, SLIDE, DENSE, SPARSE, DEPTHWISE, GATHER, SCALE, REMEMBER, TABLE = range(1, 10)

PAD = 4
"""Bytes at the arena's beginning that nothing is stored to: taps that the first ring does not have are there.
"""
ADDED = 1 << 29
"""What a record's `add` has more than it adds."""
DEPTHWISE_ADDED = 1 << 20
BLOCKS = (64, 8)
SPARSE_OUTPUTS = 16
MAX_FLAT = 128
MAX_PHRASE = 40
MAX_TAPS = 32


@dataclass(frozen=True)
class Ring:
    at: int
    slots: int
    channels: int


@dataclass(frozen=True)
class Operation:
    kind: int
    numbers: tuple[int, ...]
    data: bytes = b""
    bits: int = 0


@dataclass(frozen=True)
class Model:
    """As in the file. `cutoff` is of 255."""

    rows: int
    bands: int
    arena: int
    sums: int
    rings: tuple[Ring, ...]
    operations: tuple[Operation, ...]
    phrase: str = ""
    cutoff: int = 217
    window: int = 5


def write(model: Model) -> bytes:
    """The file. ValueError for what does not fit its fields."""
    phrase = model.phrase.encode()
    if len(phrase) > MAX_PHRASE:
        raise ValueError(f"a wake word of at most {MAX_PHRASE} bytes, not {len(phrase)}")
    parts = [_filled(phrase)]
    try:
        for ring in model.rings:
            parts.append(RING.pack(ring.at, ring.slots, ring.channels, 0))
        for one in model.operations:
            numbers = (*one.numbers, *[0] * (9 - len(one.numbers)))
            parts += [OPERATION.pack(one.kind, one.bits, *numbers), _filled(one.data)]
        size = HEAD.size + sum(map(len, parts))
        shape = (model.rows, model.bands, model.cutoff)
        counts = (len(model.rings), len(model.operations), model.window, len(phrase))
        head = HEAD.pack(MAGIC, VERSION, *shape, size, 0, model.arena, model.sums, *counts)
    except struct.error as error:
        raise ValueError(f"the model is too large for the glasses: {error}") from error
    return sealed(head + b"".join(parts))


def sealed(content: bytes) -> bytes:
    """The same file with the CRC-32 that it has to have."""
    made = bytearray(content)
    crc = zlib.crc32(made[_CRC_AT + 4 :], zlib.crc32(made[:_CRC_AT]))
    struct.pack_into("<I", made, _CRC_AT, crc)
    return bytes(made)


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def dense_weights(weights: list[list[int]]) -> bytes:
    """DENSE's data for rows of signed weights, one for each output; rows are filled up to a multiple of 8."""
    width = -(-len(weights[0]) // 8) * 8
    rows = [[*row, *[0] * (width - len(row))] for row in weights]
    made = bytearray()
    at = 0
    while at < width:
        size = next(block for block in BLOCKS if block <= width - at)
        for row in rows:
            made += bytes(weight + 128 for weight in row[at : at + size])
        at += size
    return bytes(made)


def sparse_weights(weights: list[list[int]]) -> bytes:
    """SPARSE's data; rows, of which there are sixteens, are filled up to a multiple of 4."""
    width = -(-len(weights[0]) // 4) * 4
    rows = [[*row, *[0] * (width - len(row))] for row in weights]
    made = bytearray()
    for first in range(0, len(rows), SPARSE_OUTPUTS):
        for column in zip(*rows[first : first + SPARSE_OUTPUTS], strict=True):
            made += bytes(weight + 128 for weight in column)
    return bytes(made)


def depthwise_weights(weights: list[list[int]]) -> bytes:
    """DEPTHWISE's data for rows of signed weights, one for each channel; a multiple of 4 in each."""
    parts = [[row[:16] for row in weights], [row[16:] for row in weights]]
    return bytes(weight + 128 for part in parts for row in part for weight in row)
