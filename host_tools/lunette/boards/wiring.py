"""The wiring of a board as rows, and as the part of its README that is made from its data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lunette.boards import picture
from lunette.boards.model import Board
from lunette.errors import LunetteError

PICTURE = "wiring.svg"
_BEGIN = "<!-- wiring: made from board.py and hardware.py by `lunette boards {name} --write` -->"
_END = "<!-- /wiring -->"
_BLOCK = re.compile(r"<!-- wiring: .*?-->\n.*?<!-- /wiring -->", re.S)


@dataclass(frozen=True)
class Row:
    """One connection: of a thing's `terminal`, through `through` ("" for a plain wire), to `to`: what is
    printed beside a pin of the board, or another terminal of the same thing. `gpio` is None for power."""

    thing: str
    terminal: str
    through: str
    to: str
    gpio: int | None = None


def rows(board: Board) -> list[Row]:
    """All connections, in the order of the data. Empty where no wiring is known."""
    hardware = board.hardware
    if hardware is None:
        return []
    found: list[Row] = []
    for hookup in hardware.wiring:
        data = board.parts.get(hookup.of, {})
        for n, wire in enumerate(hookup.wires):
            gpio = int(data[wire.to]) if wire.to in data else None
            to = wire.to if gpio is None else hardware.label(gpio) or f"GPIO{gpio}"
            found.append(Row(hookup.what, wire.terminal, wire.resistor, to, gpio))
            if n < len(hookup.between) and hookup.between[n]:
                after = hookup.wires[n + 1].terminal
                found.append(Row(hookup.what, wire.terminal, hookup.between[n], after))
    return found


def markdown(board: Board) -> str:
    """Picture, table of wires and bill of materials, with the lines around them that `updated` looks for."""
    hardware = board.hardware
    assert hardware is not None
    lines = [
        _BEGIN.format(name=board.name),
        f"![Every wire, drawn; the table says the same]({PICTURE})",
        "",
        "| part | from | through | to | GPIO |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows(board):
        gpio = "" if row.gpio is None else str(row.gpio)
        lines.append(f"| {row.thing} | {row.terminal} | {row.through} | {row.to} | {gpio} |")
    if hardware.bill:
        lines += ["", "| count | what | note |", "| --- | --- | --- |"]
        lines += [f"| {count} | {what} | {note} |" for count, what, note in hardware.bill]
    # An empty cell is two spaces to some formatters, one to others: one.
    return "\n".join([re.sub(r"\|  (?=\|)", "| ", line) for line in lines] + [_END])


def updated(readme: str, board: Board) -> str:
    """`readme` with the part that is made from the data as the data is now; added where it has none."""
    made = markdown(board)
    if _BLOCK.search(readme):
        return _BLOCK.sub(lambda _: made, readme, count=1)
    return f"{readme.rstrip()}\n\n{made}\n" if readme.strip() else f"# {board.title}\n\n{made}\n"


def files(board: Board) -> dict[Path, str]:
    """What is made from the data in the board's folder, as it should be: picture and README. Raises
    LunetteError where there is no wiring to show or a README that cannot be read."""
    folder = board.path.parent
    readme = folder / "README.md"
    try:
        before = readme.read_text(encoding="utf-8") if readme.exists() else ""
    except OSError as error:
        raise LunetteError(
            f"cannot read {readme}: {error.strerror}; see to its permissions, then try again"
        ) from None
    return {folder / PICTURE: picture.draw(board), readme: updated(before, board)}
