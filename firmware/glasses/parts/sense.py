"""A pin that tells by its level whether something is there: USB power, or a head that wears the glasses."""

from machine import Pin


class Sense:
    """`pin` number, `active` level while it is there, `pull` "up", "down" or None.

    No pull by default. VBUS comes divided down to what the chip bears: the divider's lower resistor is a
    pull, and the chip's own 45 kOhm beside it would pull a weak divider's high level down. A touch or
    proximity sensor drives both levels; a hinge's switch needs a pull.
    """

    def __init__(self, pin, active=1, pull=None):
        pulls = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN, None: None}
        self._active = active
        self._pin = Pin(pin, Pin.IN, pulls[pull])

    @property
    def present(self):
        return self._pin.value() == self._active
