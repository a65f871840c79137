"""The tables BATTERY and CURRENTS of a board (docs/power.md)."""

from __future__ import annotations

from typing import Any

from lunette.boards.subject import DICT, Kind, Subject, key_of

# What CURRENTS must have beside "cpu", all in mA, ms or mA ms (docs/power.md). Other keys are names of parts.
CURRENTS = (
    "boot",
    "boot_ms",
    "load_file_ms",
    "load_kb_ms",
    "radio",
    "radio_ms",
    "advertise",
    "connection",
    "byte",
    "deep_sleep",
    "light_sleep",
    "board",
)
BATTERY = ("mah", "empty_v", "full_v")


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


_POSITIVE = Kind(_is_positive, "a number above 0")
_CLOCKS = Kind(lambda value: isinstance(value, dict) and value != {}, "a dict of clocks")


def _pair(mhz: Any) -> Kind:
    def fits(pair: Any) -> bool:
        is_pair = type(mhz) is int and isinstance(pair, tuple) and len(pair) == 2
        return is_pair and all(map(_is_positive, pair)) and bool(pair[0] <= pair[1])

    return Kind(fits, "(idle, busy) in mA")


def _numbers(subject: Subject, table: str, data: Any, keys: tuple[str, ...]) -> None:
    for key in keys:
        subject.need(key_of(table, key), data[key], _POSITIVE)


def check_battery(subject: Subject, battery: Any) -> None:
    """Raises LunetteError for a table that lacks something or says nonsense."""
    subject.need("BATTERY", battery, DICT)
    subject.keys("BATTERY", battery, BATTERY)
    _numbers(subject, "BATTERY", battery, BATTERY)
    if battery["empty_v"] >= battery["full_v"]:
        raise subject.error('BATTERY["empty_v"] is not below "full_v"', "exchange them")


def check_currents(subject: Subject, currents: Any, parts: dict[str, Any]) -> None:
    """Raises LunetteError for a table that lacks something, says nonsense, or has what is no part."""
    subject.need("CURRENTS", currents, DICT)
    for key in ("cpu", *CURRENTS):
        if key not in currents:
            raise subject.error(f'CURRENTS lacks "{key}"', "add it; docs/power.md tells what each figure is")
    subject.need('CURRENTS["cpu"]', currents["cpu"], _CLOCKS)
    for mhz, pair in currents["cpu"].items():
        subject.need(key_of("CURRENTS", "cpu", mhz), pair, _pair(mhz))
    others = tuple(key for key in currents if key != "cpu" and key not in CURRENTS)
    for key in others:
        if key not in parts:
            raise subject.error(
                f"{key_of('CURRENTS', key)} is of no part of the board", f"the parts are {', '.join(parts)}"
            )
    _numbers(subject, "CURRENTS", currents, (*CURRENTS, *others))
