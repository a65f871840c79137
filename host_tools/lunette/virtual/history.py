"""What the firmware said of itself, over all its starts in a scene: its counters begin anew with each."""

from __future__ import annotations

from typing import Any

# These say how things stand; all others count up.
_STANDING = {"journal.slots", "journal.free", "journal.recordings"}
_HIGHEST = {"journal.high_water"}
_HEAP = ("start", "end", "peak", "bytes_per_frame")


class History:
    """`keep` the status from time to time; the last one of each start counts."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], dict[str, Any]] = {}

    def keep(self, status: dict[str, Any], start: int = 0) -> None:
        """`start` tells starts of the same boot number apart: wake-ups."""
        self._last[int(status["boot"]), start] = status

    def counters(self) -> dict[str, int]:
        """Every counter: the sum over all starts, or how things stand in the last one."""
        total: dict[str, int] = {}
        for status in self._last.values():
            for name, value in status["counters"].items():
                if name in _STANDING:
                    total[name] = value
                elif name in _HIGHEST:
                    total[name] = max(total.get(name, 0), value)
                else:
                    total[name] = total.get(name, 0) + value
        return total

    def states(self) -> dict[str, float]:
        """Seconds in each power state over all starts. A wake-up goes on with those of before."""
        total: dict[str, float] = {}
        for status in {boot: status for (boot, _), status in self._last.items()}.values():
            for state, seconds in status["states"].items():
                total[state] = round(total.get(state, 0.0) + seconds, 3)
        return total

    def heap(self) -> dict[str, float | None]:
        """Of the last start that was heard of; None without any."""
        last = list(self._last.values())[-1]["heap"] if self._last else {}
        return {key: last.get(key) for key in _HEAP}
