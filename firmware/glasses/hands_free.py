"""A recording that nobody holds a button for: it begins with the first voice and ends with a silence."""

from micropython import const

WAIT = const(0)  # nothing was said yet: keep the newest frames only
KEEP = const(1)
END = const(2)
NOTHING = const(3)  # nothing was said at all

_FRAME_MS = 20
_PATIENCE_MS = 8000


class HandsFree:
    """`silence_ms` without a voice end the recording. Until there is one, coded frames wait in `lead` (a
    Lead). In the next `deaf` frames no voice counts. Allocates only here."""

    def __init__(self, lead, silence_ms, deaf=0):
        self._silence = silence_ms // _FRAME_MS
        self._patience = max(_PATIENCE_MS, silence_ms) // _FRAME_MS
        self._deaf = deaf
        self.lead = lead
        self._heard = False
        self._quiet = 0  # frames since the last voice

    def hear(self, voice):
        """What is to be done with a frame of 20 ms in which there was a `voice` or not."""
        if self._deaf:
            self._deaf -= 1
            return WAIT
        if voice:
            self._heard = True
            self._quiet = 0
            return KEEP
        self._quiet += 1
        if self._heard:
            return END if self._quiet >= self._silence else KEEP
        return NOTHING if self._quiet >= self._patience else WAIT
