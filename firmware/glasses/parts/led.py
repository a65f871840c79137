"""A single-colour LED. As the capture light it is lit whenever something captures."""

import asyncio

from machine import Pin


class Led:
    """`pin` number, `active` level that lights it (0 or 1)."""

    def __init__(self, pin, active=1):
        self._on = active
        self._pin = Pin(pin, Pin.OUT, value=1 - active)
        self._base = False  # what the runtime wants shown when nothing captures
        self._held = 0

    @property
    def lit(self):
        return self._pin.value() == self._on

    def _show(self):
        self._pin.value(self._on if self._held or self._base else 1 - self._on)

    def on(self):
        self._base = True
        self._show()

    def off(self):
        """Dark, unless something captures: that cannot be hidden."""
        self._base = False
        self._show()

    async def blink(self, times, ms):
        """Lit `times` times for `ms`, and dark as long after each."""
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
