"""Mu-law of ITU-T G.711: 16 bits a sample to 8, and back.

G.711 codes 14 bits: the two lowest are dropped. A magnitude gets 33 added, so that the eight segments begin
at powers of two. A code is, with all bits inverted, the sign (1 is negative), three bits of segment, and the
four bits below the magnitude's highest one.
"""

import micropython

# The segment, by the upper 7 of the 15 bits of a magnitude: how many of them are used.
_SEGMENTS = b"\0\1\2\2" + b"\3" * 4 + b"\4" * 8 + b"\5" * 16 + b"\6" * 32 + b"\7" * 64


@micropython.viper
def encode(pcm: ptr16, pcm_off: int, out: ptr8, out_off: int, n: int) -> int:
    """Code ``n`` samples from sample ``pcm_off`` of ``pcm`` to ``out[out_off:][:n]``. Returns ``n``.

    ``pcm`` is int16 in the machine's order.
    """
    segments = ptr8(_SEGMENTS)
    end = pcm_off + n
    out_off -= pcm_off
    while pcm_off < end:
        # The magnitude in 16 bits, with 4 * 33 added.
        sample = pcm[pcm_off]
        inverted = 255
        if sample >= 32768:
            # 65536 - sample, and 3: dropping bits of a negative number makes its magnitude larger.
            sample = 65671 - sample
            inverted = 127
        else:
            sample += 132
        if sample > 32767:
            sample = 32767
        segment = segments[sample >> 8]
        out[out_off + pcm_off] = ((segment << 4) | ((sample >> (segment + 3)) & 15)) ^ inverted
        pcm_off += 1
    return n


@micropython.viper
def decode(codes: ptr8, off: int, n: int, pcm: ptr16, pcm_off: int) -> int:
    """Decode ``codes[off:][:n]`` to ``n`` samples from sample ``pcm_off`` of ``pcm`` on. Returns ``n``."""
    end = off + n
    pcm_off -= off
    while off < end:
        code = codes[off] ^ 255
        # The middle of the interval.
        sample = ((((code & 15) << 3) + 132) << ((code >> 4) & 7)) - 132
        if code & 128:
            sample = 0 - sample
        pcm[pcm_off + off] = sample
        off += 1
    return n
