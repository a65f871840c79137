"""What wakes each chip: the firmware's plans against the chip model, which has a table of pins of its own."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest
from hal_rig import Rig, with_chip
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette import paths
from lunette.chips import CHIPS
from lunette.virtual.chip.power import (
    EXT0_WAKE,
    EXT1_WAKE,
    GPIO_WAKE,
    TIMER_WAKE,
    TOUCHPAD_WAKE,
    ChipStopped,
)
from lunette.virtual.cpython import micropython_modules

NAMES = tuple(CHIPS)
Buttons = list[tuple[int, int, bool]]


def fit(name: str) -> list[int]:
    """The pins that may wake that chip, by the chip model."""
    return sorted(CHIPS[name].wake_pins - CHIPS[name].strapping)


def sources() -> Any:
    with micropython_modules(paths.HAL, paths.FIRMWARE):
        return importlib.import_module("glasses.wake_sources")


SOURCES = sources()


def wire(rig: Rig, buttons: Buttons) -> None:
    """Each button with its pull, and a finger on those that are down."""
    machine = rig.machine
    for pin, level, down in buttons:
        if pin in rig.chip.data.input_only:  # these have no pull, so the board has one
            rig.chip.pins.drive(pin, level if down else 1 - level)
            machine.Pin(pin, machine.Pin.IN)
        else:
            machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_DOWN if level else machine.Pin.PULL_UP)
            if down:
                rig.chip.pins.drive(pin, level)


def fall_asleep(rig: Rig, plan: Any) -> None:
    """The first time in this start."""
    SOURCES._armed.clear()
    SOURCES.arm(plan)
    with pytest.raises(ChipStopped) as stopped:
        rig.machine.deepsleep(*(() if plan.timer_ms is None else (plan.timer_ms,)))
    assert stopped.value.kind == "deepsleep"


# --- which pins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_two_tables_of_pins_agree(name: str) -> None:
    data = CHIPS[name]
    for pin in range(-1, 60):
        problem = SOURCES.check_pin(name, pin)
        if pin in data.strapping:
            assert "strapping" in problem, pin
        elif pin in data.wake_pins:
            # A pin that the image refuses anyway (the console's) cannot be a button.
            assert problem == "" or pin not in data.gpio, pin
        else:
            assert "cannot wake" in problem, pin
    assert set(fit(name)) & data.gpio


def test_an_unknown_chip_is_named() -> None:
    assert SOURCES.check_pin("esp8266", 1) == "nothing is known of waking a esp8266"
    with pytest.raises(ValueError, match="esp8266"):
        SOURCES.make_plan("esp8266", [(1, 0, False)])


@pytest.mark.parametrize("name", NAMES)
def test_an_unfit_pin_is_refused(name: str) -> None:
    strapping = min(CHIPS[name].strapping)
    dead = min(CHIPS[name].gpio - CHIPS[name].wake_pins - CHIPS[name].strapping)
    good = fit(name)[0]
    for pin in (strapping, dead):
        for buttons in ([(pin, 0, False)], [(good, 0, False), (pin, 0, True)]):
            with pytest.raises(ValueError, match=f"GPIO{pin} "):
                SOURCES.make_plan(name, buttons)


# --- plans, one by one ------------------------------------------------------------------------------------


def shown(plan: Any) -> dict[str, Any]:
    """What of a plan is not as in an empty one."""
    empty = vars(SOURCES.Plan())
    return {key: value for key, value in vars(plan).items() if value != empty[key]}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("esp32", {"ext0": (4, 0)}),
        ("esp32s3", {"ext0": (4, 0)}),
        ("esp32c3", {"gpio": ((4,), 0)}),
        ("esp32c6", {"ext1": ((6,), 0)}),
    ],
)
def test_one_button(name: str, expected: dict[str, Any]) -> None:
    pin = 6 if name == "esp32c6" else 4
    assert shown(SOURCES.make_plan(name, [(pin, 0, False)])) == expected
    timed = SOURCES.make_plan(name, [(pin, 0, False)], 10000)
    assert shown(timed) == {**expected, "timer_ms": 10000} and timed.pins == [pin]


@pytest.mark.parametrize(
    "name, buttons, expected",
    [
        ("esp32s3", [(1, 0), (4, 0), (5, 0)], {"ext0": (1, 0), "ext1": ((4, 5), 0)}),
        ("esp32s3", [(1, 0), (5, 1)], {"ext0": (1, 0), "ext1": ((5,), 1)}),
        ("esp32s3", [(1, 0), (4, 0), (5, 1)], {"ext0": (1, 0), "ext1": ((4,), 0), "left_out": [5]}),
        # "All low" of the first ESP32 would be a press of both at once.
        ("esp32", [(4, 0), (13, 0), (14, 0)], {"ext0": (4, 0), "ext1": ((13,), 0), "left_out": [14]}),
        ("esp32", [(4, 0), (13, 1), (14, 1)], {"ext0": (4, 0), "ext1": ((13, 14), 1)}),
        ("esp32", [(4, 0), (13, 0), (14, 1)], {"ext0": (4, 0), "ext1": ((14,), 1), "left_out": [13]}),
        ("esp32c3", [(1, 0), (3, 0)], {"gpio": ((1, 3), 0)}),
        ("esp32c3", [(1, 1), (3, 0)], {"gpio": ((1,), 1), "left_out": [3]}),
        ("esp32c6", [(1, 0), (3, 0)], {"ext1": ((1, 3), 0)}),
        ("esp32c6", [(1, 0), (3, 1)], {"ext1": ((1,), 0), "left_out": [3]}),
    ],
)
def test_several_buttons(name: str, buttons: list[tuple[int, int]], expected: dict[str, Any]) -> None:
    assert shown(SOURCES.make_plan(name, [(pin, level, False) for pin, level in buttons])) == expected


def test_touch_takes_the_place_of_ext0_where_there_is_touch() -> None:
    for name in ("esp32", "esp32s3"):
        plan = SOURCES.make_plan(name, [(4, 0, False)], touch=True)
        assert shown(plan) == {"touch": True, "ext1": ((4,), 0)}
        assert SOURCES.make_plan(name, [], touch=True).armed
    for name in ("esp32c3", "esp32c6"):
        assert not SOURCES.make_plan(name, [(1, 0, False)], touch=True).touch


@pytest.mark.parametrize("name", NAMES)
def test_a_button_that_is_down_is_left_out_and_looked_at_again(name: str) -> None:
    first, second = fit(name)[:2]
    plan = SOURCES.make_plan(name, [(first, 0, True), (second, 0, False)])
    assert (plan.down, plan.pins, plan.timer_ms) == ([first], [second], SOURCES.LOOK_AGAIN_MS)
    assert SOURCES.make_plan(name, [(first, 0, True)], 10000).timer_ms == 10000
    assert SOURCES.make_plan(name, [(first, 0, True)], 3600_000).timer_ms == SOURCES.LOOK_AGAIN_MS


@pytest.mark.parametrize("name", NAMES)
def test_without_anything_to_wait_for_there_is_the_timer(name: str) -> None:
    plan = SOURCES.make_plan(name, [])
    assert shown(plan) == {"timer_ms": SOURCES.LOOK_AGAIN_MS} and plan.armed


# --- the same, on the chip --------------------------------------------------------------------------------


def reason_of(plan: Any, pin: int) -> int:
    if plan.ext0 is not None and plan.ext0[0] == pin:
        return EXT0_WAKE
    return EXT1_WAKE if plan.ext1 is not None else GPIO_WAKE


def check_on_chip(name: str, buttons: Buttons, timer_ms: int | None, touch: bool, finger: int) -> None:
    """Sleep by the plan. Nobody presses: only the timer wakes. Then a finger comes to one of its pins."""

    @with_chip(name)
    async def check(rig: Rig) -> None:
        woken: list[tuple[int, float]] = []
        chip, loop = rig.chip, asyncio.get_running_loop()
        chip.on_wake = lambda reason: woken.append((reason, loop.time()))
        wire(rig, buttons)
        plan = SOURCES.make_plan(name, buttons, timer_ms, touch)
        assert plan.armed
        assert sorted(plan.pins + plan.down + plan.left_out) == sorted(pin for pin, _, _ in buttons)
        assert timer_ms is None or plan.timer_ms <= timer_ms
        assert bool(plan.left_out) <= bool(plan.pins), "whoever is left out had to make room for somebody"
        fall_asleep(rig, plan)
        assert chip.power.slept_forever == 0
        before = 0.4 if plan.timer_ms is None else plan.timer_ms / 2000
        await asyncio.sleep(before)
        assert woken == [], "awake again, and nobody has pressed"
        if plan.pins:
            pin = plan.pins[finger % len(plan.pins)]
            (level,) = (level for number, level, _ in buttons if number == pin)
            chip.pins.drive(pin, level)
            await asyncio.sleep(0)
            assert woken == [(reason_of(plan, pin), before)]
        elif plan.touch and finger & 1:
            chip.power.touched()
            assert woken == [(TOUCHPAD_WAKE, before)]
        elif plan.timer_ms is not None:
            await asyncio.sleep(before + 0.001)
            assert woken == [(TIMER_WAKE, pytest.approx(plan.timer_ms / 1000))]

    check()


@st.composite
def plans(draw: st.DrawFn) -> tuple[str, Buttons]:
    name = draw(st.sampled_from(NAMES))
    pins = [pin for pin in fit(name) if pin in CHIPS[name].gpio]
    chosen = draw(st.lists(st.sampled_from(pins), unique=True, max_size=4))
    return name, [(pin, draw(st.integers(0, 1)), draw(st.booleans())) for pin in chosen]


@settings(max_examples=60)
@given(plans(), st.one_of(st.none(), st.integers(500, 3_600_000)), st.booleans(), st.integers(0, 3))
def test_whatever_the_buttons_the_chip_takes_the_plan_and_they_wake_it(
    drawn: tuple[str, Buttons], timer_ms: int | None, touch: bool, finger: int
) -> None:
    check_on_chip(*drawn, timer_ms, touch, finger)


@pytest.mark.parametrize("name", NAMES)
def test_what_an_earlier_plan_armed_is_taken_back(name: str) -> None:
    """After light sleep the chip's sources stay: a button that is stuck by now would end the next at once."""
    first, second = fit(name)[:2]

    @with_chip(name)
    async def check(rig: Rig) -> None:
        power = rig.chip.power
        SOURCES._armed.clear()
        for down in ((), (first,), (second,), (first, second), ()):
            plan = SOURCES.make_plan(name, [(first, 0, first in down), (second, 0, second in down)])
            SOURCES.arm(plan)
            ext0 = {power._ext0_pin} if power._ext0_pin >= 0 else set()
            assert ext0 | power._ext1_pins | power._gpio_pins == set(plan.pins) == {first, second} - set(down)

    check()


@with_chip("esp32c3")
async def test_an_image_too_old_for_its_chip_says_so(rig: Rig) -> None:
    """Before 1.27 the C3's had no `wake_on_gpio`: `sleep.enter` then has a timer only."""
    del rig.esp32.wake_on_gpio  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        SOURCES.arm(SOURCES.make_plan("esp32c3", [(1, 0, False)]))
