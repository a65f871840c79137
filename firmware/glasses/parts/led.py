"""A single-colour LED. As the capture light it is lit whenever something captures."""

import time

from machine import Pin


class Led:
    """`pin` number, `active` level that lights it (0 or 1)."""

    def __init__(self, pin, active=1):
        self._on = active
        self._pin = Pin(pin, Pin.OUT, value=1 - active)
        self._base = False  # what the runtime wants shown when nothing captures
        self._held = 0
        self._lit_ms = 0  # until it last went out
        self._since = None  # type: int | None  # ticks_ms at which it went on

    @property
    def lit(self):
        return self._pin.value() == self._on

    def _show(self):
        lit = self._held or self._base
        self._pin.value(self._on if lit else 1 - self._on)
        if lit and self._since is None:
            self._since = time.ticks_ms()
        elif not lit and self._since is not None:
            self._lit_ms += time.ticks_diff(time.ticks_ms(), self._since)
            self._since = None

    def on_ms(self):
        """How long it has been lit since the start."""
        if self._since is not None:
            now = time.ticks_ms()
            self._lit_ms += time.ticks_diff(now, self._since)
            self._since = now
        return self._lit_ms

    def on(self):
        self._base = True
        self._show()

    def off(self):
        """Dark, unless something captures: that cannot be hidden."""
        self._base = False
        self._show()

    async def blink(self, times, ms):
        """Lit `times` times for `ms`, and dark as long after each."""
        import asyncio  # late: after a wake-up the microphone is to run before this is loaded

        for _ in range(times):
            self.on()
            await asyncio.sleep_ms(ms)
            self.off()
            await asyncio.sleep_ms(ms)

    def hold(self):
        """Lit until `unhold`, whatever else is asked. Counted."""
        self._held += 1
        self._show()

    def unhold(self):
        self._held = max(0, self._held - 1)
        self._show()
