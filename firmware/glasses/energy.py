"""How much charge the glasses have used: the board's table of currents over what was on, and for how long.

Modelled, not measured: `CURRENTS` in board.py says where each figure comes from. Sums are whole numbers of
uA*s (uC), since the chip's floats have 24 bits.
"""

import time

_UC_TO_MAH = 3600000
# Of a beacon out of deep sleep, its imports: an estimate. See docs/power.md.
_LOAD_MS = 150


def cheaper_sleep(currents, reach_s):
    """ "light" or "deep": which costs less between beacons every `reach_s` seconds (0: none at all).

    Light sleep draws more all the time, deep sleep pays with a whole start for every beacon.
    """
    if not reach_s or "light_sleep" not in currents:
        return "deep"
    busy = max([pair[1] for pair in currents["cpu"].values()])
    start = currents["boot"] * currents["boot_ms"] + busy * _LOAD_MS
    staying = (currents["light_sleep"] - currents["deep_sleep"]) * reach_s * 1000
    return "light" if staying < start else "deep"


class Meter:
    """`currents`: the board's table, {} without one: then everything is 0. `charges`: {state: {consumer: uC}}
    of before, as `charges` gives it."""

    def __init__(self, currents, charges=None):
        self._ua = {}
        for name in currents:
            if name != "cpu" and not name.endswith("_ms"):
                self._ua[name] = round(currents[name] * 1000)  # uA, or uA*ms an event
        self._cpu = {}
        for mhz in currents.get("cpu", {}):
            idle, busy = currents["cpu"][mhz]
            self._cpu[mhz] = (round(idle * 1000), round(busy * 1000))
        self._charges = {}
        for state in charges or {}:
            self._charges[state] = dict(charges[state])
        self._rest = {}  # consumer: uA*ms that do not make a uC yet
        self._parts = []  # [name, function that gives its ms so far, ms that are accounted for]
        self._since = time.ticks_ms()
        self._load_ua = 0

    def part(self, name, on_ms):
        """Have a part counted: ``on_ms()`` is how long it was on since the start."""
        if name in self._ua:
            self._parts.append([name, on_ms, 0])

    def _add(self, state, consumer, ua_ms):
        if ua_ms <= 0:
            return
        ua_ms += self._rest.get(consumer, 0)
        self._rest[consumer] = ua_ms % 1000
        spent = self._charges.setdefault(state, {})
        spent[consumer] = spent.get(consumer, 0) + ua_ms // 1000

    def add(self, state, consumer, ms):
        """`consumer` was on for so long, in that state: for what is known only afterwards."""
        self._add(state, consumer, self._ua.get(consumer, 0) * ms)

    def account(self, state, mhz, busy_ms=0, radio=False, advertise_ms=0, interval_ms=0, octets=0):
        """All of the time since the last call was spent like this: the clock, how long the CPU worked,
        whether the radio was on, its intervals between advertisements and between connection events (0:
        none), and bytes that went over the air."""
        now = time.ticks_ms()
        ms = time.ticks_diff(now, self._since)
        self._since = now
        if ms <= 0:
            return
        ua = self._ua
        idle = self.awake(state, ms, mhz, busy_ms)
        if radio:
            self.radio(state, ms, advertise_ms, interval_ms, octets)
        for part in self._parts:
            on = part[1]()
            self._add(state, part[0], ua[part[0]] * (on - part[2]))
            part[2] = on
        self._load_ua = self._total_ua(idle, radio, advertise_ms, interval_ms)

    def awake(self, state, ms, mhz, busy_ms):
        """The CPU was on for so long at that clock, and worked for `busy_ms` of it; what it draws idle."""
        idle, busy = self._cpu.get(mhz) or self._nearest(mhz)
        busy_ms = min(busy_ms, ms)
        self._add(state, "cpu", idle * (ms - busy_ms) + busy * busy_ms)
        self._add(state, "board", self._ua.get("board", 0) * ms)
        return idle

    def radio(self, state, ms, advertise_ms=0, interval_ms=0, octets=0):
        """The radio was on for so long; the rest as in `account`."""
        ua = self._ua
        on_air = ua.get("radio", 0) * ms + ua.get("byte", 0) * octets
        if advertise_ms:  # the link layer adds 0 to 10 ms at random to each interval
            on_air += ua.get("advertise", 0) * ms // (advertise_ms + 5)
        if interval_ms:
            on_air += ua.get("connection", 0) * ms // interval_ms
        self._add(state, "radio", on_air)

    def _total_ua(self, cpu, radio, advertise_ms, interval_ms):
        ua = self._ua
        total = cpu + ua.get("board", 0)
        if radio:
            total += ua.get("radio", 0)
            total += ua.get("advertise", 0) // (advertise_ms + 5) if advertise_ms else 0
            total += ua.get("connection", 0) // interval_ms if interval_ms else 0
        return total

    def _nearest(self, mhz):
        known = sorted(self._cpu)
        for other in known:
            if other >= mhz:
                return self._cpu[other]
        return self._cpu[known[-1]] if known else (0, 0)

    def load_ma(self):
        """What is drawn just now, without parts, in mA; None if nothing is known of this board."""
        return self._load_ua / 1000 if self._cpu else None

    def light_slept(self, state):
        """All of the time since the last call was light sleep."""
        now = time.ticks_ms()
        ms = max(0, time.ticks_diff(now, self._since))
        self._since = now
        self.add(state, "light_sleep", ms)
        self.add(state, "board", ms)

    def started(self, state, slept_state, slept_ms, boot_ms):
        """A deep sleep is over: `slept_ms` of `slept_state`, then the chip started for `boot_ms`."""
        self.add(slept_state, "deep_sleep", slept_ms)
        self.add(slept_state, "board", slept_ms)
        self.add(state, "boot", boot_ms)
        self.add(state, "board", boot_ms)

    def charges(self):
        """{state: {consumer: uC}}"""
        return self._charges

    def mah(self):
        """mAh so far."""
        total = 0
        for state in self._charges:
            for consumer in self._charges[state]:
                total += self._charges[state][consumer]
        return total / _UC_TO_MAH

    def table(self):
        """{state: {consumer: mAh}}"""
        shown = {}
        for state in self._charges:
            spent = self._charges[state]
            shown[state] = {consumer: round(spent[consumer] / _UC_TO_MAH, 4) for consumer in spent}
        return shown
