"""The number of a start, and where its recordings are counted from: together they make ids unique.

A recording's id is the boot number (14 bits, it wraps) and a counter `n` of 16 bits. A wake from deep sleep
goes on counting where the glasses fell asleep, or a timer that wakes them every 10 s would use up the boot
numbers in two days. Any other start takes the next boot number. Both numbers are retained; a file has the
boot number for when power is lost.
"""

import os

import machine

from glasses.retained import retained

_PATH = "boot.count"
_MASK = 0x3FFF
# Beyond this `n`, a wake takes a new boot number: what one run records must not overflow 16 bits.
_LAST_N = 60000


def _number(key, limit):
    value = retained.get(key)
    return value if isinstance(value, int) and 0 <= value <= limit else None


def _save(boot):
    try:
        with open(_PATH + ".new", "w") as file:
            file.write(str(boot))
        os.rename(_PATH + ".new", _PATH)
    except OSError:  # a full file system must not keep the glasses from starting
        pass


def _after_power_loss():
    try:
        with open(_PATH) as file:
            return int(file.read()) + 256  # room for the starts that only retained memory counted
    except (OSError, ValueError):
        # New flash: not from 0, or a host would take the recordings for those of a life before.
        return int.from_bytes(os.urandom(2), "little")


def resume_numbers():
    """(boot number, the `n` that was given last). To be called once a start, before the journal is made.

    Whoever numbers recordings puts each `n` into retained memory as "n" before the glasses may sleep.
    """
    boot = _number("boot", _MASK)
    n = _number("n", _LAST_N)
    if boot is not None and n is not None and machine.reset_cause() == machine.DEEPSLEEP_RESET:
        return boot, n
    known = boot is not None
    boot = (boot + 1 if known else _after_power_loss()) & _MASK
    if not known or not boot & 0xFF:
        _save(boot)
    if not retained.put_all({"boot": boot, "n": 0}):
        # No room to count on: rather lose the old number than give this one out again. The file is ahead.
        retained.remove("boot")
    return boot, 0
