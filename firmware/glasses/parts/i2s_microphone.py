"""Microphones with an I2S output: 24 bits in 32 (INMP441, ICS-43434, SPH0645 and the like), 16 kHz. One, or
two on the same wires: the left one has its L/R low, the right one high."""

from machine import I2S

from glasses.parts.microphone import FRAME_SAMPLES, Microphone

MOUTH = (0, 20, -75)  # of the wearer, where the board does not say


class I2SMicrophone(Microphone):
    """`port` I2S port, `sck`, `ws`, `sd` pin numbers, `ibuf` bytes of DMA ring, `channels` 1 or 2.

    `positions` of the microphones, the left one first, and of the `mouth` are (x, y, z) in mm: to the
    wearer's right, forward, up from the bridge of the nose.
    """

    def __init__(self, light, port, sck, ws, sd, ibuf=32768, channels=1, gain=0, positions=None, mouth=None):
        form = I2S.MONO if channels == 1 else I2S.STEREO
        raw = 4 * channels * FRAME_SAMPLES
        Microphone.__init__(self, light, port, (sck, ws, sd), ibuf, raw, 32, form, gain)
        self.channels = channels
        self.positions = positions
        self.mouth = mouth or MOUTH
        self._stereo = channels - 1

    def prepare(self):
        from glasses.dsp import i2s

        self._pick = i2s.pick

    def read(self, index, channel, pcm):
        self.saturated += self._pick(
            self.buffers[index], 0, pcm, FRAME_SAMPLES, channel, self._stereo, self._up
        )
