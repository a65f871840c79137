"""From a plan and a port to glasses that run MicroPython."""

from __future__ import annotations

import time
from pathlib import Path

from lunette.console import Prompt, ports
from lunette.deploy import Progress
from lunette.errors import LunetteError
from lunette.flash.chip import Chip
from lunette.flash.plan import Plan

_ANSWER_S = 40.0  # start, and a file system of several MB that is made at the first one
_BY_HAND_S = 120.0  # until somebody has pressed a button


def match(plan: Plan, chip: Chip) -> None:
    """Raises LunetteError unless chip, board and image belong together. Nothing has been changed then."""
    board, image = plan.board, plan.image
    untouched = "; nothing on the chip has been changed"
    if chip.name != board.chip:
        raise LunetteError(
            f"on {chip.port} is an {chip.name}, and board {board.name} has an {board.chip}{untouched}: name "
            "the right one with --board (`lunette boards` lists them), or another --port"
        )
    size = chip.flash_size
    if size is None:  # a flash that is not known; it is taken for what the board has
        if board.flash_mb is None:
            return
        size = board.flash_mb << 20
    if image.end > size or image.flash_size > size:
        need = max(image.end, image.flash_size)
        raise LunetteError(
            f"{image.source} needs {_mb(need)} of flash, and the chip has {_mb(size)}{untouched}: give an "
            "image for that much with --image"
        )
    if board.flash_mb is not None and size < board.flash_mb << 20:
        raise LunetteError(
            f"the chip on {chip.port} has {_mb(size)} of flash, and board {board.name} has {board.flash_mb} "
            f"MB{untouched}: name the right one with --board, or describe yours (docs/new_board.md)"
        )


def _mb(size: int) -> str:
    return f"{round(size / (1 << 20), 1):g} MB"


def put(plan: Plan, chip: Chip, progress: Progress) -> bool:
    """Erase, write, verify, restart; False if somebody has to press the reset button."""
    progress.say(
        f"erasing {_mb(chip.flash_size) if chip.flash_size else 'the flash'} (up to a minute or two)"
    )
    progress.plan(0)
    chip.erase()
    progress.say("writing MicroPython")
    chip.write(plan.image)
    return chip.restart()


def answer(
    plan: Plan, port: str, before: list[str], restarted: bool, progress: Progress, wait_s: float | None = None
) -> Prompt:
    """Wait until MicroPython answers at the port, or at the one port that has come since (native USB may get
    another name). `before`: which ports there were."""
    if restarted:
        progress.say("waiting for MicroPython")
    else:
        progress.say(f"{port} cannot reset the chip: press RESET now")
    progress.plan(0)
    until = time.monotonic() + (wait_s or (_ANSWER_S if restarted else _BY_HAND_S))
    while True:
        where = _there(port, before)
        try:
            return Prompt.open(where)
        except LunetteError as error:
            if time.monotonic() >= until:
                raise LunetteError(_silent(plan, where, error)) from None
        time.sleep(0.2)


def _silent(plan: Plan, where: str, error: LunetteError) -> str:
    go_on = f"`lunette deploy --board {plan.board.name} --port {where}` goes on from here"
    said = str(error).partition(":")[0]
    return (
        f"MicroPython is on the chip, and verified, but no prompt answers yet ({said}): press the board's "
        f"RESET button; then {go_on}"
    )


def _there(port: str, before: list[str]) -> str:
    if not port.startswith("/dev/") or Path(port).exists():
        return port
    new = [found.device for found in ports.candidates() if found.device not in before]
    return new[0] if len(new) == 1 else port
