"""What an I2S microphone sends, to int16: 24 bits of 32, the first bit the highest.

A gain of ``up`` bits (6 dB each) takes the bits below the upper 16 in, where others throw them away: with 5
of them, all but 3 of the 24 are used.
"""

import micropython


@micropython.viper
def pick(raw: ptr32, word: int, pcm: ptr16, n: int, at: int, stereo: int, up: int) -> int:
    """``n`` samples (a multiple of 4) of channel ``at`` (0 left, 1 right) of ``raw`` to ``pcm``.

    Of each word the bits 31 - ``up`` to 16 - ``up``. ``raw`` is 32-bit words: left and right in turn with
    ``stereo`` 1, one channel with 0, and then ``at`` is 0. ``up`` is 0..8. What is below is cut off, towards
    minus infinity at every gain: with 0 these are the upper 16 bits, exactly. A sample beyond int16 becomes
    the largest or the smallest. Returns how many did. ``pcm`` may be where ``raw`` is.

    ``word`` is scratch: the first two names live in registers.
    """
    step = 4 << stereo
    down = 16 - up
    over = ((1 << up) - 1) << 16
    clipped = 0
    raw = ptr32(int(raw) + 4 * at)
    while n:
        # Unsigned: a negative load has no sign on a PC. Bit 15 + up is the sign now. In range, the bits from
        # 15 up are alike, and adding 1 to the lowest of them makes zeros of the others.
        word = int(uint(raw[0]) >> uint(down))
        if (word + 32768) & over:
            word = 32767 + (word >> (15 + up))
            clipped += 1
        pcm[0] = word
        raw = ptr32(int(raw) + step)
        word = int(uint(raw[0]) >> uint(down))
        if (word + 32768) & over:
            word = 32767 + (word >> (15 + up))
            clipped += 1
        pcm[1] = word
        raw = ptr32(int(raw) + step)
        word = int(uint(raw[0]) >> uint(down))
        if (word + 32768) & over:
            word = 32767 + (word >> (15 + up))
            clipped += 1
        pcm[2] = word
        raw = ptr32(int(raw) + step)
        word = int(uint(raw[0]) >> uint(down))
        if (word + 32768) & over:
            word = 32767 + (word >> (15 + up))
            clipped += 1
        pcm[3] = word
        raw = ptr32(int(raw) + step)
        pcm = ptr16(int(pcm) + 8)
        n -= 4
    return clipped
