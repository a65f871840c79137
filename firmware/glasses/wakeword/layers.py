"""Kernels of a wake word's network: sums of products of bytes, and what makes bytes of sums again.

Numbers are unsigned bytes: those of the model plus 128. So are weights, since loads have no sign: what that
adds to a sum is taken off when it is scaled. Sums are never negative, for the same reason: a word has its
sign on the chip only.

All but `turn` and `take` have the same five arguments, so that a network calls one after the other without
looking at it, and what differs is read here, not there: that takes a third of the time.

    first      scratch
    second     weights ``w`` or records ``r``; for `slide` and `gather` any buffer
    ``plan``   numbers of 16 bits, which each kernel names in their order
    ``arena``  the network's numbers. Plans have places in it: of numbers, of rings, and of a byte for each
               ring that says in which slot its newest are
    ``sums``   words. The first is the sum of the inputs of the last `dense`, `dot` or `sparse`, 0 after
               `depthwise`; plans have places of all others

The first two arguments are those in registers.
"""

import micropython


@micropython.viper
def dot(s: int, w: ptr8, plan: ptr16, arena: ptr8, sums: ptr32):
    """Plan: at, inputs, sum. The weighted sum of so many bytes, eights, from ``arena[at]`` on."""
    x = ptr8(int(arena) + plan[0])
    total = 0
    end = int(w) + plan[1]
    s = 0
    while int(w) - end:
        total += x[0] + x[1] + x[2] + x[3] + x[4] + x[5] + x[6] + x[7]
        s = w[0] * x[0] + s
        s = w[1] * x[1] + s
        s = w[2] * x[2] + s
        s = w[3] * x[3] + s
        s = w[4] * x[4] + s
        s = w[5] * x[5] + s
        s = w[6] * x[6] + s
        s = w[7] * x[7] + s
        w = ptr8(int(w) + 8)
        x = ptr8(int(x) + 8)
    sums[0] = total
    sums = ptr32(int(sums) + (plan[2] << 2))
    sums[0] = s


@micropython.viper
def turn(i: int, to: ptr8, data: ptr8, inputs: int, n: int):
    """Weights of ``n`` outputs as a file has them into ``to``, in the order in which `dense` uses them.

    In the file, of 64 inputs those of the first output, of the second, ...; then of the next 64; at the end
    of 8 at a time. In ``to``, of 32 outputs those of the first input, of the second, ...; then of the next
    32; at the end of 16. What is missing to sixteens is left as it is.
    """
    at = 0
    while inputs - at:
        block = 64
        if inputs - at < 64:
            block = 8
        o = 0
        while n - o:
            wide = 32
            if n - (o & -32) < 17:
                wide = 16
            i = (o & -32) * inputs + wide * at + (o & 31)
            end = i + wide * block
            while i < end:
                to[i] = data[0]
                data = ptr8(int(data) + 1)
                i += wide
            o += 1
        at += block


@micropython.viper
def dense(x: int, w: ptr8, plan: ptr16, arena: ptr8, sums: ptr32):
    """Plan: at, inputs, outputs, sum, state, items. Weighted sums of bytes, fours, from ``arena[at]`` on, one
    for each output, of which there are sixteens. Weights are as `turn` has put them.

    From step to step 3 to 6 of 10 inputs stay as they are, in silence all. So sums are kept in the state, and
    what changes is added: first the sum of the inputs is there, then a sum for each output, then the inputs.
    The changes are listed in the items, two halves of a word each: which input, and by how much, 256 added;
    0 ends them. No sum is ever negative: with some inputs new, others old, it is one of unsigned bytes, too.
    """
    inputs = 0
    end = plan[1]
    n = plan[2]
    acc = ptr32(int(sums) + (plan[3] << 2))
    state = ptr32(int(sums) + (plan[4] << 2))
    items = ptr16(int(sums) + (plan[5] << 2))
    item = items
    old = ptr8(int(state) + (n << 2) + 4)
    total = state[0]
    data = int(w)
    w = ptr8(int(arena) + plan[0])
    while inputs - end:
        x = w[0] - old[0]
        if x:
            old[0] = w[0]
            item[0] = inputs
            item[1] = x + 256
            item = ptr16(int(item) + 4)
            total += x
        x = w[1] - old[1]
        if x:
            old[1] = w[1]
            item[0] = inputs + 1
            item[1] = x + 256
            item = ptr16(int(item) + 4)
            total += x
        x = w[2] - old[2]
        if x:
            old[2] = w[2]
            item[0] = inputs + 2
            item[1] = x + 256
            item = ptr16(int(item) + 4)
            total += x
        x = w[3] - old[3]
        if x:
            old[3] = w[3]
            item[0] = inputs + 3
            item[1] = x + 256
            item = ptr16(int(item) + 4)
            total += x
        w = ptr8(int(w) + 4)
        old = ptr8(int(old) + 4)
        inputs += 4
    item[1] = 0
    state[0] = total
    sums[0] = total
    state = ptr32(int(state) + 4)
    shift = 5
    while n:
        if n < 32:
            shift = 4
        s0 = state[0]
        s1 = state[1]
        s2 = state[2]
        s3 = state[3]
        s4 = state[4]
        s5 = state[5]
        s6 = state[6]
        s7 = state[7]
        s8 = state[8]
        s9 = state[9]
        s10 = state[10]
        s11 = state[11]
        s12 = state[12]
        s13 = state[13]
        s14 = state[14]
        s15 = state[15]
        if n > 31:
            s16 = state[16]
            s17 = state[17]
            s18 = state[18]
            s19 = state[19]
            s20 = state[20]
            s21 = state[21]
            s22 = state[22]
            s23 = state[23]
            s24 = state[24]
            s25 = state[25]
            s26 = state[26]
            s27 = state[27]
            s28 = state[28]
            s29 = state[29]
            s30 = state[30]
            s31 = state[31]
        item = items
        x = item[1]
        while x:
            x -= 256
            w = ptr8(data + (item[0] << shift))
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
            if n > 31:
                s16 = w[16] * x + s16
                s17 = w[17] * x + s17
                s18 = w[18] * x + s18
                s19 = w[19] * x + s19
                s20 = w[20] * x + s20
                s21 = w[21] * x + s21
                s22 = w[22] * x + s22
                s23 = w[23] * x + s23
                s24 = w[24] * x + s24
                s25 = w[25] * x + s25
                s26 = w[26] * x + s26
                s27 = w[27] * x + s27
                s28 = w[28] * x + s28
                s29 = w[29] * x + s29
                s30 = w[30] * x + s30
                s31 = w[31] * x + s31
            item = ptr16(int(item) + 4)
            x = item[1]
        state[0] = s0
        acc[0] = s0
        state[1] = s1
        acc[1] = s1
        state[2] = s2
        acc[2] = s2
        state[3] = s3
        acc[3] = s3
        state[4] = s4
        acc[4] = s4
        state[5] = s5
        acc[5] = s5
        state[6] = s6
        acc[6] = s6
        state[7] = s7
        acc[7] = s7
        state[8] = s8
        acc[8] = s8
        state[9] = s9
        acc[9] = s9
        state[10] = s10
        acc[10] = s10
        state[11] = s11
        acc[11] = s11
        state[12] = s12
        acc[12] = s12
        state[13] = s13
        acc[13] = s13
        state[14] = s14
        acc[14] = s14
        state[15] = s15
        acc[15] = s15
        if n < 32:
            return
        state[16] = s16
        acc[16] = s16
        state[17] = s17
        acc[17] = s17
        state[18] = s18
        acc[18] = s18
        state[19] = s19
        acc[19] = s19
        state[20] = s20
        acc[20] = s20
        state[21] = s21
        acc[21] = s21
        state[22] = s22
        acc[22] = s22
        state[23] = s23
        acc[23] = s23
        state[24] = s24
        acc[24] = s24
        state[25] = s25
        acc[25] = s25
        state[26] = s26
        acc[26] = s26
        state[27] = s27
        acc[27] = s27
        state[28] = s28
        acc[28] = s28
        state[29] = s29
        acc[29] = s29
        state[30] = s30
        acc[30] = s30
        state[31] = s31
        acc[31] = s31
        state = ptr32(int(state) + 128)
        acc = ptr32(int(acc) + 128)
        data += inputs << 5
        n -= 32


@micropython.viper
def sparse(x: int, w: ptr8, plan: ptr16, arena: ptr8, sums: ptr32):
    """Plan: at, inputs, sum, outputs. As `dense`, of inputs many of which are 0, which are skipped; nothing
    is kept. Weights: for 16 outputs those of the first input, of the second, ...; then of the next."""
    q = ptr8(int(arena) + plan[0])
    x = 0
    end = int(q) + plan[1]
    now = q
    while int(now) - end:
        x += now[0] + now[1] + now[2] + now[3]
        now = ptr8(int(now) + 4)
    sums[0] = x
    acc = ptr32(int(sums) + (plan[2] << 2))
    stop = int(acc) + (plan[3] << 2)
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


@micropython.viper
def depthwise(s: int, w: ptr8, plan: ptr16, arena: ptr8, sums: ptr32):
    """Plan: at, ring's byte, stride, taps, sum, channels. Add the weighted sum of so many bytes to each
    channel's sum: from ``arena[at]`` on, and as much further as the ring's byte says; ``stride`` from channel
    to channel.

    Taps are a multiple of 4, up to 32. Of more than 16 these come first, for all channels: each time 2**20
    is added as well.
    """
    newest = plan[1]
    ring = ptr8(int(arena) + plan[0] + arena[newest])
    stride = plan[2]
    taps = plan[3]
    sums[0] = 0
    acc = ptr32(int(sums) + (plan[4] << 2))
    stop = int(acc) + (plan[5] << 2)
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
def gather(s: int, w: ptr8, plan: ptr16, arena: ptr8, sums: ptr32):
    """Plan: sum, how many. Their sum, into the first of them; the others become 0."""
    sums = ptr32(int(sums) + (plan[0] << 2))
    s = 0
    end = int(sums) + (plan[1] << 2)
    first = sums
    while int(sums) - end:
        s += sums[0]
        sums[0] = 0
        sums = ptr32(int(sums) + 4)
    first[0] = s


@micropython.viper
def scale(a: int, r: ptr16, plan: ptr16, arena: ptr8, sums: ptr32):
    """Plan: sum, how many, bits, zero, at. Bytes of so many sums, an even number, which become 0, to
    ``arena[at]`` and on.

    Records ``r`` are of 12 bytes: a word to add to the sum; a factor in three parts of ``bits`` bits, the
    highest first; by how many bits the product is shifted down, but one. 2**29 and 128 times the inputs are
    taken off. ``zero`` is twice the number that stands for 0, and one more. Halves are rounded up, as
    TensorFlow's vectors do.
    """
    less = (sums[0] << 7) + 536870912
    acc = ptr32(int(sums) + (plan[0] << 2))
    end = int(r) + 12 * plan[1]
    p = plan[2]
    zero = plan[3]
    out = ptr8(int(arena) + plan[4])
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
def remember(a: int, r: ptr16, plan: ptr16, arena: ptr8, sums: ptr32):
    """Plan: sum, how many, bits, zero, at, ring's byte, slots. As `scale`, any number, for a ring's next
    slot: bytes go to ``arena[at + slot]`` and twice ``slots`` further each, and ``slots`` after that once
    more."""
    less = (sums[0] << 7) + 536870912
    acc = ptr32(int(sums) + (plan[0] << 2))
    end = int(r) + 12 * plan[1]
    p = plan[2]
    zero = plan[3]
    slots = plan[6]
    newest = ptr8(int(arena) + plan[5])
    a = newest[0] + 1
    if a == slots:
        a = 0
    newest[0] = a
    ring = ptr8(int(arena) + plan[4] + a)
    step = slots + slots
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
def scale_away(a: int, r: ptr16, plan: ptr16, arena: ptr8, sums: ptr32):
    """`scale` of any number with halves rounded away from zero, as TensorFlow does where it has no vectors
    of 8."""
    less = (sums[0] << 7) + 536870912
    acc = ptr32(int(sums) + (plan[0] << 2))
    end = int(r) + 12 * plan[1]
    p = plan[2]
    zero = plan[3]
    out = ptr8(int(arena) + plan[4])
    half = 1 << (p + p - 1)
    while int(r) - end:
        a = ptr32(int(r))[0] + acc[0] - less
        acc[0] = 0
        x = (((((r[4] * a) >> p) + r[3] * a + half) >> p) + r[2] * a) + ((a >> 31) << p)
        x = ((x >> r[5]) + zero) >> 1
        if x >> 8:
            x = 255 ^ (x >> 31)
        out[0] = x
        r = ptr16(int(r) + 12)
        acc = ptr32(int(acc) + 4)
        out = ptr8(int(out) + 1)


@micropython.viper
def slide(s: int, w: ptr8, plan: ptr16, arena: ptr8, sums: ptr32):
    """Plan: at, how many, by. So many bytes move down by ``by``, to ``arena[at]``."""
    w = ptr8(int(arena) + plan[0])
    x = ptr8(int(w) + plan[2])
    end = int(w) + plan[1]
    fours = int(w) + (plan[1] & -4)
    while int(w) - fours:
        w[0] = x[0]
        w[1] = x[1]
        w[2] = x[2]
        w[3] = x[3]
        w = ptr8(int(w) + 4)
        x = ptr8(int(x) + 4)
    while int(w) - end:
        w[0] = x[0]
        w = ptr8(int(w) + 1)
        x = ptr8(int(x) + 1)


@micropython.viper
def take(x: ptr8, y: ptr8, at: int, n: int):
    """``n`` signed bytes from ``y`` as numbers without a sign, 128 more, to ``x[at]`` and on. Fours."""
    x = ptr8(int(x) + at)
    end = int(x) + n
    while int(x) - end:
        x[0] = y[0] ^ 128
        x[1] = y[1] ^ 128
        x[2] = y[2] ^ 128
        x[3] = y[3] ^ 128
        x = ptr8(int(x) + 4)
        y = ptr8(int(y) + 4)
