"""Where everything of a wiring picture goes: the board in the middle, parts on both sides of it, and for each
net a track of its own in the channel between, so that wires cross but never run over each other or a text.

Pins of the board are on the lines y = 0, 24, 48, ...; terminals of parts half way between them, lanes above
and below the board at the quarters. Two horizontal pieces of different nets can so never share a line.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from lunette.boards.model import Board, Hardware, Hookup, Pad, Wire

PITCH = 24
BOARD_WIDTH = 190
PART_WIDTH = 190
PART_HEAD = 36  # from a part's upper edge to its first terminal
PART_FOOT = 16
PART_GAP = 2 * PITCH + 36 - PITCH // 2  # from the last terminal of a part to the first of the next
STUB = 92  # beside a part, for the resistors in its wires
TRACK = 13
MARGIN = 24
HEADING = 64
_BOARD_PAD = 40  # of the board, above its first and below its last pin
_SWAPS = 12  # rounds of looking for better tracks; they settle within four


@dataclass(frozen=True)
class Segment:
    """A horizontal or vertical piece of a wire."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def horizontal(self) -> bool:
        return self.y1 == self.y2

    def crosses(self, other: Segment) -> bool:
        """One is horizontal, the other vertical, and they meet."""
        if self.horizontal == other.horizontal:
            return False
        h, v = (self, other) if self.horizontal else (other, self)
        return min(h.x1, h.x2) <= v.x1 <= max(h.x1, h.x2) and min(v.y1, v.y2) <= h.y1 <= max(v.y1, v.y2)

    @property
    def length(self) -> float:
        return abs(self.x1 - self.x2) + abs(self.y1 - self.y2)


@dataclass
class PlacedPad:
    """A pin of the header, at the board's edge."""

    pad: Pad
    side: str  # "left", "right" or "below"
    x: float = 0.0
    y: float = 0.0
    net: str = ""


@dataclass
class PlacedWire:
    """A terminal of a part, at the part's edge."""

    wire: Wire
    net: str
    x: float = 0.0
    y: float = 0.0


@dataclass
class PlacedPart:
    """A part's box: `x`, `y` its upper left corner, `wires` its terminals from above."""

    hookup: Hookup
    side: str
    wires: list[PlacedWire]
    x: float = 0.0
    y: float = 0.0

    @property
    def height(self) -> float:
        return PART_HEAD + self.rows * PITCH + PART_FOOT

    @property
    def rows(self) -> int:
        """Lines between its first terminal and its last: two where something sits between terminals."""
        return sum(self.step(n) for n in range(len(self.wires) - 1))

    def step(self, n: int) -> int:
        """Lines from terminal n to the next one."""
        return 2 if n < len(self.hookup.between) and self.hookup.between[n] else 1


@dataclass
class Layout:
    """The finished picture, in px. `nets` maps a net to the pieces of its wires, `joints` are where three
    pieces of a net meet."""

    board: Board
    hardware: Hardware
    pads: list[PlacedPad]
    parts: list[PlacedPart]
    width: float = 0.0
    height: float = 0.0
    board_x: float = 0.0
    board_y: float = 0.0
    board_height: float = 0.0
    nets: dict[str, list[Segment]] = field(default_factory=dict)
    joints: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def lay_out(board: Board, hardware: Hardware) -> Layout:
    """The picture of `board`, whose wiring is that of `hardware`."""
    pads = [
        PlacedPad(pad, side)
        for side, group in (("left", hardware.left), ("right", hardware.right), ("below", hardware.below))
        for pad in group
    ]
    layout = Layout(board, hardware, pads, _parts(board, hardware, pads))
    _place(layout)
    _Router(layout).route()
    return layout


def net_of(board: Board, hardware: Hardware, hookup: Hookup, wire: Wire) -> str:
    """What a wire is connected to: the label of a pin of the header."""
    data = board.parts.get(hookup.of, {})
    if wire.to in data:
        return hardware.label(int(data[wire.to])) or f"GPIO{data[wire.to]}"
    return wire.to


def _parts(board: Board, hardware: Hardware, pads: list[PlacedPad]) -> list[PlacedPart]:
    """Each part on the side that most of its pins are on, from above in the order of its pins."""
    sides = {placed.pad.label: placed.side for placed in pads if placed.pad.gpio is not None}
    order = {placed.pad.label: n for group in (hardware.left, hardware.right) for n, placed in
             enumerate(PlacedPad(pad, "") for pad in group) if placed.pad.gpio is not None}  # fmt: skip
    found: list[tuple[float, PlacedPart]] = []
    rows = {"left": 0, "right": 0}
    for hookup in hardware.wiring:
        if hookup.on_board:
            continue
        wires = [PlacedWire(wire, net_of(board, hardware, hookup, wire)) for wire in hookup.wires]
        own = [sides[placed.net] for placed in wires if sides.get(placed.net) in rows]
        # One that is on power only goes where there is room.
        side = max(("left", "right"), key=own.count) if own else min(rows, key=lambda which: rows[which])
        at = [order[placed.net] for placed in wires if placed.net in order and sides[placed.net] == side]
        part = PlacedPart(hookup, side, wires)
        rows[side] += part.rows + 3
        found.append((sum(at) / len(at) if at else 1000.0, part))
    return [part for _, part in sorted(found, key=lambda pair: pair[0])]


def _place(layout: Layout) -> None:
    """Everything that does not depend on the tracks: all y, with the first pin of the board at 0."""
    longest = max(len(layout.hardware.left), len(layout.hardware.right), 1)
    for side in ("left", "right"):
        for n, pad in enumerate(p for p in layout.pads if p.side == side):
            pad.y = n * PITCH
    for side in ("left", "right"):
        parts = [part for part in layout.parts if part.side == side]
        nets = {placed.net for part in parts for placed in part.wires}
        own = [p.y for p in layout.pads if p.side == side and p.pad.gpio is not None and p.pad.label in nets]
        middle = sum(own) / len(own) if own else (longest - 1) * PITCH / 2
        ys: list[float] = []
        y = 0.0
        for part in parts:
            for n, placed in enumerate(part.wires):
                placed.y = y
                ys.append(y)
                y += part.step(n) * PITCH if n < len(part.wires) - 1 else PART_GAP
        if not ys:
            continue
        # Half way between two pins, and the column's middle beside that of its pins.
        shift = round((middle - (ys[0] + ys[-1]) / 2) / PITCH) * PITCH + PITCH / 2
        for part in parts:
            for placed in part.wires:
                placed.y += shift
            part.y = part.wires[0].y - PART_HEAD
    below = bool(layout.hardware.below)
    layout.board_y = -_BOARD_PAD
    layout.board_height = 2 * _BOARD_PAD + (longest - 1) * PITCH + (PITCH if below else 0)


class _Router:
    """Finds a track for each net on each side, and draws the wires."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._pads: dict[tuple[str, str], PlacedPad] = {}  # (side, net): the pin that serves it
        self._tracks: dict[str, list[str]] = {"left": [], "right": []}  # from the board outwards
        self._lanes: dict[str, list[str]] = {"above": [], "below": []}
        self._assign()

    def _terminals(self, side: str, net: str) -> list[PlacedWire]:
        return [w for p in self._layout.parts if p.side == side for w in p.wires if w.net == net]

    def _assign(self) -> None:
        for side in ("left", "right"):
            nets = dict.fromkeys(w.net for p in self._layout.parts if p.side == side for w in p.wires)
            for net in nets:
                ends = self._terminals(side, net)
                mean = sum(end.y for end in ends) / len(ends)
                pads = [p for p in self._layout.pads if p.pad.label == net]
                near = [p for p in pads if p.side == side] or pads
                pad = min(near, key=lambda p: abs(p.y - mean))
                pad.net = net
                self._pads[side, net] = pad
                self._use(side, net)
                if pad.side != side:
                    if pad.side != "below":
                        self._use(pad.side, net)
                    lanes = self._lanes[self._lane_of(pad)]
                    if net not in lanes:
                        lanes.append(net)

    def _use(self, side: str, net: str) -> None:
        if net not in self._tracks[side]:
            self._tracks[side].append(net)

    def _lane_of(self, pad: PlacedPad) -> str:
        high = self._layout.board_height - 2 * _BOARD_PAD
        return "below" if pad.side == "below" or pad.y > high / 2 else "above"

    # --- where tracks and lanes are -------------------------------------------------------------

    def _channel(self, side: str) -> float:
        return (len(self._tracks[side]) + 1) * TRACK

    def _frame(self) -> None:
        """All x, by the number of tracks."""
        layout = self._layout
        has_left = any(part.side == "left" for part in layout.parts)
        has_right = any(part.side == "right" for part in layout.parts)
        left = PART_WIDTH + STUB if has_left else 0
        layout.board_x = MARGIN + left + self._channel("left")
        edge = layout.board_x + BOARD_WIDTH
        layout.width = edge + self._channel("right") + (PART_WIDTH + STUB if has_right else 0) + MARGIN
        for part in layout.parts:
            part.x = MARGIN if part.side == "left" else layout.width - MARGIN - PART_WIDTH
            for placed in part.wires:
                placed.x = part.x + (PART_WIDTH if part.side == "left" else 0)
        below = [p for p in layout.pads if p.side == "below"]
        for placed_pad in layout.pads:
            placed_pad.x = layout.board_x if placed_pad.side == "left" else edge
        for n, placed_pad in enumerate(below):
            placed_pad.x = layout.board_x + BOARD_WIDTH * (n + 1) / (len(below) + 1)
            placed_pad.y = layout.board_y + layout.board_height

    def _x(self, side: str, net: str) -> float:
        n = self._tracks[side].index(net) + 1
        layout = self._layout
        return layout.board_x - n * TRACK if side == "left" else layout.board_x + BOARD_WIDTH + n * TRACK

    def _lane_y(self, net: str, lane: str) -> float:
        n = self._lanes[lane].index(net)
        layout = self._layout
        if lane == "above":
            first = (layout.board_y - PITCH) // PITCH * PITCH + PITCH / 4
            return first - n * PITCH / 2
        first = -(-(layout.board_y + layout.board_height + PITCH / 2) // PITCH) * PITCH + PITCH / 4
        return first + n * PITCH / 2

    # --- wires ------------------------------------------------------------------------------------

    def _wires(self, net: str) -> tuple[list[Segment], list[tuple[float, float]]]:
        """(pieces, joints) of a net with the tracks as they are."""
        on: dict[float, list[float]] = {}  # x of a vertical: where something is attached
        pieces: list[Segment] = []

        def attach(x: float, y: float) -> None:
            on.setdefault(x, []).append(y)

        lanes: dict[float, list[float]] = {}  # y of a lane: where
        done: set[int] = set()
        for side in ("left", "right"):
            pad = self._pads.get((side, net))
            if pad is None:
                continue
            x = self._x(side, net)
            for end in self._terminals(side, net):
                pieces.append(Segment(end.x, end.y, x, end.y))
                attach(x, end.y)
            if pad.side == side:
                pieces.append(Segment(pad.x, pad.y, x, pad.y))
                attach(x, pad.y)
                continue
            lane = self._lane_y(net, self._lane_of(pad))
            attach(x, lane)
            lanes.setdefault(lane, []).append(x)
            if id(pad) in done:
                continue
            done.add(id(pad))
            if pad.side == "below":
                pieces.append(Segment(pad.x, pad.y, pad.x, lane))
                lanes[lane].append(pad.x)
            else:
                far = self._x(pad.side, net)
                if self._pads.get((pad.side, net)) is not pad:
                    pieces.append(Segment(pad.x, pad.y, far, pad.y))
                    attach(far, pad.y)
                attach(far, lane)
                lanes[lane].append(far)
        joints: list[tuple[float, float]] = []
        for x, ys in on.items():
            if min(ys) < max(ys):
                pieces.append(Segment(x, min(ys), x, max(ys)))
            joints += [(x, y) for y in set(ys) if min(ys) < y < max(ys)]
        for y, xs in lanes.items():
            pieces.append(Segment(min(xs), y, max(xs), y))
            joints += [(x, y) for x in set(xs) if min(xs) < x < max(xs)]
        return [piece for piece in pieces if piece.length], joints

    def _nets(self) -> list[str]:
        return list(dict.fromkeys(net for _, net in self._pads))

    def _cost(self) -> float:
        """Crossings first, then length."""
        wires = {net: self._wires(net)[0] for net in self._nets()}
        crossings = 0
        for one, other in itertools.combinations(wires.values(), 2):
            crossings += sum(a.crosses(b) for a in one for b in other)
        return crossings * 100 + sum(p.length for pieces in wires.values() for p in pieces) / 100

    def route(self) -> None:
        """Exchange tracks and lanes as long as that makes the picture better, then draw it."""
        self._frame()
        best = self._cost()
        for _ in range(_SWAPS):
            before = best
            for group in (*self._tracks.values(), *self._lanes.values()):
                for i, j in itertools.combinations(range(len(group)), 2):
                    group[i], group[j] = group[j], group[i]
                    cost = self._cost()
                    if cost < best:
                        best = cost
                    else:
                        group[i], group[j] = group[j], group[i]
            if best == before:
                break
        layout = self._layout
        for net in self._nets():
            layout.nets[net], layout.joints[net] = self._wires(net)
        self._settle()

    def _settle(self) -> None:
        """Move all down so that the picture begins at 0."""
        layout = self._layout
        ys = [layout.board_y, layout.board_y + layout.board_height]
        ys += [y for part in layout.parts for y in (part.y, part.y + part.height)]
        ys += [y for pieces in layout.nets.values() for piece in pieces for y in (piece.y1, piece.y2)]
        down = HEADING + MARGIN - min(ys)
        layout.height = max(ys) + down + MARGIN
        layout.board_y += down
        things: Iterable[PlacedPad | PlacedPart | PlacedWire] = [
            *layout.pads,
            *layout.parts,
            *(wire for part in layout.parts for wire in part.wires),
        ]
        for thing in things:
            thing.y += down
        for net, pieces in layout.nets.items():
            layout.nets[net] = [Segment(p.x1, p.y1 + down, p.x2, p.y2 + down) for p in pieces]
            layout.joints[net] = [(x, y + down) for x, y in layout.joints[net]]
