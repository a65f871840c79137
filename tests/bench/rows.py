"""A row of the bench: what was measured, what it is compared with, and whether that is good enough."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_GOAL = re.compile(r"(<=|>=|==|<|>) (-?\d+(?:\.\d+)?)")


def meets(number: float, goal: str) -> bool:
    """Whether `number` is what a goal like ``<= 1.3`` asks for. ValueError for another form of goal."""
    found = _GOAL.fullmatch(goal)
    if found is None:
        raise ValueError(f"goal {goal!r}: a relation, a space and a number are needed")
    return bool(_RELATIONS[found[1]](number, float(found[2])))  # numpy's bool is none to JSON


@dataclass(frozen=True)
class Row:
    """`value` in `unit`; None if it could not be measured, and `note` says why.

    `reference` is a value in the same unit, measured or computed in the same run, and `against` says
    of what. The goal is about the ratio to the reference where there is one, else about the value.
    Raises ValueError for what is not finite and for a goal that is none.
    """

    name: str
    value: float | None
    unit: str
    reference: float | None = None
    against: str | None = None
    goal: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for number in (self.value, self.reference):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.name}: {number} is not finite")
        if (self.reference is None) != (self.against is None):
            raise ValueError(f"{self.name}: a reference needs a name, and a name a reference")
        if self.goal is not None:
            meets(0, self.goal)

    @property
    def ratio(self) -> float | None:
        if self.value is None or not self.reference:
            return None
        return self.value / self.reference

    @property
    def ok(self) -> bool | None:
        """None without a goal. A row without a value has failed."""
        if self.value is None:
            return False
        if self.goal is None:
            return None
        if self.reference is None:
            return meets(self.value, self.goal)
        # A reference of nothing has no ratio, so nothing was reached either.
        return self.ratio is not None and meets(self.ratio, self.goal)

    def as_json(self) -> dict[str, Any]:
        """The row as in bench.json: keys that do not apply are left out."""
        entry: dict[str, Any] = {"name": self.name, "value": _short(self.value), "unit": self.unit}
        extra = {
            "reference": _short(self.reference),
            "against": self.against,
            "ratio": _short(self.ratio),
            "goal": self.goal,
            "ok": self.ok,
            "note": self.note,
        }
        return entry | {key: value for key, value in extra.items() if value is not None}


def _short(number: float | None) -> float | None:
    """Six digits: no measurement here is better than that."""
    if number is None:
        return None
    short = float(f"{number:.6g}")  # numpy's numbers too, which JSON would not take
    return int(short) if short.is_integer() else short


def failed(name: str, error: BaseException) -> Row:
    """The row of a measurement that raised."""
    lines = str(error).strip().splitlines()
    return Row(name, None, "", note=f"{type(error).__name__}: {lines[0] if lines else '?'}"[:200])
