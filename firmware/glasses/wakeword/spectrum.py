"""From 30 ms of sound to the energies of its spectrum, bit for bit as TensorFlow's micro frontend has them.

480 samples are weighted by a raised cosine, shifted up until they fill 16 bits, filled up to 512 with zeros
and taken as 256 complex numbers. Four passes of radix 4, each dividing by 4, transform them; then the numbers
are taken apart into the bins of 512 real samples. The arithmetic is that of kiss_fft with 16 bits: to divide
is to multiply by 8191 or 16383 and to round to 15 bits, products are rounded as well, and sums that do not
fit 16 bits turn over. Such sums take sounds that grow as fast as the window fades.

Numbers in buffers have 32768 added, as in `dsp.fft`: real and imaginary parts have a buffer each, and so have
samples of even and of odd numbers. In all kernels ``r`` and ``x`` are what lives in registers: first a
parameter or nothing, then scratch. A pointer or an index there saves up to six instructions a load or store.
"""

from array import array

import micropython
from micropython import const

WINDOW = const(480)
"""Samples of a window (30 ms)."""

HOP = const(160)
"""Samples from one window to the next."""

NUMBERS = const(256)
"""Complex numbers of a transform."""

FIRST = const(5)
"""The first bin whose energy counts; bins are 31.25 Hz apart."""

END = const(241)
"""The bin after the last that counts."""

_ONE = 1 << 60


def _cosines(now, before, double, n):
    # cos(a + k d) for k < n, times 2 ** 60: from cos(a), cos(a - d) and 2 cos(d).
    for _ in range(n):
        yield now
        now, before = (now * double >> 60) - before, now


# Weights of even samples: 4096 (1 - cos(2 pi (i + 1/2) / 480)) / 2. Those of odd samples are the same
# backwards, but for sample 17: 53.49995 became 54 in floats, and its image 53 (`window`).
_HANN = array("H", bytes(480))
# cos(pi / 480), 2 cos(2 pi / 480)
for _at, _c in enumerate(_cosines(1152896810946828641, 1152896810946828641, 2305645462049135690, 480)):
    if not _at & 1:
        _HANN[_at >> 1] = (2048 * (_ONE - _c) + _ONE // 2) >> 60

# 32768 + 32767 cos(2 pi k / 512), for half of the circle. Minus the sine is the cosine a quarter on.
_COSINES = array("H", bytes(514))
# cos(2 pi / 512), and twice that
for _at, _c in enumerate(_cosines(_ONE, 1152834691737939372, 2305669383475878743, 257)):
    _COSINES[_at] = 32768 + ((32767 * _c + _ONE // 2) >> 60)

# Where number 4 n goes: its digits to base 4 backwards. The three numbers after it go 64 further each.
_PLACES = bytes((n & 3) << 4 | n & 12 | n >> 4 for n in range(64))


@micropython.viper
def window(r: ptr16, x: int, odd: ptr16, re: ptr16, im: ptr16, oldest: int) -> int:
    """Weighted samples of a window, of even numbers (``r``) and ``odd`` ones, in the order of the first pass.

    Of both, number ``oldest`` is the first of the window, a multiple of 4; after the last comes number 0.
    Returns by how many bits they may be shifted up, 0..15. -32768 does not count for that, and shifted it is
    0, as in 16 bits. A square has twice the bits of a number, whatever its sign.
    """
    weights = ptr16(_HANN)
    places = ptr8(_PLACES)
    weights[231] = 53
    first = int(r)
    end = first + 480
    r = ptr16(first + oldest + oldest)
    bits = 0
    n = 0
    while 60 - n:
        to = ptr16(int(re) + (places[n] << 1))
        x = ((r[0] - 32768) * weights[0]) >> 12
        to[0] = x + 32768
        bits = x * x | bits
        x = ((r[1] - 32768) * weights[1]) >> 12
        to[64] = x + 32768
        bits = x * x | bits
        x = ((r[2] - 32768) * weights[2]) >> 12
        to[128] = x + 32768
        bits = x * x | bits
        x = ((r[3] - 32768) * weights[3]) >> 12
        to[192] = x + 32768
        bits = x * x | bits
        r = ptr16(int(r) + 8)
        if int(r) == end:
            r = ptr16(first)
        weights = ptr16(int(weights) + 8)
        n += 1
    first = int(odd)
    end = first + 480
    r = ptr16(first + oldest + oldest)
    weights = ptr16(int(weights) - 18)
    weights[0] = 54
    weights = ptr16(int(weights) + 10)
    n = 0
    while 60 - n:
        to = ptr16(int(im) + (places[n] << 1))
        x = ((r[0] - 32768) * weights[3]) >> 12
        to[0] = x + 32768
        bits = x * x | bits
        x = ((r[1] - 32768) * weights[2]) >> 12
        to[64] = x + 32768
        bits = x * x | bits
        x = ((r[2] - 32768) * weights[1]) >> 12
        to[128] = x + 32768
        bits = x * x | bits
        x = ((r[3] - 32768) * weights[0]) >> 12
        to[192] = x + 32768
        bits = x * x | bits
        r = ptr16(int(r) + 8)
        if int(r) == end:
            r = ptr16(first)
        weights = ptr16(int(weights) - 8)
        n += 1
    x = 32768
    while n < 64:
        to = ptr16(int(re) + (places[n] << 1))
        to[0] = x
        to[64] = x
        to[128] = x
        to[192] = x
        to = ptr16(int(im) + (places[n] << 1))
        to[0] = x
        to[64] = x
        to[128] = x
        to[192] = x
        n += 1
    x = bits & 1073741823
    up = 15
    while x:
        up -= 1
        x >>= 2
    if up and bits > 1073741823:
        n = 0
        while n < 256:
            x = re[n]
            if x == 0:
                re[n] = 32768
            x = im[n]
            if x == 0:
                im[n] = 32768
            n += 1
    return up


@micropython.viper
def first(re: ptr16, x: int, im: ptr16, to_re: ptr16, to_im: ptr16, up: int):
    """The first pass, of four neighbours, which are shifted up by ``up`` bits before.

    What becomes of each four goes to ``to_re`` and ``to_im``, 64 numbers apart: then those that the next pass
    takes together are neighbours, too, and after four passes all are where they belong (Pease, 1968).
    """
    by = 8191 << up
    end = int(re) + 512
    while end - int(re):
        ar = (((re[0] - 32768) * by + 16384) >> 15) + 32768
        x = ((re[2] - 32768) * by + 16384) >> 15
        cr = ar - x
        ar += x
        br = ((re[1] - 32768) * by + 16384) >> 15
        x = ((re[3] - 32768) * by + 16384) >> 15
        dr = br - x
        br += x
        ai = (((im[0] - 32768) * by + 16384) >> 15) + 32768
        x = ((im[2] - 32768) * by + 16384) >> 15
        ci = ai - x
        ai += x
        bi = ((im[1] - 32768) * by + 16384) >> 15
        x = ((im[3] - 32768) * by + 16384) >> 15
        di = bi - x
        bi += x
        x = ar
        to_re[0] = x + br
        to_re[128] = x - br
        x = cr
        to_re[64] = x + di
        to_re[192] = x - di
        x = ai
        to_im[0] = x + bi
        to_im[128] = x - bi
        x = ci
        to_im[64] = x - dr
        to_im[192] = x + dr
        re = ptr16(int(re) + 8)
        im = ptr16(int(im) + 8)
        to_re = ptr16(int(to_re) + 2)
        to_im = ptr16(int(to_im) + 2)


@micropython.viper
def later(r: int, x: int, re: ptr16, im: ptr16, to_re: ptr16, to_im: ptr16):
    """The three later passes, of neighbours that once were 4, 16 and 64 apart: there, back, and there again.

    A product of complex numbers is one of three, of which (c + s i) makes c, -c - s and s - c.
    """
    cosines = ptr16(_COSINES)
    step = 32
    while step > 1:
        each = step << 2
        angle = 0
        end = int(re)
        stop = end + 512
        while end < stop:
            end += each
            # The cosine and minus the sine of once, twice and three times the angle.
            c1 = cosines[angle] - 32768
            x = cosines[angle + 128] - 32768
            s1 = x - c1
            n1 = 0 - x - c1
            r = angle + angle
            c2 = cosines[r] - 32768
            x = r + 128
            if x > 256:
                x = 512 - x
            x = cosines[x] - 32768
            s2 = x - c2
            n2 = 0 - x - c2
            r += angle
            x = r + 128
            if r > 256:
                r = 512 - r
            if x > 256:
                x = 512 - x
            c3 = cosines[r] - 32768
            x = cosines[x] - 32768
            s3 = x - c3
            n3 = 0 - x - c3
            while end - int(re):
                r = (re[1] * 8191 - 268386304) >> 15
                x = (im[1] * 8191 - 268386304) >> 15
                t = (r + x) * c1 + 16384
                br = (x * n1 + t) >> 15
                bi = (r * s1 + t) >> 15
                r = (re[2] * 8191 - 268386304) >> 15
                x = (im[2] * 8191 - 268386304) >> 15
                t = (r + x) * c2 + 16384
                cr = (x * n2 + t) >> 15
                ci = (r * s2 + t) >> 15
                r = (re[3] * 8191 - 268386304) >> 15
                x = (im[3] * 8191 - 268386304) >> 15
                t = (r + x) * c3 + 16384
                dr = (x * n3 + t) >> 15
                x = (r * s3 + t) >> 15
                r = bi
                di = r - x
                bi = r + x
                r = br
                x = dr
                br = r + x
                dr = r - x
                x = (re[0] * 8191 + 805355520) >> 15
                r = cr
                ar = x - r
                x += r
                r = br
                to_re[0] = x + r
                to_re[128] = x - r
                x = (im[0] * 8191 + 805355520) >> 15
                r = ci
                ci = x - r
                x += r
                r = bi
                to_im[0] = x + r
                to_im[128] = x - r
                x = ar
                r = di
                to_re[64] = x + r
                to_re[192] = x - r
                x = ci
                r = dr
                to_im[64] = x - r
                to_im[192] = x + r
                re = ptr16(int(re) + 8)
                im = ptr16(int(im) + 8)
                to_re = ptr16(int(to_re) + 2)
                to_im = ptr16(int(to_im) + 2)
            angle += step
        r = int(to_re) - 128
        to_re = ptr16(int(re) - 512)
        re = ptr16(r)
        r = int(to_im) - 128
        to_im = ptr16(int(im) - 512)
        im = ptr16(r)
        step >>= 2


@micropython.viper
def energies(r: int, x: int, re: ptr16, im: ptr16):
    """Of bins 5..251, in place: the low halves go to ``re``, the high ones to ``im``."""
    cosines = ptr16(_COSINES)
    k = 5
    while 129 - k:
        r = k
        ar = (re[r] * 16383 - 536821760) >> 15
        x = (im[r] * 16383 - 536821760) >> 15
        bi = x
        r = 256 - k
        x = (re[r] * 16383 - 536821760) >> 15
        # The conjugate: minus -32768 is -32768.
        r = (((65536 - im[r]) & 65535) * 16383 - 536821760) >> 15
        br = ar - x
        ar += x
        x = bi
        ai = x + r
        bi = x - r
        # Turned by a quarter and the angle of the bin.
        r = k + 128
        x = cosines[r] - 32768
        r = 384 - r
        r = cosines[r] - 32768
        ci = ((((br * r + bi * x + 16384) >> 15) + 32768) & 65535) - 32768
        x = ((((br * x - bi * r + 16384) >> 15) + 32768) & 65535) - 32768
        r = ar
        br = (r - x) >> 1
        x = (r + x) >> 1
        r = (ci + ai) >> 1
        x = x * x + r * r
        r = k
        re[r] = x
        im[r] = x >> 16
        x = br
        r = (ci - ai) >> 1
        x = x * x + r * r
        r = 256 - k
        re[r] = x
        im[r] = x >> 16
        k += 1
