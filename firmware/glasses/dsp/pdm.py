"""Bits of a PDM microphone to samples: 1024 kHz to 16 kHz, in three filters that only together are flat.

First 128 taps, every 32nd output. A byte of eight bits is eight taps added or not, so all 256 sums of them
are in a table. Four bytes make an output, each output needs the last 16, so a byte is part of four outputs:
two of its sums are in one word of a table, 16 bits each, and two look-ups a byte do all. What the next three
outputs have got so far waits in two words. The taps are whole numbers, none negative: nothing is rounded.

Then a half-band filter at 32 kHz, 31 taps, every second output; then y = x - x' / 8, which lifts what the
first one has let droop. Up to there all is exact in 31 bits; a gain takes lower ones of these.

Within 0.8 dB to 6.5 kHz; what is beyond 9.5 kHz comes out 60 dB down and more. The taps were found by
`host_tools/lunette/design/pdm.py`.
"""

from array import array

import micropython
from micropython import const

_FRAME_BYTES = const(2560)
_FRAME_MIDDLE = const(640)  # samples at 32 kHz
_HISTORY = const(30)
_SETTLE = const(160)  # bytes: more than all filters look back on

# The outer half of the first filter, from its end to its middle.
# fmt: off
_TAPS = array("H", (
    1, 2, 3, 5, 7, 9, 11, 14, 18, 22, 28, 34, 40, 47, 56, 65,
    75, 86, 99, 113, 128, 144, 162, 181, 201, 222, 245, 269, 295, 322, 350, 380,
    410, 441, 474, 507, 541, 576, 612, 648, 684, 721, 756, 792, 829, 864, 898, 933,
    966, 999, 1029, 1058, 1086, 1112, 1135, 1157, 1177, 1195, 1211, 1224, 1234, 1241, 1247, 1249,
))
# fmt: on
_CENTRE = const(9471)
_TAP_1 = const(5983)
_TAP_3 = const(-1882)
_TAP_5 = const(997)
_TAP_7 = const(-595)
_TAP_9 = const(349)
_TAP_11 = const(-212)
_TAP_13 = const(95)
_TAP_15 = const(-72)
# The sum before the output's last division, for as many ones as zeros.
_MIDDLE = const(536842320)
# What is kept of the last sum is negative in turn, and a ptr32 load is unsigned.
_BIAS = const(0x10000000)


@micropython.viper
def build(tables: ptr32, taps: ptr16):
    """The ``tables`` (8 of 256 words) from the outer half of 128 ``taps``.

    Four for the bytes of a word in the order of time, with what a byte adds to this output and, in the upper
    half, to the one after the next; then four for the next one and the one after the next two. Every entry is
    made of one that has a bit less.
    """
    byte = 0
    while byte < 32:
        base = byte << 5
        tables[base] = 0
        tables[base + 1024] = 0
        step = 1
        tap = byte + 7  # a byte's highest bit is the first in time
        while step < 256:
            this = taps[31 - tap] + (taps[tap + 32] << 16)
            other = taps[63 - tap] + (taps[tap] << 16)
            at = base
            end = base + step
            while at < end:
                tables[at + step] = tables[at] + this
                tables[at + step + 1024] = tables[at + 1024] + other
                at += 1
            step += step
            tap -= 1
        byte += 8


@micropython.viper
def first(byte: int, this: int, raw: ptr8, out: ptr16, at: int, n: int, tables: ptr32, state: ptr32):
    """``n`` bytes of ``raw`` (a multiple of 8) to ``out[at:][:n // 4]``, 0 to the sum of the taps, at 32 kHz.

    ``raw`` is as the I2S driver has it: little-endian words whose highest bit is the first in time.
    ``state`` holds the two words of sums that are not complete. ``byte`` and ``this`` are scratch: the first
    two names live in registers.
    """
    now0 = ptr32(int(tables))
    now1 = ptr32(int(tables) + 1024)
    now2 = ptr32(int(tables) + 2048)
    now3 = ptr32(int(tables) + 3072)
    next0 = ptr32(int(tables) + 4096)
    next1 = ptr32(int(tables) + 5120)
    next2 = ptr32(int(tables) + 6144)
    next3 = ptr32(int(tables) + 7168)
    this = state[0]
    other = state[1]
    out = ptr16(int(out) + at + at)
    end = int(raw) + n
    while end - int(raw):
        byte = raw[3]
        this = now0[byte] + this
        other = next0[byte] + other
        byte = raw[2]
        this = now1[byte] + this
        other = next1[byte] + other
        byte = raw[1]
        this = now2[byte] + this
        other = next2[byte] + other
        byte = raw[0]
        this = now3[byte] + this
        other = next3[byte] + other
        out[0] = this
        # The upper half becomes the lower one, and the two words change places: the names do.
        this >>= 16
        byte = raw[7]
        other = now0[byte] + other
        this = next0[byte] + this
        byte = raw[6]
        other = now1[byte] + other
        this = next1[byte] + this
        byte = raw[5]
        other = now2[byte] + other
        this = next2[byte] + this
        byte = raw[4]
        other = now3[byte] + other
        this = next3[byte] + this
        out[1] = other
        other >>= 16
        out = ptr16(int(out) + 4)
        raw = ptr8(int(raw) + 8)
    state[0] = this
    state[1] = other


@micropython.viper
def second(middle: ptr16, total: int, pcm: ptr16, n: int, state: ptr32, up: int) -> int:
    """Half-band and lift: ``n`` (even) samples behind 30 of history in ``middle`` to ``n // 2`` of ``pcm``.

    ``up`` is the gain in bits, 0 to 13. A sample beyond int16 becomes the largest or the smallest; returns
    how many did. ``state[2]`` holds an eighth of the last sum. Leaves the last 30 samples of ``middle`` as
    its first. ``total`` is scratch: the first two names live in registers.
    """
    begin = ptr16(int(middle))
    last = state[2] - _BIAS
    down = 14 - up
    level = _MIDDLE - ((1 << down) >> 1)  # rounds
    clipped = 0
    end = int(middle) + n + n
    while end - int(middle):
        # Samples are positive, up to 65535, and the taps' magnitudes add up to less than 2**15.
        total = middle[15] * _CENTRE
        total = (middle[14] + middle[16]) * _TAP_1 + total
        total = (middle[12] + middle[18]) * _TAP_3 + total
        total = (middle[10] + middle[20]) * _TAP_5 + total
        total = (middle[8] + middle[22]) * _TAP_7 + total
        total = (middle[6] + middle[24]) * _TAP_9 + total
        total = (middle[4] + middle[26]) * _TAP_11 + total
        total = (middle[2] + middle[28]) * _TAP_13 + total
        total = (middle[0] + middle[30]) * _TAP_15 + total
        eighth = total >> 3
        total = (total - last - level) >> down
        last = eighth
        if (total + 32768) >> 16:
            total = 32767 ^ (total >> 31)
            clipped += 1
        pcm[0] = total
        pcm = ptr16(int(pcm) + 2)
        middle = ptr16(int(middle) + 4)
    state[2] = last + _BIAS
    total = 0
    while total < _HISTORY:
        begin[total] = middle[total]
        total += 1
    return clipped


class Pdm:
    """`run` turns frames of the I2S driver (2560 bytes: 32 bits, stereo) into 320 samples, int16 in the
    machine's order, 8 samples late."""

    def __init__(self):
        self._tables = array("I", bytes(8192))
        self._middle = array("H", bytes(2 * (_HISTORY + _FRAME_MIDDLE)))
        self._state = array("I", bytes(12))
        build(self._tables, _TAPS)
        self._silence = b"\x55" * _SETTLE
        self.reset()

    def reset(self):
        """As if it had been silent before: as many ones as zeros, not all zeros, which are full scale."""
        self._state[0] = self._state[1] = 0
        self._state[2] = _BIAS
        first(0, 0, self._silence, self._middle, _HISTORY, _SETTLE, self._tables, self._state)
        second(self._middle, 0, self._middle, _SETTLE // 4, self._state, 0)

    def run(self, raw, pcm, up):
        """The next frame, with a gain of `up` times 6 dB. Returns how many samples were too loud."""
        first(0, 0, raw, self._middle, _HISTORY, _FRAME_BYTES, self._tables, self._state)
        return second(self._middle, 0, pcm, _FRAME_MIDDLE, self._state, up)
