"""Samples and bytes: copying, and how loud it is.

``pcm`` buffers are int16 in the machine's order, counted in samples.
"""

import micropython


@micropython.viper
def copy(dst: ptr8, dst_off: int, src: ptr8, src_off: int, n: int):
    """``dst[dst_off:][:n] = src[src_off:][:n]`` (bytes) without the slices, which allocate.

    Within one buffer, only towards lower offsets.
    """
    src_off -= dst_off
    n += dst_off
    while n - dst_off:
        dst[dst_off] = src[dst_off + src_off]
        dst_off += 1


@micropython.viper
def peak(pcm: ptr16, n: int) -> int:
    """Largest magnitude of ``n`` samples, 0..32767; that of -32768 counts as 32767."""
    top = 0
    while n:
        n -= 1
        sample = pcm[n]
        if sample >> 15:
            sample = 65536 - sample
        if (top - sample) >> 31:
            top = sample
    if top > 32767:
        top = 32767
    return top


@micropython.viper
def mean_square(pcm: ptr16, n: int) -> int:
    """Mean of the squares of ``n`` samples, rounded down, at most 2**30-1. ``n`` is 0..16384.

    A square has up to 31 bits, so their sum is kept in two words of 15 bits and up: exact, and within
    31 bits for 16384 samples. 2**30 (nothing but -32768) is cut, it would be a heap object.
    """
    if n <= 0:
        return 0
    count = n
    high = 0
    low = 0
    while n:
        n -= 1
        sample = (pcm[n] ^ 32768) - 32768
        sample *= sample
        high += sample >> 15
        low += sample & 32767
    mean = ((high // count) << 15) + ((((high % count) << 15) + low) // count)
    if mean > 0x3FFFFFFF:
        mean = 0x3FFFFFFF
    return mean


@micropython.viper
def _root(x: int) -> int:
    # Bit by bit; 1 << 28 is the highest power of four below 2**30.
    root = 0
    bit = 0x10000000
    while bit:
        if x >= root + bit:
            x -= root + bit
            root = (root >> 1) + bit
        else:
            root >>= 1
        bit >>= 2
    return root


def rms(pcm, n):
    """Root mean square of ``n`` samples (0..16384), rounded down, 0..32767: for a level meter."""
    return _root(mean_square(pcm, n))
