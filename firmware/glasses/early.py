"""Speech from before there is a runtime: codes what the microphone hears while everything else is imported.

After a wake-up by the button the first word is being said already. The microphone's interrupt runs between
the bytecodes of the imports; it codes each frame into a store of its own, which the voice then takes over.
"""

import sys

# Three seconds: a runtime from .mpy files is there in less than one.
_FRAMES = 150


class EarlyCapture:
    """`microphone` runs since just now."""

    def __init__(self, microphone):
        self.microphone = microphone
        from glasses.dsp import adpcm
        from glasses.front_end import FrontEnd

        self.front = FrontEnd(microphone)
        self._adpcm = adpcm
        self.codec = bytearray(4)
        self.frame_bytes = adpcm.FRAME_BYTES
        self.data = bytearray(_FRAMES * adpcm.FRAME_BYTES)
        self.count = 0
        self.lost = 0  # frames after those, for which there was no room
        microphone.on_filled = self._take
        self._take()

    def _take(self):
        # In the interrupt. What fails here must not keep the microphone's own counting from going on.
        try:
            self._code()
        except Exception as error:
            sys.print_exception(error)

    def _code(self):
        microphone = self.microphone
        adpcm = self._adpcm
        while microphone.ready():
            self.front.take()
            if self.count < _FRAMES:
                adpcm.encode(
                    self.front.pcm,
                    0,
                    self.data,
                    self.count * adpcm.FRAME_BYTES,
                    adpcm.FRAME_SAMPLES,
                    self.codec,
                )
                self.count += 1
            else:
                self.lost += 1

    def end(self):
        """Hand the microphone over, running. The store and the codec's state are whole from now on."""
        self.microphone.on_filled = None
