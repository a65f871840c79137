"""The beacon: a start out of deep sleep, by the timer, so that a host finds the glasses.

Nearly every start is one of these, thousands a day, so it imports as little as advertising needs. What a
host finds is the same as ever: services, keys and answers are those of the runtime, which is loaded when a
paired host is there, and takes over the connection as it is.
"""

import time

import machine

from glasses.log import Log
from glasses.presence import Presence
from glasses.settings import Settings

INTERVAL_MS = 20  # between two advertisements: as often as Bluetooth allows
WINDOW_MS = 120  # five of them; a host that listens all the time needs one
LOOK_MS = 10
_LOOK_AT_BATTERY = 16  # beacons between two looks
_WATCHDOG_MS = 20000
_MHZ = 80  # the lowest that Bluetooth bears
_WEAK_V = 3.4  # then the runtime judges it in full, and switches off if it must
# A host encrypts within a second of connecting, at slow intervals in two. Strangers are given no longer.
ENCRYPT_MS = 3000


class LastLevel:
    """The battery as it was when we fell asleep (None: not known), for the service that hosts read."""

    def __init__(self, percent):
        self._percent = percent

    def percent(self):
        if self._percent is None:
            raise OSError("the battery was not read")
        return self._percent


class Beacon:
    """`start` (wake.Start). `steps` decides; then `go_back` sleeps on, or the runtime takes over."""

    def __init__(self, start):
        self._start = start
        self._pins = None  # see `_load`
        self._is_down = None
        self._settings = Settings()
        self._loading_mhz = machine.freq() // 1000000
        self.ago_ms = 0  # how long before now the finger may have come down that `steps` found
        self._radio_ms = None  # since when the radio is on,
        self._silent_ms = time.ticks_ms()  # or is not

    def _load(self):
        """Import what is needed after the first advertisement: between them there is time for it."""
        from glasses import energy, sleep  # noqa: F401 (for `go_back`)

        self._pins = sleep.wake_pins(self._start.board)
        self._is_down = sleep.is_down

    def _pressed(self):
        """What a wake pin says: the name of a button, "usb" or ""."""
        if self._pins is None:
            self._load()
        stuck = self._start.stuck
        for name, pin, level, pull in self._pins:
            if not self._is_down(pin, level, pull):
                if pin in stuck:
                    stuck.remove(pin)
            elif pin not in stuck and self._counts(name):
                return name
        return ""

    def _counts(self, name):
        slept = self._start.slept
        if name == "worn":
            return slept.get("worn", False) and slept.get("state") != "off"
        return name != "usb" or slept.get("state") != "off"

    def steps(self):
        """A generator of milliseconds to wait; at its end there is a reason to be awake, or `go_back`'s time.

        Returns "" or the reason. No asyncio: loading that takes as long as advertising twice.
        """
        start = self._start
        machine.WDT(timeout=_WATCHDOG_MS)  # deep sleep ends it; the runtime's takes it over
        if start.slept.get("state") == "off":
            return self._pressed()  # it was only to look whether a button that was stuck is free
        if self._settings.omi and self._settings.security == "open":
            return "omi"  # its app would find other services here
        if start.slept.get("fresh"):
            return "fresh"  # to doze on, see doze.py
        battery = LastLevel(start.slept.get("percent")) if "battery" in start.board.PARTS else None
        presence = Presence(start.board, self._settings, Log("warning"), battery)
        radio = presence.radio
        radio.resting = not start.slept.get("waiting")
        radio.beacon_ms = INTERVAL_MS
        self._radio_ms = time.ticks_ms()
        radio.start(presence.door.irq)
        machine.freq(_MHZ * 1000000)  # to wait at: there is nothing more to hurry for
        began = time.ticks_ms()
        start.slept["lead"] = time.ticks_diff(began, start.began_ms)
        reason = ""
        # A finger that is there at the first look may have come at any time since the chip woke.
        self.ago_ms = time.ticks_ms()
        while not reason:
            past = time.ticks_diff(time.ticks_ms(), began)
            if past >= (ENCRYPT_MS if presence.guard.peers else WINDOW_MS):
                radio.stop()
                presence.door.reset()
                self._silent_ms = time.ticks_ms()
                return "battery" if self._weak() else ""
            yield LOOK_MS
            if not radio.interval_ms:  # who has connected ended it, and may be a stranger
                radio.renew(presence.door.connected)
            reason = "host" if presence.door.connected else self._pressed()
            if not reason:
                self.ago_ms = LOOK_MS
        start.presence = presence
        return reason

    def _weak(self):
        """Every so often: is it time for the runtime to look at the battery?"""
        start = self._start
        beacons = start.slept["beacons"] = start.slept.get("beacons", 0) + 1
        if beacons % _LOOK_AT_BATTERY:
            return False
        start.parts.make_rest()
        battery = start.parts.battery
        try:
            return battery is not None and battery.volts() < _WEAK_V
        except OSError:
            return False

    def go_back(self):
        """Sleep on. What this has cost is in the notes."""
        from glasses import sleep
        from glasses.energy import Meter

        start = self._start
        state = start.slept.get("state", "sleep")
        notes = start.slept
        spent, charges = start.spent()
        awake_ms = time.ticks_diff(time.ticks_ms(), start.began_ms)
        meter = Meter(start.currents, charges)
        # Until the first call it loads without a pause; the radio is on from its start to the end.
        lead_ms = min(awake_ms, notes.get("lead", awake_ms))
        meter.awake("standby", lead_ms, self._loading_mhz, lead_ms)
        meter.awake("standby", awake_ms - lead_ms, machine.freq() // 1000000, 0)
        if self._radio_ms is not None:
            meter.radio("standby", time.ticks_diff(self._silent_ms, self._radio_ms), INTERVAL_MS)
        spent["standby"] = spent.get("standby", 0) + awake_ms
        notes["spent"] = spent
        notes["charges"] = meter.charges()
        reach_s = self._settings.reach_s if state == "sleep" else 0
        lead_ms = notes.get("lead", sleep.LEAD_MS) + time.ticks_diff(time.ticks_ms(), self._silent_ms)
        timer_ms = sleep.timer_ms(reach_s, start.boot_ms + lead_ms)
        sleep.enter(start.board, state, timer_ms, notes, start.stuck)
