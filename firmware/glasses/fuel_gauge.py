"""How full the cell is, judged by its voltage: pure arithmetic on what the caller measures.

A cell's voltage says how full it is only while no current flows. So what the load (or the charger) takes off
(or adds) is calculated back where the current is known, and smoothed slowly where it is not. What is shown
is true at the start and then moves by one per cent a sample at most: down while the cell feeds the glasses,
up while it is charged, never the other way.

Three thresholds are of the voltage at the terminals, because that is what the regulator lives on:

* `capture_v`, 3.35 by default: below, a peak of radio and microphone might bring the chip down. Added up
  from 3.0 V that the ESP32-S3 needs (datasheet, recommended operating conditions), 0.2 V of dropout and
  0.05 V in a cell of 0.2 Ohm at 250 mA (the radio's 240 mA maximum, ESP-IDF's NimBLE power_save example), and
  0.1 V by which an uncalibrated reading may be wrong (ADC calibration results in the same datasheet). The
  detector of brown-outs itself sits lower, near 2.44 V in stock images (level 7 of ESP-IDF's Kconfig): by
  then flash (2.7 V at least) has long been out of its range.
* `cutoff_v`, by default `empty_v`: three samples in a row below, and it is time to switch off.
* Both are let go only at a little more, or the voltage's recovery without load would undo them.
"""

# mV of a resting LiPo cell, per cent: the figures of the usual chart for hobby cells ("LiPo voltage chart",
# blog.ampow.com/lipo-voltage-chart, column 1S). Linear in between. A given cell is a few per cent off.
CURVE = (
    (3270, 0),
    (3610, 5),
    (3690, 10),
    (3710, 15),
    (3730, 20),
    (3750, 25),
    (3770, 30),
    (3790, 35),
    (3800, 40),
    (3820, 45),
    (3840, 50),
    (3850, 55),
    (3870, 60),
    (3910, 65),
    (3950, 70),
    (3980, 75),
    (4020, 80),
    (4080, 85),
    (4110, 90),
    (4150, 95),
    (4200, 100),
)

# The glasses could not run on less; a reading out of here is a divider that is not connected.
LOWEST_V = 2.0
HIGHEST_V = 5.0
OHM = 0.2  # of a cell of some 250 mAh with its protection and wires; estimate, they have 0.15 to 0.3
CAPTURE_V = 3.35
EMPTY_V = 3.3
FULL_V = 4.2

LOW = 15  # per cent
LOW_OVER = 20
CRITICAL = 5
CRITICAL_OVER = 8
_CAPTURE_OVER_V = 0.05
_CUTOFF_OVER_V = 0.1
_CUTOFF_SAMPLES = 3

ANCHOR = 3  # samples until `percent` stands and moves only step by step
_NEAR = 5  # per cent that the voltage may differ from what was shown before a sleep
_SMOOTH_MS = 30000
_SMOOTH_LOADED_MS = 240000  # under a load nobody knows the current of
_STALE_MS = 60000  # samples from so long before say nothing about now
_FULL_WITHIN_V = 0.1  # of `full_v`: a charger that ends here is done, one that ends elsewhere has a fault
_CONSTANT_UNDER_V = 0.02  # of `full_v`: below, a charger gives all its current
# Without a wire that tells, a voltage that stays so much above what is shown means that a charger is at work.
_RISE = 10
_RISE_MS = 300000


def charge(volts):
    """Per cent of charge (a float, 0..100) of a cell at rest, by the curve."""
    mv = volts * 1000
    below = CURVE[0]
    if mv <= below[0]:
        return 0.0
    for point in CURVE:
        if mv < point[0]:
            return below[1] + (point[1] - below[1]) * (mv - below[0]) / (point[0] - below[0])
        below = point
    return 100.0


def _median(recent, value):
    """Put `value` among the last three, in place. Of two the higher counts: one outlier is nothing."""
    if len(recent) == 3:
        recent.pop(0)
    recent.append(value)
    return sorted(recent)[len(recent) // 2]


class FuelGauge:
    """`data`: the board's battery part: "empty_v" and "full_v" are where 0 and 100 % are (3.3, 4.2); "ohm"
    the cell's resistance (0.2); "charge_ma" the charger's current (0: unknown); "capture_v" and "cutoff_v"
    see above. Whatever is missing has its default.
    `diff` is ticks_diff. `remembered`: the per cent shown before a sleep, or None; they are shown again if
    the voltage does not contradict them.

    After each `update`: `percent` (0..100, None before the first), `volts` (of the resting cell, smoothed),
    `terminal` (volts, the middle one of the last three), `charging`, `powered` (USB or charger there), `low`,
    `critical`, `capture_ok`, `cutoff`, `settling` (what is shown is on its way).
    """

    def __init__(self, data, diff, remembered=None):
        self._diff = diff
        self._remembered = remembered
        empty_v = data.get("empty_v", EMPTY_V)
        self._full_v = data.get("full_v", FULL_V)
        self._empty = charge(empty_v)
        self._span = max(charge(self._full_v) - self._empty, 1)
        self._ohm = data.get("ohm", OHM)
        self._charge_ma = data.get("charge_ma", 0)
        self._capture_v = data.get("capture_v", CAPTURE_V)
        self._cutoff_v = data.get("cutoff_v", empty_v)
        self._t = 0
        self._samples = 0
        self._terminals = []  # type: list[float]
        self._rests = []  # type: list[float]
        self._below = 0  # samples in a row under the cut-off
        self._rise_ms = 0
        self._rising = False
        self.refused = 0  # readings that no cell can have
        self.percent = None  # type: int | None
        self.volts = None  # type: float | None
        self.terminal = None  # type: float | None
        self.charging = False
        self.powered = False
        self.low = False
        self.critical = False
        self.capture_ok = True
        self.cutoff = False
        self.settling = False

    @property
    def anchored(self):
        return self._samples >= ANCHOR

    def below_cutoff(self):
        """The last sample was under the cut-off and nothing feeds the glasses: from the first sample on, when
        `cutoff` does not know yet. Of one sample it may be an outlier."""
        return self._below > 0

    def usable(self, volts):
        """Per cent (float, 0..100) of what there is between `empty_v` and `full_v`, of a cell at rest."""
        return max(0.0, min(100.0, 100 * (charge(volts) - self._empty) / self._span))

    def update(self, t, volts, loading=False, usb=None, charger=None, load_ma=None):
        """A sample: at `t` (ticks_ms) there were `volts` at the cell's terminals.

        `usb`, `charger`: USB is there, the charger charges; None where no wire tells. `load_ma`: what the
        glasses draw from the cell; None if unknown, then `loading` says whether it is more than idling.
        Returns False, and nothing changes, if no cell has such a voltage.
        """
        if not LOWEST_V <= volts <= HIGHEST_V:
            self.refused += 1
            return False
        gone = max(0, self._diff(t, self._t)) if self._samples else 0
        self._t = t
        self._samples = min(self._samples + 1, ANCHOR + 1)
        powered = self.powered = bool(usb or charger)
        wired = usb is not None or charger is not None
        flows = load_ma or 0  # mA out of the cell
        if powered:  # the glasses draw theirs from USB
            # Where the charger holds the voltage its current fades.
            constant = charger is not False and volts < self._full_v - _CONSTANT_UNDER_V
            flows = 0 - self._charge_ma if constant else 0
        if gone > _STALE_MS:
            self._terminals.clear()
            self._rests.clear()
        young = len(self._rests) < ANCHOR
        self.terminal = _median(self._terminals, volts)
        rest = _median(self._rests, volts + self._ohm * flows / 1000)
        if young:
            self.volts = rest
        else:
            slow = loading and load_ma is None and not powered
            self.volts += (rest - self.volts) * gone / (gone + (_SMOOTH_LOADED_MS if slow else _SMOOTH_MS))
        target = self.usable(self.volts)
        if charger:
            target = min(target, 99)
        elif usb and charger is False and self.terminal > self._full_v - _FULL_WITHIN_V:
            target = 100
        if self._samples <= ANCHOR:
            self._anchor(target)
        elif powered:
            if target > self.percent + 0.5:
                self.percent += 1
        else:
            self._discharge(target, wired, gone)
        ahead = target - self.percent
        self.settling = ahead > 2 if powered or self._rising else ahead < -2
        self.charging = self._seems_charging(usb) if charger is None else charger
        self._judge()
        return True

    def _anchor(self, target):
        self.low = self.critical = False  # what the samples before this one made of it does not count
        self.capture_ok = True
        kept = self._remembered
        self.percent = kept if kept is not None and abs(target - kept) <= _NEAR else round(target)

    def _discharge(self, target, wired, gone):
        if target <= self.percent - 1:
            self.percent -= 1
            self._rising = False
        elif self._rising:
            if target > self.percent + 0.5:
                self.percent += 1
            return
        self._rise_ms = 0 if wired or target < self.percent + _RISE else self._rise_ms + gone
        self._rising = self._rise_ms >= _RISE_MS

    def _seems_charging(self, usb):
        return bool(self._rising if usb is None else usb) and self.percent < 100

    def _judge(self):
        """Set the flags that have hysteresis."""
        self.low = self.percent < LOW_OVER if self.low else self.percent <= LOW
        if self.powered:
            self._below = 0
            self.cutoff = False
            self.capture_ok = True
        else:
            over = 0 if self.capture_ok else _CAPTURE_OVER_V
            self.capture_ok = self.terminal >= self._capture_v + over
            if self.terminal < self._cutoff_v:
                self._below = min(self._below + 1, _CUTOFF_SAMPLES)
                self.cutoff = self.cutoff or self._below >= _CUTOFF_SAMPLES
            else:
                self._below = 0
                self.cutoff = self.cutoff and self.terminal < self._cutoff_v + _CUTOFF_OVER_V
        limit = CRITICAL_OVER - 1 if self.critical else CRITICAL
        self.critical = self.percent <= limit or not self.capture_ok
