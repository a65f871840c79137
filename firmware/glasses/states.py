"""The power states as a table: what each of them is, and where it may lead. Data only.

`docs/power.md` shows it. A stock image cannot sleep lightly with Bluetooth on, so states differ in the
clock, in what runs, and in whether the chip is awake at all.
"""


class State:
    """`mhz` clock of the CPU, 0 when the chip is off but for its RTC; `radio`: Bluetooth on; `kinds` of parts
    that work; `wake`: what ends the state when the chip cannot; `into`: where it may lead."""

    def __init__(self, mhz, radio, kinds, wake, into):
        self.mhz = mhz
        self.radio = radio
        self.kinds = kinds
        self.wake = wake
        self.into = into


# Most awake first. The radio needs 80 MHz. Coding speech takes some 5 % of a core at 160 MHz, which leaves
# room for a full link and for garbage collection within the microphone's 256 ms. A wake word takes some 24 %
# there, and with cleaning 35: at 80 MHz nothing would be left.
ORDER = ("active", "listening", "connected", "standby", "sleep", "off")
TABLE = {
    "active": State(160, True, ("sense", "show", "capture"), (), ("listening", "connected", "standby")),
    "listening": State(160, True, ("sense", "show", "capture"), (), ("active", "connected", "standby")),
    "connected": State(80, True, ("sense", "show"), (), ("active", "listening", "standby")),
    "standby": State(80, True, ("sense",), (), ("active", "listening", "connected", "sleep", "off")),
    # Both end with a reset. A button leads to `active`, a timer to a beacon, which is standby.
    "sleep": State(0, False, (), ("button", "timer"), ("active", "standby")),
    "off": State(0, False, (), ("button",), ("active", "standby")),
}

# Kinds of parts in the order in which they are suspended; they are resumed the other way round. What makes
# data stops before what shows it, and buttons and the battery's voltage are there to the last.
KINDS = ("capture", "show", "sense")


def allowed(old, new):
    """Does the table lead from `old` to `new`?"""
    return new in TABLE[old].into


def path(old, new):
    """The states to pass through from `old` to `new`, `new` last; None if there is no way.

    At most one lies between: every state that is awake borders on standby.
    """
    if allowed(old, new):
        return (new,)
    if not TABLE[old].mhz:  # asleep: nobody is there to take a second step
        return None
    for between in TABLE[old].into:
        if allowed(between, new):
            return (between, new)
    return None
