"""What the glasses say that they have used: whole numbers on the glasses against floating point here."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import virtual_board

CURRENTS: dict[str, Any] = virtual_board().CURRENTS
STATES = ("active", "listening", "connected", "standby")
CLOCKS = tuple(CURRENTS["cpu"])


def module() -> Any:
    return importlib.import_module("glasses.energy")


def total(charges: dict[str, dict[str, int]]) -> int:
    return sum(sum(spent.values()) for spent in charges.values())


class Model:
    """The same sums in mA s, in floating point."""

    def __init__(self) -> None:
        self.spent: dict[tuple[str, str], float] = {}

    def add(self, state: str, consumer: str, ma_ms: float) -> None:
        if ma_ms > 0:
            key = state, consumer
            self.spent[key] = self.spent.get(key, 0.0) + ma_ms / 1000

    def account(
        self, ms: int, state: str, mhz: int, busy: int, radio: bool, adv: int, conn: int, octets: int
    ) -> None:
        idle_ma, busy_ma = CURRENTS["cpu"][mhz]
        self.add(state, "cpu", idle_ma * (ms - min(busy, ms)) + busy_ma * min(busy, ms))
        self.add(state, "board", CURRENTS["board"] * ms)
        if radio:
            air = CURRENTS["radio"] * ms + CURRENTS["byte"] * octets
            air += CURRENTS["advertise"] * ms / (adv + 5) if adv else 0
            air += CURRENTS["connection"] * ms / conn if conn else 0
            self.add(state, "radio", air)


spells = st.tuples(
    st.integers(1, 86_400_000),
    st.sampled_from(STATES),
    st.sampled_from(CLOCKS),
    st.integers(0, 2000),
    st.booleans(),
    st.sampled_from([0, 20, 100, 1000]),
    st.sampled_from([0, 8, 30, 400]),
    st.integers(0, 5000),
)


@given(
    st.lists(
        st.one_of(spells, st.tuples(st.sampled_from(["sleep", "off"]), st.integers(0, 10**8))), max_size=30
    ),
    st.integers(0, 2**30 - 1),
    st.integers(0, 3),
)
def test_sums_are_those_of_floating_point(
    micropython: Any, steps: list[tuple[Any, ...]], offset_ms: int, restarts: int
) -> None:
    """Wherever the ticks begin, and carried over some deep sleeps."""
    clock = micropython.clock
    clock.offset_us = offset_ms * 1000 - clock.now_us()
    model = Model()
    meter = module().Meter(CURRENTS)
    lit = [0]
    meter.part("light", lambda: lit[0])
    for number, step in enumerate(steps):
        if len(step) == 2:
            state, ms = step
            meter.started("standby", state, ms, 395)
            for consumer in ("deep_sleep", "board"):
                model.add(state, consumer, CURRENTS[consumer] * ms)
            for consumer in ("boot", "board"):
                model.add("standby", consumer, CURRENTS[consumer] * 395)
            if number <= restarts:
                carried = json.loads(json.dumps(meter.charges()))
                lit[0] = 0
                meter = module().Meter(CURRENTS, carried)
                meter.part("light", lambda: lit[0])
            continue
        ms, state, mhz, busy, radio, advertise, connection, octets = step
        clock.offset_us += ms * 1000
        lit[0] += ms // 3
        meter.account(state, mhz, busy, radio, advertise, connection, octets)
        model.account(ms, state, mhz, busy, radio, advertise, connection, octets)
        model.add(state, "light", CURRENTS["light"] * (ms // 3))
    charges = meter.charges()
    assert {(state, name) for state in charges for name in charges[state]} >= set(
        key for key, value in model.spent.items() if value > 0.01
    )
    for (state, consumer), mas in model.spent.items():
        # In uC. A table's figures are rounded to uA: 26.6 of the board's are 27. Each step rounds off twice.
        rounding = 0.02 if consumer == "board" else 1e-3
        uc = 1000 * mas
        got = charges.get(state, {}).get(consumer, 0)
        assert isinstance(got, int) and abs(got - uc) <= 6 + uc * rounding + len(steps) * 0.01, (
            state,
            consumer,
        )
    assert meter.mah() == pytest.approx(total(charges) / 3.6e6)
    shown = meter.table()
    assert {s: set(c) for s, c in shown.items()} == {s: set(c) for s, c in charges.items()}
    for state, spent in shown.items():
        assert all(
            mah == pytest.approx(charges[state][name] / 3.6e6, abs=1e-4) for name, mah in spent.items()
        )


def test_many_small_steps_lose_nothing(micropython: Any) -> None:
    """Every millisecond by itself is less than a whole number of uC, of some consumers."""
    meter = module().Meter({"cpu": {80: (0.3, 0.3)}, "board": 0.027})
    for _ in range(10_000):
        micropython.clock.offset_us += 1000
        meter.account("standby", 80)
    assert meter.charges() == {"standby": {"cpu": 3000, "board": 270}}


def test_a_day_of_standby_is_what_a_calculator_says(micropython: Any) -> None:
    meter = module().Meter(CURRENTS)
    micropython.clock.offset_us += 86_400_000_000
    meter.account("standby", 80, 0, True, 100)
    ma = 22.0 + 0.0266 + 52.0 + 181 / 105
    assert meter.mah() == pytest.approx(ma * 24, rel=1e-3)
    assert meter.load_ma() == pytest.approx(ma, rel=1e-3)


def test_light_sleep_has_its_own_current_and_ends_the_time_before(micropython: Any) -> None:
    meter = module().Meter(CURRENTS)
    micropython.clock.offset_us += 10_000_000
    meter.light_slept("sleep")
    assert meter.charges() == {"sleep": {"light_sleep": 14_000, "board": 650}}
    meter.account("standby", 80)
    assert list(meter.charges()) == ["sleep"], "no time is paid twice"


def test_what_was_before_is_carried_on_and_left_as_it_was(micropython: Any) -> None:
    before = {"sleep": {"deep_sleep": 80}, "standby": {"boot": 5}}
    meter = module().Meter(CURRENTS, before)
    meter.started("standby", "sleep", 10_000, 395)
    assert meter.charges()["sleep"] == {"deep_sleep": 160, "board": 650}
    assert meter.charges()["standby"]["boot"] == 5 + 61 * 395
    assert before == {"sleep": {"deep_sleep": 80}, "standby": {"boot": 5}}


def test_loading_is_work_at_the_clock_of_the_start(micropython: Any) -> None:
    meter = module().Meter({"board": 1.0, "cpu": {80: (20, 30), 240: (40, 50)}})
    assert meter.awake("standby", 300, 240, 300) == 40_000
    assert meter.charges() == {"standby": {"board": 300, "cpu": 15_000}}
    meter.awake("standby", 100, 80, 0)
    assert meter.charges()["standby"]["cpu"] == 17_000


def test_time_that_seems_to_run_backwards_costs_nothing(micropython: Any) -> None:
    for spend in (lambda meter: meter.account("standby", 80), lambda meter: meter.light_slept("sleep")):
        meter = module().Meter(CURRENTS)
        micropython.clock.offset_us -= 5_000_000
        spend(meter)
        assert total(meter.charges()) == 0


def test_a_clock_that_the_table_lacks_counts_as_the_next_faster_one(micropython: Any) -> None:
    for mhz, ma in ((40, 22.0), (120, 27.6), (320, 32.9)):
        meter = module().Meter(CURRENTS)
        micropython.clock.offset_us += 1_000_000
        meter.account("standby", mhz)
        assert meter.charges()["standby"]["cpu"] == 1000 * ma


def test_a_board_without_a_table_uses_nothing_that_is_known(micropython: Any) -> None:
    meter = module().Meter({})
    meter.part("light", lambda: pytest.fail("it has no current"))
    micropython.clock.offset_us += 1_000_000
    meter.account("active", 80, 500, True, 100, 30, 1000)
    meter.light_slept("sleep")
    meter.started("standby", "sleep", 10_000, 395)
    assert (meter.mah(), meter.charges(), meter.load_ma()) == (0, {}, None)


def test_the_cheaper_sleep(micropython: Any) -> None:
    cheaper = module().cheaper_sleep
    assert cheaper(CURRENTS, 0) == cheaper({}, 10) == "deep"
    without = {name: value for name, value in CURRENTS.items() if name != "light_sleep"}
    assert cheaper(without, 10) == "deep"
    # A beacon out of deep sleep costs a start; the longer between two, the less that matters.
    choices = [cheaper(CURRENTS, reach_s) for reach_s in range(1, 3601)]
    turn = choices.index("deep")
    assert set(choices[:turn]) == {"light"} and set(choices[turn:]) == {"deep"}
    start = 61.0 * 395 + 51.2 * module()._LOAD_MS  # mA ms
    assert turn == pytest.approx(start / 1000 / (1.4 - 0.008), abs=1)
