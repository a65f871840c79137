"""Shows rows as they are measured: in colour on a terminal, as aligned text when piped."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .rows import Row

_TITLES = ("what", "value", "unit", "reference", "ratio", "goal", "", "compared with, or why")
_WIDTHS = (38, 7, 6, 9, 6, 7, 6)
_REFERENCE = 3
_WIDE = 120  # columns of a terminal, below which it gets what matters most
_RIGHT = (False, True, False, True, True, False, False)
_STYLES = {"ok": "green", "missed": "bold yellow", "failed": "bold red"}


def number(value: float | None) -> str:
    """Four digits, as a person reads them; nothing for None."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}"


def verdict(row: Row) -> str:
    if row.value is None:
        return "failed"
    return "" if row.ok is None else "ok" if row.ok else "missed"


def cells(row: Row) -> tuple[str, ...]:
    """The row as text, one string a column of the table."""
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
    remarks = "; ".join(part for part in (row.against, row.note) if part)
    return (
        row.name,
        number(row.value),
        row.unit,
        number(row.reference),
        ratio,
        row.goal or "",
        verdict(row),
        remarks,
    )


def line(texts: tuple[str, ...]) -> str:
    """One line of the plain table. The last column is free, too long a text moves what follows."""
    parts = [
        text.rjust(width) if right else text.ljust(width)
        for text, width, right in zip(texts, _WIDTHS, _RIGHT, strict=False)
    ]
    return "  ".join([*parts, texts[-1]]).rstrip()


class Display:
    """`with display.measuring("codec"): display.show(row)`"""

    def __init__(self, console: Console | None = None):
        # Its own file: what is measured may redirect standard output.
        self._console = console or Console(file=sys.stdout)
        self._rich = self._console.is_terminal

    def head(self) -> None:
        self._print(_TITLES, "bold")

    def show(self, row: Row) -> None:
        self._print(cells(row), None)

    def say(self, text: str) -> None:
        if self._rich:
            self._console.print(Text(text))
        else:
            print(text, file=self._console.file, flush=True)

    @contextlib.contextmanager
    def measuring(self, what: str) -> Iterator[None]:
        """A terminal shows what is being measured while there is nothing else to see."""
        if not self._rich:
            yield
            return
        with self._console.status(f"measuring: {what}"):
            yield

    def _print(self, texts: tuple[str, ...], style: Any) -> None:
        if not self._rich:
            print(line(texts), file=self._console.file, flush=True)
            return
        wide = self._console.width >= _WIDE
        columns = [i for i in range(len(_WIDTHS)) if wide or i != _REFERENCE]
        grid = Table.grid(padding=(0, 2 if wide else 1, 0, 0))
        for i in columns:
            grid.add_column(width=_WIDTHS[i], justify="right" if _RIGHT[i] else "left", no_wrap=True)
        shown = [Text(texts[i]) for i in columns]
        shown[-1].stylize(_STYLES.get(texts[-2], ""))
        if wide:
            grid.add_column(overflow="fold", ratio=1)
            shown.append(Text(texts[-1], style="dim" if style is None else ""))
        grid.add_row(*shown, style=style)
        self._console.print(grid)
        if not wide and texts[-2] == "failed":
            self._console.print(Text("  " + texts[-1]))
