"""`lunette doctor`: looks at this computer and at the glasses, and says what to do about what is wrong."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lunette.commands import common, options
from lunette.errors import LunetteError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from lunette.doctor import Result

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim", "not run": "red"}


def doctor(
    context: typer.Context,
    port: options.Port = None,
    only: Annotated[
        str | None, typer.Option(help="These checks, with commas between them.", show_default=False)
    ] = None,
    board: options.Board = None,
    listed: Annotated[bool, typer.Option("--list", help="List the checks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list of results, for programs.")] = False,
    virtual: options.Virtual = False,
) -> None:
    """Look at this computer and the glasses, part by part, and say what to do about what is wrong.

    Glasses that run are stopped for the checks of their parts, and started again. Exit code 1: something
    failed.
    """
    from lunette import doctor as doctoring

    if listed:
        if as_json:
            print(json.dumps([{"check": check.name, "what": check.what} for check in doctoring.CHECKS]))
        else:
            for check in doctoring.CHECKS:
                print(f"{check.name:<10}{check.what}")
        return
    try:
        checks = doctoring.chosen(only)
    except LunetteError as error:
        raise typer.BadParameter(str(error)) from None
    screen = _Screen(as_json)
    patient = doctoring.Patient(
        port=lambda: options.port(context, port, virtual),
        named=board,
        person=screen.person(),
        virtual=options.virtual(context, virtual),
        backends=lambda: common.backends(options.virtual(context, virtual)),
    )
    with screen:
        results = doctoring.examine(checks, patient, screen.begin, screen.end)
    if as_json:
        print("[" + ",\n ".join(json.dumps(result.document()) for result in results) + "]")
    else:
        screen.sum(results)
    if any(result.bad for result in results):
        raise typer.Exit(1)


class _Screen:
    """A row for each check as it ends; what is being done below them, on a terminal."""

    def __init__(self, quiet: bool):
        from rich.console import Console

        self._quiet = quiet
        self._out: Console = Console(quiet=quiet, highlight=False, soft_wrap=False)
        self._status: Status | None = None
        self._told = ""

    def __enter__(self) -> _Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self._pause()

    def _pause(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def begin(self, name: str, what: str) -> None:
        if self._out.is_terminal and not self._quiet:
            self._pause()
            self._status = self._out.status(f"{name}: {what}")
            self._status.start()

    def end(self, result: Result) -> None:
        from rich.table import Table
        from rich.text import Text

        self._pause()
        state = result.finding.state.value
        todo = f"-> {result.finding.todo}" if result.finding.todo else ""
        if todo == self._told:  # what stands in the way of all the rest is said once
            todo = ""
        self._told = todo or self._told
        if not self._out.is_terminal:  # a program's, or a file: no columns to be kept
            if not self._quiet:
                print(f"{result.check:<10}{state:<9}{result.finding.text}")
                for line in (todo, *result.finding.more):
                    if line:
                        print(f"{'':<19}{line}", flush=True)
            return
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(width=10, no_wrap=True)
        row.add_column(width=8, no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(result.check, Text(state, style=_COLOURS[state]), Text(result.finding.text))
        if todo:
            row.add_row("", "", Text(todo, style="bold"))
        for line in result.finding.more:
            row.add_row("", "", Text(line, style="dim"))
        self._out.print(row)

    def sum(self, results: list[Result]) -> None:
        """The last line."""
        states = [result.finding.state.value for result in results]
        counts = [f"{states.count(state)} {state}" for state in _COLOURS if state in states]
        self._out.print(", ".join(counts), soft_wrap=True)

    def person(self) -> Any:
        """Who sits at the terminal, or nobody."""
        from lunette.doctor import Nobody

        if self._quiet or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return Nobody()
        return _AtTerminal(self)

    def ask(self, question: str) -> bool:
        self._pause()
        return typer.confirm(question, default=True)

    def tell(self, text: str) -> None:
        """Below the rows, in the place of what was told before."""
        if self._status is not None:
            self._status.update(text)


class _AtTerminal:
    there = True

    def __init__(self, screen: _Screen):
        self._screen = screen

    def tell(self, text: str) -> None:
        self._screen.tell(text)

    def yes(self, question: str) -> bool:
        return self._screen.ask(question)
