"""Whether somebody speaks in a frame: four bands, each compared with its own noise.

The bands are differences of neighbouring sums (Haar's wavelets): 4 to 8 kHz from samples, 2 to 4 from pairs,
1 to 2 from fours, and what is below 1 kHz from eights. They leak into each other, which matters little where
only the change counts. Their mean magnitudes are taken as logarithms, and each has a noise level:

* in frames without voice it follows with a time constant of 0.16 s;
* it is never below the least smoothed level of the last 1.3 s: noise that starts is voice for that long;
* it is never more than 3 dB above the smoothed level: noise that stops is forgotten at once.

What the bands are above their noise, less 0.5 dB each, adds up; more than 10 dB is voice, and so are the 16
frames after it. docs/sound.md has what that gives in which noise.

Logarithms are to the base 2, of magnitudes, in 1/4096 (a dB is 680), piecewise linear between powers of 2.
"""

from array import array

import micropython
from micropython import const

_FRAME = const(320)
_HANGOVER = const(16)  # frames
_START = const(4)  # frames that are noise until there is something to compare with
_SCORE = const(6800)  # 10 dB
_MARGIN = const(340)  # 0.5 dB
_SLACK = const(2040)  # 3 dB
_PART = const(8)  # frames of each of the 8 parts of the 1.3 s

# `state`: frames since the start, frame of the part, part, hangover; from word 4 on for each band: level,
# smoothed level, noise, least of this part, least of the last 8 parts.
_BANDS = const(4)
_BAND = const(12)


@micropython.viper
def measure(pcm: ptr16, v: int, n: int, sums: ptr32):
    """``sums[0:4]``: the magnitudes of the four bands of ``n`` samples added up, highest band first.

    ``n`` is in eights. A magnitude is one less where the number is negative, which saves a branch. ``v`` is
    scratch: the first two names live in registers.
    """
    ones = 0
    twos = 0
    fours = 0
    eights = 0
    while n:
        # Samples are taken with 32768 added, so that they need no sign; differences do not have it.
        v = pcm[0] ^ 32768
        d = (pcm[1] ^ 32768) - v
        ones = ((d >> 31) ^ d) + ones
        pair = v + v + d
        v = pcm[2] ^ 32768
        v = (pcm[3] ^ 32768) + v
        d = v - pair
        twos = ((d >> 31) ^ d) + twos
        four = v + pair
        v = pcm[4] ^ 32768
        v = (pcm[5] ^ 32768) + v
        v = (pcm[6] ^ 32768) + v
        v = (pcm[7] ^ 32768) + v
        d = v - four
        fours = ((d >> 31) ^ d) + fours
        v = v + four - 262144
        eights = ((v >> 31) ^ v) + eights
        pcm = ptr16(int(pcm) + 16)
        n -= 8
    sums[0] = ones
    sums[1] = twos
    sums[2] = fours
    sums[3] = eights


@micropython.viper
def decide(sums: ptr32, state: ptr32) -> int:
    """Take in what `measure` found. 1 if somebody speaks, else 0."""
    age = state[0]
    loud = 0
    at = 4
    band = 0
    while band < _BANDS:
        # 256 is what a microphone's last bit makes: nothing quieter counts.
        mantissa = sums[band] + 256
        level = 0
        while mantissa >= 8192:
            mantissa >>= 4
            level += 4
        while mantissa >= 512:
            mantissa >>= 1
            level += 1
        level = (level << 12) + ((mantissa - 256) << 4)
        state[at] = level
        if age < _START:
            noise = level
            if age:
                noise = (state[at + 2] * age + level) // (age + 1)
            state[at + 1] = noise
            state[at + 2] = noise
            k = 3
            while k < _BAND:
                state[at + k] = noise
                k += 1
        else:
            smooth = state[at + 1]
            smooth += (level - smooth) >> 2
            state[at + 1] = smooth
            if smooth < state[at + 3]:
                state[at + 3] = smooth
            least = state[at + 3]
            k = 4
            while k < _BAND:
                if state[at + k] < least:
                    least = state[at + k]
                k += 1
            # The least of 64 is below their mean: by 1 dB, and by 1.5 where fewer numbers make one.
            least += 680
            if band == 3:
                least += 340
            noise = state[at + 2]
            if noise < least:
                noise = least
            if noise > smooth + _SLACK:
                noise = smooth + _SLACK
            state[at + 2] = noise
            level -= noise + _MARGIN
            if level > 0:
                loud += level
        at += _BAND
        band += 1
    if age < _START:
        state[0] = age + 1
        return 0
    hangover = state[3]
    voice = 1
    if loud > _SCORE:
        state[3] = _HANGOVER
    elif hangover:
        state[3] = hangover - 1
    else:
        voice = 0
    frame = state[1] + 1
    part = state[2]
    at = 4
    band = 0
    while band < _BANDS:
        if voice == 0:
            noise = state[at + 2]
            state[at + 2] = noise + ((state[at] - noise) >> 3)
        if frame == _PART:
            state[at + 4 + part] = state[at + 3]
            state[at + 3] = state[at + 1]
        at += _BAND
        band += 1
    if frame == _PART:
        frame = 0
        state[2] = (part + 1) & 7
    state[1] = frame
    return voice


class Activity:
    """`run` hears one frame of 320 samples (int16 in the machine's order) after the high-pass; `voice` says
    whether somebody speaks in it. `level` and `noise`: about how loud, in dB below full scale (0..96)."""

    def __init__(self):
        self._sums = array("I", bytes(4 * 4))
        self._state = array("I", bytes(4 * (4 + _BANDS * _BAND)))
        self.voice = False

    def reset(self):
        """What comes now has nothing to do with what was before."""
        for i in range(4):
            self._state[i] = 0
        self.voice = False

    def run(self, pcm):
        """Hear the next frame."""
        measure(pcm, 0, _FRAME, self._sums)
        self.voice = decide(self._sums, self._state) == 1

    @property
    def level(self):
        return self._db(0)

    @property
    def noise(self):
        return self._db(2)

    def _db(self, which):
        # The loudest band. 40 magnitudes of full scale are 2**20.3, 2**21.3, ... less the 256.
        loudest = 0
        for band in range(_BANDS):
            loudest = max(loudest, self._state[4 + band * _BAND + which] - (band << 12))
        return max(0, 74 - loudest * 6 // 4096)
