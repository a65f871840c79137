"""`lunette boards`: which boards there are, and everything about one of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lunette import boards as all_boards
from lunette.boards import explain, picture, wiring
from lunette.commands import common, options
from lunette.errors import LunetteError


def boards(
    name: Annotated[
        str | None,
        typer.Argument(help="A board, or a folder of your own as in ./my_board.", show_default=False),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(help="Write the wiring as a picture into this file.", show_default=False)
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Bring wiring.svg and README.md in the board's folder up to date.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List the boards, or explain one: parts, wiring, bill of materials, limits, image, currents.

    Whatever is wrong with a board's data is said, with the key: naming a board is also how to check it.
    """
    if name is None:
        if svg is not None or write:
            raise typer.BadParameter("--svg and --write need a board: lunette boards NAME --svg FILE")
        _list(as_json)
        return
    board = all_boards.load(name)
    if svg is not None:
        drawn = picture.draw(board)
        if str(svg) == "-":
            sys.stdout.write(drawn)
            return
        common.write_file(svg, drawn)
        print(f"wrote {svg}")
    if write:
        for path, text in wiring.files(board).items():
            common.write_file(path, text)
            print(f"wrote {path}")
    if svg is not None or write:
        return
    if as_json:
        print(json.dumps(explain.document(board)))
        return
    for line in explain.lines(board):
        print(line)


def _list(as_json: bool) -> None:
    """All boards; those that cannot be loaded are told at the end, and make the command fail."""
    problems: list[str] = []
    rows = [("board", "chip", "has", "MicroPython image")]
    for name in all_boards.names():
        try:
            board = all_boards.load(name)
        except LunetteError as error:
            problems.append(str(error))
            continue
        if as_json:
            print(json.dumps(explain.document(board)))
        rows.append(explain.summary(board))
    if not as_json:
        for line in explain.table(rows):
            print(line)
        print("\nlunette boards NAME explains one; docs/new_board.md shows how to add your own")
    if problems:
        raise LunetteError("\n".join(problems))
