"""Automatic gain with a limiter that looks ahead, in place, 32 samples late.

A frame is ten blocks of 32 samples (2 ms). Each boundary between two blocks has a gain that both can bear,
and within a block it goes from one to the other in a straight line: nothing clips, and nothing clicks. The
delay of one block is for the last boundary of a frame, which depends on the block after it.

The slow part knows speech: it follows the mean power of the blocks' peaks while somebody speaks, and holds
otherwise. docs/sound.md has the time constants and what they were measured on.

Gains are in 1/16384. `_state` is three words: mean power, number of frames in it, the gain that is wanted.
"""

from array import array

import micropython
from micropython import const

_BLOCK = const(32)
_UNITY = const(16384)
_LEAST = const(4115)  # -12 dB
_MOST = const(518112)  # +30 dB
_LIMIT = const(29204 << 14)  # the ceiling, -1 dBFS, times unity
_HARMLESS = const(923)  # a peak that even the largest gain brings no higher than the ceiling
# -20 dBFS, as the root of the power below, times unity. See docs/sound.md for the factor between the two.
_TARGET = const(5565 << 14)
_SLOWEST = const(128)  # frames of speech that the mean power covers
_SOONEST = const(10)  # frames: a first syllable that begins softly is no reason
_SURE = const(64)  # frames: before, only what is 6 dB wrong is corrected
_SILENT = const(360)  # a power of about -66 dBFS: below it nobody speaks


@micropython.viper
def peaks(pcm: ptr16, top: int, blocks: int, out: ptr32):
    """The largest magnitude (0..32768) of each of so many blocks of ``pcm`` to ``out[1]``, ``out[2]``, ...

    ``top`` is scratch: the first two names live in registers.
    """
    while blocks:
        top = 0
        left = 8
        while left:
            # (x + top) & 65535 is within 0..2 top where |x| <= top: one comparison tells.
            if ((pcm[0] + top) & 65535) - top > top:
                top = pcm[0]
                if top >> 15:
                    top = 65536 - top
            if ((pcm[1] + top) & 65535) - top > top:
                top = pcm[1]
                if top >> 15:
                    top = 65536 - top
            if ((pcm[2] + top) & 65535) - top > top:
                top = pcm[2]
                if top >> 15:
                    top = 65536 - top
            if ((pcm[3] + top) & 65535) - top > top:
                top = pcm[3]
                if top >> 15:
                    top = 65536 - top
            pcm = ptr16(int(pcm) + 8)
            left -= 1
        out = ptr32(int(out) + 4)
        out[0] = top
        blocks -= 1


@micropython.viper
def adapt(tops: ptr32, state: ptr32):
    """Move the gain that is wanted towards what gives the speech in ``tops[1:11]`` its level."""
    power = 0
    i = 1
    while i < 11:
        power += (tops[i] * tops[i]) >> 4
        i += 1
    if power < _SILENT:
        return
    mean = state[0]
    count = state[1]
    if power < mean >> 5:
        # 15 dB below the speech is between its words. But perhaps it was something else that was loud.
        state[0] = mean - (mean >> 8)
        return
    if count < _SLOWEST:
        count += 1
        state[1] = count
    mean += (power - mean) // count
    state[0] = mean
    if count < _SOONEST:
        return
    # The root, bit by bit; its square is below 2**30.
    root = 0
    bit = 0x10000000
    while bit:
        if mean >= root + bit:
            mean -= root + bit
            root = (root >> 1) + bit
        else:
            root >>= 1
        bit >>= 2
    goal = _TARGET // (root + 1)
    if goal > _MOST:
        goal = _MOST
    if goal < _LEAST:
        goal = _LEAST
    want = state[2]
    if goal > want + want:
        want += want >> 4
    elif goal < want >> 1:
        want -= want >> 4
    elif count >= _SURE:
        if goal > want + (want >> 3) + (want >> 4):
            want += want >> 7
        elif goal < want - (want >> 3) - (want >> 5):
            want -= want >> 7
    state[2] = want


@micropython.viper
def plan(tops: ptr32, gains: ptr32, want: int) -> int:
    """The gains at the ends of the ten blocks that leave next: ``gains[0:11]``, from ``gains[10]`` on.

    Their peaks are ``tops[0:10]``, and ``tops[10]`` is that of the block after them; it becomes ``tops[0]``.
    Differences are multiples of 16, a gain never rises above what the blocks on both sides bear. Returns the
    largest magnitude that leaves, or 1 more, or what a block's louder end would make of its peak.
    """
    gain = gains[10]
    gains[0] = gain
    highest = 0
    block = 0
    while block < 10:
        goal = want
        if want > gain:
            goal = gain + ((want - gain) >> 6)
        top = tops[block]
        if tops[block + 1] > top:
            top = tops[block + 1]
        if top > _HARMLESS:
            top = _LIMIT // top
            if goal > top:
                goal = top
        louder = gain
        gain += ((goal - gain) >> 4) << 4
        if gain > louder:
            louder = gain
        block += 1
        gains[block] = gain
        top = (tops[block - 1] * louder + 8192) >> 14
        if top > highest:
            highest = top
    tops[0] = tops[10]
    return highest


@micropython.viper
def apply(pcm: ptr16, gain: int, gains: ptr32, late: ptr16, turn: int):
    """A frame with its gains, one block late.

    Of the two blocks of ``late`` number ``turn`` (0 or 1) is what was before the frame, and the other becomes
    its last block. Backwards, so that nothing is overwritten before it is read. ``gain`` is scratch.
    """
    start = pcm
    other = ptr16(int(late) + ((1 - turn) << 6))
    pcm = ptr16(int(pcm) + 576)
    left = 8
    while left:
        other[0] = pcm[0]
        other[1] = pcm[1]
        other[2] = pcm[2]
        other[3] = pcm[3]
        pcm = ptr16(int(pcm) + 8)
        other = ptr16(int(other) + 8)
        left -= 1
    pcm = ptr16(int(start) + 576)
    block = 10
    while block > 1:
        gain = gains[block]
        step = (gain - gains[block - 1]) >> 4
        left = 8
        while left:
            pcm = ptr16(int(pcm) - 8)
            pcm[35] = (((pcm[3] ^ 32768) - 32768) * gain + 8192) >> 14
            pcm[34] = (((pcm[2] ^ 32768) - 32768) * gain + 8192) >> 14
            gain -= step
            pcm[33] = (((pcm[1] ^ 32768) - 32768) * gain + 8192) >> 14
            pcm[32] = (((pcm[0] ^ 32768) - 32768) * gain + 8192) >> 14
            gain -= step
            left -= 1
        block -= 1
    pcm = ptr16(int(late) + (turn << 6))
    gain = gains[0]
    step = (gains[1] - gain) >> 4
    left = 16
    while left:
        gain += step
        start[0] = (((pcm[0] ^ 32768) - 32768) * gain + 8192) >> 14
        start[1] = (((pcm[1] ^ 32768) - 32768) * gain + 8192) >> 14
        pcm = ptr16(int(pcm) + 4)
        start = ptr16(int(start) + 4)
        left -= 1


class Agc:
    """`run` makes a frame of 320 samples (int16 in the machine's order) as loud as speech should be.

    `peak` is the largest magnitude of the frame that leaves (0..29204, see `plan`), `gain_db` the gain
    without the limiter's part, rounded. Frames leave `DELAY` samples late.
    """

    DELAY = _BLOCK

    def __init__(self):
        self._tops = array("I", bytes(4 * 11))
        self._gains = array("I", bytes(4 * 11))
        self._state = array("I", (0, 0, _UNITY))
        self._late = bytearray(2 * 2 * _BLOCK)  # two blocks, see `apply`
        self._turn = 0
        self.peak = 0
        self.reset()

    def reset(self):
        """Another recording. What has been learnt of the speaker stays, but counts for half a second only."""
        for i in range(len(self._late)):
            self._late[i] = 0
        self._tops[0] = 0
        self._gains[10] = self._state[2]
        self._state[1] = min(self._state[1], 25)
        self.peak = 0

    def run(self, pcm, voice):
        """The next frame, in place. `voice`: somebody speaks in it."""
        tops = self._tops
        peaks(pcm, 0, 10, tops)
        if voice:
            adapt(tops, self._state)
        self.peak = plan(tops, self._gains, self._state[2])
        apply(pcm, 0, self._gains, self._late, self._turn)
        self._turn ^= 1

    @property
    def gain_db(self):
        gain = self._state[2]
        db = -12
        while gain > 4360:  # -11.5 dB
            gain = gain * 7301 >> 13  # -1 dB
            db += 1
        return db
