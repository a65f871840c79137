"""Whether the glasses are worn: a pin that a hinge's switch, a touch or a proximity sensor drives."""

from machine import Pin


class WornSense:
    """`pin` number, `active` level while they are worn, `pull` "up", "down" or None for a sensor that drives
    both levels."""

    def __init__(self, pin, active=1, pull=None):
        pulls = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN, None: None}
        self._active = active
        self._pin = Pin(pin, Pin.IN, pulls[pull])

    @property
    def present(self):
        return self._pin.value() == self._active
