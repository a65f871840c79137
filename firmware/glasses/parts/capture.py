"""What every capturing part has in common: the light is on before the first sample and goes out
after the last. This is the one place that makes it so; microphone and camera inherit it."""

import time


class CapturePart:
    """`light` is a Led or None (a board without one says so in its data)."""

    def __init__(self, light):
        self._light = light
        self._capturing = False
        self.starts = 0
        self._on_ms = 0  # of captures that have ended
        self._since = 0  # ticks_ms of the one that runs

    @property
    def capturing(self):
        return self._capturing

    def _begin(self):
        """Start capturing. Raises OSError if the hardware does not."""
        raise NotImplementedError

    def _finish(self):
        """Stop capturing."""
        raise NotImplementedError

    def start(self):
        """Light on, then capture. A second start is an error (RuntimeError)."""
        if self._capturing:
            raise RuntimeError("already capturing")
        if self._light is not None:
            self._light.hold()
        self._capturing = True
        self._since = time.ticks_ms()
        try:
            self._begin()
        except BaseException:
            self.stop()
            raise
        self.starts += 1

    def stop(self):
        """Capture ends, then the light goes out. Harmless when not capturing."""
        if not self._capturing:
            return
        try:
            self._finish()
        finally:
            self._capturing = False
            self._on_ms += time.ticks_diff(time.ticks_ms(), self._since)
            if self._light is not None:
                self._light.unhold()

    def on_ms(self):
        """How long it has captured since the start."""
        if self._capturing:
            now = time.ticks_ms()
            self._on_ms += time.ticks_diff(now, self._since)
            self._since = now
        return self._on_ms
