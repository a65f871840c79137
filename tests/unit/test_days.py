"""Two hundred random days: `tests/days` says what happens in them and what must never happen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from days.day import BOARDS, STEPS, Day, days, random_day
from days.player import play
from hypothesis import HealthCheck, given, seed, settings

from lunette import paths
from lunette.virtual.cpython import Environment, micropython_modules
from lunette.virtual.kernels import fast_kernels

PARTS, EACH = 4, 50
# At least so many of each in a part: the days are not all peaceful, and most of what is said is owed.
LEAST = {
    "deep sleeps": 60,
    "beacons": 40,
    "light sleeps": 40,
    "runtimes": 70,
    "connections": 50,
    "into off": 1,
    "holds": 50,
    "recordings owed": 20,
    "owed out of asleep": 1,
}


@pytest.fixture(scope="module")
def glasses() -> Iterator[Environment]:
    with micropython_modules(paths.HAL, paths.FIRMWARE) as environment:
        fast_kernels()
        yield environment


@pytest.mark.timeout(300)  # to make a day smaller that goes wrong
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_in_a_day_they_sleep_safely_and_lose_no_word(
    glasses: Environment, part: int
) -> None:
    total: dict[str, int] = {}

    @seed(part)
    @settings(max_examples=EACH, suppress_health_check=list(HealthCheck))
    @given(days())
    def check(day: Day) -> None:
        for what, n in play(day, glasses).items():
            total[what] = total.get(what, 0) + n

    check()
    print(sorted(total.items()))
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
