"""`lunette flash`: MicroPython, then the firmware, onto a bare board."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lunette.commands import options
from lunette.errors import LunetteError

if TYPE_CHECKING:
    from lunette.console import Prompt
    from lunette.flash import Chip, State


def flash(
    context: typer.Context,
    board: options.Board = None,
    port: options.Port = None,
    image: Annotated[
        Path | None,
        typer.Option(help="The image, instead of the one that the board names.", show_default=False),
    ] = None,
    deploy: Annotated[bool, typer.Option(help="Bring the firmware onto it afterwards, and start.")] = True,
    baud: Annotated[
        int, typer.Option(min=9600, help="Bits per second, where a serial bridge is used.")
    ] = 460800,
    stub: Annotated[
        bool, typer.Option(help="Start esptool's own flasher on the chip; slower without.")
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Erase without a question.")] = False,
) -> None:
    """Put MicroPython on a board, then the firmware: from a bare board to glasses.

    Everything on the chip is erased, once all that is needed is at hand and fits chip and board. Stopped at
    any moment, the same command does it again from the beginning.
    """
    from lunette import flash as flashing
    from lunette.commands import progress

    if board is None:
        raise LunetteError(f"which board is it? Name one with --board:\n{_boards()}")
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise LunetteError("this erases the chip, and nobody can be asked here: add --yes")
    began = time.monotonic()
    with progress.Bar() as shown:
        plan = flashing.prepare(board, image, deploy, shown)
        if deploy and plan.board.hardware and not plan.board.psram_mb:
            shown.still(
                f"board {plan.board.name} has no PSRAM, and the firmware as files is too large for what its "
                "memory then is: it must be frozen into an image (docs/install_other_ways.md)"
            )
        where = options.port(context, port)

        def confirm(chip: Chip) -> None:
            size = f", {chip.flash_size >> 20} MB" if chip.flash_size else ""
            what = f"{chip.words}{size}, {chip.mac}, on {chip.port}"
            shown.still(f"found {what}")
            if not yes and not typer.confirm("Everything on it is erased. Go on?", err=True):
                raise LunetteError(
                    "stopped; nothing on the chip has been changed: to save its files first, `mpremote cp -r`"
                )

        def told(state: State) -> None:
            again = "the same command does it again from the beginning"
            if state is flashing.State.WRITTEN:
                again = (
                    f"press the board's RESET button; `lunette deploy --board {board} --port {where}` goes on"
                )
            shown.still(f"stopped; {state.value}: {again}")

        prompt = flashing.flash(plan, where, shown, confirm, baud=baud, stub=stub, told=told)
    with prompt:
        print(f"MicroPython is on {prompt.port}, verified ({time.monotonic() - began:.1f} s)", flush=True)
        if deploy:
            _deploy(prompt, board)
        else:
            print(f"next: lunette deploy --board {board} --port {prompt.port}")


def _boards() -> str:
    from lunette import boards

    found = [boards.load(name) for name in boards.names() if name != "virtual"]
    width = max(len(board.name) for board in found)
    return "\n".join(f"  {board.name:<{width}}  {board.title}" for board in found)


def _deploy(prompt: Prompt, board: str) -> None:
    from lunette import deploy as deploying
    from lunette.commands import deploy as command

    began = time.monotonic()
    try:
        result = command.once(prompt, board, False, None)
        print(command.summary(result, time.monotonic() - began), flush=True)
        if result.warning:
            print(f"lunette: {result.warning}", file=sys.stderr, flush=True)
        started, _ = deploying.start(prompt)
    except LunetteError as error:
        again = f"lunette deploy --board {board} --port {prompt.port}"
        raise LunetteError(f"{error}\nMicroPython is on the chip: `{again}` goes on from here") from None
    print(f"the glasses run ({started:.1f} s)")
