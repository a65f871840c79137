"""A board in words: lines for a person, a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lunette import paths
from lunette.boards import wiring
from lunette.boards.model import Board
from lunette.boards.pins import advice, taken_by_board
from lunette.boards.subject import gpios


def summary(board: Board) -> tuple[str, str, str, str]:
    """(name, chip, what it has, image), for a list of boards."""
    image = board.image.name if board.image else "none"
    return board.name, board.chip_data.title, ", ".join(_has(board)), image


def _has(board: Board) -> list[str]:
    found = list(board.parts)
    if board.psram_mb:
        found.append(f"{board.psram_mb} MB PSRAM")
    return found


def limits(board: Board) -> dict[str, str]:
    """What the chip and the board bear, by name."""
    chip, hardware = board.chip_data, board.hardware
    taken = taken_by_board(chip, hardware)
    pads = {pad.gpio for pad in hardware.pads if pad.gpio is not None} if hardware and hardware.pads else None
    used = {pin for data in board.parts.values() for pin in data.values() if type(pin) is int}
    free = {pin for pin in chip.gpio - taken.keys() - chip.strapping if pads is None or pin in pads}
    found = {
        "flash": f"{board.flash_mb} MB, {board.flash_kb} KB of them for files"
        if board.flash_mb
        else f"{board.flash_kb} KB for files",
        "PSRAM": f"{board.psram_mb} MB ({hardware.psram})" if hardware and hardware.psram_mb else "none",
        "journal": f"{board.journal_kb} KB, {board.journal_kb * 1024 / 176 / 50:.0f} s of speech",
        "I2S ports": str(chip.i2s_ports),
        "wake by": gpios(chip.wake_pins - chip.strapping - taken.keys()),
        "ADC": gpios(chip.adc1 - taken.keys()),
        "strapping": gpios(chip.strapping),
        "free": gpios(free - used),
    }
    for device, pins in (hardware.on_board if hardware else {}).items():
        assert hardware is not None
        state = " (taken off: free)" if device in hardware.detached else ""
        found[device] = gpios(pins) + state
    return found


def draws(board: Board) -> dict[str, float]:
    """mA that the table of currents adds up to; empty without one."""
    table = board.currents
    if table is None:
        return {}
    mhz = sorted(table["cpu"])
    found = {
        "asleep, only the button wakes": table["deep_sleep"] + table["board"],
        "awake, Bluetooth on": table["cpu"][mhz[0]][0] + table["radio"] + table["board"],
    }
    if "mic" in table:
        faster = mhz[min(1, len(mhz) - 1)]
        found["recording"] = (
            table["cpu"][faster][0] + table["radio"] + table["board"] + table["mic"] + table.get("light", 0.0)
        )
    return {name: float(f"{value:.3g}") for name, value in found.items()}


def lines(board: Board) -> list[str]:
    """Everything about a board, for a person."""
    hardware, image = board.hardware, board.image
    found = [f"{board.title} ({board.name}), {board.chip_data.title}", ""]
    found += table([(name, _part(board, name)) for name in board.parts])
    found += ["", "limits", *_indent(table(list(limits(board).items())))]
    if wiring.rows(board):
        header = ("part", "from", "through", "to", "GPIO")
        cells = [
            (r.thing, r.terminal, r.through, r.to, "" if r.gpio is None else str(r.gpio))
            for r in wiring.rows(board)
        ]
        found += ["", "wiring", *_indent(table([header, *cells]))]
    if hardware is not None and hardware.bill:
        found += ["", "bill of materials"]
        found += _indent(table([(f"{count} x", what, note) for count, what, note in hardware.bill]))
    found += ["", "MicroPython"]
    if image is not None:
        found += _indent([image.name, image.url, f"others: {image.page}"])
    else:
        found += _indent(["no image is named" if hardware else "no hardware.py, which names the image"])
    if board.currents is not None:
        found += ["", "draws, by its table of currents (docs/power.md)"]
        found += _indent(table([(name, f"{ma:g} mA") for name, ma in draws(board).items()]))
        if board.battery_mah is not None:
            name = board.name if _ours(board) else board.path.parent
            found += _indent(
                [f"battery: {board.battery_mah:g} mAh; lunette energy --day light --board {name}"]
            )
    notes = advice(board.chip_data, board.parts)
    if notes:
        found += ["", "worth a thought", *_indent(notes)]
    return found


def _ours(board: Board) -> bool:
    return board.path.parent.parent == paths.BOARDS


def document(board: Board) -> dict[str, Any]:
    """The same as JSON values."""
    image = board.image
    return {
        "name": board.name,
        "title": board.title,
        "chip": board.chip,
        "path": str(board.path),
        "flash_mb": board.flash_mb,
        "psram_mb": board.psram_mb,
        "image": None
        if image is None
        else {"name": image.name, "version": image.version, "url": image.url, "page": image.page},
        "parts": board.parts,
        "limits": limits(board),
        "wiring": [vars(row) for row in wiring.rows(board)],
        "bill": [
            {"count": count, "what": what, "note": note}
            for count, what, note in (board.hardware.bill if board.hardware else ())
        ],
        "battery_mah": board.battery_mah,
        "draws_ma": draws(board),
        "notes": advice(board.chip_data, board.parts),
    }


def _part(board: Board, name: str) -> str:
    data = dict(board.parts[name])
    return ", ".join([data.pop("driver"), *(f"{key} {value}" for key, value in data.items())])


def table(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of texts as lines, with the columns one below the other."""
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
    return [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _indent(found: list[str]) -> list[str]:
    return [f"  {line}" for line in found]
