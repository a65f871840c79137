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
parameters come first. Pointers move on through the buffers, because a load by a constant index is 2
instructions and one by a variable 7 (a store 3 and 9).
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


def _cosine(k):
    k %= 192
    if k > 96:
        k = 192 - k
    return _QUARTER[k] if k < 49 else 0 - _QUARTER[96 - k]


# n = 32 a + 3 b goes to slot 32 a + b; k = 64 a + 33 b comes from slot 32 a + 8 (b % 4) + b // 4.
PLACES = bytearray(96)
FOUND = bytearray(96)
for _a in range(3):
    for _b in range(32):
        PLACES[(32 * _a + 3 * _b) % 96] = 32 * _a + _b
        FOUND[(64 * _a + 33 * _b) % 96] = 32 * _a + 8 * (_b % 4) + _b // 4

# For each k of 0..7 the cosine and minus the sine of k, 2 k and 3 k 32nds of a turn, 8192 added.
_TURNS = array("H", [8192 + _cosine(6 * k * n + s) for k in range(8) for n in (1, 2, 3) for s in (0, 48)])

WIDTHS = bytes((1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 7, 8, 12, 15))
"""Bins of each band, from bin 1 on: of 83 Hz one by one up to 0.5 kHz, in twos to 1.5 kHz, then a ninth of a
frequency."""

_BANDS_OF = b"\0" + b"".join([bytes((_b,)) * _n for _b, _n in enumerate(WIDTHS)])

# For bins k of 0..47 and 96 - k (48 for 0): cosine and sine of k 192nds of a turn; the slots that they are
# found at and go to; and their bands.
_PAIRS = array("H", (0,) * 384)
for _k in range(48):
    _both = (_k, 96 - _k if _k else 48)
    _i = 8 * _k
    _PAIRS[_i] = _cosine(_k)
    _PAIRS[_i + 1] = _cosine(_k + 144)
    for _table in (FOUND, PLACES, _BANDS_OF):
        _i += 2
        _PAIRS[_i] = _table[_both[0]]
        _PAIRS[_i + 1] = _table[_both[1]]


@micropython.viper
def _threes(r: int, x: int, re: ptr16, im: ptr16):
    # 32 transforms of the three that lie 32 apart, divided by the square root of 3: 4730 is 8192 / sqrt(3).
    end = int(re) + 64
    while end - int(re):
        r = re[32]
        x = re[64]
        dr = r - x
        r += x
        x = re[0]
        re[0] = ((x + r) * 4730 - 196538368) >> 13
        # With 65537 added, which is the offset and the rounding of what comes.
        mr = ((x + x - r) * 4730 + 536883200) >> 13
        r = im[32]
        x = im[64]
        di = r - x
        r += x
        x = im[0]
        im[0] = ((x + r) * 4730 - 196538368) >> 13
        x = ((x + x - r) * 4730 + 536883200) >> 13
        r = dr
        im[32] = (x - r) >> 1
        im[64] = (x + r) >> 1
        r = mr
        x = di
        re[32] = (r + x) >> 1
        re[64] = (r - x) >> 1
        re = ptr16(int(re) + 2)
        im = ptr16(int(im) + 2)


@micropython.viper
def _fours(r: int, x: int, re: ptr16, im: ptr16):
    # 24 transforms of the four that lie 8 apart, halved, and turned by W32.
    turns = ptr16(_TURNS)
    last = int(turns) + 96
    while last - int(turns):
        c1 = turns[0] - 8192
        s1 = turns[1] - 8192
        c2 = turns[2] - 8192
        s2 = turns[3] - 8192
        c3 = turns[4] - 8192
        s3 = turns[5] - 8192
        end = int(re) + 192
        while end - int(re):
            r = re[8]
            x = re[24]
            vr = r + x
            wr = r - x
            r = im[8]
            x = im[24]
            vi = r + x
            wi = r - x
            r = im[0]
            x = im[16]
            ti = r + x
            ui = r - x
            r = re[0]
            x = re[16]
            tr = r + x
            r -= x
            x = wi
            ur = r - x
            r += x
            x = ui - wr
            re[8] = (r * c1 - x * s1 + 0x20002000) >> 14
            im[8] = (x * c1 + r * s1 + 0x20002000) >> 14
            r = ur
            x = wr + wr + x
            re[24] = (r * c3 - x * s3 + 0x20002000) >> 14
            im[24] = (x * c3 + r * s3 + 0x20002000) >> 14
            r = tr
            x = vr
            re[0] = (r + x - 65535) >> 1
            tr = r - x
            r = ti
            x = vi
            im[0] = (r + x - 65535) >> 1
            x = r - x
            r = tr
            re[16] = (r * c2 - x * s2 + 0x20002000) >> 14
            im[16] = (x * c2 + r * s2 + 0x20002000) >> 14
            re = ptr16(int(re) + 64)
            im = ptr16(int(im) + 64)
        re = ptr16(int(re) - 190)
        im = ptr16(int(im) - 190)
        turns = ptr16(int(turns) + 12)


@micropython.viper
def _eights(r: int, x: int, re: ptr16, im: ptr16, shift: int):
    # 12 transforms of eight neighbours, shifted right by 1 or 2. 5793 is 8192 / sqrt(2).
    half = (32768 << shift) + shift
    end = int(re) + 192
    while end - int(re):
        # Four sums a, c, e, g and four differences b, d, f, h of those that lie 4 apart. What is added to the
        # first goes to all outputs.
        r = re[0] + half
        x = re[4]
        ar = r + x
        br = r - x
        r = re[2]
        x = re[6]
        dr = r - x
        r += x
        x = ar
        ar = x + r
        cr = x - r
        r = im[2]
        x = im[6]
        ci = r + x
        # a + c, a - c (in c); b - jd, b + jd (in d).
        r -= x
        x = br
        br = x + r
        di = x - r
        r = im[0] + half
        x = im[4]
        bi = r - x
        r += x
        x = ci
        ai = r + x
        ci = r - x
        r = bi
        x = dr
        bi = r - x
        dr = r + x
        # The same of the odd ones.
        r = re[1]
        x = re[5]
        er = r + x
        fr = r - x
        r = re[3]
        x = re[7]
        hr = r - x
        r += x
        x = er
        er = x + r
        gr = x - r
        r = im[1]
        x = im[5]
        ei = r + x
        fi = r - x
        r = im[3]
        x = im[7]
        hi = r - x
        r += x
        x = ei
        ei = x + r
        # Outputs 2 and 6: c - jg, c + jg.
        x -= r
        r = cr
        re[2] = (r + x) >> shift
        re[6] = (r - x) >> shift
        r = ci
        x = gr
        im[2] = (r - x) >> shift
        im[6] = (r + x) >> shift
        # 0 and 4: a + e, a - e.
        r = ar
        x = er
        re[4] = (r - x) >> shift
        re[0] = (r + x - 262144) >> shift
        r = ai
        x = ei
        im[4] = (r - x) >> shift
        im[0] = (r + x - 262144) >> shift
        # 1 and 5 have f - jh turned by -45 degrees.
        r = fr + hi
        x = fi - hr
        ei = ((x - r) * 5793 + 4096) >> 13
        x = ((r + x) * 5793 + 4096) >> 13
        r = br
        re[1] = (r + x) >> shift
        re[5] = (r - x) >> shift
        r = bi
        x = ei
        im[1] = (r + x) >> shift
        im[5] = (r - x) >> shift
        # 3 and 7 have f + jh turned by -135.
        r = fr - hi
        x = fi + hr
        gi = ((r + x) * 5793 + 4096) >> 13
        x = ((x - r) * 5793 + 4096) >> 13
        r = di
        re[3] = (r + x) >> shift
        re[7] = (r - x) >> shift
        r = dr
        x = gi
        im[3] = (r - x) >> shift
        im[7] = (r + x) >> shift
        re = ptr16(int(re) + 16)
        im = ptr16(int(im) + 16)


def transform(re, im, shift):
    """Of the 96 numbers in ``re`` and ``im``, in place: ``shift`` is 2 there, 1 on the way back.

    The result is the sum, divided by sqrt(48) with a shift of 1, by sqrt(192) with 2.
    """
    _threes(0, 0, re, im)
    _fours(0, 0, re, im)
    _eights(0, 0, re, im, shift)


@micropython.viper
def split(r: int, x: int, re: ptr16, im: ptr16, bins: ptr16):
    """The spectrum of real samples from the transform of their pairs, to ``bins`` (49 times four words).

    Four words are bin k and bin 96 - k, real and imaginary part each. Of 0 the first two have bin 0 and bin
    96 in one, the last two are nothing; 48 is in its last two only.
    """
    pairs = ptr16(_PAIRS)
    bins[0] = re[0]
    bins[1] = im[0]
    r = pairs[3]
    x = int(bins)
    end = x + 384
    bins = ptr16(end)
    bins[2] = re[r]
    bins[3] = 65536 - im[r]
    bins = ptr16(x + 8)
    while end - int(bins):
        pairs = ptr16(int(pairs) + 16)
        i = pairs[2]
        j = pairs[3]
        r = re[i]
        x = re[j]
        er = r + x
        oi = x - r
        r = im[i]
        x = im[j]
        ei = r - x
        r = r + x - 65536
        x = oi
        c = pairs[0]
        s = pairs[1]
        tr = (r * c + x * s + 4096) >> 13
        # With 65537 added, the offset and the rounding.
        r = (x * c - r * s + 536883200) >> 13
        x = ei
        bins[1] = (r + x) >> 1
        bins[3] = (r - x) >> 1
        r = er + 1
        x = tr
        bins[0] = (r + x) >> 1
        bins[2] = (r - x) >> 1
        bins = ptr16(int(bins) + 8)


@micropython.viper
def merge(r: int, x: int, bins: ptr16, gains: ptr16, re: ptr16, im: ptr16):
    """The way back from `split` to the input of `transform`, times the ``gains`` of bands (256 is one)."""
    pairs = ptr16(_PAIRS)
    r = gains[pairs[6]]
    re[0] = ((bins[0] - 32768) * r + 8388736) >> 8
    im[0] = ((bins[1] - 32768) * r + 8388736) >> 8
    end = int(bins) + 384
    middle = ptr16(end)
    r = gains[pairs[7]]
    i = pairs[5]
    re[i] = ((middle[2] - 32768) * r + 8388736) >> 8
    im[i] = ((32768 - middle[3]) * r + 8388736) >> 8
    bins = ptr16(int(bins) + 8)
    while end - int(bins):
        pairs = ptr16(int(pairs) + 16)
        r = gains[pairs[6]]
        x = bins[0] - 32768
        ar = x * r
        x = bins[1] - 32768
        ai = x * r
        x = gains[pairs[7]]
        r = bins[3] - 32768
        r *= x
        x *= bins[2] - 32768
        er = ar + x
        ei = ai - r
        r = (r + ai + 128) >> 8
        x = (ar - x + 128) >> 8
        c = pairs[0]
        s = pairs[1]
        # Now r and x are the imaginary and the real part.
        odd = (x * c - r * s + 16) >> 5
        x = (r * c + x * s + 16) >> 5
        r = er + 16777472
        i = pairs[4]
        j = pairs[5]
        re[i] = (r - x) >> 9
        re[j] = (r + x) >> 9
        r = ei
        x = odd + 16777472
        im[i] = (x + r) >> 9
        im[j] = (x - r) >> 9
        bins = ptr16(int(bins) + 8)
