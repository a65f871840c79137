"""Less of a noise that stays as it is: fans, hiss, wind, traffic far away.

Windows of 12 ms, one every 10 ms, are transformed by `fft`, and each of 33 bands of the spectrum is
multiplied by a gain of 1 down to 1/8 (18 dB). A band's level is the logarithm to base 2 of its energy in
sixteenths (3/16 dB), which makes differences of divisions and tables of powers:

* The noise of a band is the running mean of its level while its smoothed level stays within 5 dB of the
  least in 0.8 to 1.6 s (minima controlled, as Cohen and Berdugo do, 2002).
* The ratio of speech to noise is smoothed from window to window by what the gain let through ("decision
  directed", Ephraim and Malah, 1984), the gain then over neighbouring bands: single bins that stick out of a
  noise would be heard as chirps.
* The gain is Wiener's, ratio / (1 + ratio).

In all kernels ``r`` and ``x`` are scratch, as in `fft`.
"""

from array import array

import micropython
from micropython import const

from . import fft

DELAY = const(32)
"""Samples (2 ms) by which what comes out is later than what went in."""

FRAME = const(320)
"""Samples of a frame, two hops."""

_HOP = const(160)
_BANDS = const(33)
_WORDS = const(5)  # of state, a band

# The first bin of each band, and the end: bins of 83 Hz one by one, from 1.2 kHz on a tenth of a frequency.
# fmt: off
_EDGES = bytes((
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19, 21, 23, 25, 27, 30, 33, 36, 40, 44, 48, 53,
    58, 64, 70, 77, 85, 96,
))
# fmt: on

# The mean of the logarithms of a noise's energies is below the logarithm of their mean, by 13/16 for one bin.
_BELOW = bytes(13 // (_EDGES[_b + 1] - _EDGES[_b]) for _b in range(_BANDS))

_MEAN_UP_TO = const(425)  # a smoothed level so far above its least is speech: 5 dB, in 1/256
_LEAST_HOPS = const(80)
_LOWEST = const(16)  # levels begin at 64 for a white noise of 1: half of it is silence
_RATIO_MIN = const(-106)  # sixteenths: 20 dB below the noise
_LOSS_MAX = const(224)  # of 256
_START = const(0)  # what a hop is: the first
_NEXT = const(1)
_ANEW = const(2)  # one where the least levels begin anew


def _falling(first, runs):
    # first runs[0] times, first - 1 runs[1] times, ...
    return b"".join([bytes((first - i,)) * n for i, n in enumerate(runs)])


# fmt: off
# 16 log2(v) for v of 0..255 (0 for 0), rounded.
_LOGS = bytes((0, 0, 16, 25, 32, 37, 41, 45, 48, 51, 53, 55, 57, 59, 61, 63)) + bytes(
    255 - x for x in _falling(191, (
        1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 2, 1, 2, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 3, 3,
        3, 3, 3, 3, 4, 3, 4, 4, 4, 4, 5, 4, 5, 5, 6, 5, 6, 6, 6, 7, 7, 7, 8, 7, 9, 8, 9, 9, 10, 10, 11, 5,
    ))
)
# 16 log2(1 + 2 ** (-d / 16)): how much the sum of two powers is above the larger, d above the other.
_SUMS = _falling(16, (2, 2, 2, 2, 3, 2, 3, 3, 4, 3, 5, 5, 6, 9, 12, 26))
# -16 log2(1 - 2 ** (-d / 16)): how much their difference is below the larger.
_FADES = bytes((0, 73, 57, 49, 42, 38, 34, 31, 28, 26, 24, 22, 21, 19, 18)) + _falling(
    17, (1, 1, 1, 1, 2, 1, 2, 2, 2, 2, 3, 3, 4, 6, 7, 11, 25)
)
# fmt: on


def _losses():
    # 256 - 256 times the gain, for ratios of 2 ** (-8) to 2 ** (127 / 16); none for the highest.
    root = (65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752)
    root += tuple(x * 46341 >> 15 for x in root)
    table = bytearray(256)
    for i in range(255):
        ratio = root[i & 15] << (i >> 4)
        table[i] = min(_LOSS_MAX, (1 << 32) // ((1 << 24) + ratio))
    return table


_LOSSES = _losses()
# The square root of a raised cosine's rise, times 16384: its squares and those of the fall add up to one.
# fmt: off
_RISE = array("H", (
    402, 1205, 2006, 2801, 3590, 4370, 5139, 5897, 6639, 7366, 8076, 8765, 9434, 10080, 10702, 11297, 11866,
    12406, 12916, 13395, 13842, 14256, 14635, 14978, 15286, 15557, 15791, 15986, 16143, 16261, 16340, 16379,
))
# fmt: on


@micropython.viper
def _measure(r: int, x: int, pcm: ptr16, off: int, before: ptr16) -> int:
    # By how many bits, less four, samples may be shifted to the left for the transform: -1..14.
    bits = 0
    r = 0
    end = off + _HOP
    while off < end:
        x = pcm[off]
        if x >= 32768:
            x = 65536 - x
        r += x
        bits |= x
        off += 1
    off = 0
    while off < 32:
        x = before[off]
        if x >= 32768:
            x = 65536 - x
        r += x
        bits |= x
        off += 1
    # The sum of the squares is at most the peak times the sum of the magnitudes.
    x = 37
    while r:
        x -= 1
        r >>= 1
    r = bits
    while r:
        x -= 1
        r >>= 1
    x >>= 1
    if x > 14:
        x = 14
    return x


@micropython.viper
def _window(r: int, x: int, pcm: ptr16, off: int, before: ptr16, re: ptr16, im: ptr16, up: int):
    # The 32 samples before and the 160 at off, as the input of the transform; the last 32 go to before.
    places = ptr8(fft.PLACES)
    rise = ptr16(_RISE)
    shift = 18 - up
    half = 1 << (shift - 1)
    flat = half - 0x20000000
    n = 0
    while n < 16:
        r = n + n
        x = ((before[r] ^ 32768) - 32768) * rise[r] + half
        i = places[n]
        re[i] = (x >> shift) + 32768
        x = ((before[r + 1] ^ 32768) - 32768) * rise[r + 1] + half
        im[i] = (x >> shift) + 32768
        n += 1
    r = off
    while n < 80:
        i = places[n]
        x = ((pcm[r] ^ 32768) << 14) + flat
        re[i] = (x >> shift) + 32768
        r += 1
        x = ((pcm[r] ^ 32768) << 14) + flat
        im[i] = (x >> shift) + 32768
        r += 1
        n += 1
    j = 31
    while n < 96:
        i = places[n]
        x = pcm[r]
        before[31 - j] = x
        x = ((x ^ 32768) - 32768) * rise[j] + half
        re[i] = (x >> shift) + 32768
        r += 1
        j -= 1
        x = pcm[r]
        before[31 - j] = x
        x = ((x ^ 32768) - 32768) * rise[j] + half
        im[i] = (x >> shift) + 32768
        r += 1
        j -= 1
        n += 1


@micropython.viper
def _overlap(r: int, x: int, pcm: ptr16, off: int, re: ptr16, im: ptr16, tail: ptr16, up: int):
    # The way back: 160 samples to off, and the last 32 for the next.
    found = ptr8(fft.FOUND)
    rise = ptr16(_RISE)
    shift = 10 + up
    half = 1 << (shift - 1)
    n = 0
    while n < 32:
        i = found[n >> 1]
        x = im[i] if n & 1 else re[i]
        x = ((x - 32768) * rise[n] + half) >> shift
        x += tail[n] - 32768
        if x > 32767:
            x = 32767
        if x < -32768:
            x = -32768
        pcm[off] = x
        off += 1
        n += 1
    r = off
    n = 16
    half -= 0x20000000
    while n < 80:
        i = found[n]
        x = ((re[i] << 14) + half) >> shift
        if x > 32767:
            x = 32767
        if x < -32768:
            x = -32768
        pcm[r] = x
        r += 1
        x = ((im[i] << 14) + half) >> shift
        if x > 32767:
            x = 32767
        if x < -32768:
            x = -32768
        pcm[r] = x
        r += 1
        n += 1
    half += 0x20000000
    n = 0
    while n < 32:
        i = found[80 + (n >> 1)]
        x = im[i] if n & 1 else re[i]
        x = ((x - 32768) * rise[31 - n] + half) >> shift
        if x > 32767:
            x = 32767
        if x < -32768:
            x = -32768
        tail[n] = x + 32768
        n += 1


@micropython.viper
def _levels(r: int, x: int, xr: ptr16, xi: ptr16, levels: ptr16, up: int):
    # Of each band, at least _LOWEST.
    edges = ptr8(_EDGES)
    logs = ptr8(_LOGS)
    i = 1
    b = 0
    while b < _BANDS:
        end = edges[b + 1]
        r = 0
        while i < end:
            x = xr[i] - 32768
            r += x * x
            x = xi[i] - 32768
            r += x * x
            i += 1
        x = 192 - (up << 5)
        while r > 255:
            r >>= 4
            x += 64
        x += logs[r]
        if x < _LOWEST:
            x = _LOWEST
        levels[b] = x
        b += 1


@micropython.viper
def _gains(r: int, x: int, levels: ptr16, state: ptr16, gains: ptr16, what: int, rate: int):
    # state has five words for each band: its level smoothed, the least, the least of late, the noise (all in
    # 1/256), and 1024 more than the ratio that the last gain left. Leaves in gains one for each band, from 1
    # on, and at both ends the same again.
    below = ptr8(_BELOW)
    sums = ptr8(_SUMS)
    fades = ptr8(_FADES)
    losses = ptr8(_LOSSES)
    half = (1 << rate) >> 1
    b = 0
    i = 0
    while b < _BANDS:
        r = levels[b] << 4
        if what == _START:
            state[i] = r
            state[i + 1] = r
            state[i + 2] = r
            state[i + 3] = r
            state[i + 4] = 0
        x = state[i]
        x += (r - x + 2) >> 2
        state[i] = x
        late = state[i + 2]
        if x < late:
            late = x
        least = state[i + 1]
        if late < least:
            least = late
        if what == _ANEW:
            least = late
            late = x
        state[i + 1] = least
        state[i + 2] = late
        noise = state[i + 3]
        least += _MEAN_UP_TO
        if x < least:
            x = noise
            r -= x
            x += (r + half) >> rate
            noise = x
        if noise > least:
            noise = least
        state[i + 3] = noise
        # The level above the noise.
        r = levels[b] - ((noise + 8) >> 4) - below[b]
        if r > 255:
            r = 255
        if r < -255:
            r = -255
        above = r
        # 0.96 of the ratio that was left, and 0.04 of energy / noise - 1.
        x = state[i + 4] - 1025
        if r > 0:
            if r < 89:
                r -= fades[r]
            r -= 73
            if r > x:
                late = r
                r = x
                x = late
            r = x - r
            if r < 89:
                x += sums[r]
        if x < _RATIO_MIN:
            x = _RATIO_MIN
        if x > 127:
            x = 127
        gains[b + 1] = 256 - losses[x + 128]
        # The square of the gain r / (1 + r) times energy / noise.
        if x < 0:
            r = 0 - x
            if r < 89:
                x -= sums[r]
        else:
            r = x
            x = 0
            if r < 89:
                x -= sums[r]
        state[i + 4] = x + x + above + 1024
        i += _WORDS
        b += 1
    gains[0] = gains[1]
    gains[b + 1] = gains[b]


@micropython.viper
def _spread(r: int, x: int, gains: ptr16, bins: ptr16):
    # Smoothed over three bands, for each bin.
    edges = ptr8(_EDGES)
    b = 0
    i = 1
    while b < _BANDS:
        r = gains[b]
        x = gains[b + 1]
        r += x + x
        x = gains[b + 2]
        r = (r + x + 2) >> 2
        b += 1
        x = edges[b]
        while i < x:
            bins[i] = r
            i += 1


class Suppressor:
    """`run` takes noise out of one frame after the other."""

    def __init__(self):
        # All of 16-bit words.
        self._before = bytearray(64)
        self._tail = bytearray(64)
        self._re = bytearray(2 * fft.POINTS)
        self._im = bytearray(2 * fft.POINTS)
        self._xr = bytearray(2 * fft.POINTS)
        self._xi = bytearray(2 * fft.POINTS)
        self._levels = bytearray(2 * _BANDS)
        self._state = bytearray(2 * _WORDS * _BANDS)
        self._gains = bytearray(2 * (_BANDS + 2))
        self._bins = bytearray(2 * fft.POINTS)
        self.reset()

    def reset(self):
        """Make what comes next the start of a stream: the noise is learnt anew, from the first window on."""
        for i in range(64):
            self._before[i] = 0
            self._tail[i] = (i & 1) << 7  # 32768 is nothing
        self._age = 0  # hops since the start, as far as it matters
        self._least = 0  # hops since the least levels were begun anew

    def run(self, pcm):
        """In place, `FRAME` samples (int16 in the machine's order), `DELAY` later."""
        self._hop(pcm, 0)
        self._hop(pcm, _HOP)

    def _hop(self, pcm, off):
        re = self._re
        im = self._im
        xr = self._xr
        xi = self._xi
        up = _measure(0, 0, pcm, off, self._before)
        _window(0, 0, pcm, off, self._before, re, im, up)
        fft.transform(re, im, 2)
        fft.split(0, 0, re, im, xr, xi)
        _levels(0, 0, xr, xi, self._levels, up)
        age = self._age
        # The mean moves by a half, a quarter, ... down to 1/32 of the difference.
        rate = 5
        if age < 30:
            rate = 4 if age > 13 else 3 if age > 5 else 2 if age > 1 else 1
            self._age = age + 1
        what = _NEXT
        if age == 0:
            what = _START
        elif self._least == _LEAST_HOPS:
            what = _ANEW
            self._least = 0
        self._least += 1
        _gains(0, 0, self._levels, self._state, self._gains, what, rate)
        _spread(0, 0, self._gains, self._bins)
        fft.merge(0, 0, xr, xi, self._bins, re, im)
        fft.transform(im, re, 1)
        _overlap(0, 0, pcm, off, re, im, self._tail, up)
