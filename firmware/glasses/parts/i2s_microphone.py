"""Microphones with an I2S output: 24 bits in 32 (INMP441, ICS-43434, SPH0645 and the like), 16 kHz."""

from machine import I2S

from glasses.parts.microphone import FRAME_SAMPLES, Microphone


class I2SMicrophone(Microphone):
    """`port` I2S port, `sck`, `ws`, `sd` pin numbers, `ibuf` bytes of DMA ring."""

    def __init__(self, light, port, sck, ws, sd, ibuf=32768):
        Microphone.__init__(self, light, port, (sck, ws, sd), ibuf, 4 * FRAME_SAMPLES, 32, I2S.MONO)

    def prepare(self):
        from glasses.dsp import pcm

        self._convert = pcm.i2s32_to_16

    def read(self, index, channel, pcm):
        self._convert(self.buffers[index], pcm, FRAME_SAMPLES)
