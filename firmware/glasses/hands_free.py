"""A recording that nobody holds a button for: it begins with the first voice and ends with a silence."""

from micropython import const

WAIT = const(0)  # nothing was said yet: keep the newest frames only
KEEP = const(1)
END = const(2)
NOTHING = const(3)  # nothing was said at all

_FRAME_MS = 20
_PATIENCE_MS = 8000


class HandsFree:
    """`silence_ms` without a voice end the recording, `lead_ms` before the first voice belong to it.

    Until there is a voice, coded frames wait in a ring of `lead_ms`, of which the oldest goes; `coder` says
    how large they are. Allocates only here.
    """

    def __init__(self, coder, silence_ms, lead_ms):
        self._silence = silence_ms // _FRAME_MS
        self._patience = max(_PATIENCE_MS, silence_ms) // _FRAME_MS
        self._coder = coder
        self._room = max(1, lead_ms // _FRAME_MS)
        self.ring = bytearray(self._room * coder.bytes)
        self._first = 0
        self.waiting = 0  # frames in the ring
        self.trimmed = 0  # frames that went
        self._heard = False
        self._quiet = 0  # frames since the last voice

    def hear(self, voice):
        """What is to be done with a frame of 20 ms in which there was a `voice` or not."""
        if voice:
            self._heard = True
            self._quiet = 0
            return KEEP
        self._quiet += 1
        if self._heard:
            return END if self._quiet >= self._silence else KEEP
        return NOTHING if self._quiet >= self._patience else WAIT

    def hold_back(self, pcm):
        """Code a frame into the ring; the oldest goes if it is full."""
        coder = self._coder
        if self.waiting == self._room:
            self._first = (self._first + 1) % self._room
            self.waiting -= 1
            self.trimmed += 1
        coder.whole(pcm, self.ring, (self._first + self.waiting) % self._room * coder.bytes)
        self.waiting += 1

    def oldest(self):
        """Offset in `ring` of the oldest frame, which leaves it."""
        at = self._first * self._coder.bytes
        self._first = (self._first + 1) % self._room
        self.waiting -= 1
        return at
