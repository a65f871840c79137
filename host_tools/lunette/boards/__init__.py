"""Boards on the host: the data of ``boards/<name>/``, loaded and checked (docs/new_board.md).

``board.py`` is what the glasses import, too; ``hardware.py`` beside it is for the host alone.
"""

from lunette.boards.currents import BATTERY, CURRENTS
from lunette.boards.loading import load, load_measured, module, names, where
from lunette.boards.model import Board, Hardware, Hookup, Image, Pad, Wire

__all__ = [
    "BATTERY",
    "CURRENTS",
    "Board",
    "Hardware",
    "Hookup",
    "Image",
    "Pad",
    "Wire",
    "load",
    "load_measured",
    "module",
    "names",
    "where",
]
