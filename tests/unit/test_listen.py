"""Listening for days: a full disk, a folder that is removed, glasses that let nobody in, nonsense."""

from __future__ import annotations

import asyncio
import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bleak import Radio
from test_voice import FRAME, reference, speech
from world import ADDRESS, World, run_world

from lunette import listen
from lunette.disk import Disk
from lunette.errors import InUse, LunetteError, NotPaired
from lunette.listen import Listener
from lunette.protocol import wire
from lunette.virtual.air import LinkModel
from lunette.virtual.cpython import run

QUICK = LinkModel(supervision_timeout_ms=500)


class FullDisk:
    """While it is `full`, nothing can be written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.full = False
        self.refused = 0
        for name in ("replace", "append", "make_folder"):
            monkeypatch.setattr(Disk, name, self._wrap(getattr(Disk, name)))

    def _wrap(self, real: Any) -> Any:
        def call(disk: Disk, *args: Any) -> Any:
            if self.full:
                self.refused += 1
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(disk, *args)

        return call


def problems(world: World) -> list[str]:
    return [detail for _, what, detail in world.events if what == "problem"]


def test_a_full_disk_is_said_once_acknowledges_nothing_and_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)

    async def test(world: World) -> None:
        world.say(speech(4))
        world.press()
        await asyncio.sleep(1)
        (recording,) = world.glasses.journal.recordings
        disk.full = True
        await asyncio.sleep(1)
        world.release()
        acked = recording.acked
        await asyncio.sleep(300)
        assert recording.acked == acked and world.glasses.journal.recordings == [recording]
        assert disk.refused > 5, "it goes on trying"
        assert len(problems(world)) == 1
        assert "No space left on device" in problems(world)[0] and "host" in problems(world)[0]
        disk.full = False
        (whole,) = await world.complete(1, 60)
        assert (whole.lost, whole.crc_ok) == (0, True)
        assert np.array_equal(whole.pcm(), reference(world.heard()[: whole.next_index * FRAME]))
        await asyncio.sleep(1)
        assert world.glasses.journal.recordings == []
        assert len(list((folder / "host").glob("*.wav"))) == 1
        disk.full = True
        await world.talk(0.5)
        await asyncio.sleep(60)
        assert len(problems(world)) == 2, "news, when it happens again"
        disk.full = False
        await world.complete(2, 60)

    run_world(folder, test)


def test_a_disk_that_is_full_ends_a_program_that_is_not_patient(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)

    async def test(world: World) -> None:
        disk.full = True
        await world.talk(0.5)
        listener = Listener(folder / "out", backends=world.backends(), first_timeout_s=5, patient=False)
        with pytest.raises(LunetteError, match="No space left"):
            await listener.run()
        assert len(world.glasses.journal.recordings) == 1

    (folder / "out").mkdir()
    run_world(folder, test, listen=False)


def test_a_folder_that_is_removed_while_it_is_used(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(5))
        world.press()
        for _ in range(3):
            await asyncio.sleep(1)
            shutil.rmtree(folder / "host")
        await asyncio.sleep(1)
        world.release()
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert recording.path is not None and recording.path.exists()
        assert problems(world) == []

    run_world(folder, test)


def test_each_problem_is_said_once_until_it_is_connected_again(folder: Path) -> None:
    async def test(world: World) -> None:
        listener = world.listener
        assert listener is not None
        await world.until(lambda: listener.connected, "connected")
        said = []
        for _ in range(2):
            world.air.set_in_range(ADDRESS, False)
            await asyncio.sleep(600)
            world.air.set_in_range(ADDRESS, True)
            await world.until(lambda: listener.connected, "connected again", 60)
            said.append(problems(world)[len(said) :])
        assert listener.reconnects == 2
        assert 0 < len(said[0]) == len(set(said[0])) and said[1] == said[0]

    run_world(folder, test, model=QUICK)


def test_glasses_that_let_nobody_in(folder: Path) -> None:
    async def test() -> None:
        radio = Radio(secure=True)
        told: list[tuple[str, Any]] = []
        listener = Listener(
            folder, backends=radio.backends(), observe=lambda *event: told.append(event), first_timeout_s=5
        )
        running = asyncio.create_task(listener.run())
        await asyncio.sleep(600)
        found = [detail for what, detail in told if what == "problem"]
        assert len(found) == 1 and "hold the button for 3 seconds" in found[0]
        assert 30 < radio.calls.count("connect") < 100
        radio.bond_here = radio.bond_there = 1  # somebody has paired them, elsewhere
        await asyncio.sleep(20)
        assert told[-1][0] == "connected" and listener.connected
        running.cancel()
        await asyncio.wait({running})
        with pytest.raises(NotPaired):
            radio.bond_there = 0
            await Listener(folder, backends=radio.backends(), patient=False).run()

    run(test())


@pytest.mark.parametrize("at", ["start_notify", "ready"])
def test_glasses_that_hang_up_on_strangers(folder: Path, at: str) -> None:
    """MicroPython cannot refuse to pair, so firmware that does not want to ends the connection."""

    async def test() -> None:
        radio = Radio(breaks_at=at)
        told: list[tuple[str, Any]] = []
        listener = Listener(folder, backends=radio.backends(), observe=lambda *event: told.append(event))
        running = asyncio.create_task(listener.run())
        await asyncio.sleep(600)
        found = [detail for what, detail in told if what == "problem"]
        assert [("hold the button" in text) for text in found] == [False, True]
        assert radio.calls.count("connect") < 100
        radio.breaks_at = None
        await asyncio.sleep(20)
        assert listener.connected
        running.cancel()
        await asyncio.wait({running})
        radio.breaks_at = at
        with pytest.raises(NotPaired, match="hang up"):
            await Listener(folder, backends=radio.backends(), patient=False).run()

    run(test())


def test_who_comes_back_tries_at_once_and_who_has_left_does_not(folder: Path) -> None:
    async def test() -> None:
        radio = Radio(breaks_at="ready")
        listener = Listener(folder, backends=radio.backends())
        running = asyncio.create_task(listener.run())
        await asyncio.sleep(20)  # now it waits long between attempts
        radio.breaks_at = None
        await listener.leave()
        attempts = radio.calls.count("connect")
        await asyncio.sleep(60)
        assert radio.calls.count("connect") == attempts
        listener.come_back()
        await asyncio.sleep(1)
        assert listener.connected
        running.cancel()
        await asyncio.wait({running})

    run(test())


def test_a_second_listener_in_the_same_folder_ends(folder: Path) -> None:
    async def test() -> None:
        radio = Radio()
        first = asyncio.create_task(Listener(folder, backends=radio.backends()).run())
        await asyncio.sleep(1)
        with pytest.raises(InUse, match="another folder"):
            await Listener(folder, backends=radio.backends()).run()
        first.cancel()
        await asyncio.wait({first})
        third = asyncio.create_task(Listener(folder, backends=radio.backends()).run())
        await asyncio.sleep(1)
        assert not third.done()
        third.cancel()
        await asyncio.wait({third})

    run(test())


def test_more_than_can_be_stored_ends_the_connection_not_the_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_MOST_WAITING", 50)

    async def test() -> None:
        radio = Radio()
        told: list[tuple[str, Any]] = []
        listener = Listener(folder, backends=radio.backends(), observe=lambda *event: told.append(event))
        running = asyncio.create_task(listener.run())
        await asyncio.sleep(1)
        for _ in range(1000):
            radio.clients[-1].send(wire.MORE, b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert listener._queue.qsize() <= 51
        await asyncio.sleep(5)
        assert [detail for what, detail in told if what == "problem"] == [
            "more came than this computer could store in time"
        ]
        assert listener.reconnects == 1 and listener.connected
        running.cancel()
        await asyncio.wait({running})

    run(test())


def test_an_observer_that_fails_ends_it(folder: Path) -> None:
    """A pipe that nobody reads any more is an OSError, too, and no reason to go on for ever."""

    async def test() -> None:
        def observe(what: str, detail: Any) -> None:
            if what == "connected":
                raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            await Listener(folder, backends=Radio().backends(), observe=observe).run()

    run(test())


def test_hours_of_notes_leave_memory_as_it_was(folder: Path) -> None:
    async def test() -> None:
        radio = Radio()
        listener = Listener(folder, backends=radio.backends())
        running = asyncio.create_task(listener.run())
        await asyncio.sleep(1)
        for number in range(200):
            send = radio.clients[-1].send
            send(wire.OPEN, wire.open_body(number, "event", {"t": number}))
            send(wire.DATA, wire.data_body(number, 0, b"note"))
            send(wire.CLOSE, wire.close_body(number, 1, 0xDEADBEEF, {}))
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)
        assert len(listener.recordings) == 64
        assert not any(recording.frames for recording in listener.recordings)
        assert len(list(folder.glob("*.txt"))) == 200
        assert len(list((folder / ".partial").rglob("*.json"))) == 64
        running.cancel()
        await asyncio.wait({running})

    run(test())
