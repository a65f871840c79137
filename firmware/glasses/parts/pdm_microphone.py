"""Microphones with a PDM output, such as the XIAO ESP32S3 Sense's: bits at 1.024 MHz, made into samples here.

MicroPython has no PDM input. But an I2S port that receives 32 bits in stereo at 16 kHz clocks 64 bits a frame
without a gap and gives them as they came: its bit clock is the microphone's clock, its data line the
microphone's. Nothing listens to the word clock, which must have a pin all the same.
"""

from machine import I2S

from glasses.parts.microphone import FRAME_SAMPLES, Microphone


class PdmMicrophone(Microphone):
    """`port` I2S port, `clock`, `data` pin numbers, `ws` a pin that is connected to nothing, `ibuf` bytes of
    DMA ring: 2048 are 16 ms."""

    def __init__(self, light, port, clock, data, ws, ibuf=32768, gain=0):
        pins = (clock, ws, data)
        Microphone.__init__(self, light, port, pins, ibuf, 8 * FRAME_SAMPLES, 32, I2S.STEREO, gain)
        self._pdm = None

    def prepare(self):
        if self._pdm is None:
            from glasses.dsp.pdm import Pdm

            self._pdm = Pdm()

    def reset(self):
        Microphone.reset(self)
        if self._pdm is not None:
            self._pdm.reset()

    def read(self, index, channel, pcm):
        self.saturated += self._pdm.run(self.buffers[index], pcm, self._up)
