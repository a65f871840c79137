"""What an I2S microphone sends, to int16: 24 bits of 32, the first bit the highest.

A gain of ``up`` bits (6 dB each) takes the bits below the upper 16 in, where others throw them away: with 5
of them, all but 3 of the 24 are used.
"""

import micropython


@micropython.viper
def pick(at: int, word: int, raw: ptr32, pcm: ptr16, n: int, stereo: int, up: int) -> int:
    """``n`` samples of channel ``at`` (0 left, 1 right) of ``raw`` to ``pcm``.

    Of each word the bits 31 - ``up`` to 16 - ``up``. ``raw`` is 32-bit words: left and right in turn with
    ``stereo`` 1, one channel with 0, and then ``at`` is 0. ``up`` is 0..8. What is below is cut off, towards
    minus infinity at every gain: with 0 these are the upper 16 bits, exactly. A sample beyond int16 becomes
    the largest or the smallest. Returns how many did.

    ``word`` has no meaning: it is a parameter because the first two live in registers.
    """
    end = n << stereo
    step = 1 << stereo
    down = 16 - up
    over = ((1 << up) - 1) << 16
    clipped = 0
    while at < end:
        # Unsigned: a negative load has no sign on a PC. Bit 15 + up is the sign now.
        word = int(uint(raw[at]) >> uint(down))
        # In range, the bits from 15 up are alike, and adding 1 to the lowest makes zeros of the others.
        if (word + 32768) & over:
            word = 32767 + (word >> (15 + up))
            clipped += 1
        pcm[at >> stereo] = word
        at += step
    return clipped
