"""Boards on the host: the data of ``boards/<name>/board.py``."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lunette import paths
from lunette.errors import LunetteError

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


@dataclass(frozen=True)
class Board:
    """A board's data. `parts` maps a part's name to its data, `path` is the file it came from.

    `battery_mah` is None for a board without a battery, `currents` (what draws how much) where nobody has
    written them down.
    """

    name: str
    chip: str
    parts: dict[str, dict[str, Any]]
    path: Path
    flash_kb: int
    heap_kb: int
    battery_mah: float | None = None
    currents: dict[str, Any] | None = None

    def pin(self, part: str) -> int:
        """GPIO of a part with a single pin. Raises LunetteError when the board has no such part."""
        data = self.parts.get(part)
        if data is None or "pin" not in data:
            have = ", ".join(sorted(p for p in self.parts if "pin" in self.parts[p]))
            raise LunetteError(f"board {self.name} has no {part} (it has: {have})")
        return int(data["pin"])


def names() -> list[str]:
    """All boards, sorted."""
    return sorted(path.parent.name for path in paths.BOARDS.glob("*/board.py"))


def load(name: str) -> Board:
    """The board of that name. Raises LunetteError for an unknown name, missing or ill-typed data."""
    path = paths.BOARDS / name / "board.py"
    if "/" in name or not path.is_file():
        raise LunetteError(f"no board {name!r}; there are: {', '.join(names())}")
    data = runpy.run_path(str(path))
    for key in ("NAME", "CHIP", "PARTS", "JOURNAL_KB"):
        if key not in data:
            raise LunetteError(f"board {name}: {path.name} does not set {key}")
    if data["NAME"] != name:
        raise LunetteError(f"board {name}: NAME says {data['NAME']!r}")
    battery, currents = data.get("BATTERY"), data.get("CURRENTS")
    if battery is not None:
        _check_battery(name, battery)
    if currents is not None:
        _check_currents(name, currents, data["PARTS"])
    return Board(
        name,
        data["CHIP"],
        data["PARTS"],
        path,
        int(data.get("FLASH_KB", 2048)),
        int(data.get("HEAP_KB", 512)),
        None if battery is None else float(battery["mah"]),
        currents,
    )


def load_measured(name: str) -> Board:
    """`load`, of a board with a table of currents. Raises LunetteError for one without, too."""
    board = load(name)
    if board.currents is None:
        raise LunetteError(f"board {name} has no table of currents (CURRENTS in {board.path})")
    return board


def module(name: str) -> SimpleNamespace:
    """The board's data as the glasses import it: an attribute for each name in capitals, unchecked."""
    data = runpy.run_path(str(paths.BOARDS / name / "board.py"))
    return SimpleNamespace(**{key: value for key, value in data.items() if key.isupper()})


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


def _check_numbers(name: str, table: str, data: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(data, dict):
        raise LunetteError(f"board {name}: {table} is not a dict")
    for key in keys:
        if key not in data:
            raise LunetteError(f'board {name}: {table} lacks "{key}"')
        if not _positive(data[key]):
            raise LunetteError(f'board {name}: {table}["{key}"] is {data[key]!r}, not a number above 0')


def _check_battery(name: str, battery: Any) -> None:
    _check_numbers(name, "BATTERY", battery, BATTERY)
    if battery["empty_v"] >= battery["full_v"]:
        raise LunetteError(f'board {name}: BATTERY["empty_v"] is not below "full_v"')


def _check_currents(name: str, currents: Any, parts: dict[str, Any]) -> None:
    _check_numbers(name, "CURRENTS", currents, CURRENTS)
    cpu = currents.get("cpu")
    if cpu is None:
        raise LunetteError(f'board {name}: CURRENTS lacks "cpu"')
    if not isinstance(cpu, dict) or not cpu:
        raise LunetteError(f'board {name}: CURRENTS["cpu"] is {cpu!r}, not a dict of clocks')
    for mhz, pair in cpu.items():
        fits = type(mhz) is int and isinstance(pair, tuple) and len(pair) == 2 and all(map(_positive, pair))
        if not fits or pair[0] > pair[1]:
            raise LunetteError(f'board {name}: CURRENTS["cpu"][{mhz!r}] is {pair!r}, not (idle, busy) in mA')
    others = tuple(key for key in currents if key != "cpu" and key not in CURRENTS)
    for key in others:
        if key not in parts:
            raise LunetteError(f'board {name}: CURRENTS["{key}"] is of no part of the board')
    _check_numbers(name, "CURRENTS", currents, others)
