"""Microphones with a PDM output, such as the XIAO ESP32S3 Sense's: bits at 1.024 MHz, made into samples here.

MicroPython has no PDM input. But an I2S port that receives 32 bits in stereo at 16 kHz clocks 64 bits a frame
without a gap and gives them as they came: its bit clock is the microphone's clock, its data line the
microphone's. Nothing listens to the word clock, which must have a pin all the same.
"""

from machine import I2S

from glasses.parts.microphone import FRAME_SAMPLES, Microphone

STEP_DB = 6
MOST_DB = 30


class PdmMicrophone(Microphone):
    """`port` I2S port, `clock`, `data` pin numbers, `ws` a pin that is connected to nothing, `ibuf` bytes of
    DMA ring: 2048 are 16 ms.

    The board's `gain` and the attribute `gain_db` add up, in steps of 6 dB, to 0 at least and 30 at most;
    they count from the next start on. `saturated` is how many samples of this capture were too loud.
    """

    def __init__(self, light, port, clock, data, ws, ibuf=32768, gain=0):
        pins = (clock, ws, data)
        Microphone.__init__(self, light, port, pins, ibuf, 8 * FRAME_SAMPLES, 32, I2S.STEREO)
        self.gain_db = 0
        self._own_db = gain
        self._up = 0
        self._pdm = None
        self.saturated = 0
        self._saturated = 0  # in the captures before

    def prepare(self):
        if self._pdm is None:
            from glasses.dsp.pdm import Pdm

            self._pdm = Pdm()

    def reset(self):
        self._saturated += self.saturated
        self.saturated = 0
        self._up = min(max(self._own_db + self.gain_db, 0), MOST_DB) // STEP_DB
        if self._pdm is not None:
            self._pdm.reset()

    def read(self, index, channel, pcm):
        self.saturated += self._pdm.run(self.buffers[index], pcm, self._up)

    def counters(self):
        found = Microphone.counters(self)
        found["mic.saturated"] = self._saturated + self.saturated
        return found
