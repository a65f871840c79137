"""How the glasses are there for hosts: the radio, what it offers, who is let in. One way to bring it up, for
the runtime and for the brief beacon of a start out of deep sleep."""

from glasses import services
from glasses.bonds import Bonds
from glasses.door import Door
from glasses.guard import Guard
from glasses.peripheral import Peripheral

VERSION = "0.1.0"


class Presence:
    """`battery` has ``percent()``, or is None on a board without. It may be replaced: a beacon has less of
    one than the runtime, and hosts read the level of whichever is there."""

    def __init__(self, board, settings, log, battery):
        self.settings = settings
        self.log = log
        self.battery = battery
        self.guard = Guard(Bonds(), settings.security != "open")
        self.radio = Peripheral(settings, log, self.guard)
        self.door = Door(self.radio, self.guard)
        self.services = services.standard(None if battery is None else self, board, VERSION)
        for service in self.services:
            self.radio.offer(service)

    def percent(self):
        return self.battery.percent()
