"""The wiring of a board as an SVG picture, drawn from its data."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from lunette.boards.layout import (
    BOARD_WIDTH,
    PART_WIDTH,
    STUB,
    Layout,
    PlacedPart,
    PlacedWire,
    lay_out,
)
from lunette.boards.model import Board
from lunette.errors import LunetteError

_POWER = {
    "GND": "#212529",
    "BAT-": "#212529",
    "3V3": "#e03131",
    "5V": "#d6336c",
    "BAT+": "#862e3c",
}
# Told apart in print and by most who see colours differently, as far as eight colours can be.
_SIGNALS = ("#1c7ed6", "#2f9e44", "#f59f00", "#7048e8", "#15aabf", "#a0522d", "#74b816", "#364fc7")
_INK, _PALE, _LINE = "#212529", "#868e96", "#adb5bd"
_BOARD_FILL, _PART_FILL, _PAPER = "#e7f5ff", "#f8f9fa", "#ffffff"
_FONT = "DejaVu Sans, Verdana, sans-serif"
_RESISTOR = (58, 18)  # lying
_UPRIGHT = (10, 22)
_SOCKET = (48, 16)
_INSET = 14  # of what stands between two terminals, from the part's edge


def draw(board: Board) -> str:
    """SVG text. Raises LunetteError for a board without wiring in its hardware.py."""
    hardware = board.hardware
    if hardware is None or not hardware.wiring or not hardware.pads:
        raise LunetteError(
            f"board {board.name} has nothing to draw: give it a hardware.py with LEFT, RIGHT and WIRING "
            "(docs/new_board.md)"
        )
    layout = lay_out(board, hardware)
    root = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {layout.width:g} {layout.height:g}",
        width=f"{layout.width:g}",
        height=f"{layout.height:g}",
    )
    root.set("font-family", _FONT)
    ET.SubElement(root, "title").text = f"{hardware.title}: wiring"
    _rect(root, 0, 0, layout.width, layout.height, _PAPER, kind="paper")
    _text(root, 24, 34, hardware.title, size=18, weight="bold")
    _text(root, 24, 56, _subtitle(board), size=12, fill=_PALE)
    colours = _colours(layout)
    _wires(root, layout, colours)
    _board(root, layout, colours)
    for part in layout.parts:
        _part(root, part, colours)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _subtitle(board: Board) -> str:
    assert board.hardware is not None
    on_board = [f"{h.name} is its {h.on_board}" for h in board.hardware.wiring if h.on_board]
    return ", ".join([f"{board.name}: wires as in its data", *on_board])


def _colours(layout: Layout) -> dict[str, str]:
    signals = iter(_SIGNALS * (len(layout.nets) // len(_SIGNALS) + 1))
    gpios = {placed.pad.label for placed in layout.pads if placed.pad.gpio is not None}
    return {net: next(signals) if net in gpios or net not in _POWER else _POWER[net] for net in layout.nets}


# --- the pieces ---------------------------------------------------------------------------------------


def _n(value: float) -> str:
    return f"{value:g}"


def _text(
    root: ET.Element,
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    fill: str = _INK,
    anchor: str = "start",
    weight: str = "",
) -> None:
    found = ET.SubElement(root, "text", x=_n(x), y=_n(y), fill=fill)
    found.set("font-size", str(size))
    if anchor != "start":
        found.set("text-anchor", anchor)
    if weight:
        found.set("font-weight", weight)
    found.text = text


def _rect(
    root: ET.Element,
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    *,
    stroke: str = "",
    radius: float = 0,
    kind: str = "",
) -> None:
    found = ET.SubElement(root, "rect", x=_n(x), y=_n(y), width=_n(width), height=_n(height), fill=fill)
    if stroke:
        found.set("stroke", stroke)
        found.set("stroke-width", "1.5")
    if radius:
        found.set("rx", _n(radius))
    if kind:
        found.set("class", kind)


def _dot(root: ET.Element, x: float, y: float, fill: str, radius: float, stroke: str = "") -> None:
    found = ET.SubElement(root, "circle", cx=_n(x), cy=_n(y), r=_n(radius), fill=fill)
    if stroke:
        found.set("stroke", stroke)


def _stroke(root: ET.Element, path: str, colour: str, width: float, kind: str = "") -> None:
    found = ET.SubElement(root, "path", d=path, fill="none", stroke=colour)
    found.set("stroke-width", _n(width))
    found.set("stroke-linecap", "round")
    if kind:
        found.set("class", kind)


def _wires(root: ET.Element, layout: Layout, colours: dict[str, str]) -> None:
    for net, pieces in layout.nets.items():
        path = " ".join(f"M{_n(p.x1)} {_n(p.y1)}L{_n(p.x2)} {_n(p.y2)}" for p in pieces)
        # The pale seam shows at crossings which wire goes on straight.
        _stroke(root, path, _PAPER, 6.5)
        _stroke(root, path, colours[net], 2.5, "wire")
        for x, y in layout.joints[net]:
            _dot(root, x, y, colours[net], 4)


def _board(root: ET.Element, layout: Layout, colours: dict[str, str]) -> None:
    x, y = layout.board_x, layout.board_y
    _rect(root, x, y, BOARD_WIDTH, layout.board_height, _BOARD_FILL, stroke=_INK, radius=8, kind="box")
    middle = x + BOARD_WIDTH / 2
    if layout.hardware.usb:
        edge = y if layout.hardware.usb == "top" else y + layout.board_height
        width, height = _SOCKET
        _rect(root, middle - width / 2, edge - height / 2, width, height, _LINE, stroke=_INK, radius=3)
        _text(root, middle, edge + 4, "USB", size=10, anchor="middle")
    _text(root, middle, y + 26, layout.board.chip_data.title, anchor="middle", weight="bold")
    for placed in layout.pads:
        pad, used = placed.pad, bool(placed.net)
        colour = colours.get(placed.net, _LINE)
        ink = _INK if used else _PALE
        weight = "bold" if used else ""
        if placed.side == "below":
            _text(root, placed.x, placed.y - 12, pad.label, fill=ink, anchor="middle", weight=weight)
        else:
            left = placed.side == "left"
            anchor, out = ("start", 1) if left else ("end", -1)
            _text(root, placed.x + 10 * out, placed.y + 4, pad.label, fill=ink, anchor=anchor, weight=weight)
            if pad.gpio is not None and pad.label != str(pad.gpio):
                _text(
                    root,
                    placed.x + 46 * out,
                    placed.y + 4,
                    f"GPIO{pad.gpio}",
                    size=10,
                    fill=_PALE,
                    anchor=anchor,
                )
        _dot(root, placed.x, placed.y, colour if used else _PAPER, 5 if used else 4, _INK if used else _LINE)


def _part(root: ET.Element, part: PlacedPart, colours: dict[str, str]) -> None:
    _rect(root, part.x, part.y, PART_WIDTH, part.height, _PART_FILL, stroke=_INK, radius=5, kind="box")
    _text(root, part.x + PART_WIDTH / 2, part.y + 18, part.hookup.what, anchor="middle", weight="bold")
    inward = -1 if part.side == "left" else 1
    anchor = "end" if part.side == "left" else "start"
    upright = bool(part.hookup.between)
    if upright:
        x = part.wires[0].x + _INSET * inward
        for n, placed in enumerate(part.wires):
            _stroke(root, f"M{_n(placed.x)} {_n(placed.y)}L{_n(x)} {_n(placed.y)}", _INK, 1.5)
            if n < len(part.hookup.between) and part.hookup.between[n]:
                below = part.wires[n + 1].y
                _stroke(root, f"M{_n(x)} {_n(placed.y)}L{_n(x)} {_n(below)}", _INK, 1.5)
                middle = (placed.y + below) / 2
                width, height = _UPRIGHT
                _rect(root, x - width / 2, middle - height / 2, width, height, _PAPER, stroke=_INK)
                _text(root, x + 12 * inward, middle + 4, part.hookup.between[n], size=11, anchor=anchor)
    for placed in part.wires:
        colour = colours[placed.net]
        inset = (_INSET + 12 if upright else 10) * inward
        _text(root, placed.x + inset, placed.y + 4, placed.wire.terminal, anchor=anchor)
        _dot(root, placed.x, placed.y, colour, 4, _INK)
        if placed.wire.resistor:
            _series(root, placed, -inward)


def _series(root: ET.Element, placed: PlacedWire, outward: int) -> None:
    """A resistor in the wire, with what it has written inside."""
    width, height = _RESISTOR
    middle = placed.x + outward * STUB / 2
    _rect(
        root,
        middle - width / 2,
        placed.y - height / 2,
        width,
        height,
        _PAPER,
        stroke=_INK,
        radius=2,
        kind="resistor",
    )
    _text(root, middle, placed.y + 4, placed.wire.resistor, size=11, anchor="middle")
