"""Finding boards, reading their files, and checking what they say."""

from __future__ import annotations

import ast
import os
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lunette import paths
from lunette.boards.currents import check_battery, check_currents
from lunette.boards.drivers import check_parts
from lunette.boards.hardware import read_hardware
from lunette.boards.model import Board
from lunette.boards.pins import check_pins
from lunette.boards.subject import DICT, Subject, one_of, whole
from lunette.chips import CHIPS
from lunette.errors import LunetteError

DATA, HARDWARE = "board.py", "hardware.py"
_NEEDED = ("NAME", "CHIP", "PARTS", "JOURNAL_KB")
_ALLOWED = ("FLASH_KB", "HEAP_KB", "CLEANING", "BATTERY", "CURRENTS")
# Stock images keep the first 2 MB of flash for themselves (partitions-4MiBplus.csv of the esp32 port).
_IMAGE_KB = 2048


def names() -> list[str]:
    """All boards of this checkout, sorted."""
    return sorted(path.parent.name for path in paths.BOARDS.glob(f"*/{DATA}"))


def is_path(board: str) -> bool:
    """Does it say where a board is, instead of its name?"""
    return os.sep in board or board.startswith((".", "~"))


def where(board: str) -> str:
    """`board`, a folder absolute: still right after a change of the working directory."""
    return str(_folder(board)) if is_path(board) else board


def _folder(board: str) -> Path:
    if not is_path(board):
        return paths.BOARDS / board
    path = Path(os.path.abspath(Path(board).expanduser()))
    return path.parent if path.name == DATA else path


def load(board: str) -> Board:
    """The board of that name, or in that folder (``./my_board``: what has a slash in it is a folder).

    Raises LunetteError for an unknown name, and for data that is missing, ill-typed, or cannot work: the
    message names the board and the key.
    """
    folder = _folder(board)
    path = folder / DATA
    if not path.is_file():
        if is_path(board):
            raise LunetteError(f"no {DATA} in {folder}: write one, docs/new_board.md shows how")
        raise LunetteError(
            f"no board {board!r}: take one of {', '.join(names())}, or a folder of your own, as in ./{board}"
        )
    subject = Subject(folder.name)
    data = _read(subject, path)
    for key in _NEEDED:
        if key not in data:
            raise subject.error(f"{DATA} does not set {key}", "add it (docs/new_board.md has an example)")
    for key in data:
        if key not in _NEEDED + _ALLOWED:
            raise subject.error(
                f"{DATA} sets {key}, which nothing reads", f"known are {', '.join(_NEEDED + _ALLOWED)}"
            )
    if data["NAME"] != folder.name:
        raise subject.error(
            f"NAME says {data['NAME']!r}, and the folder is {folder.name}", "give both the same name"
        )
    subject.need("CHIP", data["CHIP"], one_of(*CHIPS))
    chip = CHIPS[data["CHIP"]]
    subject.need("PARTS", data["PARTS"], DICT)
    subject.need("JOURNAL_KB", data["JOURNAL_KB"], whole(4, 4096))
    subject.need("FLASH_KB", data.get("FLASH_KB", 2048), whole(64, 30720))
    subject.need("HEAP_KB", data.get("HEAP_KB", 1024), whole(64, 65536))
    subject.need("CLEANING", data.get("CLEANING", "full"), one_of("off", "light", "full"))
    check_parts(subject, chip, data["PARTS"])
    extra = folder / HARDWARE
    hardware = None
    if extra.is_file():
        hardware = read_hardware(subject, chip, data["PARTS"], extra, _read(subject, extra))
    check_pins(subject, chip, data["PARTS"], hardware)
    if data.get("BATTERY") is not None:
        check_battery(subject, data["BATTERY"])
    if data.get("CURRENTS") is not None:
        check_currents(subject, data["CURRENTS"], data["PARTS"])
    flash_kb = data.get("FLASH_KB", 2048)
    if hardware is not None and hardware.image is not None:
        room = hardware.flash_mb * 1024 - _IMAGE_KB
        if flash_kb > room:
            raise subject.error(
                f"FLASH_KB is {flash_kb}: the image leaves {room} KB of {hardware.flash_mb} MB",
                f"write {room} or less",
            )
    return Board(
        data["NAME"],
        data["CHIP"],
        data["PARTS"],
        path,
        flash_kb,
        data.get("HEAP_KB", 1024),
        float(data["BATTERY"]["mah"]) if data.get("BATTERY") is not None else None,
        data.get("CURRENTS"),
        data["JOURNAL_KB"],
        hardware,
    )


def load_measured(board: str) -> Board:
    """`load`, of a board with a table of currents. Raises LunetteError for one without, too."""
    found = load(board)
    if found.currents is None:
        raise LunetteError(
            f"board {found.name} has no table of currents: add CURRENTS to {found.path} (docs/power.md)"
        )
    return found


def module(board: str) -> SimpleNamespace:
    """The board's data as the glasses import it: an attribute for each name in capitals, unchecked."""
    data = runpy.run_path(str(_folder(board) / DATA))
    return SimpleNamespace(**{key: value for key, value in data.items() if key.isupper()})


def _read(subject: Subject, path: Path) -> dict[str, Any]:
    """What a file of data sets in capitals. Raises LunetteError if it cannot be read or imports."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                raise subject.error(
                    f"{path.name} imports something in line {node.lineno}",
                    "leave imports out: it is data, for the host too",
                )
        data = runpy.run_path(str(path))
    except LunetteError:
        raise
    except SyntaxError as error:
        raise subject.error(
            f"{path.name}, line {error.lineno}: {error.msg}", f"put that right in {path}"
        ) from None
    except OSError as error:
        raise subject.error(f"{path.name}: {error.strerror}", f"see to it that {path} can be read") from None
    except Exception as error:
        raise subject.error(
            f"{path.name}: {type(error).__name__}: {error}", f"put that right in {path}"
        ) from None
    return {key: value for key, value in data.items() if key.isupper()}
