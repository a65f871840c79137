"""The audio front end: what the microphones give, as one frame of 20 ms that is worth coding.

    two microphones -> beam \\
                             -> high-pass -> voice activity -> noise suppression -> gain -> `pcm`
    one microphone ----------/

A stage is a class of `dsp` that works on a frame in place; docs/sound.md has all of them. The setting
`cleaning` says which are loaded: "off" leaves the samples as they are, "light" is without noise suppression.
"""

from glasses.parts.microphone import FRAME_SAMPLES


class FrontEnd:
    """`microphone` may run already. `take` makes a frame: `pcm` has its 320 samples (int16), `gap` is how
    many samples were lost just before it, `level` its largest magnitude, `voice` whether somebody speaks
    (False unless the cleaning or `watch_voice` wants to know). `delay` is how many samples late `pcm` is."""

    def __init__(self, microphone, cleaning="off"):
        self.microphone = microphone
        microphone.prepare()
        self.cleaning = cleaning
        self.pcm = bytearray(2 * FRAME_SAMPLES)
        self.gap = 0
        self.level = 0
        self.voice = False
        self.delay = 0
        self._beam = self._suppressor = self._gain = None
        self._high_pass = self._activity = None
        self._copy = self._other = None
        self._watching = False  # though nothing is cleaned
        self.heard = self.pcm  # the frame before the cleaning: the same one unless `keep_heard`
        if microphone.channels == 2:
            from glasses.dsp.beam import Beam

            self._other = bytearray(2 * FRAME_SAMPLES)
            self._beam = Beam(microphone.positions, microphone.mouth)
            self.delay += self._beam.DELAY
        if cleaning != "off":
            from glasses.dsp.gain import Agc

            self._load_activity()
            self._gain = Agc()
            self.delay += self._gain.DELAY
        else:
            from glasses.dsp.pcm import peak

            self._peak = peak
        if cleaning == "full":
            from glasses.dsp.suppress import DELAY, Suppressor

            self._suppressor = Suppressor()
            self.delay += DELAY

    def _load_activity(self):
        from glasses.dsp.activity import Activity
        from glasses.dsp.highpass import HighPass

        self._high_pass = HighPass()
        self._activity = Activity()

    @property
    def hears_voice(self):
        """`voice` is told."""
        return self._activity is not None and (self._gain is not None or self._watching)

    def watch_voice(self):
        """Tell `voice` also where nothing is cleaned."""
        self._watching = True
        if self._activity is None:
            from glasses.dsp.pcm import copy

            self._load_activity()
            self._copy_frame = copy
            self._copy = bytearray(2 * FRAME_SAMPLES)

    def keep_heard(self):
        """Have `heard` be what `pcm` was before it was cleaned."""
        if self.cleaning != "off" and self.heard is self.pcm:
            from glasses.dsp.pcm import copy

            self._copy_frame = copy
            self.heard = bytearray(2 * FRAME_SAMPLES)

    def reset(self):
        """What comes now has nothing to do with what was before."""
        self.gap = self.level = 0
        self.voice = self._watching = False
        for stage in (self._beam, self._high_pass, self._activity, self._suppressor, self._gain):
            if stage is not None:
                stage.reset()

    def take(self):
        """The oldest frame of the microphone, which gets its buffer back. Allocates nothing."""
        microphone = self.microphone
        pcm = self.pcm
        index = microphone.take()
        self.gap = microphone.gap
        microphone.read(index, 0, pcm)
        if self._beam is None:
            microphone.give(index)
        else:
            microphone.read(index, 1, self._other)
            microphone.give(index)
            self._beam.run(pcm, self._other)
        if self.heard is not pcm:
            self._copy_frame(self.heard, 0, pcm, 0, 2 * FRAME_SAMPLES)
        if self._gain is None:
            self.level = self._peak(pcm, FRAME_SAMPLES)
            if self._watching:
                self._copy_frame(self._copy, 0, pcm, 0, 2 * FRAME_SAMPLES)
                self._hear(self._copy)
            return
        self._hear(pcm)
        if self._suppressor is not None:
            self._suppressor.run(pcm)
        self._gain.run(pcm, self.voice)
        self.level = self._gain.peak

    @property
    def using(self):
        """Of two microphones "both", "left" or "right"; None where there is one."""
        return None if self._beam is None else self._beam.using

    def counters(self):
        return {} if self._beam is None else {"mic.switches": self._beam.switches}

    def _hear(self, pcm):
        self._high_pass.run(pcm)
        self._activity.run(pcm)
        self.voice = self._activity.voice
