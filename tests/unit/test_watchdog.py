"""The watchdog: fed while there is progress, with its reason noted when there is none; heap watched."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from restarts import Restarts, restarting


class Program:
    """A start of a program with one service, as the runtime would run it."""

    def __init__(self, restarts: Restarts, **options: Any):
        self.restarts = restarts
        self.crashes = restarts.module("crashes").Crashes(restarts.module("retained").retained)
        self.crashes.begin()
        self.log = restarts.module("log").Log("error")
        self.watchdog = restarts.module("watchdog").Watchdog(self.crashes, self.log, **options)
        self.resets: list[str] = []
        restarts.chip.on_reset = self.resets.append
        self.busy: int | None = None
        self.watchdog.watch("voice", lambda: self.busy)
        self.watchdog.start()

    async def run(self, seconds: float, step: Callable[[], None] = lambda: None) -> None:
        """Turn every half second, after `step`; ends early when the chip was reset."""
        for _ in range(round(seconds * 2)):
            if self.resets:
                return
            step()
            self.watchdog.turn()
            await asyncio.sleep(0.5)

    def advance(self) -> None:
        self.busy = (self.busy or 0) + 1

    def warned(self) -> list[str]:
        return [line[3] for line in self.log.lines]


@restarting
async def stall_and_restart(restarts: Restarts) -> None:
    for _ in range(3):
        program = Program(restarts)
        assert not program.crashes.safe
        program.busy = 1
        await program.run(60)
        assert program.resets == ["wdt"]
        restarts.forget()
    program = Program(restarts)
    assert program.crashes.safe and program.crashes.status()["total"] == 3
    assert [entry[1:] for entry in program.crashes.status()["log"]] == [[3, 16, "no progress: voice"]] * 3


def test_three_stalls_lead_to_safe_mode() -> None:
    stall_and_restart()


@restarting
async def progress(restarts: Restarts) -> None:
    program = Program(restarts)
    await program.run(100)  # idle
    await program.run(100, program.advance)
    assert program.resets == [] and program.watchdog.stalls == 0
    began = asyncio.get_running_loop().time()
    await program.run(100)
    assert program.resets == ["wdt"]
    assert 27 <= asyncio.get_running_loop().time() - began <= 29, "8 s of patience, 20 s of the watchdog"
    assert program.warned() == ["no progress: voice"] and program.watchdog.stalls == 1
    restarts.forget()
    assert Program(restarts).crashes.crashed[1:] == [3, 207, "no progress: voice"]


def test_fed_only_with_progress() -> None:
    progress()


@restarting
async def slow(restarts: Restarts) -> None:
    program = Program(restarts)
    await program.run(2)
    for _ in range(10):
        program.advance()
        await program.run(7.5)  # less than 8 s without progress
    program.busy = None
    await program.run(100)
    program.busy = 3
    for _ in range(10):  # busy with the same number each time, idle in between
        program.busy = 3
        await program.run(7.5)
        program.busy = None
        await program.run(0.5)
    assert program.resets == [] and program.watchdog.stalls == 0


def test_slow_progress_is_progress() -> None:
    slow()


@restarting
async def recovers(restarts: Restarts) -> None:
    program = Program(restarts)
    program.busy = 1
    await program.run(20)
    assert program.watchdog.stalls == 1
    await program.run(60, program.advance)
    assert program.resets == []
    assert program.warned() == ["no progress: voice", "goes on after no progress: voice"]
    restarts.reset("hard")
    assert Program(restarts).crashes.crashed[3] == "no reason known"


def test_who_goes_on_is_forgiven() -> None:
    recovers()


@restarting
async def several(restarts: Restarts) -> None:
    program = Program(restarts)
    program.watchdog.watch("link", lambda: 5, limit_ms=2000)
    program.watchdog.watch("broken", lambda: 1 // 0)
    program.busy = 1
    await program.run(1.5)
    assert program.warned() == ["broken is not watched: ZeroDivisionError"]
    await program.run(60)
    assert program.resets == ["wdt"] and program.warned()[1:] == ["no progress: link"]


def test_each_has_its_limit_and_a_broken_probe_does_no_harm() -> None:
    several()


@restarting
async def time_jumps(restarts: Restarts) -> None:
    program = Program(restarts, timeout_ms=10_000_000)
    program.busy = 1
    for _ in range(7):  # each time a second at most is held against it
        program.watchdog.turn()
        await asyncio.sleep(600)
    assert program.watchdog.stalls == 0
    await program.run(3)
    assert program.watchdog.stalls == 1


def test_time_that_jumps_does_not_count() -> None:
    time_jumps()


@restarting
async def scheduler(restarts: Restarts) -> None:
    program = Program(restarts)
    await program.run(5)
    await asyncio.sleep(21)  # no turn: somebody does not give the processor away
    assert program.resets == ["wdt"]
    restarts.forget()
    crashed = Program(restarts).crashes.crashed
    assert crashed[1] == 3 and crashed[3] == "no reason known"


def test_without_turns_it_bites() -> None:
    scheduler()


@restarting
async def prompt(restarts: Restarts) -> None:
    program = Program(restarts)
    program.busy = 1
    await program.run(10)
    program.watchdog.release()
    program.crashes.ended("prompt")
    await program.run(60)  # the glasses go on in the background, stuck or not
    await asyncio.sleep(86400)  # or a developer's loop takes the processor for a day
    assert program.resets == []
    restarts.reset("soft")  # mpremote: without main.py
    await asyncio.sleep(86400)
    assert restarts.chip.power.cause == 5
    again = Program(restarts)
    assert again.crashes.crashed is None
    again.busy = 1
    await again.run(60)
    assert again.resets == ["wdt"]


def test_it_does_not_bite_at_the_prompt() -> None:
    prompt()


@restarting
async def follow_again(restarts: Restarts) -> None:
    program = Program(restarts)
    program.busy = 1
    await program.run(25)
    program.watchdog.release()
    await program.run(1)
    program.watchdog.start()  # glasses.run() once more: what was stuck has another chance
    await program.run(7)
    assert program.resets == [] and program.watchdog.stalls == 1
    await program.run(60)
    assert program.resets == ["wdt"] and program.watchdog.stalls == 2


def test_run_after_the_prompt() -> None:
    follow_again()


@restarting
async def release_first(restarts: Restarts) -> None:
    Program(restarts)
    restarts.reset("soft")
    watchdog = restarts.module("watchdog").Watchdog(None, None)
    watchdog.release()  # Ctrl-C before it was started: there is one from before the soft reset
    await asyncio.sleep(3600)
    assert restarts.chip.power.cause == 5


def test_release_without_start() -> None:
    release_first()


# --- heap -------------------------------------------------------------------------------------------


class Heap:
    """`free` bytes, of which a collection makes `after`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int, after: int):
        self.free, self.after, self.collected = free, after, 0
        self._patch = monkeypatch

    def __enter__(self) -> Heap:
        self._patch.setattr(gc, "mem_free", lambda: self.free)
        self._patch.setattr(gc, "collect", self.collect)
        return self

    def __exit__(self, *unused: Any) -> None:
        self._patch.undo()

    def collect(self) -> None:
        self.collected += 1
        self.free = self.after


def test_garbage_is_no_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        program = Program(restarts)
        with Heap(monkeypatch, 16383, 200_000) as heap:
            await program.run(60)
            assert heap.collected == program.watchdog.collects == 1
            assert program.watchdog.heap_lowest == 200_000 and program.warned() == []

    check()


def test_one_warning_for_each_time_that_it_is_low(monkeypatch: pytest.MonkeyPatch) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        program = Program(restarts)
        with Heap(monkeypatch, 9000, 8000) as heap:
            for _ in range(2):
                heap.free, heap.after = 9000, 8000
                await program.run(60)
                heap.free = heap.after = 50_000
                await program.run(10)
            assert program.warned() == ["8000 bytes free"] * 2
            assert program.watchdog.heap_lowest == 8000 and program.watchdog.starved == 0
            assert program.resets == []

    check()


@pytest.mark.parametrize("helps", [True, False])
def test_starving_restarts_with_a_reason(monkeypatch: pytest.MonkeyPatch, helps: bool) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        called = []

        def starving() -> None:
            called.append(asyncio.get_running_loop().time())
            if helps:
                restarts.chip.reset("hard")
                restarts.chip.tell_reset("hard")

        program = Program(restarts, on_starving=starving)
        with Heap(monkeypatch, 4095, 4095):
            await program.run(60)
        assert len(called) == 1 and called[0] <= 4
        assert program.resets == (["hard"] if helps else ["wdt"]), "the watchdog sees to it"
        restarts.forget()
        crashed = Program(restarts).crashes.crashed
        assert crashed[3] == "heap: 4095 bytes free"

    check()


def test_a_short_famine_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        program = Program(restarts)
        with Heap(monkeypatch, 100, 100) as heap:
            for _ in range(10):
                heap.free = heap.after = 100
                while program.watchdog._starving < 3:
                    await program.run(0.5)
                heap.free = heap.after = 5000
                await program.run(0.5)
            assert program.watchdog.starved == 0
            await program.run(30)
            assert program.resets == [] and len(program.warned()) == 1
            assert program.watchdog.counters() == {
                "watchdog_stalls": 0,
                "heap_collects": program.watchdog.collects,
                "heap_starved": 0,
            }

    check()
