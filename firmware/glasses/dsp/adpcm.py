"""IMA ADPCM, 16 bits a sample to 4, as DVI4 of RFC 3551 section 4.5.1.

A frame can be decoded by itself. It is 4 + n/2 bytes for n samples (n even):

======  ============================================================================
0..1    predictor before the first sample, int16, big-endian
2       step index before the first sample, 0..88
3       reserved, 0
4..     two samples a byte, the first one in the high four bits
======  ============================================================================

The predictor and the step index carry over from frame to frame in a ``state`` of 4 bytes: predictor
int16 little-endian, step index, spare. All zero is the start of a stream.
"""

from array import array

import micropython
from micropython import const

FRAME_SAMPLES = const(320)
"""Samples of a frame: 20 ms at 16 kHz."""

FRAME_BYTES = const(164)
"""Bytes of a frame of `FRAME_SAMPLES`."""

# The step table of the IMA Digital Audio Focus and Technical Working Groups (1992), as in RFC 3551.
# fmt: off
_STEPS = array("H", (
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55,
    60, 66, 73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307,
    337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411,
    1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358,
    5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500,
    20350, 22385, 24623, 27086, 29794, 32767,
))
# fmt: on
_MAX_INDEX = const(88)

# What both directions look up, by ``8 * step index + code`` without its sign: how much the predictor changes
# (the parts of the step that the code's bits stand for, each cut off, as the decoder adds them up), and the
# step index after it. 2.1 KB; without them it takes twice as many instructions.
_CHANGES = array("H", bytes(2 * 8 * 89))
_AFTER = bytearray(8 * 89)


@micropython.viper
def _fill(steps: ptr16, changes: ptr16, after: ptr8):
    i = 0
    while i < 712:
        step = steps[i >> 3]
        change = step >> 3
        index = (i >> 3) - 1
        if i & 4:
            change += step
            index += 3 + ((i & 3) << 1)
        if i & 2:
            change += step >> 1
        if i & 1:
            change += step >> 2
        if index < 0:
            index = 0
        if index > _MAX_INDEX:
            index = _MAX_INDEX
        changes[i] = change
        after[i] = index
        i += 1


_fill(_STEPS, _CHANGES, _AFTER)


def reset(state):
    """Make ``state`` (bytearray of 4) the start of a stream."""
    state[0] = state[1] = state[2] = state[3] = 0


def encode(pcm, pcm_off, out, out_off, n, state):
    """Code ``n`` samples (even) from sample ``pcm_off`` of ``pcm`` into one frame at ``out[out_off:]``.

    ``pcm`` is int16 in the machine's order. Moves ``state`` on. Returns the frame's bytes, 4 + n // 2.
    """
    return encode_frame(0, 0, pcm, pcm_off, out, out_off, pcm_off + n, state) - out_off


@micropython.viper
def encode_frame(row: int, d: int, pcm: ptr16, i: int, out: ptr8, o: int, end: int, state: ptr8) -> int:
    """``pcm[i:end]`` to a frame at ``out[o:]``; returns where it ends. ``row`` and ``d`` are scratch: the
    first two names live in registers.

    The predictor is kept with 32768 added, so that neither it nor a sample needs a sign. A test for not
    zero is one instruction where a comparison is five, so what is compared is shifted down to its sign.
    """
    changes = ptr16(_CHANGES)
    after = ptr8(_AFTER)
    row = state[2]
    if row > _MAX_INDEX:
        row = _MAX_INDEX
    out[o] = state[1]
    out[o + 1] = state[0]
    out[o + 2] = row
    out[o + 3] = 0
    o += 4
    predictor = (state[0] | (state[1] << 8)) ^ 32768
    row <<= 3
    while end - i:
        d = (pcm[i] ^ 32768) - predictor
        i += 1
        sign = d >> 31
        # Of the codes the largest whose change is not above it; both have the same eighth of a step on top.
        d = changes[row] + (d ^ sign) - sign + 1
        if (changes[row + 4] - d) >> 31:
            row += 4
        if (changes[row + 2] - d) >> 31:
            row += 2
        if (changes[row + 1] - d) >> 31:
            row += 1
        high = ((row & 7) | (sign & 8)) << 4
        predictor += (changes[row] ^ sign) - sign
        if predictor >> 16:
            predictor = (predictor >> 31) & 65535 ^ 65535
        row = after[row] << 3

        d = (pcm[i] ^ 32768) - predictor
        i += 1
        sign = d >> 31
        d = changes[row] + (d ^ sign) - sign + 1
        if (changes[row + 4] - d) >> 31:
            row += 4
        if (changes[row + 2] - d) >> 31:
            row += 2
        if (changes[row + 1] - d) >> 31:
            row += 1
        out[o] = high | (row & 7) | (sign & 8)
        o += 1
        predictor += (changes[row] ^ sign) - sign
        if predictor >> 16:
            predictor = (predictor >> 31) & 65535 ^ 65535
        row = after[row] << 3
    state[0] = predictor & 255
    state[1] = (predictor >> 8) ^ 128
    state[2] = row >> 3
    return o


def decode(frame, off, nbytes, pcm, pcm_off):
    """Decode the frame ``frame[off : off + nbytes]`` to samples from ``pcm_off`` of ``pcm`` on.

    Returns the number of samples, 2 * (nbytes - 4); 0 if the frame has no more than a header. A step
    index above 88 counts as 88: frames come from outside.
    """
    if nbytes <= 4:
        return 0
    return decode_frame(0, 0, frame, off, off + nbytes, pcm, pcm_off) - pcm_off


@micropython.viper
def decode_frame(row: int, code: int, frame: ptr8, at: int, end: int, pcm: ptr16, i: int) -> int:
    """``frame[at:end]`` to samples at ``pcm[i:]``; returns where they end. The first two are scratch."""
    changes = ptr16(_CHANGES)
    after = ptr8(_AFTER)
    predictor = ((frame[at] << 8) | frame[at + 1]) ^ 32768
    row = frame[at + 2]
    if row > _MAX_INDEX:
        row = _MAX_INDEX
    row <<= 3
    at += 4
    while end - at:
        code = frame[at]
        at += 1
        row += (code >> 4) & 7
        sign = 0 - (code >> 7)
        predictor += (changes[row] ^ sign) - sign
        if predictor >> 16:
            predictor = (predictor >> 31) & 65535 ^ 65535
        pcm[i] = predictor ^ 32768
        i += 1
        row = (after[row] << 3) + (code & 7)
        sign = 0 - ((code >> 3) & 1)
        predictor += (changes[row] ^ sign) - sign
        if predictor >> 16:
            predictor = (predictor >> 31) & 65535 ^ 65535
        pcm[i] = predictor ^ 32768
        i += 1
        row = after[row] << 3
    return i
