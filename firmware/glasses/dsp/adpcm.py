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


def reset(state):
    """Make ``state`` (bytearray of 4) the start of a stream."""
    state[0] = state[1] = state[2] = state[3] = 0


@micropython.viper
def encode(pcm: ptr16, pcm_off: int, out: ptr8, out_off: int, n: int, state: ptr8) -> int:
    """Code ``n`` samples (even) from sample ``pcm_off`` of ``pcm`` into one frame at ``out[out_off:]``.

    ``pcm`` is int16 in the machine's order. Moves ``state`` on. Returns the frame's bytes, 4 + n // 2.
    """
    steps = ptr16(_STEPS)
    index = state[2]
    if index > _MAX_INDEX:
        index = _MAX_INDEX
    o = out_off
    out[o] = state[1]
    out[o + 1] = state[0]
    out[o + 2] = index
    out[o + 3] = 0
    o += 4
    predictor = state[0] | (state[1] << 8)
    if predictor >= 32768:
        predictor -= 65536
    high = 0
    i = 0
    while i < n:
        diff = pcm[pcm_off + i]
        if diff >= 32768:
            diff -= 65536
        diff -= predictor
        sign = 0
        if diff < 0:
            sign = 8
            diff = 0 - diff
        step = steps[index]
        # The sum of truncated parts, not a multiplication: it is what the decoder adds up.
        change = step >> 3
        code = 0
        if diff >= step:
            code = 4
            diff -= step
            change += step
        step >>= 1
        if diff >= step:
            code |= 2
            diff -= step
            change += step
        step >>= 1
        if diff >= step:
            code |= 1
            change += step
        if sign:
            predictor -= change
            if predictor < -32768:
                predictor = -32768
        else:
            predictor += change
            if predictor > 32767:
                predictor = 32767
        if code < 4:
            index -= 1
            if index < 0:
                index = 0
        else:
            index += code + code - 6
            if index > _MAX_INDEX:
                index = _MAX_INDEX
        code |= sign
        if i & 1:
            out[o] = high | code
            o += 1
        else:
            high = code << 4
        i += 1
    state[0] = predictor & 255
    state[1] = (predictor >> 8) & 255
    state[2] = index
    return o - out_off


@micropython.viper
def decode(frame: ptr8, off: int, nbytes: int, pcm: ptr16, pcm_off: int) -> int:
    """Decode the frame ``frame[off : off + nbytes]`` to samples from ``pcm_off`` of ``pcm`` on.

    Returns the number of samples, 2 * (nbytes - 4); 0 if the frame has no more than a header. A step
    index above 88 counts as 88: frames come from outside.
    """
    steps = ptr16(_STEPS)
    predictor = (frame[off] << 8) | frame[off + 1]
    if predictor >= 32768:
        predictor -= 65536
    index = frame[off + 2]
    if index > _MAX_INDEX:
        index = _MAX_INDEX
    n = (nbytes - 4) * 2
    i = 0
    while i < n:
        code = frame[off + 4 + (i >> 1)]
        if i & 1:
            code &= 15
        else:
            code >>= 4
        step = steps[index]
        change = step >> 3
        if code & 4:
            change += step
        if code & 2:
            change += step >> 1
        if code & 1:
            change += step >> 2
        if code & 8:
            predictor -= change
            if predictor < -32768:
                predictor = -32768
        else:
            predictor += change
            if predictor > 32767:
                predictor = 32767
        code &= 7
        if code < 4:
            index -= 1
            if index < 0:
                index = 0
        else:
            index += code + code - 6
            if index > _MAX_INDEX:
                index = _MAX_INDEX
        pcm[pcm_off + i] = predictor
        i += 1
    return i
