"""All checks, in the order in which they are made."""

from __future__ import annotations

from lunette.doctor import button, chip, files, host, light, memory, microphone, radio, speed, volts
from lunette.doctor.kernels import check as kernels
from lunette.doctor.model import Check, Where
from lunette.errors import LunetteError

CHECKS = (
    Check("versions", "Python and the tools on this computer", Where.host, 30, host.versions),
    Check("ports", "serial ports, and whether you may use them", Where.host, 10, host.ports),
    Check("bluetooth", "this computer's Bluetooth", Where.host, 20, host.bluetooth),
    Check("virtual", "whether virtual glasses can run here", Where.host, 10, host.virtual),
    Check("chip", "which chip answers, and whether it is the board's", Where.prompt, 15, chip.chip),
    Check("image", "MicroPython's version, modules and known faults", Where.prompt, 20, chip.image),
    Check("memory", "the heap, memory in one piece, PSRAM", Where.prompt, 20, memory.memory),
    Check("files", "room, the firmware's files, whether writing works", Where.prompt, 120, files.files),
    Check(
        "kernels", "every viper kernel against stored results, and its time", Where.prompt, 300, kernels.run
    ),
    Check(
        "time",
        "the kernels against real time, the clock against the computer's",
        Where.prompt,
        90,
        speed.speed,
    ),
    Check("light", "the LED blinks", Where.parts, 60, light.light),
    Check("button", "buttons are neither stuck nor open", Where.parts, 90, button.button),
    Check("mic", "the microphone's level, noise and bits", Where.parts, 30, microphone.mic),
    Check("battery", "the cell's voltage is plausible", Where.parts, 15, volts.battery),
    Check("usb", "the pins that see USB and the charger", Where.parts, 15, volts.usb),
    Check("radio", "the glasses advertise and are heard", Where.parts, 40, radio.radio),
)


def chosen(only: str | None) -> list[Check]:
    """Those with the names in `only` (with commas), all without. Raises LunetteError for an unknown name."""
    if only is None:
        return list(CHECKS)
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [check.name for check in CHECKS]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"no check {', '.join(unknown)}" if unknown else "--only names no check"
        raise LunetteError(f"{what}: take one or several (with commas) of {', '.join(known)}")
    return [check for check in CHECKS if check.name in names]
