"""The glasses that are looked at: their prompt under a check's time limit, their board, their wires."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from lunette import boards
from lunette.boards import Board
from lunette.console import Prompt
from lunette.deploy import layout
from lunette.doctor.model import Finding, State
from lunette.errors import LunetteError
from lunette.finding import Backends

# Where the firmware lies: in the folder that /boot.py names, or (a plain copy) in the root or /lib. Where
# /boot.py has run, sys.path is as it should be.
_PATH = """
import sys
base = ""
try:
    with open("/boot.py") as file:
        text = file.read(1024)
    for folder in %r:
        if '"%%s"' %% folder in text:
            base = folder
except OSError:
    pass
if base and base not in sys.path:
    sys.path.insert(0, base)
old = sys.modules.get("glasses")
if base and old and not old._instance and not old.__file__.startswith(base + "/"):
    # Of the version before, which ran when this one was deployed.
    sys.path.remove(base)
    sys.path.insert(0, base)
    for name in list(sys.modules):
        if name == "board" or name.split(".")[0] == "glasses":
            del sys.modules[name]
"""
_BOARD = """
import json
try:
    import board
    print(json.dumps([getattr(board, name, None) for name in ("NAME", "CHIP", "PARTS", "JOURNAL_KB")]))
except ImportError:
    print("null")
"""
_LEAST_S = 0.5
_BACK_S = 6.0


def _path_code() -> str:
    """Program that puts the firmware's folder into sys.path, and into `base` ("" for a plain copy)."""
    return _PATH % (layout.FOLDERS,)


class Person(Protocol):
    """Who can be asked. `there` is False where nobody can."""

    there: bool

    def tell(self, text: str) -> None:
        """What to do now; it takes the place of what was told before."""

    def yes(self, question: str) -> bool:
        """A question that is answered with yes or no."""


class Nobody:
    """Nobody can be asked."""

    there = False

    def tell(self, text: str) -> None:
        pass

    def yes(self, question: str) -> bool:
        raise RuntimeError("nobody is there to be asked")


class Patient:
    """What checks look at. `port` is a name, or gives one when a prompt is needed. `named` is the board that
    the user named, `virtual` whether the air is a simulated one,
    `backends` gives the Bluetooth to listen with.

    `prompt` is None until `open`; `running` says that glasses go on behind it.
    """

    def __init__(
        self,
        *,
        port: str | Callable[[], str] = "",
        named: str | None = None,
        person: Person | None = None,
        virtual: bool = False,
        backends: Callable[[], Backends] = Backends,
    ):
        self._port = port
        self.person: Person = person or Nobody()
        self.virtual = virtual
        self.backends = backends
        self.port = ""
        self.prompt: Prompt | None = None
        self.running = False
        self.was_running = False
        self._named = boards.load(named) if named else None
        self._board: Board | Declared | None = None
        self._asked = False
        self._until = 0.0

    # --- the prompt ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Raises LunetteError, which says why there is no prompt."""
        self.port = self._port if isinstance(self._port, str) else self._port()
        self.prompt = Prompt.open(self.port, stay=True)
        self.running = self.was_running = self.prompt.interrupted

    def close(self) -> None:
        if self.prompt is not None:
            self.prompt.close()
            self.prompt = None

    def recover(self, lost: bool = False) -> bool:
        """Get the prompt back, by Ctrl-C or a reset; False if the chip stays silent. `lost`: the port was."""
        assert self.prompt is not None
        if lost:
            # The chip's own USB goes away with a reset, and comes back.
            self.prompt.close()
            try:
                self.prompt = Prompt.open(self.port, wait_s=_BACK_S, stay=True)
            except LunetteError:
                return False
        elif not self.prompt.recover():
            return False
        self.running = self.prompt.interrupted
        return True

    def stop(self) -> None:
        """Nothing but what is run here is to use the parts: a clean interpreter, without main.py."""
        assert self.prompt is not None
        self.prompt.soft_reset()
        self.running = False

    def start(self) -> None:
        """Start the glasses again."""
        assert self.prompt is not None
        self.prompt.start()

    # --- time and programs -------------------------------------------------------------------------

    def limit(self, seconds: float) -> None:
        """All that is run from here on ends within so many seconds."""
        self._until = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        return max(_LEAST_S, self._until - time.monotonic())

    def run(self, code: str, timeout_s: float = 10.0) -> str:
        """What the program prints there. Raises what `Prompt.run` does."""
        assert self.prompt is not None
        return self.prompt.run(code, min(timeout_s, self.left_s))

    def ask(self, code: str, timeout_s: float = 10.0) -> Any:
        """The last line that the program prints, from JSON."""
        return json.loads(self.run(code, timeout_s).strip().rpartition("\n")[2])

    def find_firmware(self) -> str:
        """Have sys.path name the firmware's folder; returns it, "" for a plain copy."""
        return self.run(_path_code() + "print(base)").strip()

    # --- the board -----------------------------------------------------------------------------------

    @property
    def own_board(self) -> Declared | None:
        """What board.py on the glasses says, None without one."""
        if not self._asked:
            self.find_firmware()
            said = self.ask(_BOARD)
            self._board = Declared(*said) if said else None
            self._asked = True
        return self._board if isinstance(self._board, Declared) else None

    @property
    def board(self) -> Board | Declared | None:
        """The board that was named, else that of the glasses."""
        return self._named or self.own_board

    @property
    def named(self) -> Board | None:
        return self._named

    @property
    def known_board(self) -> Board | None:
        """The same as the host knows it, with its hardware; None if it is none of this checkout's."""
        board = self.board
        if isinstance(board, Declared):
            try:
                return boards.load(board.name) if board.name in boards.names() else None
            except LunetteError:
                return None
        return board

    def part(self, name: str) -> dict[str, Any] | None:
        board = self.board
        return board.parts.get(name) if board is not None else None

    def cannot(self, name: str, driver: str) -> Finding | None:
        """Why that part is not looked at: the board lacks it, or its driver is another. None if it can be."""
        if self.board is None:
            return Finding(
                State.skipped, "whose parts? the glasses have no board's data", "name the board with --board"
            )
        data = self.part(name)
        if data is None:
            return Finding(State.skipped, f"board {self.board.name} has none")
        if data.get("driver") != driver:
            return Finding(State.skipped, f"nothing is known of the driver {data.get('driver')!r}")
        return None

    def pin(self, gpio: int) -> str:
        """A pin in words: ``GPIO9 (D10)``."""
        label = self._label(gpio)
        return f"GPIO{gpio} ({label})" if label else f"GPIO{gpio}"

    def wire(self, name: str, gpio: int) -> str:
        """A part's terminal and its pin in words: ``SD (GPIO9, D10)``."""
        label = self._label(gpio)
        return f"{name} (GPIO{gpio}{f', {label}' if label else ''})"

    def _label(self, gpio: int) -> str | None:
        """What is printed on the board there, if that is not just the number."""
        board = self.known_board
        label = board.hardware.label(gpio) if board and board.hardware else None
        return None if label is None or label.lstrip("GPIO") == str(gpio) else label


class Declared:
    """A board as the glasses' own board.py declares it, unchecked."""

    def __init__(self, name: Any, chip: Any, parts: Any, journal_kb: Any):
        self.name = str(name)
        self.chip = str(chip)
        self.parts: dict[str, dict[str, Any]] = {
            key: data for key, data in (parts or {}).items() if isinstance(data, dict)
        }
        self.journal_kb = int(journal_kb or 0)
