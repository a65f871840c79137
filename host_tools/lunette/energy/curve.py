"""What reachability costs: the average current of sleeping glasses that call every so many seconds.

Every point is the real firmware on virtual glasses, asleep for `BEACONS` beacons: boot, loading, starting
Bluetooth and advertising are in it as the board's table has them. Not in it: the fresh start after an hour of
light sleep, which adds less than 1 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lunette import boards, firmware
from lunette.energy import hearing
from lunette.energy.day import Day
from lunette.energy.run import DayResult, play
from lunette.errors import LunetteError

REACH_S = (2, 3, 5, 7, 10, 15, 20, 30, 45, 60)
MODES = ("deep", "light")
WORD = "okay_nabu"  # the largest of the models that there are
BEACONS = 33  # twice the period in which a beacon out of deep sleep looks at the battery, and one
_SETTINGS = {"grace_s": 10, "awake_s": 5}
_SETTLED_S = 120.0  # from a start until nothing changes any more
_WINDOW_S = 120.0


@dataclass(frozen=True)
class Curve:
    """mA of one board. `deep` and `light`: by `reach_s`, None where the board's table lacks the figure.
    `drawer`: asleep, only the button wakes it. `standby`: awake and advertising, long after use. `connected`:
    a host is there and wants nothing. `mhz`: the clock in both. `listening`: for the wake word `WORD` with
    nobody connected, found within the default of `reach_s`; `listening_connected`: with a host. None without
    the package that has its model."""

    board: str
    battery_mah: float | None
    reach_s: tuple[int, ...]
    deep: list[float]
    light: list[float] | None
    drawer: float
    standby: float
    connected: float
    mhz: int
    listening: float | None = None
    listening_connected: float | None = None

    def best(self, i: int) -> tuple[str, float]:
        """(kind of sleep, mA) at `reach_s[i]`: what costs less."""
        if self.light is not None and self.light[i] < self.deep[i]:
            return "light", self.light[i]
        return "deep", self.deep[i]

    def days(self, ma: float) -> float | None:
        """How long a full battery lasts at `ma`."""
        return None if self.battery_mah is None else self.battery_mah / ma / 24

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sleeping_ma(board: str, mode: str, reach_s: int, beacons: int = BEACONS) -> float:
    """The average current in sleep of that kind, over whole periods of `reach_s`."""
    result = _play(board, {"sleep": mode, "reach_s": reach_s}, 30.0 + reach_s * (beacons + 1.5), near=False)
    starts = [i for i, state in enumerate(result.states) if state[2] == "sleep"]
    first, last = starts[1], starts[-1]  # the first sleep is not like the others: who has just been awake
    spent = sum(state[4] for state in result.states[first:last])
    return spent * 3600 / (result.states[last][0] - result.states[first][0])


def drawer_ma(board: str) -> float:
    """Asleep without beacons."""
    return _settled_ma(board, {"reach_s": 0, "sleep": "deep"}, near=False)


def standby_ma(board: str) -> float:
    """Awake, and nobody there."""
    return _settled_ma(board, {"sleep": "never"}, near=False)


def connected_ma(board: str) -> float:
    """A host is connected, and nothing is said."""
    return _settled_ma(board, {"sleep": "never", "linger_s": 0}, near=True)


def listening_ma(board: str, near: bool) -> float | None:
    """A wake word is listened for; `near`: with a host connected. None without its model."""
    try:
        hearing.model(WORD)
    except LunetteError:
        return None
    return _settled_ma(board, {"wakeword": WORD, "linger_s": 0}, near)


def measure(
    board: str, kinds: tuple[str, ...], reach_s: tuple[int, ...], *, progress: Callable[[float], None]
) -> list[list[float]]:
    """`sleeping_ma` for each of `kinds` at each of `reach_s`; `progress` is told which part is done."""
    found: list[list[float]] = []
    for mode in kinds:
        found.append([])
        for reach in reach_s:
            found[-1].append(sleeping_ma(board, mode, reach))
            progress(sum(map(len, found)) / len(kinds) / len(reach_s))
    return found


def measure_rest(board: str, *, progress: Callable[[float], None]) -> tuple[float | None, ...]:
    """(drawer, standby, connected, listening, listening with a host)"""
    return (
        drawer_ma(board),
        standby_ma(board),
        connected_ma(board),
        listening_ma(board, near=False),
        listening_ma(board, near=True),
    )


def modes(board: str) -> tuple[str, ...]:
    """Kinds of sleep that the board's table has figures for."""
    return MODES if "light_sleep" in (boards.load(board).currents or {}) else MODES[:1]


def assemble(board: str, found: Iterator[Any]) -> Curve:
    """From the results of `measure` for each of `modes` by itself, and of `measure_rest`."""
    asleep = [next(found)[0] for _ in modes(board)]
    drawer, standby, connected, *listening = next(found)
    return Curve(
        board,
        boards.load(board).battery_mah,
        REACH_S,
        asleep[0],
        asleep[1] if len(asleep) > 1 else None,
        drawer,
        standby,
        connected,
        firmware.load("states").TABLE["connected"].mhz,
        *listening,
    )


def _play(board: str, settings: dict[str, Any], seconds: float, near: bool) -> DayResult:
    day = Day("curve", seconds=seconds, settings=_SETTINGS | settings)
    day.near = [(0.0, seconds)] if near else []
    return play(day, board)


def _settled_ma(board: str, settings: dict[str, Any], near: bool) -> float:
    seconds = _SETTLED_S + _WINDOW_S
    curve = _play(board, settings, seconds, near).curve
    first = next(point for point in curve if point[0] >= _SETTLED_S)
    return (curve[-1][1] - first[1]) * 3600 / (curve[-1][0] - first[0])
