"""Everything that flashing needs, brought together before the chip is touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lunette import boards, deploy
from lunette.boards import Board
from lunette.deploy import Progress
from lunette.errors import LunetteError
from lunette.flash import download, image
from lunette.flash.image import FlashImage

# What mpy-cross calls the chips' instruction sets.
_ARCHS = {"esp32": "xtensawin", "esp32s3": "xtensawin", "esp32c3": "rv32imc", "esp32c6": "rv32imc"}
_NEWEST = (99,)  # version of MicroPython: nothing has to be compiled on the glasses


@dataclass(frozen=True)
class Plan:
    """A board, the image for it, and whether the firmware is to follow."""

    board: Board
    image: FlashImage
    deploy: bool


def prepare(
    board_name: str, given: Path | None, deploying: bool, progress: Progress, cache: Path | None = None
) -> Plan:
    """Load the board, have its image at hand (`given`, kept, or downloaded), see that the firmware compiles.

    Raises LunetteError. No port is opened.
    """
    board = boards.load(board_name)
    if board.image is None and given is None:
        if board.name == "virtual":
            raise LunetteError(
                "virtual glasses have MicroPython already: `lunette sim` starts them; name a real board "
                "(`lunette boards` lists them)"
            )
        raise LunetteError(
            f"board {board.name} names no image: give one with --image FILE, or add IMAGE to its hardware.py "
            "(docs/new_board.md)"
        )
    if deploying:
        progress.say("compiling the firmware")
        deploy.build(board, _ARCHS[board.chip], _NEWEST)
    ready = image.read(given) if given is not None else _boards_own(board, progress, cache)
    if ready.chip != board.chip:
        raise LunetteError(
            f"{ready.source} is for an {ready.chip}, and board {board.name} has an {board.chip}: take the "
            f"image that `lunette boards {board.name}` names, or name another --board"
        )
    return Plan(board, ready, deploying)


def _boards_own(board: Board, progress: Progress, cache: Path | None) -> FlashImage:
    wanted = board.image
    assert wanted is not None
    where = download.folder() if cache is None else cache
    path = download.kept(wanted.name, where)
    if path is not None:
        return image.read(path)
    progress.say(f"downloading {wanted.name}")
    coming = download.Download(wanted.url, wanted.page, where)
    data = coming.fetch(progress)
    try:
        ready = image.check(data, wanted.url)
    except LunetteError as error:
        coming.forget()
        raise LunetteError(
            f"what {wanted.url} gives is not the image: {error} (or from {wanted.page})"
        ) from None
    path = download.keep(data, wanted.name, where)
    coming.forget()
    return FlashImage(str(path), ready.data, ready.chip, ready.offset, ready.flash_size)
