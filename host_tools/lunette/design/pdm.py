"""The filters that make sound of a PDM microphone's bits (``firmware/glasses/dsp/pdm.py``).

    python -m lunette.design.pdm            prints the coefficients as the firmware has them, and the response
    python -m lunette.design.pdm --check    says only whether the firmware has them

Three filters, designed together, since what counts is their product:

1. at 1024 kHz, 128 taps, every 32nd output: by look-up, so its taps may be any integers, but none negative,
   and their sum fits 16 bits. It may droop towards 6.5 kHz, which spares it half of its length.
2. at 32 kHz, half-band (every second tap is zero), 31 taps, every second output.
3. at 16 kHz, y = x - x'/8: takes the droop back.

Both designs are minimax, by linear programming: the largest response in the stop band, weighted, is made as
small as it gets. Of the first filter the weight rises with the frequency, as the noise of a sigma-delta
modulator does; of the second it is what the other two let through there.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from lunette import paths

Floats = NDArray[np.float64]

PDM_HZ = 1_024_000
MIDDLE_HZ = 32_000
OUT_HZ = 16_000
PASS_HZ = 6_500
STOP_HZ = 9_500
TAPS = 128
PAIRS = 8
LIFT_SHIFT = 3
SUM = 65_535
"""Of the first filter's taps at most: its output is a number of 16 bits."""
SHIFT = 14
"""Of the output without gain: full scale is 2**(15 + SHIFT)."""

_RIPPLE = 0.06
_FIRST_STOP_HZ = 24_500  # down to 22.5 kHz the second filter helps: what is there comes out at 8 to 9.5 kHz
_SUM_WANTED = 65_280  # of the sums just below SUM, the one whose whole taps let the least noise through


@dataclass(frozen=True)
class Filters:
    """`first`: the outer half of the first filter's taps, from its end to its middle. `centre` and `second`:
    the half-band's middle tap, then those at the distances 1, 3, 5... `middle` is what the output's sum is in
    silence (as many ones as zeros)."""

    first: tuple[int, ...]
    centre: int
    second: tuple[int, ...]

    @property
    def middle(self) -> int:
        level = sum(self.first) * (self.centre + 2 * sum(self.second))
        return level - (level >> LIFT_SHIFT)

    def response(self, hz: Floats) -> Floats:
        """Of the three together at these frequencies, real: 1 is full scale at 0 Hz. Without the delay."""
        first = _cosines(hz / PDM_HZ, np.arange(TAPS // 2) + 0.5) @ np.array(self.first[::-1], float)
        odd = 2 * np.arange(len(self.second)) + 1
        second = self.centre + _cosines(hz / MIDDLE_HZ, odd) @ np.array(self.second, float)
        return np.asarray(first * second * _lift(hz) * (1 - 2.0**-LIFT_SHIFT) / 2.0 ** (16 + SHIFT))


def _cosines(cycles: Floats, distances: Any) -> Floats:
    """What pairs of taps at these distances from the middle give, a row for each frequency."""
    return np.asarray(2 * np.cos(2 * np.pi * np.outer(cycles, distances)))


def _lift(hz: Floats) -> Floats:
    """Magnitude of the third filter, 1 at 0 Hz."""
    share = 2.0**-LIFT_SHIFT
    return np.asarray(np.abs(1 - share * np.exp(-2j * np.pi * hz / OUT_HZ)) / (1 - share))


def _solve(rows: Any, limits: Any, unknowns: int, least: float | None) -> Floats:
    """The unknowns that keep `rows` @ (unknowns, d) <= `limits` with the smallest d."""
    goal = np.r_[np.zeros(unknowns), 1.0]
    found = linprog(goal, rows, limits, bounds=[(least, None)] * unknowns + [(0, None)], method="highs")
    if not found.success:
        raise ArithmeticError(found.message)
    return np.asarray(found.x[:-1])


def _first() -> Floats:
    """From the middle outwards, 1 at 0 Hz up to its ripple."""
    distances = np.arange(TAPS // 2) + 0.5
    passed = np.linspace(0, PASS_HZ, 60)
    stopped = np.r_[np.linspace(_FIRST_STOP_HZ, 60e3, 800), np.linspace(60e3, PDM_HZ / 2, 1600)[1:]]
    at, stop = _cosines(passed / PDM_HZ, distances), _cosines(stopped / PDM_HZ, distances)
    weight = ((_FIRST_STOP_HZ / stopped) ** 1.25)[:, None]
    wanted = 1 / _lift(passed)
    none = np.zeros((len(passed), 1))
    rows = np.vstack(
        [
            np.hstack([stop, -weight]),
            np.hstack([-stop, -weight]),
            np.hstack([at, none]),
            np.hstack([-at, none]),
        ]
    )
    limits = np.r_[np.zeros(2 * len(stopped)), wanted * (1 + _RIPPLE), -wanted * (1 - _RIPPLE)]
    return _solve(rows, limits, len(distances), 0)


def _second(first: Floats) -> Floats:
    """At the distances 1, 3, 5... for a middle tap of 1/2."""
    odd = 2 * np.arange(PAIRS) + 1
    stopped = np.linspace(STOP_HZ, MIDDLE_HZ / 2, 600)
    others = np.abs(_cosines(stopped / PDM_HZ, np.arange(TAPS // 2) + 0.5) @ first) * _lift(stopped)
    stop = _cosines(stopped / MIDDLE_HZ, odd) * others[:, None]
    one = np.ones((len(stopped), 1))
    rows = np.vstack([np.hstack([stop, -one]), np.hstack([-stop, -one])])
    return _solve(rows, np.r_[-0.5 * others, 0.5 * others], PAIRS, None)


def noises(hz: Floats) -> tuple[Floats, Floats]:
    """Noise of two modulators, for bits of +-1, as densities (the mean over half of PDM_HZ is the power): one
    of second order, which rises all the way, and one of higher order, flat from 70 kHz on."""
    rising = (2 * np.sin(np.pi * hz / PDM_HZ)) ** 4 / 3
    return rising, 0.56 / (1 + (70e3 / np.maximum(hz, 1)) ** 6)


def _whole(wanted: Floats, second: Floats) -> NDArray[np.int64]:
    """`wanted` in integers, of which none is negative: what their errors let through of the noise is made as
    small as changing one or two of them by 1 can make it. Rounding lets through twice as much, and more."""
    hz = np.arange(20_000, PDM_HZ / 2, 100)
    distances = np.arange(TAPS // 2) + 0.5
    others = 0.5 + _cosines(hz / MIDDLE_HZ, 2 * np.arange(PAIRS) + 1) @ second
    rising, flat = noises(hz)
    # The last term keeps the stop band's beginning as it was designed.
    weight = (rising / 8 + flat + 2 * ((hz > 23_500) & (hz < 70_000))) * (others * _lift(hz)) ** 2
    table = _cosines(hz / PDM_HZ, distances)
    power = table.T @ (weight[:, None] * table)
    one = np.eye(len(wanted))
    moves = np.vstack([one, -one, *(one - row for row in one)])
    slope, bend = 2 * moves @ power, np.einsum("mi,ij,mj->m", moves, power, moves)
    taps = np.rint(wanted)
    while True:
        change = slope @ (taps - wanted) + bend
        change[((taps + moves) < 0).any(axis=1)] = np.inf
        best = int(np.argmin(change))
        if change[best] > -1e-9 * bend.max():
            return taps.astype(np.int64)
        taps += moves[best]


def design() -> Filters:
    """All of it, in the firmware's integers."""
    first = _first()
    second = _second(first)
    taps = _whole(first * (_SUM_WANTED / (2 * first.sum())), second)
    total = 2 * int(taps.sum())
    assert total <= SUM
    # Full scale at 0 Hz is total * size / 2 less an eighth of it, and is to be 2**(15 + SHIFT).
    size = 2.0 ** (16 + SHIFT) / (total * (1 - 2.0**-LIFT_SHIFT)) / (0.5 + 2 * second.sum())
    return Filters(
        tuple(int(tap) for tap in taps[::-1]),
        round(size / 2),
        tuple(int(tap) for tap in np.rint(second * size)),
    )


def carried() -> Filters:
    """What the firmware has, read from its source."""
    source = (paths.FIRMWARE / "glasses" / "dsp" / "pdm.py").read_text()
    listed = re.search(r"_TAPS = array\(\s*\"H\",\s*\((.*?)\)", source, re.S)
    constants = {name: int(value) for name, value in re.findall(r"(_\w+) = const\((-?\d+)\)", source)}
    first = tuple(int(number) for number in re.findall(r"\d+", listed[1])) if listed else ()
    return Filters(first, constants["_CENTRE"], tuple(constants[f"_TAP_{2 * k + 1}"] for k in range(PAIRS)))


def _db(value: Any) -> Any:
    return 20 * np.log10(np.abs(value) + 1e-9)


def _report(filters: Filters) -> str:
    first = ", ".join(map(str, filters.first))
    lines = [f"_TAPS = ({first})", f"_CENTRE = {filters.centre}"]
    lines += [f"_TAP_{2 * k + 1} = {tap}" for k, tap in enumerate(filters.second)]
    lines += [f"_MIDDLE = {filters.middle}", ""]
    hz = np.arange(0, PDM_HZ / 2 + 1, 12.5)
    level = _db(filters.response(hz))
    for at in (100, 1000, 2000, 3000, 4000, 5000, 6000, 6500, 7000, 8000, 9000):
        lines.append(f"{at:6} Hz {level[np.searchsorted(hz, at)]:7.2f} dB")
    passed, stopped = level[(hz >= 100) & (hz <= PASS_HZ)], hz >= STOP_HZ
    worst = int(np.argmax(np.where(stopped, level, -np.inf)))
    lines.append(f"100 to {PASS_HZ} Hz: {passed.min():+.2f} to {passed.max():+.2f} dB")
    lines.append(f"from {STOP_HZ} Hz on: {level[worst]:.1f} dB at most, at {hz[worst]:.0f} Hz")
    for what, density in zip(("second-order", "higher-order"), noises(hz), strict=True):
        aliases = (density * 10 ** (level / 10))[stopped].sum() / len(hz)
        lines.append(f"aliases of a {what} modulator's noise: {10 * np.log10(aliases):.1f} dB of full scale")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lunette.design.pdm", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="compare with the firmware, say no more")
    check = parser.parse_args().check
    filters = design()
    same = check and carried() == filters
    print(("the firmware has them" if same else "the firmware has others") if check else _report(filters))
    return 0 if same or not check else 1


if __name__ == "__main__":
    sys.exit(main())
