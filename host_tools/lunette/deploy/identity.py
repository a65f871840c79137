"""What answers at a prompt: which MicroPython, on which chip, with which board's data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from lunette import boards, mpy
from lunette.console import Prompt
from lunette.console.errors import understood
from lunette.errors import LunetteError

_ASK = """
import gc, json, sys
gc.collect()
i = sys.implementation
heap = gc.mem_alloc() + gc.mem_free()
print(json.dumps([i.name, list(i.version[:3]), getattr(i, "_mpy", 0), getattr(i, "_machine", ""), heap]))
"""
# Bytes that the running firmware takes from .mpy files (`heap32` of the bench), and that a host's connection,
# the app and what Bluetooth takes of the same memory need at the least.
_FIRMWARE, _ROOM = 180_000, 60_000
_CHIP = re.compile(r"\b(ESP32[A-Z0-9]*)$")
_NAME = re.compile(r'^NAME = "([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Identity:
    """`version` of MicroPython; `mpy` (version, sub-version) and `arch` of the .mpy files that it loads;
    `machine` in its own words; `chip` is None where that is no ESP32 (virtual glasses); `heap` bytes, in use
    and free, Bluetooth off."""

    version: tuple[int, ...]
    mpy: tuple[int, int]
    arch: str
    machine: str
    chip: str | None
    heap: int

    @property
    def warning(self) -> str | None:
        """What to know before the firmware is started there."""
        if self.heap >= _FIRMWARE + _ROOM:
            return None
        return (
            f"this chip has {self.heap // 1024} KB of heap, of which the running firmware takes "
            f"{_FIRMWARE // 1024} KB from files, Bluetooth not counted: freeze it into an image "
            "(docs/install_other_ways.md), or use a board with PSRAM"
        )

    @property
    def words(self) -> str:
        return f"MicroPython {'.'.join(map(str, self.version))} on {self.machine}"


def ask(prompt: Prompt) -> Identity:
    """Raises LunetteError for what is not MicroPython."""
    said = prompt.run(_ASK).strip().rpartition("\n")[2]
    with understood():
        name, version, number, machine, heap = json.loads(said)
    if name != "micropython":
        raise LunetteError(f"on {prompt.port} runs {name}: `lunette flash` puts MicroPython on the board")
    found = _CHIP.search(machine)
    chip = found[1].lower() if found else None
    return Identity(tuple(version), *mpy.decode(number), machine, chip, heap)


def check(identity: Identity, source: bool) -> None:
    """Raises LunetteError if that MicroPython cannot load what this computer's mpy-cross makes."""
    if identity.mpy != mpy.version():
        made, loads = (".".join(map(str, pair)) for pair in (mpy.version(), identity.mpy))
        raise LunetteError(
            f"{identity.words} loads .mpy files of version {loads}, and mpy-cross makes {made}: put "
            "MicroPython 1.23 or newer on the board with `lunette flash`"
        )
    if not identity.arch and not source:
        raise LunetteError(
            f"{identity.words} loads no native code: put an image from micropython.org on it with "
            "`lunette flash`"
        )


def board(identity: Identity, named: str | None, present: str | None) -> boards.Board:
    """The board to deploy: the named one, the one whose data is on the glasses, or the only one of the chip.

    Raises LunetteError where that is none, several, or one with another chip.
    """
    if named is None and present is not None and present in boards.names():
        named = present
    if named is None:
        fitting = [
            name
            for name in boards.names()
            if (name == "virtual") == (identity.chip is None)
            and (identity.chip is None or boards.load(name).chip == identity.chip)
        ]
        if len(fitting) != 1:
            there = ", ".join(fitting or boards.names())
            raise LunetteError(
                f"which board is it? `lunette boards` explains them; name one with --board: {there}"
            )
        named = fitting[0]
    found = boards.load(named)
    if identity.chip is not None and found.chip != identity.chip:
        raise LunetteError(
            f"board {found.name} has an {found.chip}, and an {identity.chip} answers ({identity.machine}): "
            "name the right one with --board; `lunette boards` lists them"
        )
    return found


def present_board(text: bytes | None) -> str | None:
    """The name in a board.py."""
    found = _NAME.search(text.decode(errors="replace")) if text else None
    return found[1] if found else None
