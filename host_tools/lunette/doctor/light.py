"""The check `light`: the LED blinks, and somebody sees it."""

from __future__ import annotations

from lunette.doctor.model import Finding, State
from lunette.doctor.patient import Patient

_BLINK = """
import json, time
from machine import Pin
_p = Pin(%d, Pin.OUT, value=%d)
seen = []
for _ in range(%d):
    for level in (%d, %d):
        _p.value(level)
        time.sleep_ms(%d)
        seen.append(_p.value())
print(json.dumps(seen))
"""
_TIMES, _TIMES_ALONE = 8, 2
_MS, _MS_ALONE = 150, 20


def light(patient: Patient) -> Finding:
    """Drives the LED's pin, reads it back, and asks whether it blinked."""
    skipped = patient.cannot("light", "led")
    if skipped is not None:
        return skipped
    data = patient.part("light") or {}
    gpio, active = int(data["pin"]), int(data.get("active", 1))
    pin = patient.pin(gpio)
    times, ms = (_TIMES, _MS) if patient.person.there else (_TIMES_ALONE, _MS_ALONE)
    patient.person.tell("look at the light: it blinks now")
    seen = patient.ask(_BLINK % (gpio, 1 - active, times, active, 1 - active, ms))
    found = {"gpio": gpio, "seen": seen}
    wrong = {level for level, want in zip(seen, [active, 1 - active] * times, strict=True) if level != want}
    if wrong:
        level = "high" if 1 in wrong else "low"
        to = "3V3" if 1 in wrong else "GND"
        return Finding(
            State.failed,
            f"{pin} stays {level} whatever drives it",
            f"light: {pin} is connected to {to}: look for a bridge of solder, and the LED's resistor",
            found,
        )
    if not patient.person.there:
        return Finding(State.ok, f"{pin} was driven; nobody was asked whether it blinked", data=found)
    if patient.person.yes("Did the light blink?"):
        return Finding(State.ok, f"it blinks, on {pin}", data=found)
    return Finding(
        State.failed,
        f"it does not blink, and {pin} is driven well",
        f"light: check the wire of {pin}, the LED's direction (the short leg to GND), its resistor and GND"
        + ("; or it lights at the other level (`active` in board.py)" if "active" not in data else ""),
        found,
    )
