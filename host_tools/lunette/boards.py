"""Boards on the host: the data of ``boards/<name>/board.py``."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunette import paths
from lunette.errors import LunetteError


@dataclass(frozen=True)
class Board:
    """A board's data. `parts` maps a part's name to its data, `path` is the file it came from."""

    name: str
    chip: str
    parts: dict[str, dict[str, Any]]
    path: Path
    flash_kb: int
    heap_kb: int

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
    """The board of that name. Raises LunetteError for an unknown name or missing data."""
    path = paths.BOARDS / name / "board.py"
    if "/" in name or not path.is_file():
        raise LunetteError(f"no board {name!r}; there are: {', '.join(names())}")
    data = runpy.run_path(str(path))
    for key in ("NAME", "CHIP", "PARTS", "JOURNAL_KB"):
        if key not in data:
            raise LunetteError(f"board {name}: {path.name} does not set {key}")
    if data["NAME"] != name:
        raise LunetteError(f"board {name}: NAME says {data['NAME']!r}")
    return Board(
        name,
        data["CHIP"],
        data["PARTS"],
        path,
        int(data.get("FLASH_KB", 2048)),
        int(data.get("HEAP_KB", 512)),
    )
