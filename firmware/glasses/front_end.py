"""The audio front end: what the microphones give, as one frame of 20 ms that is worth coding."""

from glasses.parts.microphone import FRAME_SAMPLES


class FrontEnd:
    """`microphone` may run already. `pcm` is the frame that `take` made: 320 samples, int16."""

    def __init__(self, microphone):
        self.microphone = microphone
        microphone.prepare()
        self.pcm = bytearray(2 * FRAME_SAMPLES)

    def take(self):
        """The oldest frame of the microphone, which gets its buffer back. Allocates nothing."""
        microphone = self.microphone
        index = microphone.take()
        microphone.read(index, 0, self.pcm)
        microphone.give(index)
