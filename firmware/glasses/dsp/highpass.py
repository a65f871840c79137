"""DC and rumble: a high-pass of second order at 80 Hz, in place.

Two integrators in a loop (a state-variable filter), both of integers that are exact::

    y = x - (23 a + b) / 512,   a = sum of y,   b = sum of a

The outputs add up to ``a``, which is bounded, so their mean is exactly 0, whatever DC comes in. Rounding is
only in the division. 24 dB down at 20 Hz, 3 dB at 80 Hz, within 0.3 dB from 150 Hz on.

``b`` moves on at every second sample: it has little above 80 Hz, and its images around 8 kHz are 39 dB below
a tone at 80 Hz, and lower for any other. With all of the division at every second sample they were at 32 dB,
at 4 kHz too.
"""

import micropython
from micropython import const

_FRAME = const(320)
# Both states are stored with this added, for they are negative in turn and a ptr32 load is unsigned.
_BIAS = const(0x20000000)


@micropython.viper
def start(pcm: ptr16, state: ptr32):
    """Settle ``state`` (8 bytes) on the first sample of ``pcm``, as if that had been there for long.

    Without it the DC of a microphone is a thump of 30 ms at its full height.
    """
    state[0] = _BIAS
    state[1] = _BIAS - ((pcm[0] ^ 32768) << 9)


@micropython.viper
def run(pcm: ptr16, y: int, n: int, state: ptr32):
    """Filter ``n`` samples (a multiple of 4) of ``pcm`` in place.

    ``y`` is scratch: the first two names live in registers. |a| stays below 2**20 and ``b`` within -2**25.1
    and 2**20.4: the sums of the magnitudes of their impulse responses, times 32768.
    """
    a = state[0] - _BIAS
    b = state[1] - _BIAS
    while n:
        y = pcm[0] ^ 32768
        # Of x + 32768, which saves an operation: b holds 32768 * 512 less.
        y = ((a * 23 + b) >> 9) + y
        a -= y
        if (y + 32768) >> 16:
            y = 32767 ^ (y >> 31)
        pcm[0] = y
        y = pcm[1] ^ 32768
        y = ((a * 23 + b) >> 9) + y
        a -= y
        if (y + 32768) >> 16:
            y = 32767 ^ (y >> 31)
        pcm[1] = y
        b += a
        y = pcm[2] ^ 32768
        y = ((a * 23 + b) >> 9) + y
        a -= y
        if (y + 32768) >> 16:
            y = 32767 ^ (y >> 31)
        pcm[2] = y
        y = pcm[3] ^ 32768
        y = ((a * 23 + b) >> 9) + y
        a -= y
        if (y + 32768) >> 16:
            y = 32767 ^ (y >> 31)
        pcm[3] = y
        b += a
        pcm = ptr16(int(pcm) + 8)
        n -= 4
    state[0] = a + _BIAS
    state[1] = b + _BIAS


class HighPass:
    """`run` on frames of 320 samples, int16 in the machine's order."""

    def __init__(self):
        self._state = bytearray(8)
        self._started = False

    def reset(self):
        """The next frame is the first one: the microphone has been switched on."""
        self._started = False

    def run(self, pcm):
        """Filter a frame in place."""
        if not self._started:
            self._started = True
            start(pcm, self._state)
        run(pcm, 0, _FRAME, self._state)
