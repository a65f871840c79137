"""The last steps into deep sleep: note what the next start must know, arm what wakes us, sleep.

Nothing here waits or comes back. Who calls it has saved what must not be lost.
"""

import machine

from glasses import clock, wake_sources
from glasses.retained import retained

_SHORTEST_MS = 500


def wake_pins(board):
    """[(name, pin, active level, pull)] of what may wake that board: its buttons, and USB power if it can."""
    found = []
    for name in board.PARTS:
        data = board.PARTS[name]
        if data.get("driver") == "button":
            found.append((name, data["pin"], data.get("active", 0), data.get("pull", "up")))
    usb = board.PARTS.get("usb")
    if usb is not None and not wake_sources.check_pin(board.CHIP, usb["pin"]):
        found.append(("usb", usb["pin"], usb.get("active", 1), None))
    return found


def is_down(pin, level, pull):
    """Is that pin at that level now?"""
    pulls = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN, None: None}
    return machine.Pin(pin, machine.Pin.IN, pulls[pull]).value() == level


def timer_ms(board, reach_s):
    """How long to sleep so that hosts are called every `reach_s` seconds; None if they are not (0)."""
    if not reach_s:
        return None
    boot_ms = int(getattr(board, "CURRENTS", {}).get("boot_ms", 0))
    return max(_SHORTEST_MS, reach_s * 1000 - boot_ms)


def plan(board, timer_ms):
    """The wake sources of a sleep that begins now; `timer_ms` or None."""
    pins = [(pin, level, is_down(pin, level, pull)) for _, pin, level, pull in wake_pins(board)]
    touch = any(board.PARTS[name].get("driver") == "touch" for name in board.PARTS)
    return wake_sources.make_plan(board.CHIP, pins, timer_ms, touch)


def enter(board, state, timer_ms, notes):
    """Sleep, in power state "sleep" or "off". `notes` (JSON) are there for the next start."""
    armed = plan(board, timer_ms)
    notes["state"] = state
    try:
        wake_sources.arm(armed)
    except (AttributeError, OSError, ValueError) as error:
        # An image that is too old for its chip: at least a timer wakes us, and the next log says why.
        notes["unarmed"] = str(error)
        armed.timer_ms = wake_sources.LOOK_AGAIN_MS
    notes["at"] = clock.rtc_ms()
    retained.put("slept", notes)
    if armed.timer_ms is None:
        machine.deepsleep()
    else:
        machine.deepsleep(max(1, armed.timer_ms))
