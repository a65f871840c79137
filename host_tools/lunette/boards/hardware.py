"""Reads ``hardware.py``: title, memory, image, header, what is on the board, wiring, bill of materials."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lunette.boards.drivers import drivers
from lunette.boards.model import Hardware, Hookup, Image, Pad, Wire
from lunette.boards.subject import DICT, TEXT, Kind, Subject, key_of, one_of, whole
from lunette.chips import ChipData

_NEEDED = ("TITLE", "FLASH_MB")
_ALLOWED = (
    "PSRAM_MB",
    "PSRAM",
    "IMAGE",
    "LEFT",
    "RIGHT",
    "BELOW",
    "USB",
    "ON_BOARD",
    "DETACHED",
    "WIRING",
    "BILL",
)
_TUPLE = Kind(lambda value: isinstance(value, tuple), "a tuple (is a comma missing?)")
_VARIANT = Kind(lambda value: isinstance(value, str), "a text")
_DATE = Kind(lambda value: isinstance(value, str) and re.fullmatch(r"20\d{6}", value) is not None, "YYYYMMDD")
_VERSION = Kind(
    lambda value: isinstance(value, str) and re.fullmatch(r"v\d+\.\d+(\.\d+)?", value) is not None,
    'a release like "v1.28.0"',
)


def read_hardware(
    subject: Subject, chip: ChipData, parts: dict[str, Any], path: Path, data: dict[str, Any]
) -> Hardware:
    """From what the file sets. Raises LunetteError for what is missing, unknown or of the wrong type."""
    subject = Subject(subject.board, path.name)
    for key in _NEEDED:
        if key not in data:
            raise subject.error(
                f"{path.name} does not set {key}", "add it (docs/new_board.md has an example)"
            )
    for key in data:
        if key not in _NEEDED + _ALLOWED:
            raise subject.error(
                f"{path.name} sets {key}, which nothing reads", f"known are {', '.join(_NEEDED + _ALLOWED)}"
            )
    subject.need("TITLE", data["TITLE"], TEXT)
    subject.need("FLASH_MB", data["FLASH_MB"], one_of(1, 2, 4, 8, 16, 32))
    subject.need("PSRAM_MB", data.get("PSRAM_MB", 0), whole(0, 32))
    psram = data.get("PSRAM", "")
    if psram or data.get("PSRAM_MB", 0):
        if not chip.psram_pins:
            raise subject.error(f"PSRAM is set, and no {chip.name} has any", "take PSRAM and PSRAM_MB out")
        subject.need("PSRAM", psram, one_of(*chip.psram_pins))
    subject.need("USB", data.get("USB", ""), one_of("", "top", "bottom"))
    pads = {key: _pads(subject, key, data.get(key, ())) for key in ("LEFT", "RIGHT", "BELOW")}
    on_board = _on_board(subject, chip, data.get("ON_BOARD", {}))
    detached = data.get("DETACHED", ())
    subject.need("DETACHED", detached, _TUPLE)
    for device in detached:
        if device not in on_board:
            raise subject.error(
                f"DETACHED has {device!r}, which is not in ON_BOARD", f"there are {', '.join(on_board)}"
            )
    hardware = Hardware(
        data["TITLE"],
        path,
        data["FLASH_MB"],
        data.get("PSRAM_MB", 0),
        psram,
        _image(subject, data.get("IMAGE")),
        pads["LEFT"],
        pads["RIGHT"],
        pads["BELOW"],
        data.get("USB", ""),
        on_board,
        detached,
        _wiring(subject, data.get("WIRING", {}), parts, on_board),
        _bill(subject, data.get("BILL", ())),
    )
    _check_header(subject, chip, hardware)
    _check_wiring(subject, chip, parts, hardware)
    return hardware


def _image(subject: Subject, data: Any) -> Image | None:
    if data is None:
        return None
    subject.need("IMAGE", data, DICT)
    subject.keys("IMAGE", data, ("board", "date", "version"), ("variant",))
    kinds = {"board": TEXT, "variant": _VARIANT, "date": _DATE, "version": _VERSION}
    for key, value in data.items():
        subject.need(key_of("IMAGE", key), value, kinds[key])
    return Image(data["board"], data.get("variant", ""), data["date"], data["version"])


def _pads(subject: Subject, where: str, data: Any) -> tuple[Pad, ...]:
    subject.need(where, data, _TUPLE)
    pads = []
    for n, one in enumerate(data):
        if isinstance(one, str):
            pads.append(Pad(one))
        elif type(one) is int:
            pads.append(Pad(str(one), one))
        elif isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) and type(one[1]) is int:
            pads.append(Pad(*one))
        else:
            raise subject.error(
                f"{key_of(where, n)} is {one!r}", 'write ("D0", 1) or 1 for a pin, "GND" for power'
            )
    return tuple(pads)


def _on_board(subject: Subject, chip: ChipData, data: Any) -> dict[str, tuple[int, ...]]:
    subject.need("ON_BOARD", data, DICT)
    for device, pins in data.items():
        where = key_of("ON_BOARD", device)
        subject.need(where, pins, _TUPLE)
        for n, pin in enumerate(pins):
            subject.need(key_of(where, n), pin, Kind(chip.gpio.__contains__, f"a pin of the {chip.name}"))
    return dict(data)


def _wiring(
    subject: Subject, data: Any, parts: dict[str, Any], on_board: dict[str, tuple[int, ...]]
) -> tuple[Hookup, ...]:
    subject.need("WIRING", data, DICT)
    hookups = []
    for name, one in data.items():
        where = key_of("WIRING", name)
        subject.need(where, one, DICT)
        if "on_board" in one:
            subject.keys(where, one, ("what", "on_board"))
            if one["on_board"] not in on_board:
                have = ", ".join(on_board) or "nothing so far"
                raise subject.error(
                    f'{where}["on_board"] is {one["on_board"]!r}, which is not in ON_BOARD',
                    f"that has {have}",
                )
        else:
            subject.keys(where, one, ("what", "wires"), ("of", "between"))
        subject.need(f'{where}["what"]', one["what"], TEXT)
        of = one.get("of", name)
        if "of" in one and of not in parts:
            raise subject.error(
                f'{where}["of"] is {of!r}, which is no part', f"the parts are {', '.join(parts)}"
            )
        wires = tuple(
            _wire(subject, f'{where}["wires"][{n}]', wire) for n, wire in enumerate(one.get("wires", ()))
        )
        between = one.get("between", ())
        subject.need(f'{where}["between"]', between, _TUPLE)
        if len(between) > max(0, len(wires) - 1):
            raise subject.error(
                f'{where}["between"] has {len(between)} entries for {len(wires)} wires',
                "write one less than there are wires, each sits between two",
            )
        hookups.append(Hookup(name, of, one["what"], wires, between, one.get("on_board", "")))
    return tuple(hookups)


def _wire(subject: Subject, where: str, data: Any) -> Wire:
    if not isinstance(data, tuple) or len(data) not in (2, 3) or not all(isinstance(x, str) for x in data):
        raise subject.error(f"{where} is {data!r}", 'write ("SCK", "sck"), or ("anode", "pin", "1 kΩ")')
    return Wire(*data)


def _bill(subject: Subject, data: Any) -> tuple[tuple[int, str, str], ...]:
    subject.need("BILL", data, _TUPLE)
    for n, line in enumerate(data):
        fits = isinstance(line, tuple) and len(line) == 3 and type(line[0]) is int
        if not fits or not isinstance(line[1], str) or not isinstance(line[2], str):
            raise subject.error(f"{key_of('BILL', n)} is {line!r}", 'write (1, "what", "a note, or nothing")')
    return data  # type: ignore[no-any-return]


def _check_header(subject: Subject, chip: ChipData, hardware: Hardware) -> None:
    seen: dict[int, str] = {}
    for pad in hardware.pads:
        if pad.gpio is None:
            continue
        if pad.gpio in seen:
            raise subject.error(
                f'the header has GPIO{pad.gpio} at "{seen[pad.gpio]}" and at "{pad.label}"',
                f"put that right in {subject.file}",
            )
        if pad.gpio not in chip.gpio | chip.flash_pins | chip.usb_pins:
            raise subject.error(
                f'the header has GPIO{pad.gpio} at "{pad.label}", and the {chip.name} has no such pin',
                f"put that right in {subject.file}",
            )
        seen[pad.gpio] = pad.label


def _check_wiring(subject: Subject, chip: ChipData, parts: dict[str, Any], hardware: Hardware) -> None:
    """Every wire leads to a pin of its part or to power of the header, and every pin of a part has one."""
    if not hardware.wiring:
        return
    power = {pad.label for pad in hardware.pads if pad.gpio is None}
    known = drivers(chip)
    wired: dict[str, set[str]] = {}
    for hookup in hardware.wiring:
        part = parts.get(hookup.of)
        keys = known[part["driver"]].pins_in(part) if part is not None else ()
        wired.setdefault(hookup.of, set()).update(wire.to for wire in hookup.wires)
        if hookup.on_board:
            wired[hookup.of].update(keys)
        for n, wire in enumerate(hookup.wires):
            if wire.to not in keys and wire.to not in power:
                choice = ", ".join([*keys, *sorted(power)])
                raise subject.error(
                    f"{key_of('WIRING', hookup.name, 'wires', n)} leads to {wire.to!r}, which is "
                    f'neither a pin of the part "{hookup.of}" nor power of the header',
                    f"it can be {choice or 'nothing yet: fill in LEFT and RIGHT'}",
                )
    for part, data in parts.items():
        driver = known[data["driver"]]
        for key in driver.pins_in(data):
            if key not in wired.get(part, set()) and key not in driver.loose:
                raise subject.error(
                    f"WIRING has no wire for {key_of('PARTS', part, key)}",
                    f'add one to {key_of("WIRING", part)}: ("what it says there", "{key}")',
                )
