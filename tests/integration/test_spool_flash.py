"""Recordings on a real littlefs in the real MicroPython: power cuts, torn writes, a full flash."""

from __future__ import annotations

import asyncio
import random
import subprocess
from pathlib import Path

from bench_glasses import Bench

from lunette import paths
from lunette.virtual import interpreter

COMMON = """
import binascii, os, sys
from glasses.journal import Journal
from glasses.recording import NONE
from glasses.savefile import Writer
from glasses.spool import Spool

class Log:
    def error(self, area, text):
        print("log:", text)

def frame(number, index):
    return bytes((number * 7 + index * 13 + i) & 0xFF for i in range(150))

def start(boot):
    journal = Journal(40000, boot)
    spool = journal.spool = Spool(Log())
    spool.restore(journal)
    return journal, spool

def record(journal, frames):
    recording = journal.open("speech", {"codec": "dvi4"})
    for i in range(frames):
        journal.write(recording, frame(recording.number, i))
    journal.close(recording, {"lost": 0})
    return recording

def save(journal, spool, recording):
    writer = Writer(spool, journal, recording)
    try:
        while not writer.done:
            writer.step()
    except OSError:
        writer.abort()
        raise
    journal.move(recording, writer.file)

def check(journal):
    # The ids of all recordings; each must be whole.
    for recording in journal.recordings:
        crc = n = 0
        while recording.cursor != NONE:
            assert journal.load(recording)
            at = journal.frame_at
            data = bytes(journal.frame_data[at : at + journal.frame_size])
            assert data == frame(recording.number, journal.frame_index)
            crc = binascii.crc32(data, crc)
            n += 1
        assert n == recording.count and crc == int.from_bytes(recording.crc, "little")
        assert recording.end == {"lost": 0}
    journal.spool.shut()
    found = [recording.number for recording in journal.recordings]
    assert len(set(found)) == len(found)
    return found
"""

# A flash in memory whose power goes at a given erase or program, half of which is done.
TORN = """
import sys
sys.path.append(FIRMWARE)
import vfs
COMMON

class Flash:
    def __init__(self):
        self.data = bytearray(b"\\xff" * (4096 * 32))
        self.operations = 0
        self.cut_at = -1

    def readblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        buf[:] = self.data[at : at + len(buf)]

    def _goes(self):
        if self.cut_at >= 0 and self.operations >= self.cut_at:
            self.operations += 1
            return True
        self.operations += 1
        return False

    def writeblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        first = self.operations == self.cut_at
        if self._goes():
            if first:
                half = len(buf) // 2
                self.data[at : at + half] = buf[:half]
            raise OSError(5)
        self.data[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return 32
        if op == 5:
            return 4096
        if op == 6:
            first = self.operations == self.cut_at
            if self._goes():
                if first:
                    self.data[arg * 4096 : arg * 4096 + 2048] = b"\\xff" * 2048
                return -5
            self.data[arg * 4096 : (arg + 1) * 4096] = b"\\xff" * 4096
        return 0

def session(done):
    # Saves and removes; `done` is told what is certain.
    journal, spool = start(1)
    for round_ in range(3):
        for frames in (50, 1):
            recording = record(journal, frames)
            save(journal, spool, recording)
            done.add(recording.number)
        oldest = journal.recordings[0]
        done.discard(oldest.number)
        journal.delete(oldest)
        spool.sweep()

def play(cut_at):
    flash = Flash()
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), "/")
    os.chdir("/")
    flash.operations = 0
    flash.cut_at = cut_at
    done = set()
    try:
        session(done)
    except OSError:
        assert cut_at >= 0
    total = flash.operations
    flash.cut_at = -1
    vfs.umount("/")
    vfs.mount(vfs.VfsLfs2(flash), "/")  # the power is back
    journal, spool = start(2)
    found = check(journal)
    # What was being saved or removed at that moment may be there or not.
    assert done <= set(found) and len(found) <= len(done) + 1, (cut_at, done, found)
    assert spool.damaged == 0
    while spool.doomed:
        spool.sweep()
    save(journal, spool, record(journal, 3))
    journal, spool = start(3)
    assert len(check(journal)) == len(found) + 1 and not spool.doomed
    vfs.umount("/")
    return total

total = play(-1)
for cut_at in range(0, total, 1 + total // STEPS):
    play(cut_at)
print("done", total)
"""


def run_script(script: str) -> str:
    done = subprocess.run(
        interpreter.command("-X", "heapsize=8m", "-c", script), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_torn_writes_at_many_places(tmp_path: Path) -> None:
    script = TORN.replace("COMMON", COMMON).replace("FIRMWARE", repr(str(paths.FIRMWARE)))
    # Above the last line: what the collector says when it closes files that the lost power left open.
    word, total = run_script(script.replace("STEPS", "240")).splitlines()[-1].split()
    assert word == "done" and int(total) > 200


FULL = """
FILL = open("fill", "wb")
journal, spool = start(1)
n = 0
try:
    while True:
        save(journal, spool, record(journal, 60))
        n += 1
except OSError as error:
    print(error.args[0], n > 2, [name for name in os.listdir("journal") if name.endswith(".new")])
journal, spool = start(2)
print(len(check(journal)) == n, spool.damaged)
"""


def firmware() -> dict[str, Path | bytes]:
    """What the spool needs of it."""
    folder = paths.FIRMWARE
    names = ("__init__", "journal", "recording", "savefile", "slots", "spool", "protocol")
    found: dict[str, Path | bytes] = {f"glasses/{name}.py": folder / f"glasses/{name}.py" for name in names}
    for path in (folder / "glasses" / "dsp").glob("*.py"):
        found[f"glasses/dsp/{path.name}"] = path
    return found


def test_a_full_flash_leaves_what_was_saved(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bench(
            tmp_path, {**firmware(), "common.py": COMMON.encode(), "full.py": FULL.encode()}
        ) as bench:
            await bench.ask("from common import *")
            out = await bench.ask("exec(open('full.py').read())")
            assert out.replace("\r", "").split("\n")[:2] == ["28 True []", "True 0"]

    asyncio.run(scenario())


MAIN = """
from common import *
journal, spool = start(0)
found = check(journal)
print("restored", found, spool.damaged)
while spool.doomed:
    spool.sweep()
journal._base = (max(found) >> 16) + 1 << 16 if found else 1 << 16
while True:
    recording = record(journal, 40)
    save(journal, spool, recording)
    print("saved", recording.number)
    if len(journal.recordings) > 5:
        oldest = journal.recordings[0]
        print("removing", oldest.number)
        journal.delete(oldest)
        spool.sweep()
"""


def test_the_power_goes_while_recordings_are_saved_and_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        rng = random.Random(4)
        files = {**firmware(), "common.py": COMMON.encode(), "main.py": MAIN.encode()}
        async with Bench(tmp_path, files, size_kb=512) as bench:
            certain: set[int] = set()
            for _ in range(8):
                await bench.printed("saved")
                await asyncio.sleep(rng.uniform(0, 0.05))  # to cut at any point
                await bench.glasses.power_cut()
                for line in bytes(b"saved" + bench.output).decode().split("\r\n")[:-1]:
                    word, _, number = line.partition(" ")
                    if word == "saved":
                        certain.add(int(number))
                    elif word == "removing":
                        certain.discard(int(number))
                bench.output.clear()
                await bench.glasses.start()
                await bench.printed("restored ")
                await bench.until(lambda: b"\r\n" in bench.output, "what is restored")
                text = bench.output.split(b"\r\n")[0].decode()
                ids, _, damaged = text.rpartition(" ")
                restored = set(map(int, ids.strip("[]").split(", "))) if ids != "[]" else set()
                assert damaged == "0"
                assert certain <= restored and len(restored - certain) <= 2
                certain = restored

    asyncio.run(scenario())
