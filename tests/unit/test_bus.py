"""The bus: order, bounds, and that one failing hook stops nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lunette.virtual.cpython import run


def with_bus(micropython: Any, test: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    from glasses.bus import Bus

    async def main() -> None:
        bus = Bus()
        task = asyncio.create_task(bus.run())
        try:
            await test(bus)
        finally:
            task.cancel()

    run(main())


def test_hooks_run_in_order_and_soon(micropython: Any) -> None:
    async def test(bus: Any) -> None:
        seen: list[Any] = []
        bus.on("tap", lambda event: seen.append(("first", event.name, event.t, event.value)))
        bus.on("tap", lambda event: seen.append(("second", event.name, event.t, event.value)))
        bus.on("*", lambda event: seen.append(("all", event.name, event.t, event.value)))
        bus.emit("tap", 5)
        bus.emit("hold", 6, 300)
        bus.emit("tap", 7, "x")
        assert seen == [], "a hook delayed the one who emits"
        await asyncio.sleep(0.01)
        assert seen == [
            ("first", "tap", 5, None),
            ("second", "tap", 5, None),
            ("all", "tap", 5, None),
            ("all", "hold", 6, 300),
            ("first", "tap", 7, "x"),
            ("second", "tap", 7, "x"),
            ("all", "tap", 7, "x"),
        ]

    with_bus(micropython, test)


def test_services_are_called_on_the_spot(micropython: Any) -> None:
    async def test(bus: Any) -> None:
        seen: list[Any] = []
        bus.now("tap", lambda *event: seen.append(event))
        bus.now("*", lambda *event: seen.append(("*", *event)))
        bus.emit("tap", 5, 1)
        assert seen == [("tap", 5, 1), ("*", "tap", 5, 1)]
        assert bus.counters()["bus.emitted"] == 1

    with_bus(micropython, test)


def test_a_failing_hook_stops_nobody(micropython: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bus: Any) -> None:
        seen: list[str] = []

        async def fails_later(event: Any) -> None:
            await asyncio.sleep(0.01)
            raise KeyError("async hook")

        def fails(*event: Any) -> None:
            raise KeyError("hook")

        bus.now("tap", fails)
        bus.now("tap", lambda *event: seen.append("service"))
        bus.on("tap", fails)
        bus.on("tap", fails_later)
        bus.on("tap", lambda event: seen.append("hook"))
        for _ in range(2):
            bus.emit("tap", 5)
            await asyncio.sleep(0.1)
        assert seen == ["service", "hook"] * 2
        assert bus.counters()["bus.failed_hooks"] == 6

    with_bus(micropython, test)
    printed = capsys.readouterr().out
    assert printed.count("KeyError: 'async hook'") == 2
    assert printed.count("KeyError: 'hook'") == 4


def test_a_slow_async_hook_delays_nobody(micropython: Any) -> None:
    async def test(bus: Any) -> None:
        seen: list[Any] = []

        async def slow(event: Any) -> None:
            await asyncio.sleep(60)
            seen.append("slow")

        bus.on("tap", slow)
        bus.on("tap", lambda event: seen.append(event.t))
        for t in range(5):
            bus.emit("tap", t)
        await asyncio.sleep(0.01)
        assert seen == [0, 1, 2, 3, 4]
        await asyncio.sleep(61)
        assert seen[5:] == ["slow"] * 5

    with_bus(micropython, test)


def test_a_flood_is_bounded_and_counted(micropython: Any) -> None:
    async def test(bus: Any) -> None:
        seen: list[int] = []
        bus.on("tap", lambda event: seen.append(event.t))
        for t in range(100):
            bus.emit("tap", t)
        await asyncio.sleep(0.01)
        assert seen == list(range(32))
        assert bus.counters()["bus.dropped"] == 100 - 32
        bus.emit("tap", 200)  # it goes on afterwards
        await asyncio.sleep(0.01)
        assert seen[-1] == 200

    with_bus(micropython, test)


def test_events_that_nobody_hooks_take_no_room(micropython: Any) -> None:
    async def test(bus: Any) -> None:
        seen: list[str] = []
        bus.on("tap", lambda event: seen.append(event.name))
        for t in range(100):
            bus.emit("press", t)
        bus.emit("tap", 1)
        await asyncio.sleep(0.01)
        assert seen == ["tap"]
        assert bus.dropped == 0

    with_bus(micropython, test)


def test_a_hook_may_emit(micropython: Any) -> None:
    async def test(bus: Any) -> None:
        seen: list[str] = []
        bus.on("tap", lambda event: bus.emit("tapped", event.t))
        bus.on("tapped", lambda event: seen.append(event.name))
        bus.emit("tap", 1)
        await asyncio.sleep(0.01)
        assert seen == ["tapped"]

    with_bus(micropython, test)


def test_an_event_reads_well_at_the_prompt(micropython: Any) -> None:
    from glasses.bus import Event

    assert repr(Event("tap", 12, None)) == "<tap at 12 ms>"
    assert repr(Event("hold_end", 12, (1, 2))) == "<hold_end at 12 ms: (1, 2)>"
