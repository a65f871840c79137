"""The asyncio idle hook: how deep to sleep until the next task is due, and how long the CPU has worked.

asyncio waits in one place, its queue of pollable objects. `Idle` stands in for that, and chooses:

    run      a task is due: only look whether something is ready
    idle     wait; the CPU halts until an interrupt, at the clock of the power state
    light    light sleep: the radio is off and nothing is captured, so nothing is lost by it
"""

import time

import machine

LIGHT_MIN_MS = 20  # shorter sleeps cost more than they save


def depth(wait_ms, radio, capturing, cable):
    """How deep to go for a wait of so many ms (-1: for ever): "run", "idle" or "light". `cable`: somebody
    may be at the prompt, which light sleep would cut off."""
    if wait_ms == 0:
        return "run"
    if radio or capturing or cable or 0 < wait_ms < LIGHT_MIN_MS:
        return "idle"
    return "light"


class Idle:
    """``choose(wait_ms)`` gives the depth. `busy_ms` is how long the CPU has worked, of all time so far."""

    def __init__(self, choose):
        self._choose = choose
        self._queue = None
        self._left_us = time.ticks_us()
        self._busy_us = 0
        self.busy_ms = 0
        self.light_sleeps = 0

    def install(self):
        """Put it in place, if this asyncio has that place (MicroPython's has)."""
        core = getattr(__import__("asyncio"), "core", None)
        queue = getattr(core, "_io_queue", None)
        if core is None or queue is None or isinstance(queue, Idle):
            return False
        self._queue = queue
        core._io_queue = self
        return True

    def __getattr__(self, name):  # what tasks ask of the queue
        return getattr(self._queue, name)

    def wait_io_event(self, wait_ms):
        """Called by asyncio when nothing is to be done for so long. Allocates nothing."""
        now = time.ticks_us()
        self._busy_us += time.ticks_diff(now, self._left_us)
        if self._busy_us >= 1000:
            self.busy_ms += self._busy_us // 1000
            self._busy_us %= 1000
        if self._choose(wait_ms) == "light":
            self.light_sleeps += 1
            if wait_ms < 0:
                machine.lightsleep()
            else:
                machine.lightsleep(wait_ms)
            wait_ms = 0
        self._queue.wait_io_event(wait_ms)
        self._left_us = time.ticks_us()
