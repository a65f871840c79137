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
        self._woke = None
        self._stuck = ()
        self._begun = False

    def set(self):
        """Called by a button's interrupt: edges wait."""
        self._flag.set()

    @property
    def busy(self):
        """A finger is down, or a gesture is not decided yet."""
        return any(gestures.busy for _, _, gestures in self._buttons)

    @property
    def down(self):
        return any(button.pressed for _, button, _ in self._buttons)

    def known_down(self):
        """Names of the buttons that are down, and that it has come to: their edges wait no more."""
        return [
            name
            for name, button, gestures in self._buttons
            if button.pressed and (gestures.down or name in self._stuck)
        ]

    def watch(self, buttons, woke=None, stuck=()):
        """Follow `buttons` (name: Button). `woke`: (name of the button that woke the glasses, ticks at which
        it was pressed, ticks at which it was let go or None if it was still down when we looked). `stuck`:
        names of those that count only when they have been free."""
        self._woke = woke
        self._stuck = stuck
        for name in buttons:
            prefix = "" if name == "talk" else name + "."
            gestures = Gestures(
                self._emitter(prefix),
                debounce_ms=self._settings.debounce_ms,
                hold_ms=self._settings.hold_ms,
                gap_ms=self._settings.gap_ms,
            )
            self._buttons.append((name, buttons[name], gestures))

    def _emitter(self, prefix):
        bus = self._bus

        def emit(name, t, value):
            bus.emit(prefix + name if prefix else name, t, value)

        return emit

    def _wait_ms(self):
        now = time.ticks_ms()
        wait = -1
        for _, _, gestures in self._buttons:
            if gestures.deadline is not None:
                due = max(0, time.ticks_diff(gestures.deadline, now))
                wait = due if wait < 0 else min(wait, due)
        return wait

    def _begin(self):
        """The first look: a finger may be down, and one that woke us may have left again."""
        now = time.ticks_ms()
        for name, button, gestures in self._buttons:
            if self._woke is not None and name == self._woke[0]:
                _, pressed, released = self._woke
                gestures.start(pressed, True)
                if released is not None:
                    gestures.edge(released, False)
                button.drain(gestures.edge)
                gestures.edge(now, button.pressed)
                gestures.tick(now)
            elif button.pressed and name not in self._stuck:
                gestures.start(now, True)

    def look(self):
        """The chip has been asleep and has seen no edges: take the levels as they are."""
        now = time.ticks_ms()
        for _, button, gestures in self._buttons:
            button.drain(gestures.edge)
            gestures.edge(now, button.pressed)
        self.set()

    async def run(self):
        if not self._begun:
            self._begun = True
            self._begin()
        while True:
            wait = self._wait_ms()
            if wait < 0:
                await self._flag.wait()
            else:
                try:
                    await asyncio.wait_for_ms(self._flag.wait(), wait)
                except asyncio.TimeoutError:
                    pass
            for _, button, gestures in self._buttons:
                button.drain(gestures.edge)
                gestures.tick(time.ticks_ms())

    def counters(self):
        total = 0
        for _, button, _ in self._buttons:
            total += button.overflows
        return {"buttons.overflows": total}
