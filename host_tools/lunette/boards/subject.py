"""What complaints about a board have in common: the board, the key, what is there, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lunette.errors import LunetteError


@dataclass(frozen=True)
class Kind:
    """What a value must be: `fits` tests it, `words` say it after "not" and "make it"."""

    fits: Callable[[Any], bool]
    words: str


def whole(low: int, high: int) -> Kind:
    """An integer from `low` to `high`; True is none."""
    return Kind(lambda value: type(value) is int and low <= value <= high, f"a number from {low} to {high}")


def number(low: float, high: float) -> Kind:
    """An integer or a float from `low` to `high`."""
    return Kind(
        lambda value: type(value) in (int, float) and low <= value <= high,
        f"a number from {low:g} to {high:g}",
    )


def one_of(*values: Any) -> Kind:
    """One of `values`, and of their type: 1 is not True."""
    return Kind(
        lambda value: any(type(value) is type(fit) and value == fit for fit in values),
        " or ".join(repr(value) for value in values),
    )


TEXT = Kind(lambda value: isinstance(value, str) and value.strip() != "", "a text")
DICT = Kind(lambda value: isinstance(value, dict), "a dict")


def key_of(table: str, *keys: Any) -> str:
    """How the place is written in the file: ``PARTS["mic"]["sck"]``."""
    return table + "".join(f'["{key}"]' if isinstance(key, str) else f"[{key!r}]" for key in keys)


def gpios(pins: Iterable[int]) -> str:
    """Pins for a person: "GPIO 1, 2, 4 to 9"; "none" for none."""
    runs: list[list[int]] = []
    for pin in sorted(pins):
        if runs and pin == runs[-1][1] + 1:
            runs[-1][1] = pin
        else:
            runs.append([pin, pin])
    shown: list[str] = []
    for first, last in runs:
        if last - first > 1:
            shown.append(f"{first} to {last}")
        else:
            shown += [str(pin) for pin in range(first, last + 1)]
    return "GPIO " + ", ".join(shown) if shown else "none"


@dataclass(frozen=True)
class Subject:
    """The board that is being checked, and the file that is to be put right."""

    board: str
    file: str = "board.py"

    def error(self, text: str, todo: str) -> LunetteError:
        """The complaint as an error, to be raised: what is wrong, then what to do about it."""
        return LunetteError(f"board {self.board}: {text}; {todo}")

    def need(self, where: str, value: Any, kind: Kind) -> None:
        """Raises LunetteError if `value`, written at `where`, is not of that kind."""
        if not kind.fits(value):
            raise self.error(f"{where} is {value!r}, not {kind.words}", f"put that right in {self.file}")

    def keys(
        self, where: str, table: Mapping[Any, Any], needed: Iterable[str], allowed: Iterable[str] = ()
    ) -> None:
        """Raises LunetteError if `table`, written at `where`, lacks one of `needed` or has one that is
        neither needed nor `allowed`."""
        needed = tuple(needed)
        for key in needed:
            if key not in table:
                raise self.error(f'{where} lacks "{key}"', f"add it in {self.file}")
        known = (*needed, *allowed)
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(known))}"
                raise self.error(
                    f"{key_of(where, key)} is no known key", f"take it out of {self.file} ({hint})"
                )
