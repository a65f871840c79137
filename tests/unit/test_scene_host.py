"""What a scene's host and a scene's stranger do, in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from test_voice import FRAME, reference, speech
from world import ADDRESS, World, run_world

from lunette.virtual import scene
from lunette.virtual.scene_host import SceneHost
from lunette.virtual.stranger import Stranger


def wavs(world: World) -> list[Path]:
    return sorted((world.folder / "host").glob("*.wav"))


async def arrive(world: World) -> tuple[SceneHost, list[tuple[str, Any]]]:
    told: list[tuple[str, Any]] = []
    host = SceneHost(world.folder / "host", world.air, lambda *event: told.append(event))
    await world.until(lambda: world.glasses.link.streaming, "the host connects")
    return host, told


def test_a_crash_takes_what_is_not_on_disk_and_nothing_else(folder: Path) -> None:
    async def test(world: World) -> None:
        host, told = await arrive(world)
        world.say(speech(3))
        world.press()
        await asyncio.sleep(1.8)
        (before,) = host.recordings
        stored, heard = before.stored, before.next_index
        assert 0 < stored < heard
        began = asyncio.get_running_loop().time()
        await host.crash()
        assert host.away and not host.connected
        await world.until(lambda: not world.glasses.link.connected, "the glasses notice")
        assert 1.5 < asyncio.get_running_loop().time() - began < 2.5, "by the supervision timeout"
        told.clear()
        host.come_back()
        await world.until(lambda: world.glasses.link.streaming, "the new program connects")
        world.release()
        await world.until(lambda: host.recordings[0].complete, "all of it")
        (after,) = host.recordings
        assert after is not before and after.lost == 0 and after.crc_ok
        again = [detail[1] for what, detail in told if what == "frame"]
        assert again == list(range(stored, after.next_index)), "from what was on disk"
        assert host.reconnects == 1
        assert np.array_equal(after.pcm(), reference(world.heard()[: len(after.frames) * FRAME]))
        assert len(wavs(world)) == 1
        await host.close()

    run_world(folder, test, listen=False)


def test_a_host_that_stalls_holds_the_glasses_back(folder: Path) -> None:
    async def test(world: World) -> None:
        host, told = await arrive(world)
        world.press()
        await asyncio.sleep(1)
        host.stall(1.5)
        await asyncio.sleep(0.1)
        frames = sum(what == "frame" for what, _ in told)
        await asyncio.sleep(1.3)
        assert sum(what == "frame" for what, _ in told) == frames
        assert world.glasses.counters()["pump.enomem"] > 0
        world.release()
        await world.until(lambda: host.recordings[0].complete, "all of it")
        assert host.recordings[0].lost == 0 and host.reconnects == 0
        await host.close()

    run_world(folder, test, listen=False)


def test_a_host_that_pairs_listens_at_once(folder: Path) -> None:
    async def test(world: World) -> None:
        told: list[tuple[str, Any]] = []
        host = SceneHost(world.folder / "host", world.air, lambda *event: told.append(event))
        await asyncio.sleep(4)
        assert any(what == "problem" and "not paired" in detail for what, detail in told)
        assert host.traffic() == (0, 0)
        world.glasses.security.pair()
        await asyncio.wait_for(host.pair(), 3)
        await world.until(lambda: world.glasses.link.streaming, "it listens", timeout=2)
        await host.close()

    run_world(folder, test, listen=False, paired=False)


def test_a_stranger_reports_what_it_was_refused_and_heard(folder: Path) -> None:
    async def test(world: World) -> None:
        stranger = Stranger(world.air, ADDRESS, list(scene.TRIES))
        await asyncio.wait_for(stranger.run(0), 30)
        assert stranger.report() == {
            "connected": True,
            "sent_away": True,
            "refused": ["read", "ready", "pair"],
            "notified": 0,
            "bytes": 0,
        }
        assert [name for name in map(str, world.air._devices)] and len(world.air._devices) == 1

    run_world(folder, test, listen=False)


def test_where_everybody_may_listen_a_stranger_hears_everything(folder: Path) -> None:
    """The count of bytes would be 0 for a stranger that is deaf, too."""

    async def test(world: World) -> None:
        Path("settings.json").write_text('{"security": "open"}')
        await world.restart()
        stranger = Stranger(world.air, ADDRESS, ["subscribe", "read", "ready"])
        listening = asyncio.create_task(stranger.run(8))
        await world.until(lambda: world.glasses.link.streaming, "it is served")
        await world.talk(1)
        await listening
        assert not stranger.refused and not stranger.sent_away
        assert stranger.bytes > 50 * 164
        assert stranger.notified > 10

    run_world(folder, test, listen=False)
