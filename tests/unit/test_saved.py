"""Whole glasses whose power goes: what no host had is there at the next start."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flash_shim import Disk
from test_voice import FRAME, reference, speech
from world import ADDRESS, World, run_world, virtual_board

from lunette import paths
from lunette.client import GlassesClient, Refused
from lunette.virtual import interpreter


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "journal").glob("*"))


def test_speech_survives_the_battery_and_then_leaves_flash(folder: Path) -> None:
    heard: list[Any] = []

    async def alone(world: World) -> None:
        world.say(speech(2))
        await world.talk(1.5)
        world.glasses.note("bookmark")
        await asyncio.sleep(6)
        assert world.glasses.journal.free == world.glasses.journal.slots
        status = world.glasses.status()
        assert (status["recordings"], status["saved"]) == (2, 2)
        assert status["saved_bytes"] == sum(path.stat().st_size for path in (folder / "journal").iterdir())
        heard.append(world.heard())

    async def with_host(world: World) -> None:
        recordings = await world.complete(2)
        talk = next(r for r in recordings if r.kind == "speech")
        event = next(r for r in recordings if r.kind == "event")
        assert (talk.lost, talk.crc_ok, event.crc_ok) == (0, True, True)
        assert np.array_equal(talk.pcm(), reference(heard[0][: talk.next_index * FRAME]))
        assert [frame for _, frame in sorted(event.frames.items())] == [b'"bookmark"']
        await asyncio.sleep(4)
        assert world.glasses.journal.recordings == []

    run_world(folder, alone, listen=False)
    assert files(folder) == ["00000000", "00000001"]
    run_world(folder, with_host)
    assert files(folder) == []


def test_live_and_backlog_from_flash_side_by_side(folder: Path) -> None:
    async def alone(world: World) -> None:
        for _ in range(3):
            await world.talk(2)
            await asyncio.sleep(4)

    async def with_host(world: World) -> None:
        world.say(speech(4))
        await world.talk(3)
        recordings = await world.complete(4)
        assert all(r.crc_ok and r.lost == 0 for r in recordings)
        await asyncio.sleep(13)
        assert world.glasses.journal.recordings == []

    run_world(folder, alone, listen=False)
    run_world(folder, with_host)
    assert files(folder) == []


def test_flash_is_left_alone_while_the_microphone_runs(folder: Path) -> None:
    async def test(world: World) -> None:
        disk = Disk()
        disk.plug(*(importlib.import_module(f"glasses.{name}") for name in ("spool", "savefile")))
        disk.allowed = lambda: not world.light or not world.light[-1][1]
        world.glasses.spool._there = False
        for n in range(6):
            await world.talk(3)
            await asyncio.sleep(2.2 + n * 0.13)  # the next press comes at another point of the save
        await asyncio.sleep(5)
        assert world.glasses.journal.saved == 6
        assert sum(line.startswith("rename") for line in disk.log) == 6

    run_world(folder, test, listen=False)


def test_a_restart_saves_first(folder: Path) -> None:
    async def test(world: World) -> None:
        asked: list[str] = []
        world.chip.on_reset = asked.append
        async with GlassesClient(ADDRESS, backends=world.backends()) as client:
            world.glasses.note("bookmark")
            await client.request("reboot")
            await world.until(lambda: asked == ["hard"], "the chip is reset")
        assert files(folder) == ["00000000"]

    run_world(folder, test, listen=False)


def test_a_restart_that_would_lose_something_must_be_forced(folder: Path) -> None:
    async def test(world: World) -> None:
        asked: list[str] = []
        world.chip.on_reset = asked.append
        world.glasses.spool.room = lambda: -1
        async with GlassesClient(ADDRESS, backends=world.backends()) as client:
            world.glasses.note("bookmark")
            with pytest.raises(Refused, match="1 recordings cannot be saved"):
                await client.request("reboot")
            await client.request("reboot", force=True)
            await world.until(lambda: asked == ["hard"], "the chip is reset")

    run_world(folder, test, listen=False)


def test_recordings_in_flash_are_listed_and_deleted(folder: Path) -> None:
    async def test(world: World) -> None:
        world.glasses.note("bookmark")
        await asyncio.sleep(4)
        (number,) = [r.number for r in world.glasses.journal.recordings]
        async with GlassesClient(ADDRESS, backends=world.backends()) as client:
            listed = await client.request("recordings")
            assert listed == {"waiting": 1, "saved": 1, "recordings": [[number, "event", 1, True]]}
            await client.request("delete", recording=number)
            assert (await client.request("recordings"))["waiting"] == 0
            await world.until(lambda: not files(folder), "the file is removed")

    run_world(folder, test, listen=False)


def test_glasses_with_little_memory_say_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        gc = importlib.import_module("gc")
        monkeypatch.setattr(gc, "mem_free", lambda: 98304 if full[0].pop() else 0)
        glasses = importlib.import_module("glasses.runtime").Glasses(virtual_board(JOURNAL_KB=1024))
        assert glasses.journal.slots == 576 * 1024 // 176
        assert [line[3] for line in glasses.log.lines][1:2] == ["memory for 575 KB, not for 1024"]

    full = [[True, False, False]]
    run_world(folder, test, listen=False)


SCRIPT = """
import gc, os, sys
sys.path.append({firmware!r})
os.chdir({folder!r})
from glasses.journal import Journal, largest
from glasses.pump import Pump
from glasses.savefile import Writer
from glasses.spool import Spool

class Log:
    def error(self, area, text):
        print(text)

got = largest(1 << 22, 0, 400000)
print(len(got.data) > 1 << 18, gc.mem_free() >= 400000)
del got
gc.collect()

def start():
    journal = Journal(60000, 1)
    spool = journal.spool = Spool(Log())
    spool.restore(journal)
    return journal, spool

journal, spool = start()
recording = journal.open("speech", {{"codec": "dvi4"}})
for i in range(300):
    journal.slot()
    journal.append(recording, 164)
journal.close(recording, {{"lost": 0}})
writer = Writer(spool, journal, recording)
while not writer.done:
    writer.step()
journal.move(recording, writer.file)
print(journal.free == journal.slots)

journal, spool = start()
(recording,) = journal.recordings
sent = 0
marks = [0, 0]
def notify(view):
    global sent
    sent += len(view)
    if 10000 < sent < 10245:  # the file is open, sizes are met
        gc.collect()
        gc.disable()
        marks[0] = gc.mem_alloc()
    if 40000 < sent < 40245:
        marks[1] = gc.mem_alloc()
pump = Pump(journal, notify)
pump.connect(b"host")
pump.start(247)
print(pump.pump(), pump.frames == 300, marks[0] > 0, marks[1] - marks[0])
"""


RECLAIM = """
import gc, sys
sys.path.append({firmware!r})
from glasses.journal import Journal
journal = Journal(176 * 400)
journal.connect(b"host")
recordings = [journal.open("speech", {{}}) for _ in range(3)]
def fill(recording, n):
    for i in range(n):
        journal.slot()
        journal.append(recording, 164)
for recording in recordings:
    fill(recording, 133)
    recording.sent = 133
journal.ack(recordings[0].number, 100)
journal.close(recordings[1])
fill(recordings[2], 1)
def measured(n):
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    fill(recordings[2], n)
    used = gc.mem_alloc() - before
    gc.enable()
    return used
# Takes what is reclaimable, evicts a recording, takes that.
print(measured(99), journal.reclaimed, measured(100), journal.evicted_recordings)
"""


def test_a_full_journal_allocates_nothing_a_frame_in_micropython() -> None:
    script = RECLAIM.format(firmware=str(paths.FIRMWARE))
    done = subprocess.run(interpreter.command("-c", script), capture_output=True, text=True, timeout=30)
    assert (done.stdout.split(), done.stderr) == (["0", "99", "0", "1"], "")


def test_reading_flash_allocates_nothing_in_micropython(folder: Path) -> None:
    script = SCRIPT.format(firmware=str(paths.FIRMWARE), folder=str(folder))
    done = subprocess.run(interpreter.command("-c", script), capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    assert done.stdout.split() == ["True"] * 6 + ["0"]
