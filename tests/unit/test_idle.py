"""The asyncio idle hook: how deep for how long, and the time that the CPU has worked."""

from __future__ import annotations

import asyncio
import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(-1, 100_000), st.booleans(), st.booleans(), st.booleans())
def test_light_sleep_only_where_nothing_can_be_lost(
    micropython: Any, wait_ms: int, radio: bool, capturing: bool, cable: bool
) -> None:
    from glasses.idle import LIGHT_MIN_MS, depth

    found = depth(wait_ms, radio, capturing, cable)
    assert (found == "run") == (wait_ms == 0)
    if found == "light":
        assert not (radio or capturing or cable) and (wait_ms < 0 or wait_ms >= LIGHT_MIN_MS)
    elif found == "idle":
        assert radio or capturing or cable or wait_ms < LIGHT_MIN_MS


class Queue:
    """asyncio's, of which each wait takes as long as it may, or as an interrupt lets it."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.waits: list[int] = []
        self.interrupted_after_ms: int | None = None
        self.registered: list[Any] = []

    def queue_read(self, s: Any) -> None:
        self.registered.append(s)

    def wait_io_event(self, wait_ms: int) -> None:
        self.waits.append(wait_ms)
        passed = wait_ms if self.interrupted_after_ms is None else self.interrupted_after_ms
        self._clock.offset_us += max(0, passed) * 1000


@pytest.fixture
def rig(micropython: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = importlib.import_module("glasses.idle")
    clock = micropython.clock
    queue = Queue(clock)
    core = SimpleNamespace(_io_queue=queue)
    monkeypatch.setattr(asyncio, "core", core, raising=False)
    slept: list[tuple[int, ...]] = []

    def lightsleep(*ms: int) -> None:
        slept.append(ms)
        clock.offset_us += (ms[0] if ms else 7_000_000) * 1000

    monkeypatch.setattr(module, "machine", SimpleNamespace(lightsleep=lightsleep))
    asked: list[int] = []
    made = SimpleNamespace(
        module=module, clock=clock, queue=queue, core=core, slept=slept, asked=asked, answer="idle"
    )
    made.idle = module.Idle(lambda wait_ms: asked.append(wait_ms) or made.answer)
    return made


def test_it_takes_the_place_of_the_queue_once(rig: Any) -> None:
    assert rig.idle.install() and rig.core._io_queue is rig.idle
    assert not rig.idle.install() and not rig.module.Idle(lambda ms: "idle").install()
    assert rig.core._io_queue is rig.idle
    rig.core._io_queue.queue_read("stdin")  # what tasks ask of the queue still reaches it
    assert rig.queue.registered == ["stdin"]


def test_an_asyncio_without_that_place_is_left_alone(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "core", SimpleNamespace())
    assert not rig.idle.install()
    monkeypatch.delattr(asyncio, "core")
    assert not rig.idle.install()


def test_waiting_is_the_queues_and_only_work_is_counted(rig: Any) -> None:
    rig.idle.install()
    for work_us, wait_ms in ((1500, 0), (700, 100), (700, 5000), (2_000_000, -1)):
        rig.clock.offset_us += work_us
        rig.core._io_queue.wait_io_event(wait_ms)
    assert rig.queue.waits == rig.asked == [0, 100, 5000, -1]
    assert rig.idle.busy_ms == 2002 and rig.idle._busy_us == 900
    assert rig.slept == [] and rig.idle.light_sleeps == 0


def test_light_sleep_takes_the_place_of_waiting(rig: Any) -> None:
    rig.idle.install()
    rig.answer = "light"
    rig.core._io_queue.wait_io_event(400)
    rig.core._io_queue.wait_io_event(-1)
    assert rig.slept == [(400,), ()], "for ever is no number"
    assert rig.queue.waits == [0, 0], "then it is only looked whether something is ready"
    assert rig.idle.light_sleeps == 2 and rig.idle.busy_ms == 0


def test_counters_of_microseconds_wrap(rig: Any) -> None:
    rig.idle.install()
    rig.clock.offset_us += (1 << 30) - 500 - rig.clock.now_us() % (1 << 30)
    rig.core._io_queue.wait_io_event(0)
    before = rig.idle.busy_ms
    rig.clock.offset_us += 3000
    rig.core._io_queue.wait_io_event(0)
    assert rig.idle.busy_ms - before in (3, 4)
