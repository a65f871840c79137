"""The last steps into deep sleep: note what the next start must know, arm what wakes us, sleep.

Nothing here waits or comes back. Who calls it has saved what must not be lost.
"""

import machine

from glasses import clock, wake_sources
from glasses.retained import retained

SHORTEST_MS = 500
LEAD_MS = 300  # until a beacon has measured it
# The last advertisement of a beacon may come so long before its end, the first so long after its beginning:
# two intervals of 20 ms, the 10 that the link layer adds to each at random, and 20 of everything else.
_EDGES_MS = 80


def unfit(board):
    """Why not all buttons of that board can wake it, in words, or ""."""
    for name in board.PARTS:
        data = board.PARTS[name]
        problem = wake_sources.check_pin(board.CHIP, data["pin"]) if data.get("driver") == "button" else ""
        if problem:
            return problem
    return ""


def wake_pins(board):
    """[(name, pin, active level, pull)] of what may wake that board: its buttons, USB power and being put on,
    as far as they can."""
    found = []
    for name in board.PARTS:
        data = board.PARTS[name]
        if data.get("driver") == "button" and not wake_sources.check_pin(board.CHIP, data["pin"]):
            found.append((name, data["pin"], data.get("active", 0), data.get("pull", "up")))
    usb = board.PARTS.get("usb")
    if usb is not None and not wake_sources.check_pin(board.CHIP, usb["pin"]):
        found.append(("usb", usb["pin"], usb.get("active", 1), None))
    worn = board.PARTS.get("worn")
    if worn is not None and not wake_sources.check_pin(board.CHIP, worn["pin"]):
        found.append(("worn", worn["pin"], worn.get("active", 1), worn.get("pull")))
    return found


def is_down(pin, level, pull):
    """Is that pin at that level now?"""
    pulls = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN, None: None}
    return machine.Pin(pin, machine.Pin.IN, pulls[pull]).value() == level


def timer_ms(reach_s, lead_ms):
    """How long to sleep so that hosts are called every `reach_s` seconds; None if they are not (0).
    `lead_ms`: from the end of the sleep to the first call."""
    if not reach_s:
        return None
    return max(SHORTEST_MS, reach_s * 1000 - lead_ms - _EDGES_MS)


def plan(board, timer_ms, stuck=None, usb=True, worn=False):
    """The wake sources of a sleep that begins now; `timer_ms` or None; `usb`: plugging it in wakes them;
    `worn`: putting them on does.

    `stuck`: pins that have been down for long and must not wake them. One that is down and not among those
    was pressed this moment, and wakes them at once. None: all that are down are stuck."""
    pins = []
    for name, pin, level, pull in wake_pins(board):
        if (usb or name != "usb") and (worn or name != "worn"):
            pins.append((pin, level, (stuck is None or pin in stuck) and is_down(pin, level, pull)))
    touch = any(board.PARTS[name].get("driver") == "touch" for name in board.PARTS)
    return wake_sources.make_plan(board.CHIP, pins, timer_ms, touch)


def enter(board, state, timer_ms, notes, stuck):
    """Sleep, in power state "sleep" or "off". `notes` (JSON) are there for the next start; `stuck` as in
    `plan`."""
    armed = plan(board, timer_ms, stuck, state != "off", notes.get("worn", False) and state != "off")
    notes["state"] = state
    notes["stuck"] = armed.down
    notes["unarmed"] = unfit(board)
    try:
        wake_sources.arm(armed)
    except (AttributeError, OSError, ValueError) as error:
        # An image that is too old for its chip: at least a timer wakes us, and the next log says why.
        notes["unarmed"] = str(error)
        armed.timer_ms = wake_sources.LOOK_AGAIN_MS
    notes["at"] = clock.rtc_ms()
    if not retained.put("slept", notes):
        # A log of crashes has filled the memory. What was counted may go; that they slept must be known.
        for name in ("spent", "charges", "unarmed"):
            notes.pop(name, None)
        retained.put("slept", notes)
    if armed.timer_ms is None:
        machine.deepsleep()
    else:
        machine.deepsleep(max(1, armed.timer_ms))
