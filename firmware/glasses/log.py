"""The log: the last lines in a ring, printed as well from the level that is set."""

import time

LEVELS = ("debug", "info", "warning", "error")
_KEEP = 64


class Log:
    """``log.info("link", "connected")``. `lines` holds (ticks_ms, level, area, text), oldest first."""

    def __init__(self, level="info"):
        self.lines = []
        self.total = 0
        self.set_level(level)

    def set_level(self, level):
        self._threshold = LEVELS.index(level)

    def _add(self, level, area, text):
        self.total += 1
        t = time.ticks_ms()
        if len(self.lines) >= _KEEP:
            self.lines.pop(0)
        self.lines.append((t, level, area, text))
        if level >= self._threshold:
            print("[%8.3f] %-7s %-8s %s" % (t / 1000, LEVELS[level], area, text))

    def debug(self, area, text):
        self._add(0, area, text)

    def info(self, area, text):
        self._add(1, area, text)

    def warning(self, area, text):
        self._add(2, area, text)

    def error(self, area, text):
        self._add(3, area, text)
