"""Speech from before there is a runtime: codes what the microphone hears while everything else is imported.

After a wake-up by the button the first word is being said already. The microphone's interrupt runs between
the bytecodes of the imports; it codes each frame into a store of its own, which the voice then takes over.
"""

import sys

from glasses.coder import Coder
from glasses.front_end import FrontEnd
from glasses.parts.microphone import FRAME_SAMPLES

# A runtime from .mpy files is there in less than a second: three of ADPCM, and enough of the others.
_BYTES = 24600
_SHORTEST_FRAMES = 75


class EarlyCapture:
    """`microphone` runs since just now. `sound`: (codec, cleaning) as they were set when the glasses fell
    asleep."""

    def __init__(self, microphone, sound=("dvi4", "off")):
        self.microphone = microphone
        codec, cleaning = sound
        self.front = FrontEnd(microphone, cleaning)
        self.coder = Coder(codec)
        self._room = max(_BYTES // self.coder.bytes, _SHORTEST_FRAMES)
        self.data = bytearray(self._room * self.coder.bytes)
        self.count = 0  # frames of 20 ms
        self.lost = 0  # samples after those, for which there was no room
        microphone.on_filled = self._take
        self._take()

    def _take(self):
        # In the interrupt. What fails here must not keep the microphone's own counting from going on.
        try:
            self._code()
        except Exception as error:
            sys.print_exception(error)

    def _code(self):
        front = self.front
        coder = self.coder
        while self.microphone.ready():
            front.take()
            self.lost += front.gap
            if self.count >= self._room:
                self.lost += FRAME_SAMPLES
                continue
            coder.whole(front.pcm, self.data, self.count * coder.bytes)
            self.count += 1

    def end(self):
        """Hand the microphone over, running. The store and the codec's state are whole from now on."""
        self.microphone.on_filled = None
