"""When a wake word was said: 20 ms of sound at a time through the features and each model's network.

How it is decided is microWakeWord's way: the mean of the last probabilities is above the model's cutoff. Not
so soon after a start, while the networks' memories still hold what was no sound; and after a word not
again until the mean has been down for a while, so that one word is one.
"""

from micropython import const

from .features import ROWS, Features

FRAME = const(320)
"""Samples that `Detector.run` takes."""

HOP = const(480)
"""Samples of a step: what the networks take at a time is 30 ms."""

SETTLE = const(74)
"""Steps that do not count after a start, as in ESPHome: 2.2 s, the longest memory of the known models."""

REST = const(25)
"""Steps with a mean that is down which a word is followed by before there can be another: 0.75 s."""

_LONG = const(0x1FFFFFFF)


class Decider:
    """Whether a word was said, by one model's probabilities: 0..255, one a step.

    It was when the mean of the last `window` is above `cutoff`, which is of 255 and rounded down. Manifests
    have hundredths, so the mean is compared with these: as in pymicro-wakeword, to the last bit. (ESPHome
    compares with the rounded one, which is up to a step earlier.) `settle` steps come first, whatever they
    are; then, after each word, `rest` steps with a mean that is not above. Of fewer than `window` there is
    none.
    """

    def __init__(self, cutoff, window, settle=SETTLE, rest=REST):
        self._recent = bytearray(window)
        self._cutoff = cutoff
        self._limit = (100 * cutoff + 254) // 255 * 256 * window // 100
        self._settle = settle
        self._rest = rest
        self.reset()

    def reset(self):
        """As if there had been no probability."""
        recent = self._recent
        for i in range(len(recent)):
            recent[i] = 0
        self._at = 0
        self._sum = 0
        self._have = 0
        self._wait = 0  # steps with a low mean that are still missing
        self._unsettled = self._settle
        self._rise = 0
        self._last = 0 - len(recent) - 1  # the step of the last high one: none
        self.probability = 0

    @property
    def mean(self):
        """Of the last probabilities, in thousandths of 256; 0 as long as there are too few."""
        recent = len(self._recent)
        return self._sum * 1000 // (256 * recent) if self._have == recent else 0

    def hear(self, probability, now, allowed=True):
        """Whether with this probability, of the step number `now`, the word has been said.

        One that is not `allowed` now may still be said in the steps that follow.
        """
        recent = self._recent
        at = self._at
        self._sum += probability - recent[at]
        recent[at] = probability
        at += 1
        self._at = at if at < len(recent) else 0
        if self._have < len(recent):
            self._have += 1
        self.probability = probability
        if probability > self._cutoff:
            if (now - self._last) & _LONG > len(recent):
                self._rise = now
            self._last = now
        above = self._have == len(recent) and self._sum > self._limit
        if self._unsettled:
            self._unsettled -= 1
            return False
        if not above:
            if self._wait:
                self._wait -= 1
            return False
        if self._wait or not allowed:
            return False
        self._wait = self._rest
        return True

    def risen(self, now):
        """How many steps ago the probabilities became high, as they do at a word's end; `window` at most."""
        return min((now - self._rise) & _LONG, len(self._recent))


class Detector:
    """Hears frames; `run` says which of the `networks` has heard its word.

    A network has `reset()`, `step(inputs)`, which returns a probability, `rows` (3: others raise ValueError),
    and of its word `cutoff` and `window`, as `Decider` takes them. With `gate`, a word only counts if there
    was a voice in one of the last so many frames.

    After `run`: `fired`, the number of the network whose word it was or -1; then also `score`, the mean in
    thousandths, and `ago`, how many samples before the end of the frame the word has ended, as far as the
    network tells. `stepped` is whether the networks were asked. `steps` counts the times they were,
    `skipped` those they were not because it was `late`. Allocates nothing after it is made.
    """

    def __init__(self, networks, settle=SETTLE, rest=REST, gate=0):
        self.features = Features()
        self.networks = tuple(networks)
        for network in self.networks:
            if network.rows != ROWS:
                raise ValueError("wake word: a model of %d vectors a step, not %d" % (network.rows, ROWS))
        self.words = tuple(Decider(net.cutoff, net.window, settle, rest) for net in self.networks)
        self._gate = gate
        self.steps = 0
        self.skipped = 0
        self.reset()

    def reset(self):
        """A new start: what comes is not what followed on what was."""
        self.features.reset()
        for network in self.networks:
            network.reset()
        for word in self.words:
            word.reset()
        self._now = 0
        self._deaf = 0  # windows that are left of the step that is skipped
        self._voiceless = self._gate
        self.fired = -1
        self.score = 0
        self.ago = 0
        self.stepped = False

    def run(self, pcm, voice=False, late=False):
        """Hear 320 samples. Returns `fired`.

        `voice`: somebody spoke in them. `late`: more of them wait than should; then the next whole step is
        left out, its samples only kept for the window of the next.
        """
        self.fired = -1
        self.stepped = False
        if voice:
            self._voiceless = 0
        elif self._voiceless < self._gate:
            self._voiceless += 1
        features = self.features
        at = 0
        while at < FRAME:
            if late and not self._deaf and features.rows % ROWS == 0:
                self._deaf = ROWS
                self.skipped += 1
                self._now = (self._now + 1) & _LONG
            at += features.feed(pcm, at, FRAME - at, not self._deaf)
            if features.fresh:
                if self._deaf:
                    self._deaf -= 1
                elif features.rows == ROWS:
                    self._step(FRAME - at)
        return self.fired

    def _step(self, left):
        self._now = now = (self._now + 1) & _LONG
        self.steps += 1
        self.stepped = True
        inputs = self.features.inputs
        allowed = not self._gate or self._voiceless < self._gate
        networks = self.networks
        for i in range(len(networks)):
            word = self.words[i]
            if word.hear(networks[i].step(inputs), now, allowed) and (
                self.fired < 0 or word.mean > self.score
            ):
                self.fired = i
                self.score = word.mean
                self.ago = word.risen(now) * HOP + left
