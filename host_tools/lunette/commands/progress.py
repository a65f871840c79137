"""How far flashing or deploying is: a bar at a terminal, a line a step elsewhere, on standard error."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from lunette.deploy import Progress as Told


class _Bytes(DownloadColumn):
    """Nothing while it is not known how many there will be."""

    def render(self, task: Any) -> Text:
        return Text() if task.total is None else super().render(task)


class Bar(Told):
    """A context manager. `quiet` shows nothing, for programs."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, quiet=quiet)
        columns = (TextColumn("{task.description}"), BarColumn(20), _Bytes(), TimeElapsedColumn())
        self._rich = Progress(*columns, console=self._console, transient=True)
        self._task: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def say(self, what: str) -> None:
        if self._console.is_terminal:
            self._rich.start()
        elif not self._quiet:
            print(what, file=sys.stderr, flush=True)
        self._end()
        self._task = self._rich.add_task(what, total=None)

    def plan(self, total: int) -> None:
        self._rich.update(self._task, total=total or None, completed=0)

    def step(self, count: int) -> None:
        self._rich.advance(self._task, count)

    def still(self, what: str) -> None:
        """A line that stays."""
        self._end()
        self._rich.stop()
        print(what, file=sys.stderr, flush=True)

    def _end(self) -> None:
        if self._task is not None:
            self._rich.remove_task(self._task)
            self._task = None
