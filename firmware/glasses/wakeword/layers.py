"""Kernels of a wake word's network: sums of products of bytes, and what makes bytes of sums again.

Numbers are unsigned bytes: those of the model plus 128. So are weights, which a load would leave unsigned
anyway; what that adds to a sum is taken off when it is scaled. Sums in ``acc`` are never negative, since a word
that is loaded has its sign on the chip only.

In all kernels the first two names are those in registers. ``s`` and ``x`` are scratch where they are integers.
"""

import micropython


@micropython.viper
def dense(s: int, w: ptr8, x: ptr8, at: int, inputs: int, acc: ptr32, n: int) -> int:
    """Add the weighted sums of ``inputs`` bytes from ``x[at]`` on to the first ``n`` of ``acc``; give their sum.

    ``inputs`` is a multiple of 8. Weights are in the order of use: of 64 inputs those of the first output, of
    the second, ...; then of the next 64; and at the end of 8 at a time. Inputs are loaded once for all outputs,
    into names in memory, which takes 6 (rv32imc) and 8 (xtensawin) instructions a product; a loop over inputs
    with the outputs' sums in names took 7 and 8.
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
def depthwise(s: int, w: ptr8, ring: ptr8, at: int, stride: int, taps: int, acc: ptr32, first: int, n: int):
    """The weighted sum of ``taps`` bytes from ``ring[at]`` on, and of ``n - 1`` channels ``stride`` further each.

    Stored from ``acc[first]`` on, plus 2**20. ``taps`` is a multiple of 4, up to 32.
    """
    ring = ptr8(int(ring) + at)
    acc = ptr32(int(acc) + (first << 2))
    stop = int(acc) + (n << 2)
    eights = taps & 56
    while int(acc) - stop:
        x = ring
        s = 1048576
        end = int(w) + eights
        while int(w) - end:
            s = (w[0] - 128) * x[0] + s
            s = (w[1] - 128) * x[1] + s
            s = (w[2] - 128) * x[2] + s
            s = (w[3] - 128) * x[3] + s
            s = (w[4] - 128) * x[4] + s
            s = (w[5] - 128) * x[5] + s
            s = (w[6] - 128) * x[6] + s
            s = (w[7] - 128) * x[7] + s
            x = ptr8(int(x) + 8)
            w = ptr8(int(w) + 8)
        if taps & 4:
            s = (w[0] - 128) * x[0] + s
            s = (w[1] - 128) * x[1] + s
            s = (w[2] - 128) * x[2] + s
            s = (w[3] - 128) * x[3] + s
            w = ptr8(int(w) + 4)
        acc[0] = s
        acc = ptr32(int(acc) + 4)
        ring = ptr8(int(ring) + stride)


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
def scale(
    a: int,
    r: ptr16,
    n: int,
    acc: ptr32,
    first: int,
    less: int,
    p: int,
    zero: int,
    out: ptr8,
    at: int,
    step: int,
    twin: int,
):
    """``n`` bytes of the sums from ``acc[first]`` on, which become 0.

    They go to ``out[at]`` and ``step`` further each, and once more ``twin`` after that. Records ``r`` are of 12
    bytes: a word to add to the sum, of which ``less`` is taken off; a factor in three parts of ``p`` bits, the
    highest first; by how many bits the product is shifted down, but one. ``zero`` is twice the number that
    stands for 0, and one more. Halves are rounded up, as TensorFlow's vectors do.
    """
    acc = ptr32(int(acc) + (first << 2))
    out = ptr8(int(out) + at)
    end = int(r) + 12 * n
    half = 1 << (p + p - 1)
    while int(r) - end:
        a = ptr32(int(r))[0] + acc[0] - less
        acc[0] = 0
        x = (((((((r[4] * a) >> p) + r[3] * a + half) >> p) + r[2] * a) >> r[5]) + zero) >> 1
        if x >> 8:
            x = 255 ^ (x >> 31)
        out[0] = x
        out[twin] = x
        r = ptr16(int(r) + 12)
        acc = ptr32(int(acc) + 4)
        out = ptr8(int(out) + step)


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
