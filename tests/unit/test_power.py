"""The governor: power states, wake locks, parts."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

STATES = ("active", "listening", "connected", "standby", "sleep", "off")
AWAKE = STATES[:4]
ALL = {"sense", "show", "capture"}
KINDS = {"active": ALL, "listening": ALL, "connected": {"sense", "show"}, "standby": {"sense"}}


class Log:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, area: str, text: str) -> None:
        pass

    def warning(self, area: str, text: str) -> None:
        self.warnings.append(text)

    error = warning


class Machine:
    def __init__(self) -> None:
        self.mhz: list[int] = []

    def freq(self, hz: int) -> None:
        if hz == 80_000_000 and self.mhz == ["refuse"]:
            raise ValueError("frequency")
        self.mhz.append(hz // 1_000_000)


class Crashes:
    """What was under way at each moment."""

    def __init__(self) -> None:
        self.what = ""
        self.all: list[str] = []

    def doing(self, what: str) -> None:
        assert not self.what
        self.what = what
        self.all.append(what)

    def done(self) -> None:
        self.what = ""


def make(**options: Any) -> Any:
    power = importlib.import_module("glasses.power")
    power.machine = Machine()  # type: ignore[attr-defined]
    governor: Any = power.Governor(Log(), **options)
    return governor


def steps_of(governor: Any) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    governor.watch(lambda old, new: seen.append((old, new)))
    return seen


# --- wake locks


def test_the_most_awake_lock_decides(micropython: Any) -> None:
    power = make()
    assert power.state == "standby" and power.drowsy
    power.hold("connected", "link")
    power.hold("active", "voice")
    assert power.state == "active" and not power.drowsy
    power.release("voice")
    assert power.state == "connected"
    power.release("link")
    assert power.state == "standby" and power.drowsy


def test_locks_are_counted_and_listed_with_their_owners(micropython: Any) -> None:
    power = make()
    power.hold("active", "voice")
    power.hold("active", "voice")
    power.release("voice")
    assert power.state == "active"
    assert power.locks() == {"voice": ("active", 1)} and power.holds("voice")
    power.release("voice")
    assert power.locks() == {} and not power.holds("voice")


def test_a_condition_holds_one_lock_however_often_it_is_looked_at(micropython: Any) -> None:
    power = make()
    for on in (True, True, False, False, True):
        power.keep("connected", "cable", on)
        assert power.holds("cable") is on
    assert power.locks() == {"cable": ("connected", 1)}


def test_a_release_without_a_hold_is_refused(micropython: Any) -> None:
    power = make()
    power.hold("active", "voice")
    power.release("voice")
    for owner in ("voice", "nobody"):
        with pytest.raises(ValueError, match=owner):
            power.release(owner)


@pytest.mark.parametrize("state", ["awake", "sleep", "off"])
def test_a_lock_keeps_awake_or_is_refused(micropython: Any, state: str) -> None:
    power = make()
    with pytest.raises(ValueError):
        power.hold(state, "voice")
    assert power.drowsy


# --- transitions


def test_what_the_table_forbids_is_refused_logged_and_counted(micropython: Any) -> None:
    power = make()
    assert power.enter("off")
    assert not power.enter("sleep")
    assert power.state == "off"
    assert power.refused == power.counters()["power.refused"] == 1
    assert power._log.warnings == ["not from off to sleep: there is no way"]


def test_a_lock_forbids_sleep_until_it_is_overruled(micropython: Any) -> None:
    power = make()
    power.hold("active", "voice")
    seen = steps_of(power)
    assert not power.enter("sleep")
    assert power._log.warnings == ["not from active to sleep: held by voice"] and seen == []
    assert power.enter("off", force=True)
    assert seen == [("active", "standby"), ("standby", "off")]


def test_the_table_is_sound(micropython: Any) -> None:
    from glasses import states

    assert tuple(states.TABLE) == states.ORDER == STATES
    for old in STATES:
        state = states.TABLE[old]
        assert set(state.into) <= set(STATES) - {old}
        assert set(state.kinds) <= set(states.KINDS)
        if old in AWAKE:
            assert state.mhz >= 80 and state.radio, "the radio needs 80 MHz"
            for new in STATES:
                if new != old:
                    way = states.path(old, new)
                    assert way is not None and way[-1] == new
                    assert all(states.allowed(a, b) for a, b in zip((old, *way), way, strict=False))
        else:
            assert state.wake and not state.mhz and not state.kinds, "something wakes them"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("hold"), st.sampled_from(AWAKE), st.sampled_from("abc")),
            st.tuples(st.just("release"), st.just(""), st.sampled_from("abc")),
            st.tuples(st.just("enter"), st.sampled_from(AWAKE), st.just("")),
            st.tuples(st.just("pass"), st.integers(0, 100_000), st.just("")),
        )
    ),
    st.integers(0, 2**30 - 1),
)
def test_every_step_is_in_the_table_and_every_millisecond_in_one_state(
    micropython: Any, steps: list[tuple[str, Any, str]], offset_ms: int
) -> None:
    """Against a model of locks and intervals; the clock starts anywhere, so ticks wrap."""
    module = importlib.import_module("glasses.power")
    from glasses import states

    clock = micropython.clock
    clock.offset_us = offset_ms * 1000 - clock.now_us()
    parts: dict[str, bool] = {}
    power = make(crashes=Crashes())
    for kind in states.KINDS:
        power.manage(
            kind,
            kind,
            lambda kind=kind: parts.update({kind: False}),
            lambda kind=kind: parts.update({kind: True}),
        )
    seen = steps_of(power)
    spent = dict.fromkeys(STATES, 0)
    held: dict[str, list[str]] = {}
    refused = 0
    for what, value, owner in steps:
        before = power.state
        if what == "pass":
            clock.offset_us += value * 1000
            spent[before] += value
        elif what == "hold":
            power.hold(value, owner)
            held.setdefault(owner, []).append(value)
        elif what == "release" and held.get(owner):
            power.release(owner)
            # An owner keeps the most awake state that it asked for until it lets go of all.
            held[owner] = [min(held[owner], key=STATES.index)] * (len(held[owner]) - 1)
        locked = [STATES.index(state) for kept in held.values() for state in kept]
        deepest = min([STATES.index("standby"), *locked])
        if what == "enter":
            fine = STATES.index(value) <= deepest
            refused += not fine
            assert power.enter(value) is fine
        elif what in ("hold", "release") and (what == "hold" or owner in held):
            assert power.state == STATES[deepest] or before == power.state
        assert STATES.index(power.state) <= deepest
        assert power.refused == refused
        assert power._state in AWAKE
        on = {kind for kind in states.KINDS if parts.get(kind, True)}
        assert on == KINDS[power.state] or (not seen and power.state == "standby")
    assert all(states.allowed(old, new) for old, new in seen)
    assert power.spent_ms() == spent
    clocks = module.machine.mhz  # type: ignore[attr-defined]
    assert not clocks or clocks[-1] == states.TABLE[power.state].mhz


def test_weeks_in_one_state_add_up(micropython: Any) -> None:
    """Ticks wrap after twelve days, and differ by at most six."""
    clock = micropython.clock
    power = make(spent_ms={"sleep": 5})
    for _ in range(30):
        clock.offset_us += 86_400_000_000
        power.account()
    assert power.seconds() == {
        **dict.fromkeys(STATES, 0),
        "standby": 30 * 86_400,
        "sleep": 0.005,
    }


def test_a_clock_that_the_chip_refuses_is_no_reason_to_stop(micropython: Any) -> None:
    power = make()
    power.hold("active", "voice")
    module = importlib.import_module("glasses.power")
    module.machine.mhz = ["refuse"]  # type: ignore[attr-defined]
    power.release("voice")
    assert power.state == "standby" and "the clock stays" in power._log.warnings[0]


# --- parts


def test_parts_are_suspended_in_order_and_resumed_the_other_way_round(micropython: Any) -> None:
    crashes = Crashes()
    power = make(crashes=crashes)
    for kind in ("sense", "show", "capture"):
        power.manage(kind, kind, lambda: None, lambda: None)
    crashes.all.clear()
    power.hold("active", "x")
    assert crashes.all == ["resume show", "resume capture"]
    crashes.all.clear()
    power.release("x")
    power.enter("off")
    assert crashes.all == ["suspend capture", "suspend show", "suspend sense"]
    assert not crashes.what


def test_a_part_that_fails_stops_nobody(micropython: Any, capsys: pytest.CaptureFixture[str]) -> None:
    power = make(crashes=Crashes())
    done: list[str] = []

    def fail() -> None:
        raise OSError(5)

    power.manage("camera", "capture", fail, fail)
    power.manage("mic", "capture", lambda: done.append("off"), lambda: done.append("on"))
    assert power.part_failures == 1  # it is not wanted in standby
    done.clear()
    power.hold("active", "x")
    power.release("x")
    assert done == ["on", "off"] and power.state == "standby"
    assert power.part_failures == power.counters()["power.part_failures"] == 3


def test_a_part_that_hung_once_is_left_alone(micropython: Any) -> None:
    """The watchdog ended the run in which it was suspended, and the crash log knows which it was."""
    crashes = Crashes()
    power = make(crashes=crashes, hung=["camera"])
    power.manage("camera", "capture", lambda: pytest.fail("touched"), lambda: pytest.fail("touched"))
    power.hold("active", "x")
    power.release("x")
    assert crashes.all == []


def test_an_unknown_kind_of_part_is_refused(micropython: Any) -> None:
    with pytest.raises(ValueError, match="capture, show, sense"):
        make().manage("x", "radio", lambda: None, lambda: None)
