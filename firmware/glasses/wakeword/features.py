"""What a wake word's network hears: 40 numbers every 10 ms, of 30 ms each.

Bit for bit those of TensorFlow's micro frontend with microWakeWord's parameters, as ESPHome and Home
Assistant run it: `spectrum`, then 40 bands on the mel scale from 125 to 7500 Hz, their square roots, less of
what stays as it is, a gain that falls with what stays (PCAN, Wang et al., 2017), and a logarithm. Sums of
energies reach 2**47, levels 2**24; what does not fit 32 bits is kept in two words.

In all kernels ``r`` and ``x`` are scratch: the first two locals live in registers, and parameters come first.
"""

from array import array

import micropython
from micropython import const

from . import spectrum

BANDS = const(40)

ROWS = const(3)
"""Vectors that the network takes at a time."""

# How many bins count for each band and not for the one before, and beyond the middle of the last; ":" is 10.
_WIDTHS = bytes(c - 48 for c in b"1212222232333334435455556677788999;:<<==?")


def _weights():
    # How far bins are below the middle of the band above, of 4096 from middle to middle: middles are evenly
    # spaced on the mel scale, so that is one curve, 1127 log(1 + f / 700) in other units, modulo 4096.
    # It falls by 2711 from bin to bin, and by less and less: the characters from "#" on.
    table = array("H", bytes(482))
    weight = -8
    step = 2711
    k = spectrum.FIRST
    for less in (
        b"#}}xslie`^ZXTRPNKJHGECC@A>==<;:988857455332321101/0/0-//,/-,.,,-+-*-*+,**++)*+("
        b"+))*(*(*(())')()'(')'('(''('&('''&(&&(%(%(%'&'%'&&&&%'&%'%&%&&&%%'$&&%%%&&$&%%%"
        b"&%$&%%%%%%$&%$%&$$&$&#&$%%$%$&#&#&$$%%$$%$%$$%%#%%#%%#%$%$$$$%$$$$%#%$$%#$%$#%"
    ):
        step -= less - 35
        weight -= step
        table[k] = weight & 4095
        k += 1
    return table


_WEIGHTS = _weights()

# By how many bits a byte is to be shifted up until its highest is set. A table, not an `if` for each step:
# numbers of bands are of any size, and of every other `if` a processor expects the wrong way.
_UP = bytearray(256)
for _at in range(1, 256):
    _UP[_at] = 7
    while _at << _UP[_at] > 255:
        _UP[_at] -= 1

# 16 times the roots of 64..256 times 2**15, and so much more that what lies between two is never too little.
_ROOTS = array("H", bytes(386))
_root = 0
for _at in range(193):
    while _root * _root < (_at + 64) << 23:
        _root += 1
    _ROOTS[_at] = _root + 2


def _gains():
    # For noises of so many bits, 0..32: the gain for the least of them, by how much it falls in 1024 steps to
    # twice that, and two more than by how much less than evenly: a parabola through three points. These are
    # 2**21 (80 + noise / 128)**-0.95 for 0, 0, 1, 1, 2, 3, 4, 6, 8, 12, ...
    # fmt: off
    points = (
        32636, 32636, 32633, 32633, 32630, 32627, 32624, 32618, 32612, 32600, 32587, 32563, 32539, 32491,
        32443, 32348, 32253, 32065, 31879, 31514, 31158, 30469, 29811, 28578, 27446, 25436, 23707, 20882,
        18672, 15431, 13166, 10204, 8348, 6144, 4874, 3465, 2697, 1878, 1446, 995, 762, 522, 398, 272, 207,
        141, 107, 73, 56, 38, 29, 20, 15, 10, 8, 5, 4, 3, 2, 1, 1, 1, 1, 0, 0, 0, 0,
    )
    # fmt: on
    table = array("H", bytes(198))
    for bits in range(33):
        y0, y1, y2 = points[2 * bits : 2 * bits + 3]
        table[3 * bits] = y0
        table[3 * bits + 2] = 2
        if bits > 1:
            table[3 * bits + 1] = 3 * y0 + y2 - 4 * y1
            table[3 * bits + 2] = 2 * y0 + 2 * y2 - 4 * y1 + 2
    return table


_GAINS = _gains()


def _logs():
    # 65536 (log2(1 + i / 128) - i / 128): rises by 224, then by as much less as the digits say.
    table = array("H", bytes(258))
    step = 230
    for i, less in enumerate(
        b"6665565556455554463553544444435344335252434243342342333324224232"
        b"3232323231413222313222231231222222131221312122212122122112212112"
    ):
        step -= less - 48
        table[i + 1] = table[i] + step
    return table


_LOGS = _logs()


@micropython.viper
def bands(r: int, x: int, low: ptr16, high: ptr16, levels: ptr32):
    """Sums of energies times their weights, below 2**47: 16 bits into ``low``, the rest into ``levels``.

    A bin counts with its weight for the band above it, and with what is missing to 4096 for the one below.
    """
    weights = ptr16(_WEIGHTS)
    widths = ptr8(_WIDTHS)
    more_low = 0
    more_high = 0
    band = 0
    r = 5
    while band < 41:
        end = r + widths[band]
        sum_low = 0
        sum_high = 0
        all_low = 0
        all_high = 0
        while end - r:
            x = low[r]
            all_low += x
            sum_low = x * weights[r] + sum_low
            x = high[r]
            all_high += x
            sum_high = x * weights[r] + sum_high
            r += 1
        if band:
            x = sum_low + more_low
            low[band - 1] = x
            levels[band - 1] = (x >> 16) + sum_high + more_high
        x = ((all_low & 15) << 12) - sum_low
        more_low = x & 65535
        more_high = (all_high << 12) + (all_low >> 4) - sum_high + (x >> 16)
        band += 1


@micropython.viper
def roots(r: int, x: int, low: ptr16, levels: ptr32, up: int):
    """The rounded square roots of what `bands` gave, shifted down by ``up`` bits, into ``levels``."""
    first = ptr16(_ROOTS)
    shifts = ptr8(_UP)
    band = 0
    while 40 - band:
        # Shifted up to 46 or 47 bits, by two times `shift`: r the upper 31, x the lower 16.
        r = levels[band]
        x = low[band]
        word = 0
        if r < 65536:
            word = 1
        shift = 0
        if r < 32768:
            r = (r << 16) | x
            x = 0
            shift = 8
            if r < 32768:
                r <<= 16
                shift = 16
        if r < 8388608:
            r = (r << 8) | (x >> 8)
            x = (x << 8) & 65535
            shift += 4
        more = shifts[r >> 23] & 6
        r = (r << more) | (x >> (16 - more))
        x = (x << more) & 65535
        shift += more >> 1
        if r:
            # The root of the upper 23 bits by a table, at most one too much; then 12 bits at once
            # (Zimmermann, Karatsuba Square Root, 1999).
            middle = ((r & 255) << 4) | (x >> 12)
            last = x & 4095
            r >>= 8
            x = (r >> 15) - 63
            high = first[x]
            x -= 1
            x = first[x]
            x = ((((high - x) * (r & 32767)) >> 15) + x) >> 4
            r -= x * x
            if r < 0:
                x -= 1
                r += x + x + 1
            middle += r << 12
            r = middle // (x + x)
            last += (middle - r * (x + x)) << 12
            last -= r * r
            x = (x << 12) + r
            while last < 0:
                x -= 1
                last += x + x + 1
            if shift:
                x = (x + (1 << (shift - 1))) >> shift
            elif last > x:
                x += 1
            # The original does not round up where that makes 17 bits of 32.
            if word and x > 65535:
                x = 65535
            r = x
        levels[band] = r >> up
        band += 1


@micropython.viper
def loudness(r: int, x: int, levels: ptr32, noise: ptr16, vector: ptr16):
    """What is heard of each band: its level without the noise, how much that is beside the noise, and of this
    the logarithm, into ``vector``.

    ``noise`` is 1024 times that, 32 bits a band. It follows even bands by 409, odd ones by 983 of 16384, and
    a twentieth of a level stays. Then a gain, which the noise decides, and below the knee squared (PCAN).
    Then 64 times the natural logarithm of 8 times that, or 0 for 0.
    """
    table = ptr16(_GAINS)
    bent = ptr16(_LOGS)
    shifts = ptr8(_UP)
    band = 0
    at = 0
    rate = 409
    while 40 - band:
        level = levels[band]
        # 1024 times the level, 32 bits of it, less the noise.
        x = ((level & 63) << 10) - noise[at]
        high = at + 1
        r = ((level >> 6) & 65535) - noise[high] + (x >> 16)
        x &= 65535
        follows = ((r * rate) << 2) + ((x * rate) >> 14)
        x = (r << 6) + ((x - follows) >> 10)
        r = noise[at] + follows
        noise[at] = r
        r = noise[high] + (r >> 16)
        noise[high] = r
        r = level
        r = (r >> 14) * 819 + (((r & 16383) * 819) >> 14)
        if x < r:
            x = r
        level = x
        rate = 1392 - rate
        # The noise as 26 bits with the highest set: the ten after that are the place between two powers of 2.
        r = noise[high]
        if r:
            x = 96
            r = (r << 10) | (noise[at] >> 6)
        else:
            x = 48
            r = noise[at] << 10
        if r < 262144:
            r <<= 8
            x -= 24
        high = shifts[r >> 18]
        r <<= high
        x -= high + high + high
        if r == 0:
            x = 0
        r = (r >> 15) & 1023
        gain = table[x]
        x += 1
        fall = table[x] << 5
        x += 1
        gain += (((((table[x] - 2) * r) >> 5) - fall) * r + 16384) >> 15
        # The level times the gain, which has up to 39 bits; its lower 6 go, and 32 of the others count.
        r = level
        x = (r & 4095) * gain
        r = (r >> 12) * gain
        level = (r + (x >> 12)) & 67108863
        if level < 128:
            r = (((r & 127) << 6) + (x >> 6)) & 8191
            r = (r * r) >> 20
        else:
            r = level - 64
        if r:
            # With the highest bit at 28, bits 12 and up are the fraction of 16 bits.
            x = 28
            r <<= 3
            if r < 8192:
                r <<= 16
                x = 12
            if r < 2097152:
                r <<= 8
                x -= 8
            high = shifts[r >> 21]
            r <<= high
            whole = (x - high) << 16
            r = (r >> 12) & 65535
            x = r >> 9
            whole += bent[x] + r + (((bent[x + 1] - bent[x]) * (r & 511)) >> 16)
            # log(2), of 32768
            x = whole >> 15
            r = ((whole & 32767) * 22713 + 16384) >> 15
            r += x * 22713
            r = ((r << 6) + 32768) >> 16
        vector[band] = r
        at += 2
        band += 1


@micropython.viper
def quantise(r: int, x: int, vector: ptr16, inputs: ptr8, at: int):
    """As signed bytes at ``at``, for the network: round(v * 0.0390625 / 0.10196079 - 128), at most 127.

    So pymicro-wakeword has it, which is where the models' results are compared. ESPHome's
    (256 v + 333) // 666 - 128 is one more for 4 of 10 values.
    """
    r = 0
    while r < 40:
        x = (vector[r] * 6277 + 8128) >> 14
        if x > 255:
            x = 255
        inputs[at] = x - 128
        at += 1
        r += 1


@micropython.viper
def take(r: int, x: int, pcm: ptr16, n: int, even: ptr16, odd: ptr16, at: int):
    """``n`` samples from ``r`` on, as those from ``at`` on of a window: those of even and of odd numbers."""
    x = at >> 1
    end = r + n
    if at & 1 and n:
        odd[x] = pcm[r] ^ 32768
        r += 1
        x += 1
    end -= 1
    while r < end:
        even[x] = pcm[r] ^ 32768
        r += 1
        odd[x] = pcm[r] ^ 32768
        r += 1
        x += 1
    if r == end:
        even[x] = pcm[r] ^ 32768


class Features:
    """The way from samples to the network's inputs; allocates nothing after it is made.

    ``vector`` is the newest: 40 unsigned 16-bit numbers, up to some 700. ``inputs`` are the newest three as
    signed bytes, the oldest first as soon as there are three (``rows``).
    """

    def __init__(self):
        self.vector = array("H", bytes(2 * BANDS))
        self.inputs = bytearray(ROWS * BANDS)
        # As words: two samples, numbers or halves of a word each.
        self._even = array("I", bytes(spectrum.WINDOW))
        self._odd = array("I", bytes(spectrum.WINDOW))
        self._re = array("H", bytes(2 * spectrum.NUMBERS))
        self._im = array("H", bytes(2 * spectrum.NUMBERS))
        self._more_re = array("H", bytes(2 * spectrum.NUMBERS))
        self._more_im = array("H", bytes(2 * spectrum.NUMBERS))
        self._levels = array("I", bytes(4 * BANDS))
        self._noise = array("H", bytes(4 * BANDS))
        self.reset()

    def reset(self):
        """As if nothing had been heard."""
        self.rows = 0
        self.fresh = False
        self._have = 0
        self._at = 0  # where the next sample goes: a window is in a circle
        noise = self._noise
        for i in range(2 * BANDS):
            noise[i] = 0

    def feed(self, pcm, off, n, attend=True):
        """Hear up to ``n`` int16 samples of ``pcm`` from sample ``off`` on, to the end of a window at most.

        Returns how many were heard. ``fresh`` is whether that completed a window: then there is a new
        ``vector``, and ``rows`` says how many are in ``inputs``. Three are what the network takes. A window
        that is complete when nobody does ``attend`` gives none, at next to no cost; later ones do again.
        """
        self.fresh = False
        have = self._have
        if have + n >= spectrum.WINDOW:
            n = spectrum.WINDOW - have
            self.fresh = True
        at = self._at
        take(off, 0, pcm, n, self._even, self._odd, at)
        have += n
        at += n
        if at == spectrum.WINDOW:
            at = 0
        self._at = at
        if self.fresh:
            if attend:
                self._hear(at >> 1)
            have -= spectrum.HOP
        self._have = have
        return n

    def _hear(self, oldest):
        re = self._re
        im = self._im
        more_re = self._more_re
        more_im = self._more_im
        levels = self._levels
        vector = self.vector
        up = spectrum.window(self._even, 0, self._odd, re, im, oldest)
        spectrum.first(re, 0, im, more_re, more_im, up)
        spectrum.later(0, 0, more_re, more_im, re, im)
        spectrum.energies(0, 0, re, im)
        bands(0, 0, re, im, levels)
        roots(0, 0, re, levels, up)
        loudness(0, 0, levels, self._noise, vector)
        if self.rows == ROWS:
            self.rows = 0
        quantise(0, 0, vector, self.inputs, self.rows * BANDS)
        self.rows += 1
