"""Crashes: what counts as one, what is kept of it, and when it is time for safe mode."""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from restarts import Restarts, module, restarting

from lunette.virtual.cpython import Environment

RESETS = ("power_on", "hard", "wdt", "deepsleep", "soft")
ENDS = ("sleep", "off", "reboot", "prompt")


def begin(restarts: Restarts, cause: str = "") -> Any:
    """The Crashes of a new start, after a reset if `cause` says which."""
    if cause:
        restarts.reset(cause)
    crashes = restarts.module("crashes").Crashes(restarts.module("retained").retained)
    crashes.begin()
    return crashes


def crash(restarts: Restarts, times: int) -> Any:
    for _ in range(times):
        crashes = begin(restarts, "wdt")
    return crashes


# --- what is a crash ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "number", "unsaid", "with_reason"),
    [
        ("power_on", 1, False, False),
        ("hard", 2, True, True),
        ("wdt", 3, True, True),
        ("deepsleep", 4, False, False),
        ("soft", 5, False, True),
    ],
)
def test_a_run_that_ended_without_a_word(cause: str, number: int, unsaid: bool, with_reason: bool) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        for noted, expected in ((False, unsaid), (True, with_reason)):
            crashes = begin(restarts, "power_on")
            crashes.begin()
            assert crashes.cause == 1 and crashes.crashed is None
            restarts.module("retained").retained.put("boot", 77)
            if noted:
                crashes.note("no memory")
            again = begin(restarts, cause)
            assert again.cause == number
            if expected:
                assert again.crashed == [77, number, 0, "no memory" if noted else "no reason known"]
                assert again.status() == {"safe": False, "total": 1, "row": 1, "log": [again.crashed]}
            else:
                assert again.crashed is None and again.status()["log"] == [] and not again.status()["row"]

    check()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("cause", RESETS)
def test_a_run_that_ended_in_order(cause: str, end: str) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        crashes = begin(restarts)
        crashes.note("long ago")
        crashes.doing("going to sleep")
        assert crashes.ended(end)
        again = begin(restarts, cause)
        hung = cause == "wdt" and end != "prompt"  # on its way
        if hung or (cause == "hard" and end in ("sleep", "off")):  # or asleep, or in a short wake-up
            assert again.crashed[3] == "no reason known, after " + end
        else:
            assert again.crashed is None

    check()


@restarting
async def followed_again(restarts: Restarts) -> None:
    crashes = begin(restarts)
    crashes.ended("prompt")
    crashes.resumed()  # glasses.run(), typed at the prompt
    assert begin(restarts, "wdt").crashed


def test_a_run_that_goes_on_after_the_prompt_can_crash() -> None:
    followed_again()


@restarting
async def first_start(restarts: Restarts) -> None:
    for cause in ("hard", "soft", "deepsleep"):  # such as with firmware that was just deployed
        restarts.chip.memory.rtc_memory = b"LU\x05\x00"
        assert begin(restarts, cause).crashed is None
    with pytest.raises(ValueError):
        begin(restarts).ended("well")


def test_a_start_that_finds_nothing_follows_no_crash() -> None:
    first_start()


@restarting
async def usb_reset(restarts: Restarts) -> None:
    begin(restarts)
    restarts.reset("hard")
    restarts.chip.power.cause = 0  # what MicroPython says of a reset by the USB-to-JTAG bridge
    assert begin(restarts).crashed is None


def test_a_reset_over_usb_is_no_crash() -> None:
    usb_reset()


# --- what is kept of it -----------------------------------------------------------------------------


@restarting
async def reasons(restarts: Restarts) -> None:
    crashes = begin(restarts)
    crashes.doing("suspend mic")
    crashes.done()
    crashes.doing("radio off")
    assert begin(restarts, "hard").crashed[3] == "no reason known, radio off"
    crashes = begin(restarts, "power_on")
    crashes.doing("x" * 100)
    crashes.note("no progress: voice")
    assert begin(restarts, "wdt").crashed[3] == "no progress: voice, " + "x" * 32
    crashes = begin(restarts, "power_on")
    for _ in range(3):
        crashes.note("OSError: 5")
    crashes.note("no progress: link")
    assert begin(restarts, "wdt").crashed[3] == "no progress: link; OSError: 5"
    crashes = begin(restarts, "power_on")
    crashes.note("no progress: link")
    crashes.forget()
    assert begin(restarts, "wdt").crashed[3] == "no reason known"
    assert begin(restarts, "wdt").crashed[3] == "no reason known"  # nothing of the run before stays


def test_reasons() -> None:
    reasons()


def broken(depth: int) -> None:
    if depth:
        broken(depth - 1)
    raise ValueError('a "bad"\nthing\\ é' + "!" * 300)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@restarting
async def exceptions(restarts: Restarts) -> None:
    crashes = begin(restarts)
    try:
        broken(3)
    except ValueError as error:
        crashes.note(error)
    first, second = (broken.__code__.co_firstlineno + n for n in (2, 3))
    text = begin(restarts, "wdt").crashed[3]
    assert text.startswith("ValueError: a 'bad' thing/ ?!!!")
    assert (
        text.endswith(f" @ test_crashes.py:{second} < test_crashes.py:{first}"[: 100 - 52])
        and len(text) <= 100
    )
    crashes = begin(restarts)
    crashes.note(KeyError())
    assert begin(restarts, "wdt").crashed[3] == "KeyError"
    crashes = begin(restarts)
    crashes.note(Mute())
    assert begin(restarts, "wdt").crashed[3].startswith("Mute")


def test_exceptions() -> None:
    exceptions()


@restarting
async def up(restarts: Restarts) -> None:
    for seconds in (0, 1, 5, 3600):
        crashes = begin(restarts, "power_on")
        for _ in range(2 * seconds):
            await asyncio.sleep(0.5)
            crashes.alive()
        kept = begin(restarts, "hard").crashed[2]
        assert seconds / 2 <= kept + 0.5 and kept <= seconds
    crashes = begin(restarts, "power_on")
    await asyncio.sleep(77)
    crashes.note("why")
    assert begin(restarts, "hard").crashed[2] == 77


def test_how_long_the_run_lasted() -> None:
    up()


@restarting
async def writes(restarts: Restarts) -> None:
    crashes = begin(restarts)
    stored = []
    put = crashes._retained.put
    crashes._retained.put = lambda key, value: stored.append(key) or put(key, value)
    for _ in range(7200):
        await asyncio.sleep(0.5)
        crashes.alive()
        crashes.healthy()
    assert len(stored) <= 12


def test_an_hour_takes_a_dozen_writes() -> None:
    writes()


@restarting
async def last_five(restarts: Restarts) -> None:
    crashes = begin(restarts)
    for i in range(1, 9):
        crashes.note(f"reason {i}")
        crashes = begin(restarts, "wdt")
    status = crashes.status()
    assert status["total"] == 8
    assert [entry[3] for entry in status["log"]] == [f"reason {i}" for i in range(4, 9)]
    status["log"][0][3] = "changed"
    assert begin(restarts, "soft").status()["log"][0][3] == "reason 4"


def test_the_last_five_are_kept() -> None:
    last_five()


# --- safe mode --------------------------------------------------------------------------------------


@restarting
async def three_in_a_row(restarts: Restarts) -> None:
    begin(restarts)
    assert not crash(restarts, 1).safe
    assert not crash(restarts, 1).safe
    assert crash(restarts, 1).safe
    assert crash(restarts, 200).safe  # it crashes in safe mode, too
    assert begin(restarts, "hard").safe


def test_three_in_a_row() -> None:
    three_in_a_row()


@restarting
async def broken_rows(restarts: Restarts) -> None:
    begin(restarts)
    crash(restarts, 2).healthy()
    assert not crash(restarts, 2).safe
    begin(restarts, "power_on")
    for end in ENDS:
        crash(restarts, 2).ended(end)
        begin(restarts, "deepsleep" if end in ("sleep", "off") else "hard")
        assert not crash(restarts, 2).safe
        begin(restarts, "power_on")
    crash(restarts, 2)
    begin(restarts, "soft")  # somebody interrupted it: that says nothing
    assert crash(restarts, 1).safe


def test_what_breaks_a_row() -> None:
    broken_rows()


@restarting
async def staying_safe(restarts: Restarts) -> None:
    begin(restarts)
    crashes = crash(restarts, 3)
    for _ in range(3):
        assert crashes.safe
        crashes.healthy()  # without the app: no wonder
        crashes.ended("sleep")
        await restarts.sleep(1000)
        crashes = begin(restarts)
    assert crashes.safe
    assert begin(restarts, "hard").safe  # a panic in safe mode
    assert begin(restarts, "deepsleep").safe


def test_safe_mode_is_not_left_by_sleeping_or_crashing() -> None:
    staying_safe()


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("", "power_on"),
        ("", "soft"),
        ("off", "deepsleep"),
        ("reboot", "hard"),
        ("prompt", "soft"),
        ("prompt", "hard"),
        ("prompt", "wdt"),
    ],
)
def test_a_person_ends_safe_mode(end: str, cause: str) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        begin(restarts)
        crashes = crash(restarts, 3)
        assert crashes.safe
        if end:
            crashes.ended(end)
        assert not begin(restarts, cause).safe
        assert not crash(restarts, 2).safe, "three chances again"
        assert crash(restarts, 1).safe

    check()


@restarting
async def stuck_going_to_sleep(restarts: Restarts) -> None:
    begin(restarts)
    for _ in range(3):
        begin(restarts).ended("sleep")
        crashes = begin(restarts, "wdt")
    assert crashes.safe


def test_hanging_on_the_way_to_sleep_three_times_is_a_row() -> None:
    stuck_going_to_sleep()


# --- memory -----------------------------------------------------------------------------------------


@restarting
async def lost(restarts: Restarts) -> None:
    begin(restarts)
    crash(restarts, 2)
    restarts.chip.memory.rtc_memory = restarts.chip.memory.rtc_memory[:-1]
    crashes = begin(restarts, "wdt")  # its cause shows all the same what it was
    assert crashes.status()["total"] == 1 and not crashes.safe


def test_memory_that_was_damaged() -> None:
    lost()


@restarting
async def full(restarts: Restarts) -> None:
    begin(restarts)
    for _ in range(6):
        begin(restarts).note("x" * 100)
        begin(restarts, "wdt")
    retained = restarts.module("retained").retained
    used = retained.bytes()
    assert retained.put("hog", "y" * (2048 - used - 10))
    crashes = begin(restarts)
    crashes.note("z" * 100)  # the mark and the reason go before the oldest entries
    after = begin(restarts, "wdt")
    assert after.crashed[3] == "z" * 100 and 1 <= len(after.status()["log"]) <= 5
    restarts.module("retained").retained.remove("crash")
    restarts.module("retained").retained.put("hog", "y" * 2025)
    assert not begin(restarts).doing("this")


def test_memory_that_is_full() -> None:
    full()


ODD: list[Any] = [None, [], 5, "x", {}, {"log": 5}, {"log": [5, [1], [1, 2, 3, 4], [{}, [], "", "why"]]}]
ODD += [
    {"end": 5, "up": "1", "row": -7, "total": 2.5, "why": [], "doing": {}},
    {"row": 10**12, "why": "é" * 999},
]


@pytest.mark.parametrize("found", ODD)
def test_what_another_version_left(found: Any) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        restarts.module("retained").retained.put("crash", found)
        crashes = begin(restarts, "wdt")
        assert crashes.crashed[1:] == [3, 0, crashes.crashed[3]]
        json.dumps(crashes.status())
        total = crashes.status()["total"]
        crashes.begin()  # once more: nothing
        assert crashes.status()["total"] == total
        assert begin(restarts, "wdt").status()["total"] == total + 1

    check()


class Kept:
    """Retained memory without the memory: the longest that was put."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.most = 0

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def put(self, key: str, value: Any) -> bool:
        self.values[key] = json.dumps(value, separators=(",", ":"))
        self.most = max(self.most, len(self.values[key].encode()))
        return True


ACTS = st.one_of(
    st.tuples(st.just("note"), st.text(max_size=300) | st.builds(ValueError, st.text(max_size=300))),
    st.tuples(st.just("doing"), st.text(max_size=100)),
    st.tuples(st.just("ended"), st.sampled_from(ENDS)),
    st.tuples(st.sampled_from(("alive", "healthy", "done", "forget")), st.none()),
    st.tuples(st.just("restart"), st.integers(0, 5)),
    st.tuples(st.just("odd"), st.sampled_from(ODD)),
)


@settings(max_examples=60)
@given(st.lists(ACTS, max_size=30))
def test_it_never_takes_more_than_its_share(micropython: Environment, acts: list[tuple[str, Any]]) -> None:
    crashes_module = module("crashes")
    machine: Any = importlib.import_module("machine")
    kept = Kept()
    cause = machine.reset_cause
    try:
        machine.reset_cause = lambda: 3
        kept.values["boot"] = "16383"
        for name, value in [*acts, *[("note", "\x01" * 999), ("restart", 3)] * 6]:
            if name == "restart" or not kept.most:
                machine.reset_cause = lambda value=value: value
                crashes = crashes_module.Crashes(kept)
                crashes.up_s = lambda: 9999999
                crashes.begin()
            elif name == "odd":
                kept.values["crash"] = json.dumps(value)
            else:
                getattr(crashes, name)(*([] if value is None else [value]))
            assert kept.most <= crashes_module.SHARE
            assert len(crashes.status()["log"]) <= 5
        assert len(crashes.status()["log"]) == 5
    finally:
        machine.reset_cause = cause
