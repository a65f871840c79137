"""The newest coded frames of 20 ms, for a recording that is to begin before it is known that there is one."""

_FRAME_MS = 20


class Lead:
    """A ring of `ms` milliseconds, of which the oldest frame goes; `coder` says how large frames are.
    Allocates only here."""

    def __init__(self, coder, ms):
        self.coder = coder
        self.room = max(1, ms // _FRAME_MS)
        self.ring = bytearray(self.room * coder.bytes)
        self.clear()

    def clear(self):
        self.gap = 0  # samples that are missing
        self.gap_at = 0  # after so many of the frames that wait
        self.passed = 0  # samples that were missing before the oldest of them
        self._first = 0
        self.waiting = 0  # frames in the ring
        self.trimmed = 0  # frames that went

    def hold_back(self, pcm):
        """Code a frame (320 samples, int16) into the ring; the oldest goes if it is full."""
        if self.waiting == self.room:
            self.drop(1)
        coder = self.coder
        coder.whole(pcm, self.ring, (self._first + self.waiting) % self.room * coder.bytes)
        self.waiting += 1

    def drop(self, frames):
        """The oldest so many go."""
        self._first = (self._first + frames) % self.room
        self.waiting -= frames
        self.trimmed += frames
        self.gap_at -= frames
        if self.gap and self.gap_at <= 0:
            self.passed += self.gap
            self.gap = 0

    def miss(self, samples):
        """So many samples were lost before the next frame. Of several holes that wait the first one is told,
        as long as all."""
        if not self.waiting:
            self.passed += samples
        elif self.gap:
            self.gap += samples
        else:
            self.gap = samples
            self.gap_at = self.waiting

    def oldest(self):
        """Offset in `ring` of the oldest frame, which leaves it to be kept."""
        at = self._first * self.coder.bytes
        self._first = (self._first + 1) % self.room
        self.waiting -= 1
        return at
