"""Glasses that let a host go, and a host that leaves them alone until they, or somebody, want something."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
from bleak import BleakScanner
from world import ADDRESS, World, run_world

from lunette.client import connect
from lunette.finding import is_resting
from lunette.virtual.bleak_backend import VirtualScanner


def configure(folder: Path, **settings: Any) -> None:
    (folder / "settings.json").write_text(json.dumps({"grace_s": 10, "awake_s": 5} | settings))


async def advertised(world: World) -> Any:
    heard = await BleakScanner.discover(timeout=1.5, return_adv=True, backend=VirtualScanner)
    return heard[ADDRESS][1]


def observed(world: World, what: str) -> list[Any]:
    return [detail for _, kind, detail in world.events if kind == what]


def test_a_host_that_wants_nothing_is_let_go_and_comes_back_for_speech(folder: Path) -> None:
    configure(folder, linger_s=20, sleep="never")

    async def test(world: World) -> None:
        assert world.listener is not None
        world.usb(False)
        await world.until(lambda: world.listener.resting, "it is told", timeout=40)
        assert observed(world, "resting") == ["rest"]
        assert world.glasses.power.counters() and world.glasses.standby.lingered == 1
        await asyncio.sleep(60)
        assert not world.listener.connected and world.glasses.link.door.connects == 1
        assert is_resting(await advertised(world))
        world.say(np.full(16000, 1000, np.int16))
        await world.talk(1)
        (recording,) = await world.complete(1)
        assert recording.crc_ok and world.listener.connected and not world.listener.resting
        assert world.glasses.link.door.connects == 2

    run_world(folder, test)


def test_a_host_that_asks_may_stay(folder: Path) -> None:
    configure(folder, linger_s=20, sleep="never")

    async def test(world: World) -> None:
        world.usb(False)
        async with connect(backends=world.backends()) as glasses:
            for _ in range(6):
                await asyncio.sleep(15)
                assert await glasses.request("ping") == "pong"
            assert world.glasses.standby.lingered == 0
            await world.until(lambda: not glasses.is_connected, "it asks no more", timeout=30)
            await asyncio.sleep(10)
            assert await glasses.request("ping") == "pong", "what is wanted is waited for"

    run_world(folder, test, listen=False)


def test_nobody_is_let_go_on_usb_or_while_recording(folder: Path) -> None:
    configure(folder, linger_s=20, sleep="never")

    async def test(world: World) -> None:
        assert world.listener is not None
        await asyncio.sleep(60)
        assert world.listener.connected
        world.usb(False)
        world.press()
        await asyncio.sleep(60)
        assert world.listener.connected
        world.release()
        await asyncio.sleep(15)
        assert world.listener.connected, "it had its last frame a moment ago"
        await world.until(lambda: world.listener.resting, "then it is let go", timeout=20)

    run_world(folder, test)


def test_a_lost_host_is_called_back(folder: Path) -> None:
    """Whoever was lost without a good-bye comes back at once: there may be something to be said."""
    configure(folder, sleep="never")

    async def test(world: World) -> None:
        assert world.listener is not None
        assert not is_resting(await advertised_of_another(world))
        world.air.drop()
        await world.until(lambda: world.listener.reconnects == 1, "it is back", timeout=10)
        assert not observed(world, "resting")

    async def advertised_of_another(world: World) -> Any:
        await world.listener.leave()  # type: ignore[union-attr]
        found = await advertised(world)
        world.listener.come_back()  # type: ignore[union-attr]
        await world.until(lambda: world.listener.connected, "again")  # type: ignore[union-attr]
        world.listener.reconnects = 0  # type: ignore[union-attr]
        return found

    run_world(folder, test)
