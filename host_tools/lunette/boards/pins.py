"""Which pin may do what: what the chip has, what the board takes for itself, what each part does to a pin,
and that no two parts share one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lunette.boards.drivers import drivers
from lunette.boards.model import Hardware
from lunette.boards.subject import Subject, gpios, key_of
from lunette.chips import ChipData


@dataclass(frozen=True)
class Use:
    """What a part does with a pin. `held`: the part sets its level from outside, also while the chip starts.
    `wakes`: it must be able to end deep sleep. `loose`: nothing is connected to it."""

    words: str
    drives: bool = False
    pull: str | None = None
    held: bool = True
    analog: bool = False
    wakes: bool = False
    loose: bool = False


def use_of(part: str, data: Mapping[str, Any], key: str) -> Use:
    """What `part` does with the pin that `key` of its data names."""
    driver = data["driver"]
    if driver == "button":
        return Use("a button", pull=data.get("pull", "up"), wakes=part == "talk")
    if driver in ("led", "cue_led"):
        return Use("an LED", drives=True)
    if driver == "i2s_microphone":
        # The microphone only listens to its two clocks: they are nobody's while the chip starts.
        return Use("a microphone's data") if key == "sd" else Use("a clock", drives=True, held=False)
    if driver == "i2s_speaker":
        # The amplifier listens to all of them; what wakes it up has a pull of its own.
        if key == "enable":
            return Use("an amplifier's enable", drives=True)
        return Use("a clock" if key != "sd" else "an amplifier's data", drives=True, held=False)
    if driver == "buzzer":
        return Use("a buzzer", drives=True)
    if driver == "pdm_microphone":
        if key == "ws":
            return Use("a word clock that nothing reads", drives=True, held=False, loose=True)
        return Use("a microphone's data") if key == "data" else Use("a clock", drives=True, held=False)
    if driver == "battery":
        return Use("a divider", analog=True)
    if driver == "charger":
        return Use("a charger's STAT", pull="up")
    return Use("a sense wire", pull=data.get("pull"))


def used(chip: ChipData, parts: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(part, key, pin) of every pin that a part names."""
    known = drivers(chip)
    return [
        (part, key, data[key])
        for part, data in parts.items()
        for key in known[data["driver"]].pins_in(data)
        if key in data
    ]


def taken_by_board(chip: ChipData, hardware: Hardware | None) -> dict[int, str]:
    """Pins that are not free on this board, and by what they are taken."""
    taken = {pin: "the flash" for pin in chip.flash_pins} | {pin: "USB" for pin in chip.usb_pins}
    if hardware is not None:
        for pin in chip.psram_pins.get(hardware.psram, ()):
            taken[pin] = "the PSRAM"
        for device, pins in hardware.on_board.items():
            if device not in hardware.detached:
                taken.update(dict.fromkeys(pins, f"the board's {device}"))
    return taken


def objection(chip: ChipData, pin: int, use: Use) -> str:
    """Why that chip's `pin` is not fit for `use`, "" if it is. What the board takes is not looked at."""
    if pin in chip.flash_pins:
        return "it is the flash's"
    if pin in chip.usb_pins:
        return "it is USB's, which is the way in"
    if pin not in chip.gpio:
        return f"{chip.name} has no such pin"
    if pin in chip.input_only and use.drives:
        return f"it is input only on the {chip.name}, and {use.words} is driven"
    if pin in chip.input_only and use.pull is not None:
        return f"it is input only on the {chip.name} and has no pull, which {use.words} needs"
    if pin in chip.strapping and use.held:
        return f"it is a strapping pin of the {chip.name}: {use.words} there may stop the start"
    if use.wakes and pin not in chip.wake_pins:
        return f"it cannot wake the {chip.name} from deep sleep"
    if use.analog and pin not in chip.adc:
        return f"it has no ADC on the {chip.name}"
    if use.analog and pin in chip.adc2 and chip.adc2_why:
        return f"it is on ADC2 of the {chip.name}: {chip.adc2_why}"
    return ""


def _device(part: str, use: Use, hardware: Hardware | None) -> str:
    """The device of the board that `part` is, if its pin for `use` must be one of that; "" if not."""
    hookup = hardware.hookup(part) if hardware is not None else None
    return hookup.on_board if hookup is not None and not use.loose else ""


def fit(chip: ChipData, part: str, use: Use, hardware: Hardware | None, others: set[int]) -> set[int]:
    """Pins for `use` that neither the board nor `others` take; on the header, if that is known, or of the
    device of the board that `part` is."""
    device = _device(part, use, hardware)
    if hardware is not None and device:
        return {pin for pin in hardware.on_board[device] if not objection(chip, pin, use)} - others
    taken = taken_by_board(chip, hardware).keys() | others
    pins = {pin for pin in chip.gpio if not objection(chip, pin, use) and pin not in taken}
    if use.analog and pins & chip.adc1:
        pins &= chip.adc1  # ADC2 shares its converter with the radio
    if hardware is not None and hardware.pads and not use.loose:
        pins &= {pad.gpio for pad in hardware.pads if pad.gpio is not None}
    return pins


def check_pins(subject: Subject, chip: ChipData, parts: Mapping[str, Any], hardware: Hardware | None) -> None:
    """Raises LunetteError for the first pin that is not fit, taken, or on no header."""
    all_used = used(chip, parts)
    taken = taken_by_board(chip, hardware)
    owners: dict[int, str] = {}
    for part, key, pin in all_used:
        where = key_of("PARTS", part, key)
        use = use_of(part, parts[part], key)
        others = {p for other, k, p in all_used if (other, k) != (part, key)}
        problem = objection(chip, pin, use) or _conflict(pin, part, use, taken, owners, hardware)
        if problem:
            pins = fit(chip, part, use, hardware, others)
            todo = f"pick one of {gpios(pins)}" if pins else "no pin is left for it: take another part away"
            raise subject.error(f"{where} is {pin}: {problem}", todo)
        owners[pin] = where


def _conflict(
    pin: int, part: str, use: Use, taken: dict[int, str], owners: dict[int, str], hardware: Hardware | None
) -> str:
    if pin in owners:
        return f"that is {owners[pin]} already"
    device = _device(part, use, hardware)
    if hardware is not None and device:
        if pin in hardware.on_board[device]:
            return ""
        return f"it is no pin of the board's {device}, which WIRING says it is"
    if pin in taken:
        return f"it is taken by {taken[pin]}"
    if hardware is not None and hardware.pads and not use.loose and hardware.label(pin) is None:
        return "it is on no pin of the board's header (LEFT, RIGHT and BELOW in hardware.py)"
    return ""


def advice(chip: ChipData, parts: Mapping[str, Any]) -> list[str]:
    """What works, but is worth a thought: a line each."""
    lines: list[str] = []
    for part, key, pin in used(chip, parts):
        where, use = key_of("PARTS", part, key), use_of(part, parts[part], key)
        if use.analog and pin in chip.adc2:
            lines.append(
                f"{where}: GPIO{pin} is on ADC2, which waits for the radio; {gpios(chip.adc1)} do not"
            )
        if pin == chip.uart_pins[0] and use.words == "an LED":
            lines.append(f"{where}: the boot loader prints on GPIO{pin}, so it flickers at each start")
        if pin in chip.strapping and not use.loose:
            lines.append(
                f"{where}: GPIO{pin} is a strapping pin; nothing else may pull it while the chip starts"
            )
        if use.words == "a button" and part != "talk" and pin not in chip.wake_pins:
            lines.append(
                f"{where}: GPIO{pin} does not wake the chip, so a press is lost while the glasses sleep"
            )
        if parts[part]["driver"] == "worn_sense" and pin not in chip.wake_pins:
            lines.append(
                f"{where}: GPIO{pin} does not wake the chip, so glasses that are put on asleep do not listen"
            )
    if "mic" in parts and "light" not in parts:
        lines.append('no part "light": nobody sees when the microphone is on')
    return lines
