"""What the glasses do about their battery: look at it every few seconds, warn, refuse to capture on what
would not carry it, and switch off while there is enough left to do it orderly."""

import asyncio
import sys
import time

from glasses.fuel_gauge import ANCHOR, FuelGauge

EVERY_MS = 5000
SOON_MS = 2000  # while what is shown runs after the voltage, or the end is near
_BLINK_EVERY_MS = 30000
_BLINK_MS = 60


def _nothing():
    return None


class BatteryPolicy:
    """`sensor` is a `parts.battery.Battery`, `data` the board's data of it, `light` a Led or None, `usb` a
    `Sense` or None, `charger` a `Charger` or None. `remembered`: see `FuelGauge`.

    ``load_ma()`` says how many mA the glasses draw from the cell, or None; ``loading()``, for when it does
    not know, whether it is more than idling. ``on_cutoff()``, a function or an async function, saves what is
    to be saved and switches off; it is called once per descent, and again at the next sample if it raised.

    Events: `battery` (per cent, when it changes and at the start), `battery_low` and `battery_critical` (per
    cent, once per descent and never while USB is there), `charging` (True or False, when it changes).
    """

    def __init__(
        self,
        sensor,
        data,
        bus,
        log,
        light=None,
        usb=None,
        charger=None,
        on_cutoff=_nothing,
        load_ma=_nothing,
        loading=_nothing,
        remembered=None,
    ):
        self._sensor = sensor
        self._bus = bus
        self._log = log
        self._light = light
        self._usb = usb
        self._charger = charger
        self._on_cutoff = on_cutoff
        self._load_ma = load_ma
        self._loading = loading
        self.gauge = FuelGauge(data, time.ticks_diff, remembered)
        self.failed = 0  # readings that the converter refused
        self._told = None  # type: int | None  # per cent
        self._told_charging = False
        self._told_low = False
        self._told_critical = False
        self._cut_off = False
        self._blinked = None  # type: int | None  # ticks_ms

    # --- what others ask ------------------------------------------------------------------------

    def percent(self):
        """0..100. Raises OSError while the battery could not be read even once."""
        if self.gauge.percent is None and not self.sample():
            raise OSError("the battery was not read yet")
        return self.gauge.percent

    def volts(self):
        """Volts at the terminals now, or when they could last be read. Raises OSError if never."""
        try:
            return self._sensor.volts()
        except OSError:
            self.failed += 1
            if self.gauge.terminal is None:
                raise
        return self.gauge.terminal

    def may_capture(self):
        """Why not, in words; empty if they may. It is asked between a press and the first sample, so it
        looks at what is known and reads nothing."""
        gauge = self.gauge
        if gauge.capture_ok:
            return ""
        return "the battery is too low to capture: %.2f V, %d %%" % (gauge.terminal, gauge.percent)

    def below_cutoff(self):
        """The last sample was too low to go on with. After `begin`: they should be off."""
        return self.gauge.below_cutoff()

    def status(self):
        """For the status of the glasses; None is what could not be read."""
        try:
            volts, percent = round(self.volts(), 2), self.percent()
        except OSError:
            volts = percent = None
        return {"battery_v": volts, "battery_percent": percent, "charging": self.gauge.charging}

    def counters(self):
        return {"battery.failed": self.failed, "battery.refused": self.gauge.refused}

    # --- what it does ---------------------------------------------------------------------------

    def begin(self):
        """Look at the battery, at once and often enough to believe it (some ms). For the start."""
        for _ in range(ANCHOR):
            if not self.gauge.anchored:
                self.sample()

    def sample(self):
        """One sample. False: it failed, and all stays as it was."""
        try:
            volts = self._sensor.volts()
        except OSError:
            self.failed += 1
            return False
        return self.gauge.update(
            time.ticks_ms(),
            volts,
            bool(self._loading()),
            None if self._usb is None else self._usb.present,
            None if self._charger is None else self._charger.charging,
            self._load_ma(),
        )

    async def run(self):
        """The task."""
        self.begin()
        while True:
            if self.gauge.percent is not None:
                self._tell()
                await self._end()
                await self._blink()
            await asyncio.sleep_ms(self._period())
            self.sample()

    def _period(self):
        gauge = self.gauge
        return SOON_MS if gauge.settling or not gauge.anchored or not gauge.capture_ok else EVERY_MS

    def _tell(self):
        gauge = self.gauge
        percent = gauge.percent
        now = time.ticks_ms()
        if percent != self._told:
            self._told = percent
            self._bus.emit("battery", now, percent)
        if gauge.charging != self._told_charging:
            self._told_charging = gauge.charging
            self._bus.emit("charging", now, gauge.charging)
        self._told_low = self._warn("battery_low", gauge.low, self._told_low)
        self._told_critical = self._warn("battery_critical", gauge.critical, self._told_critical)

    def _warn(self, name, wrong, told):
        # With USB there is nothing to warn of; that comes when it is pulled out too early.
        if wrong and not told and not self.gauge.powered:
            self._log.warning("battery", "%s: %d %%" % (name, self.gauge.percent))
            self._bus.emit(name, time.ticks_ms(), self.gauge.percent)
            return True
        return wrong and told

    async def _end(self):
        if not self.gauge.cutoff:
            self._cut_off = False
            return
        if self._cut_off:
            return
        self._cut_off = True
        self._log.warning("battery", "cut-off at %.2f V" % self.gauge.terminal)
        try:
            work = self._on_cutoff()
            if hasattr(work, "send"):
                await work
        except Exception as error:
            self._cut_off = False
            sys.print_exception(error)

    async def _blink(self):
        gauge = self.gauge
        if self._light is None or gauge.powered or not gauge.low:
            self._blinked = None
            return
        now = time.ticks_ms()
        if self._blinked is None or time.ticks_diff(now, self._blinked) >= _BLINK_EVERY_MS:
            self._blinked = now
            await self._light.blink(3 if gauge.critical else 2, _BLINK_MS)
