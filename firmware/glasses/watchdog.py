"""The watchdog that is fed only as long as the runtime makes progress, and the watch over the heap.

The chip's watchdog can't be stopped and survives a soft reset; deep sleep stops it. Made once more with
another timeout it takes that one (`esp_task_wdt_reconfigure` in the ESP32 port's machine_wdt.c), which
is how `release` keeps it from biting a developer.
"""

import gc
import time

import machine

_LIMIT_MS = 8000
# At most so much of the time between two turns is held against a service: twice what is usual. When more
# passed, the chip was in light sleep or the scheduler was stuck, and nobody could have made progress. (A
# stuck scheduler does not feed, either.)
_STEP_MS = 1000
# 12 days. The chip's second stage counts in half milliseconds up to twice the timeout: 32 bits.
RELEASED_MS = (1 << 30) - 1
_FLOOR = 16384  # heap bytes free after a collection: less is worth a warning
_HARD_FLOOR = 4096  # less, and the next recording or connection may fail half-way
_STARVING = 4  # looks in a row below the hard floor, half a second apart
_LOOK_EVERY = 4  # turns: counting free blocks takes milliseconds where the heap is large


class _Watched:
    def __init__(self, name, probe, limit_ms):
        self.name = name
        self.probe = probe
        self.limit_ms = limit_ms
        self.value = None
        self.still_ms = 0

    def stuck(self, step_ms):
        value = self.probe()
        if value is None or value != self.value:
            self.still_ms = 0
        else:
            self.still_ms += step_ms
        self.value = value
        return self.still_ms >= self.limit_ms


class Watchdog:
    """Call `turn` every half second. `crashes` takes the reasons. `on_starving()` is called, once, when
    the heap stays all but full: it restarts the glasses in order; within `timeout_ms` (at least 1000), as
    there is no feeding any more. `collects`, `stalls` and `starved` count; `heap_lowest` is bytes.
    """

    def __init__(self, crashes, log, timeout_ms=20000, on_starving=None):
        self._crashes = crashes
        self._log = log
        self._timeout_ms = timeout_ms
        self._on_starving = on_starving
        self._wdt = None
        self._watched = []
        self._last = None
        self._reason = ""
        self._turns = 0
        self._low = False
        self._starving = 0
        self.released = False
        self.collects = 0
        self.stalls = 0
        self.starved = 0
        self.heap_lowest = None

    def watch(self, name, probe, limit_ms=_LIMIT_MS):
        """Have ``probe()`` return None while that service has nothing to do, else a number that changes
        as it gets on, at least every `limit_ms`."""
        self._watched.append(_Watched(name, probe, limit_ms))

    def start(self):
        """Make the watchdog, or make it short again after `release`. What was stuck gets another chance."""
        self._wdt = machine.WDT(timeout=self._timeout_ms)
        self._wdt.feed()  # making it anew does not count as feeding everywhere
        self.released = False
        self._last = None
        self._reason = ""
        for watched in self._watched:
            watched.still_ms = 0

    def release(self):
        """For the prompt: nothing is judged, and the watchdog waits for 12 days.

        Also where `start` was not called: there may be one from before a soft reset. It stays this long in
        the next program until that calls `start`, so mpremote may soft-reset and work without end.
        """
        self._wdt = machine.WDT(timeout=RELEASED_MS)
        self._wdt.feed()
        self.released = True

    def turn(self):
        """Feed, if every busy service gets on and the heap is not starving."""
        if self.released:
            self._wdt.feed()
            return
        self._crashes.alive()
        self._heap()
        reason = self._stalled()
        if reason and not self._reason:
            self.stalls += 1
            self._crashes.note(reason)  # first of all: there may be no later
            self._log.error("watchdog", reason)
        elif self._reason and not reason:
            self._crashes.forget()
            self._log.warning("watchdog", "goes on after " + self._reason)
        self._reason = reason
        if not reason and not self.starved and self._wdt is not None:
            self._wdt.feed()

    def _stalled(self):
        now = time.ticks_ms()
        step = 0 if self._last is None else min(max(time.ticks_diff(now, self._last), 0), _STEP_MS)
        self._last = now
        names = []
        for watched in list(self._watched):
            try:
                if watched.stuck(step):
                    names.append(watched.name)
            except Exception as error:
                # A mistake in a probe is no reason to restart for ever.
                self._watched.remove(watched)
                self._log.error("watchdog", "%s is not watched: %s" % (watched.name, type(error).__name__))
        return "no progress: " + ", ".join(names) if names else ""

    # --- heap ---------------------------------------------------------------------------------

    def _heap(self):
        self._turns += 1
        if self.starved or (not self._low and self._turns % _LOOK_EVERY):
            return
        free = gc.mem_free()
        if free < _FLOOR:
            # Garbage is collected only when there is no room at all, so little free is usual before.
            gc.collect()
            self.collects += 1
            free = gc.mem_free()
        if self.heap_lowest is None or free < self.heap_lowest:
            self.heap_lowest = free
        if free >= _FLOOR:
            self._low = False
            self._starving = 0
            return
        if not self._low:
            self._low = True
            self._log.warning("heap", "%d bytes free" % free)
        self._starving = self._starving + 1 if free < _HARD_FLOOR else 0
        if self._starving >= _STARVING:
            self.starved += 1
            self._crashes.note("heap: %d bytes free" % free)
            self._log.error("heap", "%d bytes free: restart" % free)
            if self._on_starving is not None:
                self._on_starving()

    def counters(self):
        return {"watchdog_stalls": self.stalls, "heap_collects": self.collects, "heap_starved": self.starved}
