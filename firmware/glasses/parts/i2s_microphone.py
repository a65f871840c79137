"""Microphones with an I2S output: 24 bits in 32 (INMP441, ICS-43434, SPH0645 and the like), 16 kHz. One, or
two on the same wires: the left one has its L/R low, the right one high."""

from machine import I2S

from glasses.parts.microphone import FRAME_SAMPLES, Microphone

STEP_DB = 6
MOST_DB = 30
MOUTH = (0, 20, -75)  # of the wearer, where the board does not say


class I2SMicrophone(Microphone):
    """`port` I2S port, `sck`, `ws`, `sd` pin numbers, `ibuf` bytes of DMA ring, `channels` 1 or 2.

    `positions` of the microphones, the left one first, and of the `mouth` are (x, y, z) in mm: to the
    wearer's right, forward, up from the bridge of the nose.

    The board's `gain` and the attribute `gain_db` add up, in steps of 6 dB, to 0 at least and 30 at most;
    they count from the next start on. `saturated` is how many samples of this capture were too loud.
    """

    def __init__(self, light, port, sck, ws, sd, ibuf=32768, channels=1, gain=0, positions=None, mouth=None):
        form = I2S.MONO if channels == 1 else I2S.STEREO
        Microphone.__init__(self, light, port, (sck, ws, sd), ibuf, 4 * channels * FRAME_SAMPLES, 32, form)
        self.channels = channels
        self.positions = positions
        self.mouth = mouth or MOUTH
        self.gain_db = 0
        self._own_db = gain
        self._stereo = channels - 1
        self._up = 0
        self.saturated = 0
        self._saturated = 0  # in the captures before

    def prepare(self):
        from glasses.dsp import i2s

        self._pick = i2s.pick

    def reset(self):
        self._saturated += self.saturated
        self.saturated = 0
        self._up = min(max(self._own_db + self.gain_db, 0), MOST_DB) // STEP_DB

    def read(self, index, channel, pcm):
        self.saturated += self._pick(
            self.buffers[index], 0, pcm, FRAME_SAMPLES, channel, self._stereo, self._up
        )

    def counters(self):
        found = Microphone.counters(self)
        found["mic.saturated"] = self._saturated + self.saturated
        return found
