"""Kernels of a wake word's network: sums of products of bytes, and what makes bytes of sums again.

Numbers are unsigned bytes: those of the model plus 128. So are weights, since loads have no sign: what that
adds to a sum is taken off when it is scaled. Sums in ``acc`` are never negative, for the same reason: a word
has its sign on the chip only.

In all kernels the first two names are those in registers. ``a``, ``i``, ``s`` and ``x`` are scratch if they
are integers.
"""

import micropython


@micropython.viper
def dense(s: int, w: ptr8, x: ptr8, at: int, inputs: int, acc: ptr32, n: int) -> int:
    """Add weighted sums of ``inputs`` bytes from ``x[at]`` on to the first ``n`` of ``acc``; give the bytes'.

    ``inputs`` is a multiple of 8. Weights are in the order of use: for 64 inputs those of the first output,
    of the second, ...; then for the next 64; at the end for 8 at a time. Inputs are loaded once for all
    outputs, into names in memory: 6 (rv32imc) and 8 (xtensawin) instructions a product. It took 9 and 10 with
    an output's sum in a register and both bytes loaded for each product.
    """
    x = ptr8(int(x) + at)
    total = 0
    while inputs > 63:
        x0 = x[0]
        x1 = x[1]
        x2 = x[2]
        x3 = x[3]
        x4 = x[4]
        x5 = x[5]
        x6 = x[6]
        x7 = x[7]
        x8 = x[8]
        x9 = x[9]
        x10 = x[10]
        x11 = x[11]
        x12 = x[12]
        x13 = x[13]
        x14 = x[14]
        x15 = x[15]
        x16 = x[16]
        x17 = x[17]
        x18 = x[18]
        x19 = x[19]
        x20 = x[20]
        x21 = x[21]
        x22 = x[22]
        x23 = x[23]
        x24 = x[24]
        x25 = x[25]
        x26 = x[26]
        x27 = x[27]
        x28 = x[28]
        x29 = x[29]
        x30 = x[30]
        x31 = x[31]
        x32 = x[32]
        x33 = x[33]
        x34 = x[34]
        x35 = x[35]
        x36 = x[36]
        x37 = x[37]
        x38 = x[38]
        x39 = x[39]
        x40 = x[40]
        x41 = x[41]
        x42 = x[42]
        x43 = x[43]
        x44 = x[44]
        x45 = x[45]
        x46 = x[46]
        x47 = x[47]
        x48 = x[48]
        x49 = x[49]
        x50 = x[50]
        x51 = x[51]
        x52 = x[52]
        x53 = x[53]
        x54 = x[54]
        x55 = x[55]
        x56 = x[56]
        x57 = x[57]
        x58 = x[58]
        x59 = x[59]
        x60 = x[60]
        x61 = x[61]
        x62 = x[62]
        x63 = x[63]
        total += x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7
        total += x8 + x9 + x10 + x11 + x12 + x13 + x14 + x15
        total += x16 + x17 + x18 + x19 + x20 + x21 + x22 + x23
        total += x24 + x25 + x26 + x27 + x28 + x29 + x30 + x31
        total += x32 + x33 + x34 + x35 + x36 + x37 + x38 + x39
        total += x40 + x41 + x42 + x43 + x44 + x45 + x46 + x47
        total += x48 + x49 + x50 + x51 + x52 + x53 + x54 + x55
        total += x56 + x57 + x58 + x59 + x60 + x61 + x62 + x63
        x = ptr8(int(x) + 64)
        inputs -= 64
        to = acc
        end = int(w) + (n << 6)
        while int(w) - end:
            s = w[0] * x0 + to[0]
            s = w[1] * x1 + s
            s = w[2] * x2 + s
            s = w[3] * x3 + s
            s = w[4] * x4 + s
            s = w[5] * x5 + s
            s = w[6] * x6 + s
            s = w[7] * x7 + s
            s = w[8] * x8 + s
            s = w[9] * x9 + s
            s = w[10] * x10 + s
            s = w[11] * x11 + s
            s = w[12] * x12 + s
            s = w[13] * x13 + s
            s = w[14] * x14 + s
            s = w[15] * x15 + s
            s = w[16] * x16 + s
            s = w[17] * x17 + s
            s = w[18] * x18 + s
            s = w[19] * x19 + s
            s = w[20] * x20 + s
            s = w[21] * x21 + s
            s = w[22] * x22 + s
            s = w[23] * x23 + s
            s = w[24] * x24 + s
            s = w[25] * x25 + s
            s = w[26] * x26 + s
            s = w[27] * x27 + s
            s = w[28] * x28 + s
            s = w[29] * x29 + s
            s = w[30] * x30 + s
            s = w[31] * x31 + s
            s = w[32] * x32 + s
            s = w[33] * x33 + s
            s = w[34] * x34 + s
            s = w[35] * x35 + s
            s = w[36] * x36 + s
            s = w[37] * x37 + s
            s = w[38] * x38 + s
            s = w[39] * x39 + s
            s = w[40] * x40 + s
            s = w[41] * x41 + s
            s = w[42] * x42 + s
            s = w[43] * x43 + s
            s = w[44] * x44 + s
            s = w[45] * x45 + s
            s = w[46] * x46 + s
            s = w[47] * x47 + s
            s = w[48] * x48 + s
            s = w[49] * x49 + s
            s = w[50] * x50 + s
            s = w[51] * x51 + s
            s = w[52] * x52 + s
            s = w[53] * x53 + s
            s = w[54] * x54 + s
            s = w[55] * x55 + s
            s = w[56] * x56 + s
            s = w[57] * x57 + s
            s = w[58] * x58 + s
            s = w[59] * x59 + s
            s = w[60] * x60 + s
            s = w[61] * x61 + s
            s = w[62] * x62 + s
            to[0] = w[63] * x63 + s
            w = ptr8(int(w) + 64)
            to = ptr32(int(to) + 4)
    while inputs:
        x0 = x[0]
        x1 = x[1]
        x2 = x[2]
        x3 = x[3]
        x4 = x[4]
        x5 = x[5]
        x6 = x[6]
        x7 = x[7]
        total += x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7
        x = ptr8(int(x) + 8)
        inputs -= 8
        to = acc
        end = int(w) + (n << 3)
        while int(w) - end:
            s = w[0] * x0 + to[0]
            s = w[1] * x1 + s
            s = w[2] * x2 + s
            s = w[3] * x3 + s
            s = w[4] * x4 + s
            s = w[5] * x5 + s
            s = w[6] * x6 + s
            to[0] = w[7] * x7 + s
            w = ptr8(int(w) + 8)
            to = ptr32(int(to) + 4)
    return total


@micropython.viper
def sparse(x: int, w: ptr8, q: ptr8, at: int, inputs: int, acc: ptr32, first: int, n: int) -> int:
    """As `dense`, of inputs many of which are 0, which are skipped; stored, not added. ``n`` are sixteens,
    ``inputs`` fours. Weights: for 16 outputs those of the first input, of the second, ...; then of the next.
    """
    q = ptr8(int(q) + at)
    total = 0
    end = int(q) + inputs
    now = q
    while int(now) - end:
        total += now[0] + now[1] + now[2] + now[3]
        now = ptr8(int(now) + 4)
    acc = ptr32(int(acc) + (first << 2))
    stop = int(acc) + (n << 2)
    while int(acc) - stop:
        s0 = 0
        s1 = 0
        s2 = 0
        s3 = 0
        s4 = 0
        s5 = 0
        s6 = 0
        s7 = 0
        s8 = 0
        s9 = 0
        s10 = 0
        s11 = 0
        s12 = 0
        s13 = 0
        s14 = 0
        s15 = 0
        now = q
        while int(now) - end:
            x = now[0]
            if x:
                s0 = w[0] * x + s0
                s1 = w[1] * x + s1
                s2 = w[2] * x + s2
                s3 = w[3] * x + s3
                s4 = w[4] * x + s4
                s5 = w[5] * x + s5
                s6 = w[6] * x + s6
                s7 = w[7] * x + s7
                s8 = w[8] * x + s8
                s9 = w[9] * x + s9
                s10 = w[10] * x + s10
                s11 = w[11] * x + s11
                s12 = w[12] * x + s12
                s13 = w[13] * x + s13
                s14 = w[14] * x + s14
                s15 = w[15] * x + s15
            x = now[1]
            if x:
                s0 = w[16] * x + s0
                s1 = w[17] * x + s1
                s2 = w[18] * x + s2
                s3 = w[19] * x + s3
                s4 = w[20] * x + s4
                s5 = w[21] * x + s5
                s6 = w[22] * x + s6
                s7 = w[23] * x + s7
                s8 = w[24] * x + s8
                s9 = w[25] * x + s9
                s10 = w[26] * x + s10
                s11 = w[27] * x + s11
                s12 = w[28] * x + s12
                s13 = w[29] * x + s13
                s14 = w[30] * x + s14
                s15 = w[31] * x + s15
            x = now[2]
            if x:
                s0 = w[32] * x + s0
                s1 = w[33] * x + s1
                s2 = w[34] * x + s2
                s3 = w[35] * x + s3
                s4 = w[36] * x + s4
                s5 = w[37] * x + s5
                s6 = w[38] * x + s6
                s7 = w[39] * x + s7
                s8 = w[40] * x + s8
                s9 = w[41] * x + s9
                s10 = w[42] * x + s10
                s11 = w[43] * x + s11
                s12 = w[44] * x + s12
                s13 = w[45] * x + s13
                s14 = w[46] * x + s14
                s15 = w[47] * x + s15
            x = now[3]
            if x:
                s0 = w[48] * x + s0
                s1 = w[49] * x + s1
                s2 = w[50] * x + s2
                s3 = w[51] * x + s3
                s4 = w[52] * x + s4
                s5 = w[53] * x + s5
                s6 = w[54] * x + s6
                s7 = w[55] * x + s7
                s8 = w[56] * x + s8
                s9 = w[57] * x + s9
                s10 = w[58] * x + s10
                s11 = w[59] * x + s11
                s12 = w[60] * x + s12
                s13 = w[61] * x + s13
                s14 = w[62] * x + s14
                s15 = w[63] * x + s15
            now = ptr8(int(now) + 4)
            w = ptr8(int(w) + 64)
        acc[0] = s0
        acc[1] = s1
        acc[2] = s2
        acc[3] = s3
        acc[4] = s4
        acc[5] = s5
        acc[6] = s6
        acc[7] = s7
        acc[8] = s8
        acc[9] = s9
        acc[10] = s10
        acc[11] = s11
        acc[12] = s12
        acc[13] = s13
        acc[14] = s14
        acc[15] = s15
        acc = ptr32(int(acc) + 64)
    return total


@micropython.viper
def depthwise(s: int, w: ptr8, ring: ptr8, at: int, stride: int, taps: int, acc: ptr32, first: int, n: int):
    """Add the weighted sum of ``taps`` bytes from ``ring[at]`` on to ``acc[first]``; so for ``n`` channels,
    which are ``stride`` apart.

    ``taps`` is a multiple of 4, up to 32. Of more than 16 these come first, for all channels: each time 2**20
    is added as well.
    """
    ring = ptr8(int(ring) + at)
    acc = ptr32(int(acc) + (first << 2))
    stop = int(acc) + (n << 2)
    while taps:
        x = ring
        to = acc
        if taps > 15:
            taps -= 16
            ring = ptr8(int(ring) + 16)
            while int(to) - stop:
                s = (w[0] - 128) * x[0] + to[0] + 1048576
                s = (w[1] - 128) * x[1] + s
                s = (w[2] - 128) * x[2] + s
                s = (w[3] - 128) * x[3] + s
                s = (w[4] - 128) * x[4] + s
                s = (w[5] - 128) * x[5] + s
                s = (w[6] - 128) * x[6] + s
                s = (w[7] - 128) * x[7] + s
                s = (w[8] - 128) * x[8] + s
                s = (w[9] - 128) * x[9] + s
                s = (w[10] - 128) * x[10] + s
                s = (w[11] - 128) * x[11] + s
                s = (w[12] - 128) * x[12] + s
                s = (w[13] - 128) * x[13] + s
                s = (w[14] - 128) * x[14] + s
                to[0] = (w[15] - 128) * x[15] + s
                w = ptr8(int(w) + 16)
                to = ptr32(int(to) + 4)
                x = ptr8(int(x) + stride)
        elif taps == 12:
            taps = 0
            while int(to) - stop:
                s = (w[0] - 128) * x[0] + to[0] + 1048576
                s = (w[1] - 128) * x[1] + s
                s = (w[2] - 128) * x[2] + s
                s = (w[3] - 128) * x[3] + s
                s = (w[4] - 128) * x[4] + s
                s = (w[5] - 128) * x[5] + s
                s = (w[6] - 128) * x[6] + s
                s = (w[7] - 128) * x[7] + s
                s = (w[8] - 128) * x[8] + s
                s = (w[9] - 128) * x[9] + s
                s = (w[10] - 128) * x[10] + s
                to[0] = (w[11] - 128) * x[11] + s
                w = ptr8(int(w) + 12)
                to = ptr32(int(to) + 4)
                x = ptr8(int(x) + stride)
        elif taps == 8:
            taps = 0
            while int(to) - stop:
                s = (w[0] - 128) * x[0] + to[0] + 1048576
                s = (w[1] - 128) * x[1] + s
                s = (w[2] - 128) * x[2] + s
                s = (w[3] - 128) * x[3] + s
                s = (w[4] - 128) * x[4] + s
                s = (w[5] - 128) * x[5] + s
                s = (w[6] - 128) * x[6] + s
                to[0] = (w[7] - 128) * x[7] + s
                w = ptr8(int(w) + 8)
                to = ptr32(int(to) + 4)
                x = ptr8(int(x) + stride)
        else:
            taps = 0
            while int(to) - stop:
                s = (w[0] - 128) * x[0] + to[0] + 1048576
                s = (w[1] - 128) * x[1] + s
                s = (w[2] - 128) * x[2] + s
                to[0] = (w[3] - 128) * x[3] + s
                w = ptr8(int(w) + 4)
                to = ptr32(int(to) + 4)
                x = ptr8(int(x) + stride)


@micropython.viper
def gather(s: int, acc: ptr32, n: int):
    """The sum of the first ``n`` of ``acc``, into its first; the others become 0."""
    s = 0
    end = int(acc) + (n << 2)
    first = acc
    while int(acc) - end:
        s += acc[0]
        acc[0] = 0
        acc = ptr32(int(acc) + 4)
    first[0] = s


@micropython.viper
def scale(a: int, r: ptr16, n: int, acc: ptr32, first: int, less: int, p: int, zero: int, out: ptr8, at: int):
    """``n`` bytes of the sums from ``acc[first]`` on, which become 0, to ``out[at]`` and on. ``n`` is even.

    Records ``r`` are of 12 bytes: a word to add to the sum, of which ``less`` is taken off; a factor in three
    parts of ``p`` bits, the highest first; by how many bits the product is shifted down, but one. ``zero`` is
    twice the number that stands for 0, and one more. Halves are rounded up, as TensorFlow's vectors do.
    """
    acc = ptr32(int(acc) + (first << 2))
    out = ptr8(int(out) + at)
    end = int(r) + 12 * n
    half = 1 << (p + p - 1)
    while int(r) - end:
        a = ptr32(int(r))[0] + acc[0] - less
        acc[0] = 0
        a = (((((((r[4] * a) >> p) + r[3] * a + half) >> p) + r[2] * a) >> r[5]) + zero) >> 1
        if a >> 8:
            a = 255 ^ (a >> 31)
        out[0] = a
        a = ptr32(int(r))[3] + acc[1] - less
        acc[1] = 0
        a = (((((((r[10] * a) >> p) + r[9] * a + half) >> p) + r[8] * a) >> r[11]) + zero) >> 1
        if a >> 8:
            a = 255 ^ (a >> 31)
        out[1] = a
        r = ptr16(int(r) + 24)
        acc = ptr32(int(acc) + 8)
        out = ptr8(int(out) + 2)


@micropython.viper
def remember(
    a: int,
    r: ptr16,
    n: int,
    acc: ptr32,
    first: int,
    less: int,
    p: int,
    zero: int,
    ring: ptr8,
    at: int,
    slots: int,
):
    """As `scale`, for a ring: bytes go to ``ring[at]`` and 2 * ``slots`` further each, and ``slots`` after
    that once more. ``n`` is any number."""
    acc = ptr32(int(acc) + (first << 2))
    ring = ptr8(int(ring) + at)
    step = slots + slots
    end = int(r) + 12 * n
    half = 1 << (p + p - 1)
    while int(r) - end:
        a = ptr32(int(r))[0] + acc[0] - less
        acc[0] = 0
        a = (((((((r[4] * a) >> p) + r[3] * a + half) >> p) + r[2] * a) >> r[5]) + zero) >> 1
        if a >> 8:
            a = 255 ^ (a >> 31)
        ring[0] = a
        ring[slots] = a
        r = ptr16(int(r) + 12)
        acc = ptr32(int(acc) + 4)
        ring = ptr8(int(ring) + step)


@micropython.viper
def scale_away(
    a: int, r: ptr16, n: int, acc: ptr32, first: int, less: int, p: int, zero: int, out: ptr8, at: int
):
    """`scale` with halves rounded away from zero, as TensorFlow does where it has no vectors of 8."""
    out = ptr8(int(out) + at)
    end = int(r) + 12 * n
    half = 1 << (p + p - 1)
    while int(r) - end:
        a = ptr32(int(r))[0] + acc[first] - less
        acc[first] = 0
        x = (((((r[4] * a) >> p) + r[3] * a + half) >> p) + r[2] * a) + ((a >> 31) << p)
        x = ((x >> r[5]) + zero) >> 1
        if x >> 8:
            x = 255 ^ (x >> 31)
        out[0] = x
        r = ptr16(int(r) + 12)
        first += 1
        out = ptr8(int(out) + 1)


@micropython.viper
def slide(x: ptr8, i: int, at: int, n: int, by: int):
    """``n`` bytes from ``x[at + by]`` on move down to ``x[at]``."""
    x = ptr8(int(x) + at)
    i = 0
    while n - i:
        x[i] = x[i + by]
        i += 1


@micropython.viper
def take(i: int, x: int, inputs: ptr8, out: ptr8, at: int, n: int):
    """``n`` signed bytes as numbers without a sign, 128 more, to ``out[at]`` and on."""
    out = ptr8(int(out) + at)
    i = 0
    while n - i:
        x = inputs[i]
        out[i] = x ^ 128
        i += 1
