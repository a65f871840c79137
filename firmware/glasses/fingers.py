"""Fingers: button edges in, gestures out on the bus."""

import asyncio
import time

from glasses.gestures import Gestures


class Fingers:
    """Follows every button of the board. Gestures of the button "talk" have plain names
    ("double"); those of another button carry its name ("camera.double")."""

    def __init__(self, bus, settings):
        self._bus = bus
        self._settings = settings
        self._flag = asyncio.ThreadSafeFlag()
        self._buttons = []

    def set(self):
        """Called by a button's interrupt: edges wait."""
        self._flag.set()

    def watch(self, buttons):
        for name in buttons:
            prefix = "" if name == "talk" else name + "."
            gestures = Gestures(
                self._emitter(prefix),
                debounce_ms=self._settings.debounce_ms,
                hold_ms=self._settings.hold_ms,
                gap_ms=self._settings.gap_ms,
            )
            self._buttons.append((buttons[name], gestures))

    def _emitter(self, prefix):
        bus = self._bus

        def emit(name, t, value):
            bus.emit(prefix + name if prefix else name, t, value)

        return emit

    def _wait_ms(self):
        now = time.ticks_ms()
        wait = -1
        for _, gestures in self._buttons:
            if gestures.deadline is not None:
                due = max(0, time.ticks_diff(gestures.deadline, now))
                wait = due if wait < 0 else min(wait, due)
        return wait

    async def run(self):
        for button, gestures in self._buttons:
            if button.pressed:  # the finger that woke us is still there
                gestures.start(time.ticks_ms(), True)
        while True:
            wait = self._wait_ms()
            if wait < 0:
                await self._flag.wait()
            else:
                try:
                    await asyncio.wait_for_ms(self._flag.wait(), wait)
                except asyncio.TimeoutError:
                    pass
            for button, gestures in self._buttons:
                button.drain(gestures.edge)
                gestures.tick(time.ticks_ms())

    def counters(self):
        total = 0
        for button, _ in self._buttons:
            total += button.overflows
        return {"buttons.overflows": total}
