"""Whether USB feeds the board: a pin that sees VBUS, divided down to what the chip bears."""

from machine import Pin


class UsbSense:
    """`pin` number, `active` level while USB is there, `pull` "up", "down" or None.

    No pull by default: the divider's lower resistor is one, and the chip's own 45 kOhm beside it would
    pull a weak divider's high level down.
    """

    def __init__(self, pin, active=1, pull=None):
        pulls = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN, None: None}
        self._active = active
        self._pin = Pin(pin, Pin.IN, pulls[pull])

    @property
    def present(self):
        return self._pin.value() == self._active
