"""Fifty random days (`make thorough`: a hundred). `tests/days` says what happens in them, and what must
never happen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import thorough
from days.day import BOARDS, STEPS, Day, days, random_day
from days.player import play
from hypothesis import HealthCheck, Phase, given, seed, settings

from lunette import paths
from lunette.virtual.cpython import Environment, micropython_modules
from lunette.virtual.kernels import fast_kernels

# Of ten each: from the eleventh example on hypothesis mostly changes one that it has had, to a duller one.
PARTS, ROUNDS, EACH = thorough.TIMES, 5, 10
# At least so many of each in a part: the days are not all peaceful, and most of what is said is owed. (Far
# fewer than there are: which days hypothesis thinks of depends on its version.)
LEAST = {
    "deep sleeps": 20,
    "beacons": 8,
    "light sleeps": 8,
    "runtimes": 40,
    "connections": 15,
    "holds": 15,
    "recordings owed": 6,
}


@pytest.fixture(scope="module")
def glasses() -> Iterator[Environment]:
    with micropython_modules(paths.HAL, paths.FIRMWARE) as environment:
        fast_kernels()
        yield environment


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_in_a_day_they_sleep_safely_and_lose_no_word(
    glasses: Environment, part: int
) -> None:
    total: dict[str, int] = {}

    # Not made smaller, which takes minutes: `python -m tests.days "Day(...)"` plays the day that is printed.
    @settings(max_examples=EACH, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(days())
    def check(day: Day) -> None:
        for what, n in play(day, glasses).items():
            total[what] = total.get(what, 0) + n

    for number in range(part * ROUNDS, (part + 1) * ROUNDS):
        seed(number)(check)()
    for what, least in LEAST.items():
        assert total.get(what, 0) >= least, f"{what}: {total}"


def test_a_day_is_data_and_its_number_gives_it_again(glasses: Environment) -> None:
    day = random_day(3)
    assert day == random_day(3) != random_day(4)
    assert eval(repr(day), {"Day": Day}) == day
    assert play(day, glasses) == play(day, glasses)
    steps = {step[0] for n in range(100) for step in random_day(n).steps}
    assert steps == set(STEPS)
    assert {random_day(n).board for n in range(10)} == set(BOARDS)
