"""`lunette deploy`: the firmware onto the glasses, once or on every save."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lunette.commands import options
from lunette.errors import LunetteError

if TYPE_CHECKING:
    from lunette.console import Prompt
    from lunette.deploy import Result


def deploy(
    context: typer.Context,
    port: options.Port = None,
    board: options.Board = None,
    source: Annotated[bool, typer.Option("--source", help="Readable sources, not .mpy files.")] = False,
    start: Annotated[bool, typer.Option(help="Start the glasses afterwards.")] = True,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and deploy again on every save.")] = False,
    back: Annotated[bool, typer.Option("--back", help="Return to the version before.")] = False,
    firmware: Annotated[
        Path | None, typer.Option(help="Folder with main.py and glasses/, instead of Lunette's own.")
    ] = None,
    as_json: options.Json = False,
    virtual: options.Virtual = False,
) -> None:
    """Bring the firmware onto glasses that run MicroPython, and start them.

    Only what has changed is copied, beside what runs; then they switch over in one step. The version before
    stays, for --back.
    """
    from lunette import deploy as deploying
    from lunette.console import Prompt

    if watch and (back or not start):
        raise LunetteError("--watch deploys and starts: leave out --back and --no-start")
    where = options.port(context, port, virtual)
    if watch:
        from lunette.commands import watch as watching

        watching.watch(where, board, source, firmware)
        return
    began = time.monotonic()
    with Prompt.open(where) as prompt:
        result = deploying.go_back(prompt) if back else once(prompt, board, source, firmware, as_json)
        seconds = time.monotonic() - began
        started = None
        if not as_json:
            print(summary(result, seconds), flush=True)
        if result.warning:
            print(f"lunette: {result.warning}", file=sys.stderr, flush=True)
        if start:
            started, _ = deploying.start(prompt)
    if as_json:
        print(json.dumps(vars(result) | {"seconds": round(seconds, 3), "started_s": started}))
    elif started is not None:
        print(f"the glasses run ({started:.1f} s)")
    else:
        print("not started: their reset button, or Ctrl-D at their prompt, starts them")


def once(
    prompt: Prompt, board: str | None, source: bool, firmware: Path | None, quiet: bool = False
) -> Result:
    """Deploy, with progress on standard error."""
    from lunette import deploy as deploying
    from lunette.commands import progress

    with progress.Bar(quiet) as shown:
        return deploying.deploy(prompt, board, source=source, firmware=firmware, progress=shown)[1]


def summary(result: Result, seconds: float) -> str:
    """What was done, in a line or two."""
    if not result.switched:
        text = f"version {result.id} is there already, all {result.kept} files of it ({seconds:.1f} s)"
    else:
        did = [f"{result.sent} files sent" if result.sent else "nothing sent"]
        did += [f"{result.copied} copied there"] if result.copied else []
        did += [f"{result.kept} there already"] if result.kept else []
        did += [f"{result.removed} removed"] if result.removed else []
        text = f"version {result.id}: {', '.join(did)}; {result.bytes} bytes in {seconds:.1f} s, verified"
    if result.before:
        text += f"\nbefore: version {result.before} (`lunette deploy --back` returns to it)"
    return text
