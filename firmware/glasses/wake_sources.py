"""What wakes the chip from deep sleep: which pins are fit for it, and how each chip is told.

Sources: Espressif's datasheets (strapping pins, RTC pins) and MicroPython's esp32 port, which offers ext0
and ext1 on ESP32 and S3, ext1 and GPIO on C6, GPIO alone on C3 (since 1.27).
"""

# Levels at strapping pins choose how the chip starts: a finger at the wrong moment must not.
STRAPPING = {
    "esp32": (0, 2, 5, 12, 15),
    "esp32s3": (0, 3, 45, 46),
    "esp32c3": (2, 8, 9),
    "esp32c6": (4, 5, 8, 9, 15),
}
_WAKES = {
    "esp32": (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39),
    "esp32s3": tuple(range(22)),
    "esp32c3": tuple(range(6)),
    "esp32c6": tuple(range(8)),
}
LOOK_AGAIN_MS = 60000  # where there is no pin to wait for


def check_pin(chip, pin):
    """Why `pin` must not wake that chip, in words; "" if it may."""
    if chip not in _WAKES:
        return "nothing is known of waking a %s" % chip
    if pin in STRAPPING[chip]:
        return "GPIO%d is a strapping pin of the %s: held down at a reset it stops the start" % (pin, chip)
    if pin not in _WAKES[chip]:
        return "GPIO%d cannot wake a %s from deep sleep" % (pin, chip)
    return ""


class Plan:
    """`ext0` (pin, level) or None; `ext1` and `gpio` (pins, level) or None; `touch`; `timer_ms` or None.
    `down`: pins that are active already; `left_out`: those that the chip has no room for."""

    def __init__(self):
        self.ext0 = None
        self.ext1 = None
        self.gpio = None
        self.touch = False
        self.timer_ms = None
        self.down = []
        self.left_out = []

    @property
    def pins(self):
        found = [] if self.ext0 is None else [self.ext0[0]]
        for group in (self.ext1, self.gpio):
            if group is not None:
                found += list(group[0])
        return found

    @property
    def armed(self):
        return bool(self.pins) or self.touch or self.timer_ms is not None


def make_plan(chip, buttons, timer_ms=None, touch=False):
    """How to wake that chip by `buttons` ([(pin, active level, is it down now)]) and after `timer_ms`.

    A pin that is active already would wake the chip at once, again and again: it is left out, and a timer
    sees to it that somebody looks again. One of them is always armed. Raises ValueError for an unfit pin.
    """
    plan = Plan()
    plan.touch = touch and chip in ("esp32", "esp32s3")
    wanted = []
    for pin, level, down in buttons:
        problem = check_pin(chip, pin)
        if problem:
            raise ValueError(problem)
        if down:
            plan.down.append(pin)
        else:
            wanted.append((pin, level))
    if chip == "esp32c3":
        _group(plan, "gpio", wanted)
    elif chip == "esp32c6":
        _group(plan, "ext1", wanted)
    elif wanted:
        # ext0 keeps the pull-up's power on, so it is the first one's; with touch it is not to be had.
        if not plan.touch:
            plan.ext0 = wanted.pop(0)
        if chip == "esp32":  # its "low" of ext1 means all of them
            high = [pair for pair in wanted if pair[1]]
            low = [pair for pair in wanted if not pair[1]]
            keep = high or low[:1]
            plan.left_out += [pair[0] for pair in wanted if pair not in keep]
            wanted = keep
        _group(plan, "ext1", wanted)
    plan.timer_ms = timer_ms
    if plan.down or not plan.armed:
        plan.timer_ms = LOOK_AGAIN_MS if timer_ms is None else min(timer_ms, LOOK_AGAIN_MS)
    return plan


def _group(plan, name, wanted):
    """Pins of one level, that of the first; others find no room."""
    if not wanted:
        return
    level = wanted[0][1]
    plan.left_out += [pin for pin, other in wanted if other != level]
    setattr(plan, name, (tuple([pin for pin, other in wanted if other == level]), level))


# Kinds that an earlier plan of this start has armed: after light sleep they still are.
_armed = set()  # type: set[str]


def arm(plan):
    """Tell the chip. Raises ValueError or OSError if it refuses, AttributeError if its image is too old."""
    import esp32
    from machine import Pin

    if plan.touch:
        esp32.wake_on_touch(True)
    if plan.ext0 is not None:
        esp32.wake_on_ext0(Pin(plan.ext0[0]), plan.ext0[1])
        _armed.add("ext0")
    elif "ext0" in _armed:
        esp32.wake_on_ext0(None)
    for kind in ("ext1", "gpio"):
        group = getattr(plan, kind)
        if group is not None:
            pins, level = group
            # Looked up here: an image has only the calls that its chip can serve.
            getattr(esp32, "wake_on_" + kind)(
                tuple([Pin(pin) for pin in pins]), esp32.WAKEUP_ANY_HIGH if level else esp32.WAKEUP_ALL_LOW
            )
            _armed.add(kind)
        elif kind in _armed:
            getattr(esp32, "wake_on_" + kind)(())
