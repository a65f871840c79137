"""Two microphones as one that hears the mouth better than the room, or one of them when the other fails.

The nearer microphone, delayed by whole samples, is the voice as it is. The farther one, delayed by a
fraction and amplified until the mouth sounds in it just the same, is subtracted from it: what is left has no
voice in it, only what comes from elsewhere. That, filtered, is the best guess of what the nearer microphone
hears from elsewhere, and goes off::

    aligned = h * far                     8 taps
    other   = near[-delay] - aligned      the voice is not in it
    out     = near[-delay] - w * other    8 taps

Whatever ``w`` is, the voice stays. `steering` makes both filters from where the microphones are. With a ``w``
of zeros this is the nearer microphone alone, with a single one the farther alone.
"""

from array import array

import micropython

from . import steering

_FRAME = 320
_STEPS = 16  # of a change from one filter to another, within a frame
_STEP = 20
_LIMIT = 150  # of doubt about a microphone
_MORE = 3  # for a frame that speaks against it: a second of them is enough
_DEAD = 15  # for nothing at all: a fifth of a second
_LESS = -1  # for one that does not: it is trusted again after three seconds
_QUIET = 8  # what moves less tells nothing
_APART = 10  # 20 dB: one of them is covered
_ALIKE = 5  # 14 dB: neither
_BLOWN = 3  # 10 dB louder, by what is below 200 Hz or not in what moves fast: that is wind
_FAST = 2
_WILD = 300000  # steps of 7500 and more: no voice, but a wire that floats


@micropython.viper
def combine(i: int, x: int, near: ptr16, far: ptr16, out: ptr16, end: int, state: ptr16, taps: ptr16):
    """Samples ``i`` to ``end - 1`` of ``near`` and ``far`` to ``out``, which may be one of them.

    ``taps`` are 17 int16: ``h`` and ``w`` in 1/4096, then the delay of ``near`` (0..15). The sum of the
    magnitudes of ``h`` is at most 65535; that of ``w`` times 32769 + 8 * sum of ``h`` less than 2**31.
    ``state`` is 88 bytes, zeros at first: the last 16 samples of ``near``, then sums that are not complete;
    samples are placed in it by ``i``, so a frame's length is a multiple of 16. Results are cut towards minus
    infinity, and to int16.

    ``x`` is scratch: the first two names live in registers. Filters are transposed: each tap adds to the sum
    that waits for it, so a sample is loaded once.
    """
    h0 = (taps[0] ^ 32768) - 32768
    h1 = (taps[1] ^ 32768) - 32768
    h2 = (taps[2] ^ 32768) - 32768
    h3 = (taps[3] ^ 32768) - 32768
    h4 = (taps[4] ^ 32768) - 32768
    h5 = (taps[5] ^ 32768) - 32768
    h6 = (taps[6] ^ 32768) - 32768
    h7 = (taps[7] ^ 32768) - 32768
    w0 = (taps[8] ^ 32768) - 32768
    w1 = (taps[9] ^ 32768) - 32768
    w2 = (taps[10] ^ 32768) - 32768
    w3 = (taps[11] ^ 32768) - 32768
    w4 = (taps[12] ^ 32768) - 32768
    w5 = (taps[13] ^ 32768) - 32768
    w6 = (taps[14] ^ 32768) - 32768
    w7 = (taps[15] ^ 32768) - 32768
    back = 16 - taps[16]
    a0 = (((state[17] ^ 32768) - 32768) << 16) | state[16]
    a1 = (((state[19] ^ 32768) - 32768) << 16) | state[18]
    a2 = (((state[21] ^ 32768) - 32768) << 16) | state[20]
    a3 = (((state[23] ^ 32768) - 32768) << 16) | state[22]
    a4 = (((state[25] ^ 32768) - 32768) << 16) | state[24]
    a5 = (((state[27] ^ 32768) - 32768) << 16) | state[26]
    a6 = (((state[29] ^ 32768) - 32768) << 16) | state[28]
    b0 = (((state[31] ^ 32768) - 32768) << 16) | state[30]
    b1 = (((state[33] ^ 32768) - 32768) << 16) | state[32]
    b2 = (((state[35] ^ 32768) - 32768) << 16) | state[34]
    b3 = (((state[37] ^ 32768) - 32768) << 16) | state[36]
    b4 = (((state[39] ^ 32768) - 32768) << 16) | state[38]
    b5 = (((state[41] ^ 32768) - 32768) << 16) | state[40]
    b6 = (((state[43] ^ 32768) - 32768) << 16) | state[42]
    while end - i:
        x = (far[i] ^ 32768) - 32768
        aligned = (h0 * x + a0) >> 12
        a0 = h1 * x + a1
        a1 = h2 * x + a2
        a2 = h3 * x + a3
        a3 = h4 * x + a4
        a4 = h5 * x + a5
        a5 = h6 * x + a6
        a6 = h7 * x
        state[i & 15] = near[i]
        voice = (state[(i + back) & 15] ^ 32768) - 32768
        x = voice - aligned
        voice -= (w0 * x + b0) >> 12
        b0 = w1 * x + b1
        b1 = w2 * x + b2
        b2 = w3 * x + b3
        b3 = w4 * x + b4
        b4 = w5 * x + b5
        b5 = w6 * x + b6
        b6 = w7 * x
        if (voice + 32768) >> 16:
            voice = 32767 ^ (voice >> 31)
        out[i] = voice
        i += 1
    state[16] = a0
    state[17] = a0 >> 16
    state[18] = a1
    state[19] = a1 >> 16
    state[20] = a2
    state[21] = a2 >> 16
    state[22] = a3
    state[23] = a3 >> 16
    state[24] = a4
    state[25] = a4 >> 16
    state[26] = a5
    state[27] = a5 >> 16
    state[28] = a6
    state[29] = a6 >> 16
    state[30] = b0
    state[31] = b0 >> 16
    state[32] = b1
    state[33] = b1 >> 16
    state[34] = b2
    state[35] = b2 >> 16
    state[36] = b3
    state[37] = b3 >> 16
    state[38] = b4
    state[39] = b4 >> 16
    state[40] = b5
    state[41] = b5 >> 16
    state[42] = b6
    state[43] = b6 >> 16


@micropython.viper
def blend(taps: ptr16, old: ptr16, new: ptr16, k: int):
    """``w`` of ``taps``: ``k`` sixteenths (0..16) of the way from ``old`` to ``new`` (8 int16 each)."""
    j = 0
    while j < 8:
        value = (old[j] ^ 32768) - 32768
        value = (value << 4) + (((new[j] ^ 32768) - 32768) - value) * k
        taps[j + 8] = value >> 4
        j += 1


@micropython.viper
def survey(i: int, x: int, pcm: ptr16, n: int, seen: ptr32):
    """How far every eighth of ``n`` samples reaches, and how much moves from it to the next.

    ``n`` is a multiple of 8. ``seen[0]`` gets the largest less the smallest (0..65535), ``seen[1]`` the
    sum of the steps' magnitudes. ``i`` is 0, ``x`` is scratch.
    """
    low = 65535
    high = 0
    moved = 0
    while n - i:
        x = pcm[i] ^ 32768
        if x < low:
            low = x
        if x > high:
            high = x
        x -= pcm[i + 1] ^ 32768
        if x < 0:
            x = 0 - x
        moved += x
        i += 8
    seen[0] = high - low
    seen[1] = moved


class Beam:
    """``positions`` of the left and the right microphone and of the ``mouth``: (x, y, z) in mm.

    `using` is "both", "left" or "right", `switches` how often that has changed, `DELAY` how many samples the
    result is late.
    """

    def __init__(self, positions, mouth):
        self._right_near, delay, h, w = steering.solve(positions, mouth)
        self.DELAY = delay
        self._taps = array("h", h + w + [delay])
        self._both = array("h", w)
        self._near = array("h", [0] * 8)
        self._far = array("h", [4096] + [0] * 7)
        self._state = bytearray(88)
        self._left = array("i", (0, 0))
        self._right = array("i", (0, 0))
        self.switches = 0
        self.reset()

    def reset(self):
        """What comes now has nothing to do with what was before."""
        state = self._state
        for i in range(len(state)):
            state[i] = 0
        self.using = "both"
        self._weights = self._both
        blend(self._taps, self._both, self._both, 0)
        self._left_doubt = self._right_doubt = 0

    def run(self, left, right):
        """A frame of each microphone (320 int16) becomes one, in ``left``."""
        survey(0, 0, left, _FRAME, self._left)
        survey(0, 0, right, _FRAME, self._right)
        using = self._choose()
        near = left
        far = right
        if self._right_near:
            near = right
            far = left
        if using == self.using:
            combine(0, 0, near, far, left, _FRAME, self._state, self._taps)
            return
        # Bit by bit from one filter to the other, so that nothing clicks.
        self.switches += 1
        self.using = using
        old = self._weights
        if using == "both":
            new = self._both
        elif (using == "right") == self._right_near:
            new = self._near
        else:
            new = self._far
        self._weights = new
        i = 0
        k = 1
        while k <= _STEPS:
            blend(self._taps, old, new, k)
            combine(i, 0, near, far, left, i + _STEP, self._state, self._taps)
            i += _STEP
            k += 1

    def _choose(self):
        """Which to use, by what was seen of this frame and before."""
        left = self._left[0]
        right = self._right[0]
        if left >= _QUIET or right >= _QUIET:
            if left <= 1:
                self._doubt(_DEAD, _LESS)
            elif right <= 1:
                self._doubt(_LESS, _DEAD)
            elif _disturbed(self._left, self._right):
                self._doubt(_MORE, _LESS)
            elif _disturbed(self._right, self._left):
                self._doubt(_LESS, _MORE)
            elif right > left * _APART:
                self._doubt(_MORE, _LESS)
            elif left > right * _APART:
                self._doubt(_LESS, _MORE)
            elif left < right * _ALIKE and right < left * _ALIKE:
                self._doubt(_LESS, _LESS)
        if self.using == "both":
            if self._left_doubt == _LIMIT:
                return "right"
            if self._right_doubt == _LIMIT:
                return "left"
        elif self._left_doubt == 0 and self._right_doubt == 0:
            return "both"
        return self.using

    def _doubt(self, left, right):
        self._left_doubt = min(max(self._left_doubt + left, 0), _LIMIT)
        self._right_doubt = min(max(self._right_doubt + right, 0), _LIMIT)


def _disturbed(one, other):
    """Does one microphone hear what no sound is that the other hears, too?"""
    if one[1] > _WILD:
        return other[1] <= _WILD
    return one[0] > other[0] * _BLOWN and (one[1] < one[0] or one[1] < other[1] * _FAST)
