"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lunette.doctor.patient import Patient


class State(str, Enum):
    """How a check ended. Only `failed` and `not_run` make the command fail."""

    ok = "ok"
    warning = "warning"
    failed = "failed"
    skipped = "skipped"
    not_run = "not run"


@dataclass
class Finding:
    """What a check found. `text` is one line, `todo` what to do about it ("" where nothing is), `data` the
    figures behind it, of what JSON can say, `more` further lines for people."""

    state: State
    text: str
    todo: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """The end of one check."""

    check: str
    finding: Finding
    seconds: float

    @property
    def bad(self) -> bool:
        return self.finding.state in (State.failed, State.not_run)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "check": self.check,
            "result": self.finding.state.value,
            "finding": self.finding.text,
            "todo": self.finding.todo,
            "seconds": round(self.seconds, 3),
            "data": self.finding.data,
        }


class Where(Enum):
    """What a check needs: this computer, the glasses' prompt, or glasses on which nothing else runs."""

    host = 0
    prompt = 1
    parts = 2


@dataclass(frozen=True)
class Check:
    """`run(patient)` looks at one thing. `limit_s` bounds all that it has run on the glasses."""

    name: str
    what: str
    where: Where
    limit_s: float
    run: Callable[[Patient], Finding]


class Findings:
    """Collects what one check finds in several places; the worst of it is its end."""

    def __init__(self) -> None:
        self._good: list[str] = []
        self._bad: dict[State, list[tuple[str, str]]] = {State.failed: [], State.warning: []}
        self.data: dict[str, Any] = {}
        self.more: list[str] = []

    def good(self, text: str) -> None:
        self._good.append(text)

    def warn(self, text: str, todo: str) -> None:
        self._bad[State.warning].append((text, todo))

    def fail(self, text: str, todo: str) -> None:
        self._bad[State.failed].append((text, todo))

    @property
    def failed(self) -> bool:
        return bool(self._bad[State.failed])

    def finding(self) -> Finding:
        """All of it in one, what is wrong first."""
        bad = self._bad[State.failed] + self._bad[State.warning]
        if not bad:
            return Finding(State.ok, "; ".join(self._good), "", self.data, tuple(self.more))
        state = State.failed if self.failed else State.warning
        todo = "; ".join(dict.fromkeys(todo for _, todo in bad))
        return Finding(state, "; ".join(text for text, _ in bad), todo, self.data, tuple(self.more))
