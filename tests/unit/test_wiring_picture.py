"""The wiring picture, read back from its SVG: no wire runs over a box, a text or another wire, no text over
another, and every wire of the data leads where the data says."""

from __future__ import annotations

import copy
import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from typing import Any

import pytest
import thorough
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette import boards
from lunette.boards import Board, picture, wiring
from lunette.boards.layout import lay_out

NAMES = boards.names()
BOARDS = {name: boards.load(name) for name in NAMES}
_WIDE = 0.62  # of the font's size: a letter of DejaVu Sans on average, bold ones 0.7
_SVG = "{http://www.w3.org/2000/svg}"


@dataclass
class Area:
    """A rectangle from (x1, y1) to (x2, y2), and what it is."""

    x1: float
    y1: float
    x2: float
    y2: float
    what: str

    def meets(self, other: Area) -> bool:
        return self.x1 < other.x2 and other.x1 < self.x2 and self.y1 < other.y2 and other.y1 < self.y2


def number(element: ET.Element, name: str) -> float:
    return float(element.get(name, "0"))


def text_area(element: ET.Element) -> Area:
    text, size = element.text or "", number(element, "font-size")
    width = len(text) * size * (0.7 if element.get("font-weight") else _WIDE)
    x, y = number(element, "x"), number(element, "y")
    left = x - {"end": width, "middle": width / 2}.get(element.get("text-anchor", ""), 0)
    return Area(left, y - 0.75 * size, left + width, y + 0.2 * size, text)


def read(svg: str) -> tuple[list[Area], list[Area], dict[str, list[Area]], list[Area], Area]:
    """(boxes, texts, {net: pieces of wire}, resistors in wires, paper)"""
    root = ET.fromstring(svg)
    found: dict[str, list[Area]] = {"box": [], "paper": [], "resistor": [], "": []}
    for rect in root.iter(f"{_SVG}rect"):
        x, y = number(rect, "x"), number(rect, "y")
        area = Area(x, y, x + number(rect, "width"), y + number(rect, "height"), rect.get("class", ""))
        found[area.what].append(area)
    wires: dict[str, list[Area]] = {}
    for n, path in enumerate(root.iter(f"{_SVG}path")):
        if path.get("class") == "wire":
            net = f"{n} {path.get('stroke')}"
            for piece in re.findall(r"M(\S+) (\S+)L(\S+) (\S+)", path.get("d", "")):
                x1, y1, x2, y2 = map(float, piece)
                assert x1 == x2 or y1 == y2
                area = Area(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2), net)
                wires.setdefault(net, []).append(area)
    (paper,) = found["paper"]
    texts = [text_area(text) for text in root.iter(f"{_SVG}text")]
    return found["box"], texts, wires, found["resistor"], paper


def flat(pieces: list[Area]) -> list[Area]:
    """With the thickness of a line: an area of none meets nothing."""
    return [Area(p.x1 - 1.2, p.y1 - 1.2, p.x2 + 1.2, p.y2 + 1.2, p.what) for p in pieces]


def check(board: Board) -> None:
    boxes, texts, wires, resistors, paper = read(picture.draw(board))
    for one, other in itertools.combinations(boxes, 2):
        assert not one.meets(other)
    for one, other in itertools.combinations(texts, 2):
        assert not one.meets(other), (one, other)
    for resistor in resistors:
        assert not any(resistor.meets(box) for box in boxes)
        assert len([net for net in wires if any(piece.meets(resistor) for piece in flat(wires[net]))]) == 1
    for pieces in wires.values():
        for piece, thick in zip(pieces, flat(pieces), strict=True):
            for box in boxes:
                inside = Area(box.x1 + 2, box.y1 + 2, box.x2 - 2, box.y2 - 2, "box")
                assert not thick.meets(inside), (piece, box)
            for text in texts:
                # What is written inside a resistor covers its wire: the resistor is drawn over it.
                assert not thick.meets(text) or text.what.endswith("Ω"), (piece, text)
            assert paper.x1 < piece.x1 and piece.x2 < paper.x2 and paper.y1 < piece.y1 and piece.y2 < paper.y2
    for (_, one_net), (_, other_net) in itertools.combinations(wires.items(), 2):
        for one, other in itertools.product(one_net, other_net):
            side_by_side = (one.y1 == one.y2) == (other.y1 == other.y2)
            near = Area(one.x1 - 5, one.y1 - 5, one.x2 + 5, one.y2 + 5, "")
            assert not (side_by_side and near.meets(other)), (one, other)


def reached(board: Board) -> set[tuple[str, str, str]]:
    """(thing, terminal, label of the pin that its wire really leads to), followed along the pieces."""
    assert board.hardware is not None
    layout = lay_out(board, board.hardware)
    found = set()
    for part in layout.parts:
        for placed in part.wires:
            pieces = list(layout.nets[placed.net])
            at = {(placed.x, placed.y)}
            grown = True
            while grown:
                grown = False
                for piece in list(pieces):
                    if any(
                        min(piece.x1, piece.x2) <= x <= max(piece.x1, piece.x2)
                        and min(piece.y1, piece.y2) <= y <= max(piece.y1, piece.y2)
                        for x, y in at
                    ) or any(
                        piece.crosses(other) for other in layout.nets[placed.net] if other not in pieces
                    ):
                        pieces.remove(piece)
                        at |= {(piece.x1, piece.y1), (piece.x2, piece.y2)}
                        grown = True
            (label,) = {pad.pad.label for pad in layout.pads if (pad.x, pad.y) in at}
            found.add((part.hookup.what, placed.wire.terminal, label))
    return found


def said(board: Board) -> set[tuple[str, str, str]]:
    assert board.hardware is not None
    power = {pad.label for pad in board.hardware.pads if pad.gpio is None}
    return {
        (row.thing, row.terminal, row.to)
        for row in wiring.rows(board)
        if row.gpio is not None or row.to in power
    }


@pytest.mark.parametrize("name", NAMES)
def test_nothing_runs_over_anything_else(name: str) -> None:
    check(BOARDS[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_wire_leads_where_the_data_says(name: str) -> None:
    assert reached(BOARDS[name]) == said(BOARDS[name])


@settings(max_examples=8 * thorough.TIMES, deadline=None)
@given(st.data())
def test_parts_anywhere_on_the_header(data: Any) -> None:
    """The same holds for any choice of pins: only the drawing is asked, not whether they are fit."""
    board = BOARDS[data.draw(st.sampled_from(NAMES))]
    assert board.hardware is not None
    free = [pad.gpio for pad in board.hardware.pads if pad.gpio is not None]
    parts = copy.deepcopy(board.parts)
    keys = [(p, k) for p in parts for k in ("pin", "sck", "ws", "sd") if k in parts[p]]
    pins = data.draw(st.permutations(free))
    for (part, key), pin in zip(keys, pins, strict=False):
        parts[part][key] = pin
    other = replace(board, parts=parts)
    check(other)
    assert reached(other) == said(other)
