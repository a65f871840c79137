"""The `lunette` command: assembles the sub-commands, and turns every failure into one line.

Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n ended by signal n (130: Ctrl-C).
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from lunette import __version__
from lunette.commands import (
    ask,
    boards,
    bonds,
    common,
    demo,
    deploy,
    doctor,
    draw,
    energy,
    flash,
    listen,
    options,
    power,
    pull,
    repl,
    scan,
    sim,
    status,
    wakeword,
)
from lunette.errors import LunetteError

app = typer.Typer(
    name="lunette",
    help="Host tools for Lunette glasses, real and virtual.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_asking = (ask.ls, ask.settings, ask.record, ask.mute, ask.clock, ask.identify, ask.log, ask.reboot)
_bonds = (bonds.pair, bonds.hosts, bonds.forget)
_power = (power.power, power.sleep)
for _command in (scan.scan, listen.listen, pull.pull, status.status, *_asking, *_bonds, *_power):
    app.command()(_command)
app.add_typer(sim.app, name="sim")
app.add_typer(wakeword.app, name="wakeword")
app.command()(demo.demo)
app.command()(draw.draw)
app.command()(energy.energy)
app.command()(boards.boards)
app.command()(flash.flash)
app.command()(deploy.deploy)
app.command()(doctor.doctor)
app.command()(repl.repl)

# Typer brings its own copy of click, or uses the one that is installed: this is the base class of
# usage errors in either.
_ClickException = typer.BadParameter.__mro__[2]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"lunette {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    virtual: options.Virtual = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = virtual
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Entry point of the command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line; returns the exit code. Errors are told on standard error."""
    try:
        try:
            code = app(args=list(arguments), prog_name="lunette", standalone_mode=False)
        finally:
            sys.stdout.flush()
    except common.Stopped as stopped:
        return _ended(stopped.number)
    except (KeyboardInterrupt, typer.Abort):
        return _ended(2)
    except BrokenPipeError:
        return _ended(13)
    except typer.Exit as ending:
        return int(ending.exit_code)
    except Exception as error:
        return _failed(error)
    return code if isinstance(code, int) else 0


def _ended(number: int) -> int:
    if number == 13:
        # Nobody reads any more; what is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + number


def _failed(error: Exception) -> int:
    if common.debugging():
        traceback.print_exception(error)
    if isinstance(error, _ClickException):
        _say(error.format_message())  # type: ignore[attr-defined]
        return 2
    _say(_words(error))
    return 1


def _words(error: Exception) -> str:
    from bleak.exc import BleakError

    if isinstance(error, LunetteError):
        return str(error)
    if isinstance(error, BleakError):
        from lunette.finding import explain

        return str(explain(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"internal error: {type(error).__name__}: {error} (LUNETTE_DEBUG=1 shows where)"


def _say(text: str) -> None:
    print(f"lunette: {text}", file=sys.stderr)
