"""Whether the cell is being charged: the STAT (CHRG) pin of a charger, an open drain that pulls low while it
charges and lets go when it is done or has no power (MCP73831, TP4054, BQ24040 and their likes)."""

from machine import Pin


class Charger:
    """`pin` number, `active` level while charging, `pull` "up" (the drain is open), "down" or None."""

    def __init__(self, pin, active=0, pull="up"):
        pulls = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN, None: None}
        self._active = active
        self._pin = Pin(pin, Pin.IN, pulls[pull])

    @property
    def charging(self):
        return self._pin.value() == self._active
