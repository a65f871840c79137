"""What a board is, once its data has been read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lunette.chips import CHIPS, ChipData
from lunette.errors import LunetteError

_DOWNLOADS = "https://micropython.org"


@dataclass(frozen=True)
class Image:
    """A MicroPython image as micropython.org offers it. `board`, `variant` ("" for the plain one), `date` and
    `version` make its file's name."""

    board: str
    variant: str
    date: str
    version: str

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.board}{'-' if self.variant else ''}{self.variant}-{self.date}-{self.version}.bin"

    @property
    def url(self) -> str:
        """Where the file is."""
        return f"{_DOWNLOADS}/resources/firmware/{self.name}"

    @property
    def page(self) -> str:
        """Where a person finds it, and others."""
        return f"{_DOWNLOADS}/download/{self.board}/"


@dataclass(frozen=True)
class Pad:
    """A pin of the board's header: what is printed beside it, and the GPIO, None for power."""

    label: str
    gpio: int | None = None


@dataclass(frozen=True)
class Wire:
    """From a part's `terminal` to the board, or through `resistor` if that is not "".

    `to` is a key of the part's data (then the pin is what that says), or the label of a power pad.
    """

    terminal: str
    to: str
    resistor: str = ""


@dataclass(frozen=True)
class Hookup:
    """How one thing is connected: a part, or something beside it (a resistor, the cell).

    `name` is its key in WIRING, `of` the part whose data its wires mean (often the same). `between` has what
    sits between terminal n and n + 1, "" for nothing. A part that is on the board already has no wires but
    `on_board`, the device there.
    """

    name: str
    of: str
    what: str
    wires: tuple[Wire, ...] = ()
    between: tuple[str, ...] = ()
    on_board: str = ""


@dataclass(frozen=True)
class Hardware:
    """What only the host needs to know of a board. `psram` is the kind that it has, or "". `on_board` maps
    what sits on the board to its pins, `detached` names those that are taken off. `usb` is the
    edge with the socket, "top", "bottom" or "" for none. `bill` is (count, what, note) a line."""

    title: str
    path: Path
    flash_mb: int
    psram_mb: int = 0
    psram: str = ""
    image: Image | None = None
    left: tuple[Pad, ...] = ()
    right: tuple[Pad, ...] = ()
    below: tuple[Pad, ...] = ()
    usb: str = ""
    on_board: dict[str, tuple[int, ...]] = field(default_factory=dict)
    detached: tuple[str, ...] = ()
    wiring: tuple[Hookup, ...] = ()
    bill: tuple[tuple[int, str, str], ...] = ()

    @property
    def pads(self) -> tuple[Pad, ...]:
        """All pins of the header: left from the top, right from the top, below."""
        return self.left + self.right + self.below

    def label(self, gpio: int) -> str | None:
        """What is printed beside that pin; None if it is on no header."""
        return next((pad.label for pad in self.pads if pad.gpio == gpio), None)

    def hookup(self, part: str) -> Hookup | None:
        """How `part` is connected."""
        return next((hookup for hookup in self.wiring if hookup.name == part), None)


@dataclass(frozen=True)
class Board:
    """A board's data. `parts` maps a part's name to its data, `path` is the file it came from.

    `battery_mah` is None for a board without a battery, `currents` (what draws how much) where nobody has
    written them down, `hardware` where there is no hardware.py.
    """

    name: str
    chip: str
    parts: dict[str, dict[str, Any]]
    path: Path
    flash_kb: int
    heap_kb: int
    battery_mah: float | None = None
    currents: dict[str, Any] | None = None
    journal_kb: int = 0
    hardware: Hardware | None = None

    def pin(self, part: str) -> int:
        """GPIO of a part with a single pin. Raises LunetteError when the board has no such part."""
        data = self.parts.get(part)
        if data is None or "pin" not in data:
            have = ", ".join(sorted(p for p in self.parts if "pin" in self.parts[p]))
            raise LunetteError(f"board {self.name} has no {part}: use one of {have or 'no parts at all'}")
        return int(data["pin"])

    @property
    def chip_data(self) -> ChipData:
        return CHIPS[self.chip]

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.hardware.title if self.hardware else self.name

    @property
    def image(self) -> Image | None:
        """The MicroPython image for it; None where there is none (the virtual board) or it is not known."""
        return self.hardware.image if self.hardware else None

    @property
    def flash_mb(self) -> int | None:
        """MB of flash, None where nobody has said so."""
        return self.hardware.flash_mb if self.hardware else None

    @property
    def psram_mb(self) -> int:
        """MB of PSRAM, 0 without."""
        return self.hardware.psram_mb if self.hardware else 0
