"""The checks `battery` and `usb`: the cell's divider, and whether USB is seen."""

from __future__ import annotations

import statistics

from lunette.doctor.model import Finding, Findings, State
from lunette.doctor.patient import Patient

_READ = """
import json, time
from machine import ADC, Pin
_a = ADC(Pin(%d), atten=ADC.ATTN_11DB)
said = []
for _ in range(25):
    said.append(_a.read_uv())
    time.sleep_ms(2)
print(json.dumps(said))
"""
_LEVELS = """
import json, time
from machine import Pin
_p = Pin(%d, Pin.IN%s)
said = []
for _ in range(25):
    said.append(_p.value())
    time.sleep_ms(2)
print(json.dumps(said))
"""
_NOTHING_V, _LEAST_V, _LOOSE_V = 0.3, 2.4, 0.5
_OVER_V = 0.2  # above a full cell: the converter and the resistors are off by as much


def battery(patient: Patient) -> Finding:
    """The cell's voltage through the board's divider."""
    skipped = patient.cannot("battery", "battery")
    if skipped is not None:
        return skipped
    data = patient.part("battery") or {}
    gpio, ratio = int(data["pin"]), float(data["ratio"])
    pin = patient.pin(gpio)
    readings = [uv / 1e6 * ratio + float(data.get("offset_mv", 0)) / 1000 for uv in patient.ask(_READ % gpio)]
    volts = statistics.median(readings)
    # The middle ones: a burst of the radio hits one or two.
    steady = sorted(readings)[3:-3]
    spread = steady[-1] - steady[0]
    full, empty = float(data.get("full_v", 4.2)), float(data.get("empty_v", 3.3))
    found = {"gpio": gpio, "volts": round(volts, 3), "spread": round(spread, 3)}
    upper = f"battery: check the wire from {pin} to the middle of the divider"
    if spread > _LOOSE_V:
        return Finding(State.failed, f"{pin} reads from {steady[0]:.1f} to {steady[-1]:.1f} V", upper, found)
    if volts < _NOTHING_V:
        return Finding(
            State.failed,
            f"{volts:.2f} V: no cell, or {pin} does not see it",
            f"connect the cell; {upper[9:]}, and the resistor from there to the cell's plus",
            found,
        )
    if volts > full + _OVER_V:
        return Finding(
            State.failed,
            f"{volts:.2f} V, more than a full cell has ({full:g} V)",
            f"battery: check the resistor from {pin} to GND, and that `ratio` in board.py is (upper + "
            f"lower) / lower: it says {ratio:g}",
            found,
        )
    if volts < _LEAST_V:
        return Finding(
            State.failed,
            f"{volts:.2f} V, less than any usable cell has",
            f"measure the cell: if it has 3 to 4.2 V, `ratio` in board.py ({ratio:g}) or a resistor of the "
            f"divider at {pin} is wrong; if not, the cell is worn out",
            found,
        )
    if volts < empty:
        return Finding(State.warning, f"{volts:.2f} V: the cell is empty", "charge it", found)
    return Finding(State.ok, f"{volts:.2f} V on {pin}", data=found)


def usb(patient: Patient) -> Finding:
    """Whether the pin that sees USB sees the cable this runs over; and what the charger says."""
    skipped = patient.cannot("usb", "usb_sense")
    if skipped is not None and patient.part("charger") is None:
        return skipped
    findings = Findings()
    if skipped is None:
        _usb(patient, findings)
    _charger(patient, findings)
    return findings.finding()


def _usb(patient: Patient, findings: Findings) -> None:
    data = patient.part("usb") or {}
    gpio, active = int(data["pin"]), int(data.get("active", 1))
    pin = patient.pin(gpio)
    levels = patient.ask(_LEVELS % (gpio, ""))
    findings.data |= {"gpio": gpio, "levels": sum(levels)}
    divider = f"usb: check the divider from 5V to {pin}, and its resistor from {pin} to GND"
    if 0 < sum(levels) < len(levels):
        findings.fail(f"{pin} flickers", divider)
        return
    plugged = levels[0] == active
    findings.data["plugged"] = plugged
    by_cable = not patient.virtual and not patient.port.startswith("socket://")
    if by_cable and not plugged:
        findings.fail(f"the cable is in, and {pin} does not see it", divider)
    else:
        findings.good(f"{pin} says that USB is {'in' if plugged else 'out'}")


def _charger(patient: Patient, findings: Findings) -> None:
    data = patient.part("charger")
    if data is None or "pin" not in data:
        return
    gpio = int(data["pin"])
    levels = patient.ask(_LEVELS % (gpio, ", Pin.PULL_UP"))
    if 0 < sum(levels) < len(levels):
        findings.warn(
            f"the charger's {patient.pin(gpio)} flickers",
            "charger: it does so without a cell; connect one, or check the wire to its STAT",
        )
    else:
        charging = levels[0] == int(data.get("active", 0))
        findings.data["charging"] = charging
        findings.good("the cell is being charged" if charging else "the cell is not being charged")
