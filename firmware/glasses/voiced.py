"""When in a recording somebody spoke, for whoever wants to find it there."""

from array import array

_RUNS = 24


class Voiced:
    """Runs of voice in milliseconds since the start. More than 24 and the last one takes in what follows.
    Allocates only here and in `runs`."""

    def __init__(self):
        self._times = array("I", bytes(8 * _RUNS))
        self._count = 0
        self._in_run = False

    def reset(self):
        self._count = 0
        self._in_run = False

    def mark(self, start_ms, end_ms, voice):
        """The next frame, from `start_ms` to `end_ms`."""
        if not voice:
            self._in_run = False
            return
        times = self._times
        if not self._in_run and self._count < _RUNS:
            times[2 * self._count] = start_ms
            self._count += 1
        self._in_run = True
        times[2 * self._count - 1] = end_ms

    def runs(self):
        """[[start, end], ...]"""
        times = self._times
        return [[times[2 * i], times[2 * i + 1]] for i in range(self._count)]
