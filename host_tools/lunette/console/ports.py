"""Where glasses may be plugged in."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from serial.tools import list_ports

from lunette.errors import LunetteError

# USB vendors of what sits between an ESP32 and the cable: (name, whether the chip itself is on the bus).
_VENDORS = {
    0x303A: ("Espressif", True),
    0x2886: ("Seeed", True),
    0x10C4: ("CP210x bridge", False),
    0x1A86: ("CH34x bridge", False),
    0x0403: ("FTDI bridge", False),
    0x067B: ("PL2303 bridge", False),
}

# What lets a user open them.
JOIN_GROUP = (
    "join the group that owns it (`sudo usermod -a -G dialout $USER`; on Arch it is uucp), then log out and "
    "in again"
)


@dataclass(frozen=True)
class Port:
    """A serial port that an ESP32 board may be on. `native`: the chip's own USB, which goes away while the
    chip sleeps and comes back after a reset."""

    device: str
    what: str
    native: bool


def candidates() -> list[Port]:
    """Those of this computer's ports, the likeliest first."""
    found = []
    for port in list_ports.comports():
        if port.vid is None:  # built into the computer, or a Bluetooth modem
            continue
        name, native = _VENDORS.get(port.vid, ("", False))
        text = ", ".join(dict.fromkeys(part for part in (port.product or port.description, name) if part))
        found.append((not name, Port(port.device, text or "unknown", native)))
    return [port for _, port in sorted(found, key=lambda pair: (pair[0], pair[1].device))]


def describe(found: list[Port]) -> str:
    """A line for each."""
    return "\n".join(f"  {port.device}  {port.what}" for port in found)


def choose(given: str | None) -> str:
    """The port to use: the given one, the only one, or the one picked at the terminal.

    Raises LunetteError where none is there, or several are and nobody can be asked.
    """
    if given:
        return given
    found = candidates()
    if not found:
        raise LunetteError(
            "no board is plugged in: use a USB cable with data lines, press the board's reset button "
            "(glasses that sleep are not on the bus), or name the port with --port"
        )
    if len(found) == 1:
        return found[0].device
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise LunetteError(f"several ports are there:\n{describe(found)}\nname one with --port")
    return _ask(found)


def _ask(found: list[Port]) -> str:
    from rich.console import Console
    from rich.prompt import IntPrompt

    console = Console(stderr=True)
    for number, port in enumerate(found, 1):
        console.print(f"  {number}  {port.device}  {port.what}", markup=False, highlight=False)
    choices = [str(number) for number in range(1, len(found) + 1)]
    picked = IntPrompt.ask("Which one are the glasses on?", console=console, choices=choices)
    return found[picked - 1].device
