"""The check `button`: neither stuck nor open, asked for with a countdown."""

from __future__ import annotations

import time
from typing import Any

from lunette.doctor.model import Finding, Findings, State
from lunette.doctor.patient import Patient

# The interrupt notes a press that is shorter than the time between two questions.
_BEGIN = """
import time
from machine import Pin
_edges = 0
def _edge(pin):
    global _edges
    _edges += 1
_b = Pin(%d, Pin.IN, %s)
_b.irq(_edge, Pin.IRQ_RISING | Pin.IRQ_FALLING)
time.sleep_ms(5)
"""
_LOOK = """
_until = time.ticks_add(time.ticks_ms(), %d)
while _b.value() != %d and not (_edges and %d) and time.ticks_diff(_until, time.ticks_ms()) > 0:
    time.sleep_ms(2)
print(_b.value(), _edges)
"""
_END = "_b.irq(None)"
_PULLS = {"up": "Pin.PULL_UP", "down": "Pin.PULL_DOWN", None: "None"}
_PRESS_S, _RELEASE_S = 10.0, 5.0
_STEP_MS = 500
_ALONE_MS = 100


def button(patient: Patient) -> Finding:
    """Each button of the board."""
    board = patient.board
    names = [name for name, data in board.parts.items() if data.get("driver") == "button"] if board else []
    if not names:
        return patient.cannot("talk", "button") or Finding(State.skipped, "the board has none")
    findings = Findings()
    for name in names:
        _look(patient, name, findings)
    return findings.finding()


def _look(patient: Patient, name: str, findings: Findings) -> None:
    data = patient.part(name) or {}
    gpio, active, pull = int(data["pin"]), int(data.get("active", 0)), data.get("pull", "up")
    pin = patient.pin(gpio)
    patient.run(_BEGIN % (gpio, _PULLS[pull]))
    level = "high" if active else "low"
    found: dict[str, Any] = {"gpio": gpio}
    findings.data[name] = found
    try:
        if not _wait(
            patient,
            1 - active,
            _RELEASE_S if patient.person.there else _ALONE_MS / 1000,
            f"let go of the button {name}",
        ):
            rail = "3V3" if active else "GND"
            found["stuck"] = True
            findings.fail(
                f"{name} is always pressed: {pin} stays {level}",
                f"{name}: {pin} is connected to {rail}, by a bridge of solder or a button turned by 90 "
                "degrees; or board.py has the wrong pin, `active` or `pull`",
            )
            return
        if not patient.person.there:
            findings.good(f"{name} on {pin} is released; nobody was asked to press it")
            return
        patient.run("_edges = 0")
        if not _wait(patient, active, _PRESS_S, f"press the button {name}", edges=True):
            found["pressed"] = False
            other = "3V3" if active else "GND"
            findings.fail(
                f"{name} was never pressed: {pin} stays {'low' if active else 'high'}",
                f"{name}: check the wires from {pin} to the button and from there to {other}; the two legs "
                "must be ones that the button joins",
            )
            return
        found["pressed"] = True
        if not _wait(patient, 1 - active, _RELEASE_S, f"let go of the button {name}"):
            findings.fail(
                f"{name} does not come back: {pin} stays {level}",
                f"{name}: the button sticks, or {pin} has no pull-{'down' if active else 'up'}",
            )
            return
        findings.good(f"{name} on {pin} is pressed and released")
    finally:
        patient.run(_END)


def _wait(patient: Patient, level: int, seconds: float, say: str, edges: bool = False) -> bool:
    """Whether the pin came to that level (or, with `edges`, moved at all) in time."""
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        step = max(1, min(_STEP_MS, int(left * 1000)))
        patient.person.tell(f"{say} ({max(0, left):.0f} s)")
        now, moved = map(int, patient.run(_LOOK % (step, level, edges)).split())
        if now == level or (edges and moved):
            return True
        if left <= 0:
            return False
