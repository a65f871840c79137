"""The Fourier transform of 192 real samples, through one of 96 complex numbers, and the way back.

Numbers are 16 bits, the real and the imaginary part in a buffer each, with 32768 added: what is loaded is
never negative, sums and differences carry the offset along or cancel it, and the addition that rounds also
restores it. Each pass divides by about the square root of its size, so a transform keeps the energy: when
the squares of all 192 samples add up to less than 2**29, nothing overflows, there or back, with gains of up
to one in between. Whatever the numbers are, intermediate results stay within 32 bits.

96 = 3 * 32 without a factor in common, so the transforms of 3 and of 32 need no turning in between (Good and
Thomas); 32 = 4 * 8, decimated in frequency. `transform` works in place and finds its input n at slot
``PLACES[n]``, its output k at slot ``FOUND[k]``. The way back is the same with the two buffers exchanged.

In all kernels ``r`` and ``x`` are scratch, whatever is passed: the first two locals live in registers, and
parameters come first.
"""

from array import array

import micropython
from micropython import const

POINTS = const(96)
"""Complex numbers of a transform: half the real samples."""

# The first quarter of 8192 * cos(2 pi k / 192).
# fmt: off
_QUARTER = (
    8192, 8188, 8174, 8153, 8122, 8083, 8035, 7978, 7913, 7839, 7757, 7667, 7568, 7462, 7347, 7225, 7094,
    6957, 6811, 6659, 6499, 6333, 6159, 5979, 5793, 5600, 5401, 5197, 4987, 4772, 4551, 4326, 4096, 3862,
    3623, 3381, 3135, 2886, 2633, 2378, 2120, 1860, 1598, 1334, 1069, 803, 536, 268, 0,
)
# fmt: on


def _cosines():
    # 8192 + 8192 cos(2 pi k / 192); minus the sine is the cosine 48 places on.
    table = array("H", (8192,) * 192)
    for k in range(49):
        table[k] = table[-k] = 8192 + _QUARTER[k]
        table[96 - k] = table[96 + k] = 8192 - _QUARTER[k]
    return table


_COSINES = _cosines()

# n = 32 a + 3 b goes to slot 32 a + b; k = 64 a + 33 b comes from slot 32 a + 8 (b % 4) + b // 4.
PLACES = bytearray(96)
FOUND = bytearray(96)
for _a in range(3):
    for _b in range(32):
        PLACES[(32 * _a + 3 * _b) % 96] = 32 * _a + _b
        FOUND[(64 * _a + 33 * _b) % 96] = 32 * _a + 8 * (_b % 4) + _b // 4


@micropython.viper
def _threes(r: int, x: int, re: ptr16, im: ptr16):
    # 32 transforms of the three that lie 32 apart, divided by the square root of 3: 4730 is 8192 / sqrt(3).
    i = 0
    while i < 32:
        b = i + 32
        c = i + 64
        r = re[b]
        x = re[c]
        dr = r - x
        r += x
        x = re[i]
        re[i] = ((x + r) * 4730 - 196538368) >> 13
        mr = (((x + x - r) * 4730) + 4096) >> 13
        r = im[b]
        x = im[c]
        di = r - x
        r += x
        x = im[i]
        im[i] = ((x + r) * 4730 - 196538368) >> 13
        x = ((x + x - r) * 4730 + 4096) >> 13
        r = dr
        im[b] = (x - r + 65537) >> 1
        im[c] = (x + r + 65537) >> 1
        r = mr
        x = di
        re[b] = (r + x + 65537) >> 1
        re[c] = (r - x + 65537) >> 1
        i += 1


@micropython.viper
def _fours(r: int, x: int, re: ptr16, im: ptr16):
    # 24 transforms of the four that lie 8 apart, halved, and turned by W32.
    cosines = ptr16(_COSINES)
    k = 0
    while k < 8:
        r = k * 6
        c1 = cosines[r] - 8192
        s1 = cosines[r + 48] - 8192
        r += r
        c2 = cosines[r] - 8192
        s2 = cosines[r + 48] - 8192
        r += k * 6
        c3 = cosines[r] - 8192
        s3 = cosines[r + 48] - 8192
        a = k
        while a < 96:
            b = a + 8
            c = a + 16
            d = a + 24
            r = re[b]
            x = re[d]
            vr = r + x
            wr = r - x
            r = im[b]
            x = im[d]
            vi = r + x
            wi = r - x
            r = im[a]
            x = im[c]
            ti = r + x
            ui = r - x
            r = re[a]
            x = re[c]
            tr = r + x
            r -= x
            ur = r
            r += wi
            x = ui - wr
            re[b] = (r * c1 - x * s1 + 0x20002000) >> 14
            im[b] = (x * c1 + r * s1 + 0x20002000) >> 14
            r = ur - wi
            x = ui + wr
            re[d] = (r * c3 - x * s3 + 0x20002000) >> 14
            im[d] = (x * c3 + r * s3 + 0x20002000) >> 14
            r = tr
            x = ti
            re[a] = (r + vr - 65535) >> 1
            im[a] = (x + vi - 65535) >> 1
            r -= vr
            x -= vi
            re[c] = (r * c2 - x * s2 + 0x20002000) >> 14
            im[c] = (x * c2 + r * s2 + 0x20002000) >> 14
            a += 32
        k += 1


@micropython.viper
def _eights(r: int, x: int, re: ptr16, im: ptr16, shift: int):
    # 12 transforms of eight neighbours, shifted right by 1 or 2. 5793 is 8192 / sqrt(2).
    half = (32768 << shift) + shift
    i = 0
    while i < 96:
        r = re[i]
        x = re[i + 4]
        ar = r + x
        br = r - x
        r = im[i]
        x = im[i + 4]
        ai = r + x
        bi = r - x
        r = re[i + 2]
        x = re[i + 6]
        cr = r + x
        dr = r - x
        r = im[i + 2]
        x = im[i + 6]
        ci = r + x
        di = r - x
        # The even ones of the even numbers; and a - jc, a + jc of the odd ones.
        r = ar
        x = cr
        ar = r + x
        cr = r - x
        r = ai
        x = ci
        ai = r + x
        ci = r - x
        r = br
        x = di
        br = r + x
        di = r - x
        r = bi
        x = dr
        bi = r - x
        dr = r + x
        # now (br, bi) is b - jd and (di, dr) is b + jd
        r = re[i + 1]
        x = re[i + 5]
        er = r + x
        fr = r - x
        r = im[i + 1]
        x = im[i + 5]
        ei = r + x
        fi = r - x
        r = re[i + 3]
        x = re[i + 7]
        gr = r + x
        hr = r - x
        r = im[i + 3]
        x = im[i + 7]
        gi = r + x
        hi = r - x
        r = er
        x = gr
        er = r + x
        gr = r - x
        r = ei
        x = gi
        ei = r + x
        gi = r - x
        # Outputs 0 and 4: a + e, a - e; 2 and 6: c - jg, c + jg.
        r = ar
        x = er
        re[i] = (r + x - 262144 + half) >> shift
        re[i + 4] = (r - x + half) >> shift
        r = ai
        x = ei
        im[i] = (r + x - 262144 + half) >> shift
        im[i + 4] = (r - x + half) >> shift
        r = cr
        x = gi
        re[i + 2] = (r + x + half) >> shift
        re[i + 6] = (r - x + half) >> shift
        r = ci
        x = gr
        im[i + 2] = (r - x + half) >> shift
        im[i + 6] = (r + x + half) >> shift
        # f - jh turned by -45 degrees, f + jh by -135.
        r = fr + hi
        x = fi - hr
        er = ((r + x) * 5793 + 4096) >> 13
        ei = ((x - r) * 5793 + 4096) >> 13
        r = fr - hi
        x = fi + hr
        gr = ((x - r) * 5793 + 4096) >> 13
        gi = ((r + x) * 5793 + 4096) >> 13
        r = br
        x = er
        re[i + 1] = (r + x + half) >> shift
        re[i + 5] = (r - x + half) >> shift
        r = bi
        x = ei
        im[i + 1] = (r + x + half) >> shift
        im[i + 5] = (r - x + half) >> shift
        r = di
        x = gr
        re[i + 3] = (r + x + half) >> shift
        re[i + 7] = (r - x + half) >> shift
        r = dr
        x = gi
        im[i + 3] = (r - x + half) >> shift
        im[i + 7] = (r + x + half) >> shift
        i += 8


def transform(re, im, shift):
    """Of the 96 numbers in ``re`` and ``im``, in place: ``shift`` is 2 there, 1 on the way back.

    The result is the sum, divided by sqrt(48) with a shift of 1, by sqrt(192) with 2.
    """
    _threes(0, 0, re, im)
    _fours(0, 0, re, im)
    _eights(0, 0, re, im, shift)


@micropython.viper
def split(r: int, x: int, re: ptr16, im: ptr16, xr: ptr16, xi: ptr16):
    """The spectrum ``xr``, ``xi`` (bins 0..95) of real samples, from the transform of their pairs.

    Number 0 is no bin: it has bin 0 and bin 96 in one.
    """
    cosines = ptr16(_COSINES)
    found = ptr8(FOUND)
    xr[0] = re[0]
    xi[0] = im[0]
    i = found[48]
    xr[48] = re[i]
    xi[48] = 65536 - im[i]
    k = 1
    while k < 48:
        i = found[k]
        j = found[96 - k]
        r = re[i]
        x = re[j]
        er = r + x
        oi = x - r
        r = im[i]
        x = im[j]
        ei = r - x
        r = r + x - 65536
        x = oi
        i = k + 48
        c = cosines[k] - 8192
        s = cosines[i] - 8192
        i = 96 - k
        or_ = (r * c - x * s + 4096) >> 13
        x = (x * c + r * s + 4096) >> 13
        r = ei
        xi[k] = (r + x + 65537) >> 1
        xi[i] = (x - r + 65537) >> 1
        r = er
        x = or_
        xr[k] = (r + x + 1) >> 1
        xr[i] = (r - x + 1) >> 1
        k += 1


@micropython.viper
def merge(r: int, x: int, xr: ptr16, xi: ptr16, gains: ptr16, re: ptr16, im: ptr16):
    """The way back from `split`: bins times ``gains`` (256 is one), as the input of `transform`."""
    cosines = ptr16(_COSINES)
    places = ptr8(PLACES)
    r = gains[1]
    re[0] = ((xr[0] - 32768) * r + 8388736) >> 8
    im[0] = ((xi[0] - 32768) * r + 8388736) >> 8
    r = gains[48]
    i = places[48]
    re[i] = ((xr[48] - 32768) * r + 8388736) >> 8
    im[i] = ((32768 - xi[48]) * r + 8388736) >> 8
    k = 1
    while k < 48:
        i = 96 - k
        r = gains[k]
        ar = (xr[k] - 32768) * r
        ai = (xi[k] - 32768) * r
        r = gains[i]
        x = (xr[i] - 32768) * r
        r = (xi[i] - 32768) * r
        er = ar + x
        ei = ai - r
        x = ar - x
        r = ai + r
        tr = (x + 128) >> 8
        x = (r + 128) >> 8
        i = k + 48
        c = cosines[k] - 8192
        s = cosines[i] - 8192
        r = tr
        or_ = (r * c + x * s + 16) >> 5
        x = (x * c - r * s + 16) >> 5
        i = places[k]
        j = places[96 - k]
        r = er
        re[i] = (r - x + 16777472) >> 9
        re[j] = (r + x + 16777472) >> 9
        r = ei
        x = or_
        im[i] = (x + r + 16777472) >> 9
        im[j] = (x - r + 16777472) >> 9
        k += 1
