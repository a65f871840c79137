"""Power states, and the wake locks that decide them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

STATES = ("active", "connected", "standby", "sleep", "off")


class Quiet:
    def debug(self, area: str, text: str) -> None:
        pass


def make(idle: str = "standby") -> Any:
    from glasses.power import Power

    return Power(Quiet(), idle)


def test_the_most_awake_lock_decides(micropython: Any) -> None:
    power = make()
    assert power.state == "standby"
    power.hold("connected", "link")
    power.hold("active", "voice")
    assert power.state == "active"
    power.hold("sleep", "clock")  # deeper than others: allows, does not demand
    power.release("voice")
    assert power.state == "connected"
    power.release("link")
    assert power.state == "standby"
    assert power.locks() == {"clock": ("sleep", 1)}


def test_locks_are_counted(micropython: Any) -> None:
    power = make()
    power.hold("active", "voice")
    power.hold("active", "voice")
    power.release("voice")
    assert power.state == "active"
    assert power.locks() == {"voice": ("active", 1)}
    power.release("voice")
    assert power.state == "standby"
    assert power.locks() == {}


def test_a_release_without_a_hold_is_refused(micropython: Any) -> None:
    power = make()
    power.hold("active", "voice")
    power.release("voice")
    for owner in ("voice", "nobody"):
        with pytest.raises(ValueError, match=owner):
            power.release(owner)
    assert power.state == "standby"


def test_an_unknown_state_is_refused(micropython: Any) -> None:
    with pytest.raises(ValueError):
        make().hold("awake", "voice")


@given(
    st.sampled_from(STATES),
    st.lists(
        st.tuples(st.integers(0, 100_000), st.sampled_from(STATES), st.sampled_from("abc"), st.booleans())
    ),
    st.integers(0, 2**30 - 1),
)
def test_every_millisecond_is_in_one_state(
    micropython: Any, idle: str, steps: list[tuple[int, str, str, bool]], offset_ms: int
) -> None:
    """Against a model of intervals; the clock starts anywhere, so ticks wrap."""
    clock = micropython.clock
    clock.offset_us = offset_ms * 1000 - clock.now_us()
    power = make(idle)
    spent = dict.fromkeys(STATES, 0)
    held: dict[str, list[str]] = {}
    for ms, state, owner, release in steps:
        locked = [STATES.index(s) for states in held.values() for s in states]
        expected = STATES[min([STATES.index(idle), *locked])]
        assert power.state == expected
        clock.offset_us += ms * 1000
        spent[expected] += ms
        if release and held.get(owner):
            power.release(owner)
            # An owner keeps the most awake state that it asked for until it lets go of all.
            held[owner] = [min(held[owner], key=STATES.index)] * (len(held[owner]) - 1)
        elif not release:
            power.hold(state, owner)
            held.setdefault(owner, []).append(state)
    assert power.seconds() == {state: ms / 1000 for state, ms in spent.items()}


def test_weeks_in_one_state_add_up(micropython: Any) -> None:
    """Ticks wrap after twelve days, and differ by at most six."""
    clock = micropython.clock
    power = make()
    for _ in range(30):
        clock.offset_us += 86_400_000_000
        power.account()
    assert power.seconds()["standby"] == 30 * 86_400
