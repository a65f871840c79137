"""Less of a noise that stays as it is: fans, hiss, wind, traffic far away.

Windows of 12 ms, one every 10 ms, are transformed by `fft`, and each of 24 bands of the spectrum is
multiplied by a gain of 1 down to 1/11 (21 dB). A band's level is the logarithm to base 2 of its energy in
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
_BANDS = const(24)
_UPPER = const(19)  # the band that begins in the middle
_WORDS = const(5)  # of state, a band

# The mean of the logarithms of a noise's energies is below the logarithm of their mean, by 13/16 for one bin.
_BELOW = bytes(13 // _width for _width in fft.WIDTHS)

_MEAN_UP_TO = const(425)  # a smoothed level so far above its least is speech: 5 dB, in 1/256
_LEAST_HOPS = const(80)
_LOWEST = const(16)  # levels begin at 64 for a white noise of 1: half of it is silence
_RATIO_MIN = const(-106)  # sixteenths: 20 dB below the noise
_LOSS_MAX = const(233)  # of 256


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
    # By how many bits, less four, samples may be shifted to the left for the transform: -1..10. Their squares
    # add up in units of 256, rounded down; words 32 and 33 of before have those of the 32 before.
    r = before[33] << 16
    r += before[32] + 192
    data = ptr16(int(pcm) + off + off)
    end = int(data) + 256
    parts = 2
    while parts:
        last = r
        while end - int(data):
            x = (data[0] ^ 32768) - 32768
            r += (x * x) >> 8
            x = (data[1] ^ 32768) - 32768
            r += (x * x) >> 8
            x = (data[2] ^ 32768) - 32768
            r += (x * x) >> 8
            x = (data[3] ^ 32768) - 32768
            r += (x * x) >> 8
            data = ptr16(int(data) + 8)
        end += 64
        parts -= 1
    x = r - last
    before[32] = x
    before[33] = x >> 16
    # A bit more of each sample is two bits of the sum, which may have 29.
    x = 10
    while r > 511:
        r >>= 2
        x -= 1
    return x


@micropython.viper
def _window(r: int, x: int, pcm: ptr16, off: int, before: ptr16, re: ptr16, im: ptr16, up: int):
    # The 32 samples before and the 160 at off, as the input of the transform; the last 32 go to before.
    places = ptr8(fft.PLACES)
    rise = ptr16(_RISE)
    shift = 18 - up
    half = 1 << (shift - 1)
    data = before
    end = int(data) + 64
    while end - int(data):
        r = places[0]
        x = ((data[0] ^ 32768) - 32768) * rise[0] + half
        re[r] = (x >> shift) + 32768
        x = ((data[1] ^ 32768) - 32768) * rise[1] + half
        im[r] = (x >> shift) + 32768
        data = ptr16(int(data) + 4)
        rise = ptr16(int(rise) + 4)
        places = ptr8(int(places) + 1)
    # In between, of samples with 32768 added to numbers with the same: both in one constant.
    times = 16 << up if up >= 0 else 8
    flat = 0x800080 - (times << 15)
    data = ptr16(int(pcm) + off + off)
    end = int(data) + 256
    while end - int(data):
        r = places[0]
        x = (data[0] ^ 32768) * times
        re[r] = (x + flat) >> 8
        x = (data[1] ^ 32768) * times
        im[r] = (x + flat) >> 8
        r = places[1]
        x = (data[2] ^ 32768) * times
        re[r] = (x + flat) >> 8
        x = (data[3] ^ 32768) * times
        im[r] = (x + flat) >> 8
        data = ptr16(int(data) + 8)
        places = ptr8(int(places) + 2)
    end = int(data) + 64
    while end - int(data):
        rise = ptr16(int(rise) - 4)
        r = data[0]
        before[0] = r
        x = ((r ^ 32768) - 32768) * rise[1] + half
        r = places[0]
        re[r] = (x >> shift) + 32768
        r = data[1]
        before[1] = r
        x = ((r ^ 32768) - 32768) * rise[0] + half
        r = places[0]
        im[r] = (x >> shift) + 32768
        data = ptr16(int(data) + 4)
        before = ptr16(int(before) + 4)
        places = ptr8(int(places) + 1)


@micropython.viper
def _overlap(r: int, x: int, pcm: ptr16, off: int, re: ptr16, im: ptr16, tail: ptr16, up: int):
    # The way back: 160 samples to off, and the last 32 for the next.
    found = ptr8(fft.FOUND)
    rise = ptr16(_RISE)
    shift = 10 + up
    half = 1 << (shift - 1)
    data = ptr16(int(pcm) + off + off)
    old = tail
    end = int(data) + 64
    while end - int(data):
        r = found[0]
        x = ((re[r] - 32768) * rise[0] + half) >> shift
        x += old[0] - 32768
        if (x + 32768) >> 16:
            x = 32767 ^ (x >> 31)
        data[0] = x
        x = ((im[r] - 32768) * rise[1] + half) >> shift
        x += old[1] - 32768
        if (x + 32768) >> 16:
            x = 32767 ^ (x >> 31)
        data[1] = x
        data = ptr16(int(data) + 4)
        old = ptr16(int(old) + 4)
        rise = ptr16(int(rise) + 4)
        found = ptr8(int(found) + 1)
    times = 1 << (10 - up)
    flat = 32 - (times << 15)
    end = int(data) + 256
    while end - int(data):
        r = found[0]
        x = (re[r] * times + flat) >> 6
        if (x + 32768) >> 16:
            x = 32767 ^ (x >> 31)
        data[0] = x
        x = (im[r] * times + flat) >> 6
        if (x + 32768) >> 16:
            x = 32767 ^ (x >> 31)
        data[1] = x
        r = found[1]
        x = (re[r] * times + flat) >> 6
        if (x + 32768) >> 16:
            x = 32767 ^ (x >> 31)
        data[2] = x
        x = (im[r] * times + flat) >> 6
        if (x + 32768) >> 16:
            x = 32767 ^ (x >> 31)
        data[3] = x
        data = ptr16(int(data) + 8)
        found = ptr8(int(found) + 2)
    end = int(tail) + 64
    while end - int(tail):
        rise = ptr16(int(rise) - 4)
        r = found[0]
        x = ((re[r] - 32768) * rise[1] + half) >> shift
        if (x + 32768) >> 16:
            x = 32767 ^ (x >> 31)
        tail[0] = x + 32768
        x = ((im[r] - 32768) * rise[0] + half) >> shift
        if (x + 32768) >> 16:
            x = 32767 ^ (x >> 31)
        tail[1] = x + 32768
        tail = ptr16(int(tail) + 4)
        found = ptr8(int(found) + 1)


@micropython.viper
def _levels(r: int, x: int, bins: ptr16, levels: ptr16, up: int):
    # Of each band, at least _LOWEST. The lower bins come first to last, then the upper from the middle on.
    logs = ptr8(_LOGS)
    widths = ptr8(fft.WIDTHS)
    scale = 192 - (up << 5)
    step = 8
    middle = ptr16(int(bins) + 388)
    upper = int(levels) + _UPPER * 2
    end = int(levels) + _BANDS * 2
    bins = ptr16(int(bins) + 8)
    while end - int(levels):
        if int(levels) == upper:
            bins = middle
            step = 0 - 8
        n = widths[0]
        r = 0
        while n:
            x = bins[0] - 32768
            r += x * x
            x = bins[1] - 32768
            r += x * x
            bins = ptr16(int(bins) + step)
            n -= 1
        x = scale
        while r > 255:
            r >>= 4
            x += 64
        x += logs[r]
        if x < _LOWEST:
            x = _LOWEST
        levels[0] = x
        levels = ptr16(int(levels) + 2)
        widths = ptr8(int(widths) + 1)


@micropython.viper
def _start(levels: ptr16, state: ptr16):
    # What `_gains` goes on from: all levels are the first ones, which are noise.
    end = int(levels) + _BANDS * 2
    while end - int(levels):
        level = levels[0] << 4
        state[0] = level
        state[1] = level
        state[2] = level
        state[3] = level
        state[4] = 0
        levels = ptr16(int(levels) + 2)
        state = ptr16(int(state) + 2 * _WORDS)


@micropython.viper
def _gains(r: int, x: int, levels: ptr16, state: ptr16, gains: ptr16, anew: int, rate: int):
    # state has five words for each band: its level smoothed, the least, the least of late, the noise (all in
    # 1/256), and 1024 more than the ratio that the last gain left. Leaves in gains one for each band, from 1
    # on, and at both ends the same again.
    below = ptr8(_BELOW)
    sums = ptr8(_SUMS)
    fades = ptr8(_FADES)
    losses = ptr8(_LOSSES)
    half = (1 << rate) >> 1
    first = gains
    end = int(levels) + _BANDS * 2
    while end - int(levels):
        gains = ptr16(int(gains) + 2)
        r = levels[0] << 4
        x = state[0]
        x += (r - x + 2) >> 2
        state[0] = x
        late = state[2]
        if x < late:
            late = x
        least = state[1]
        if late < least:
            least = late
        if anew:
            least = late
            late = x
        state[1] = least
        state[2] = late
        least += _MEAN_UP_TO
        if x < least:
            x = state[3]
            r -= x
            x += (r + half) >> rate
        else:
            x = state[3]
        if x > least:
            x = least
        state[3] = x
        # The level above the noise, which is taken for 1 dB (5/16) less than it is: that lets weak sounds of
        # speech pass, and a recogniser finds more words.
        r = levels[0] - ((x - 72) >> 4) - below[0]
        above = r
        # 0.96 of the ratio that was left, and 0.06 of energy / noise - 1.
        x = state[4] - 1025
        if r > 0:
            if r < 89:
                r -= fades[r]
            r -= x + 65
            if r > 0:
                x += r
                if r < 89:
                    x += sums[r]
            else:
                r = 0 - r
                if r < 89:
                    x += sums[r]
        if x < _RATIO_MIN:
            x = _RATIO_MIN
        if x > 127:
            x = 127
        gains[0] = 256 - losses[x + 128]
        # The square of the gain r / (1 + r) times energy / noise.
        r = x
        if x < 0:
            r = 0 - x
        else:
            x = 0
        if r < 89:
            x -= sums[r]
        state[4] = x + x + above + 1024
        state = ptr16(int(state) + 2 * _WORDS)
        levels = ptr16(int(levels) + 2)
        below = ptr8(int(below) + 1)
    first[0] = first[1]
    gains[1] = gains[0]


@micropython.viper
def _smooth(r: int, x: int, gains: ptr16, smoothed: ptr16):
    # Over three bands.
    r = gains[0]
    x = gains[1]
    end = int(smoothed) + _BANDS * 2
    while end - int(smoothed):
        # r has the one before.
        r += x + x + 2
        before = x
        x = gains[2]
        smoothed[0] = (r + x) >> 2
        r = before
        gains = ptr16(int(gains) + 2)
        smoothed = ptr16(int(smoothed) + 2)


class Suppressor:
    """`run` takes noise out of one frame after the other."""

    def __init__(self):
        # All of 16-bit words.
        self._before = bytearray(68)
        self._tail = bytearray(64)
        self._re = bytearray(2 * fft.POINTS)
        self._im = bytearray(2 * fft.POINTS)
        self._spectrum = bytearray(8 * 49)
        self._levels = bytearray(2 * _BANDS)  # and then the gains, smoothed
        self._state = bytearray(2 * _WORDS * _BANDS)
        self._gains = bytearray(2 * (_BANDS + 2))
        self.reset()

    def reset(self):
        """Make what comes next the start of a stream: the noise is learnt anew, from the first window on."""
        for i in range(64):
            self._before[i] = 0
            self._tail[i] = (i & 1) << 7  # 32768 is nothing
        for i in range(64, 68):
            self._before[i] = 0
        self._age = 0  # hops since the start, as far as it matters
        self._least = 0  # hops since the least levels were begun anew

    def run(self, pcm):
        """In place, `FRAME` samples (int16 in the machine's order), `DELAY` later."""
        self._hop(pcm, 0)
        self._hop(pcm, _HOP)

    def _hop(self, pcm, off):
        re = self._re
        im = self._im
        bins = self._spectrum
        up = _measure(0, 0, pcm, off, self._before)
        _window(0, 0, pcm, off, self._before, re, im, up)
        fft.transform(re, im, 2)
        fft.split(0, 0, re, im, bins)
        _levels(0, 0, bins, self._levels, up)
        age = self._age
        # The mean moves by a half, a quarter, ... down to 1/32 of the difference.
        rate = 5
        if age < 30:
            rate = 4 if age > 13 else 3 if age > 5 else 2 if age > 1 else 1
            self._age = age + 1
        if age == 0:
            _start(self._levels, self._state)
        anew = self._least == _LEAST_HOPS
        if anew:
            self._least = 0
        self._least += 1
        _gains(0, 0, self._levels, self._state, self._gains, int(anew), rate)
        _smooth(0, 0, self._gains, self._levels)
        fft.merge(0, 0, bins, self._levels, re, im)
        fft.transform(im, re, 1)
        _overlap(0, 0, pcm, off, re, im, self._tail, up)
