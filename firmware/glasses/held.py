"""The talk button held while the glasses are switched on or reset: safe mode is wanted.

boot.py looks, after starts that a hand can have made. A finger that stays for a second is meant; then the
light flickers until it has left, and the app is left out until the next start. What does not leave is no
finger but a wire, or something that lies on the button: then they start as ever, and it counts when it has
been free. Out of deep sleep the button means talking, and after a crash the finger may be there from before.

Of the hardware only the two pins are touched, so nothing can hang here.
"""

import sys
import time

import machine

from glasses.wake import POWER_ON, RESET

HOLD_MS = 1000
STUCK_MS = 10000
_FLICKER_MS = 50
_LOOK_MS = 10
SAFE = "safe mode: the button was held at the start, so the app is left out"
STUCK = "the button was down for 10 s at the start: it counts when it has been free"


def look(start):
    """Wait for a finger that is there, for 10 s at most, and say in `start` what it meant."""
    try:
        _look(start)
    except Exception as error:  # whatever this is, it must not keep the glasses from starting
        sys.print_exception(error)


def _look(start):
    if start.cause not in (POWER_ON, RESET) or start.crashes is None or start.crashes.crashed is not None:
        return
    button = start.board.PARTS.get("talk", {})
    if button.get("driver") != "button":
        return
    pulls = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN, None: None}
    pin = machine.Pin(button["pin"], machine.Pin.IN, pulls[button.get("pull", "up")])
    active = button.get("active", 0)
    if pin.value() != active:
        return
    light = _light(start.board.PARTS.get("light"))
    try:
        ms = _wait(pin, active, light)
    finally:  # Ctrl-C, too
        light(False)
    if ms >= STUCK_MS:
        start.held = STUCK
        start.stuck.append(button["pin"])
    elif ms >= HOLD_MS:
        start.held = SAFE
        start.crashes.safe = True


def _wait(pin, active, light):
    """How long the finger stays, in ms, `STUCK_MS` at most."""
    began = time.ticks_ms()
    ms = 0
    while pin.value() == active and ms < STUCK_MS:
        light(ms >= HOLD_MS and ms // _FLICKER_MS % 2 == 0)
        time.sleep_ms(_LOOK_MS)
        ms = time.ticks_diff(time.ticks_ms(), began)
    return ms


def _light(data):
    """``light(on)`` of the board's light; it does nothing on a board without."""
    if data is None or data.get("driver") != "led":
        return lambda on: None
    active = data.get("active", 1)
    pin = machine.Pin(data["pin"], machine.Pin.OUT, value=1 - active)
    return lambda on: pin.value(active if on else 1 - active)
