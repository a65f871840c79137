"""16 kHz to 8 kHz: a half-band low-pass filter that keeps every second sample.

Every second tap of a half-band filter is zero, and so is half of the work. 31 taps, symmetrical:
flat within 0.1 dB to 3.2 kHz, 6 dB down at 4 kHz, at least 50 dB down from 4.8 kHz on, 15 samples late.
"""

from array import array

import micropython
from micropython import const

HISTORY = const(30)
"""Samples before a block that the filter looks back on."""

# sin(x) / x at the odd distances 15, 13, ... 1 from the middle, under a Kaiser window (beta 4.6), times
# 16384 and scaled to a gain of exactly 1 at 0 Hz with the middle tap of 8192.
_TAPS = array("h", (-18, 59, -135, 261, -468, 828, -1602, 5171))


@micropython.viper
def decimate(src: ptr16, dst: ptr16, n: int):
    """``n`` samples at half the rate into ``dst`` from ``HISTORY + 2 * n`` samples of ``src``.

    Both are int16 in the machine's order and must not overlap. Sums stay below 2**30: the magnitudes of
    the taps add up to less than 2**15.
    """
    taps = ptr16(_TAPS)
    i = 0
    while i < n:
        at = i + i
        # (x ^ 0x8000) - 0x8000 gives an unsigned load its sign back.
        total = ((src[at + 15] ^ 32768) - 32768) * 8192 + 8192
        k = 0
        while k < 8:
            pair = (src[at + k + k] ^ 32768) + (src[at + 30 - k - k] ^ 32768) - 65536
            total += ((taps[k] ^ 32768) - 32768) * pair
            k += 1
        total >>= 14
        if total > 32767:
            total = 32767
        if total < -32768:
            total = -32768
        dst[i] = total
        i += 1
