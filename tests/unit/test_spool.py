"""Recordings in flash: what is saved comes back whole, whenever the power goes and whatever is damaged."""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import importlib
import json
import random
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from flash_shim import Disk, PowerCut
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.virtual.cpython import run

NONE = 0xFFFF


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, area: str, text: str) -> None:
        self.lines.append(text)

    debug = info = error


class Glasses:
    """Journal, spool and saver on a disk, from one start to the next."""

    def __init__(self, disk: Disk, boot: int = 1, slots: int = 64):
        journal, spool, saver = (
            importlib.import_module(f"glasses.{n}") for n in ("journal", "spool", "saver")
        )
        self.disk = disk
        disk.plug(spool, importlib.import_module("glasses.savefile"))
        disk.allowed = lambda: not self.capturing
        self.capturing = False
        self.streaming = False
        self.log = Log()
        self.gone: list[int] = []
        self.journal = journal.Journal(slots * journal.SLOT, boot)
        self.journal.on_gone = lambda recording: self.gone.append(recording.number)
        self.spool = spool.Spool(self.log)
        self.saver = saver.Saver(
            self.journal, self.spool, self.log, lambda: self.capturing, lambda: self.streaming
        )
        self.spool.restore(self.journal)

    def record(
        self, kind: str, frames: list[bytes], holes: set[int] | None = None, close: bool = True
    ) -> Any:
        """Frames at the indices that are no holes."""
        recording = self.journal.open(kind, {"n": len(frames)})
        for frame in frames:
            while holes and recording.count in holes:
                self.journal.lose(recording)
            assert self.journal.write(recording, frame)
        if close:
            self.journal.close(recording, {"lost": recording.lost})
        return recording

    def save(self) -> int:
        return run(self.saver.save_all())

    def read(self, recording: Any, start: int = 0) -> list[tuple[int, bytes]]:
        """What a host that resumes there is sent."""
        self.journal.rewind(recording, start)
        found = []
        while recording.cursor != NONE:
            assert self.journal.load(recording)
            at, size = self.journal.frame_at, self.journal.frame_size
            found.append((self.journal.frame_index, bytes(self.journal.frame_data[at : at + size])))
            recording.sent = max(recording.sent, self.journal.frame_index + 1)
        recording.sent = recording.count + 1
        return found

    def held(self) -> dict[int, tuple[Any, ...]]:
        """Everything about every recording."""
        return {
            r.number: (r.kind, r.meta, r.end, r.count, r.lost, bytes(r.crc), r.closed, self.read(r))
            for r in self.journal.recordings
        }


def frames(seed: int, n: int, size: int = 164) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(size) for _ in range(n)]


def run_for(seconds: float, glasses: Glasses, script: Callable[[], Awaitable[None]] | None = None) -> None:
    """The saver runs so long, in virtual time, beside `script`."""

    async def main() -> None:
        task = asyncio.create_task(glasses.saver.run())
        if script is not None:
            await script()
        await asyncio.sleep(seconds)
        if task.done():
            task.result()
        task.cancel()

    run(main())


def test_everything_comes_back_after_a_power_cycle(micropython: Any) -> None:
    disk = Disk()
    before = Glasses(disk, boot=1)
    before.record("speech", frames(1, 20))
    before.record("event", [b'"bookmark"'])
    before.record("photo", frames(2, 7, 176), holes={0, 3, 4, 9})
    before.record("log", [])
    everything = before.held()
    assert before.save() == 0
    assert before.journal.free == before.journal.slots, "saved recordings leave memory"
    assert before.held() == everything
    after = Glasses(disk, boot=2)
    assert after.held() == everything
    assert [r.number for r in after.journal.recordings] == list(everything)
    assert after.journal.open("event", {}).number >> 16 == 2
    assert after.log.lines == []
    # Nothing is saved twice.
    operations = disk.operations
    run_for(30, after)
    assert disk.operations == operations


def test_the_order_is_that_of_age_though_ids_wrap(micropython: Any) -> None:
    disk = Disk()
    numbers = []
    for boot in (16383, 0, 5, 3):
        glasses = Glasses(disk, boot)
        numbers.append(glasses.record("event", [b"x"]).number)
        glasses.save()
    assert [r.number for r in Glasses(disk).journal.recordings] == numbers


def test_an_id_that_waits_in_flash_is_not_given_again(micropython: Any) -> None:
    """The count of starts may be lost, and begin where it was before."""
    disk = Disk()
    first = Glasses(disk, boot=7)
    number = first.record("event", [b"x"]).number
    first.save()
    again = Glasses(disk, boot=7)
    assert again.record("event", [b"y"]).number != number
    assert len({r.number for r in again.journal.recordings}) == 2


@settings(max_examples=60)
@given(st.sets(st.integers(0, 40)), st.integers(1, 25), st.lists(st.integers(0, 70), max_size=6))
def test_resume_finds_any_frame(micropython: Any, holes: set[int], n: int, starts: list[int]) -> None:
    glasses = Glasses(Disk())
    recording = glasses.record("speech", frames(1, n, 9), holes)
    whole = glasses.read(recording)
    glasses.save()
    for start in starts:
        assert glasses.read(recording, start) == [f for f in whole if f[0] >= start]


def test_a_host_goes_on_in_flash_where_it_was_in_memory(micropython: Any) -> None:
    glasses = Glasses(Disk())
    recording = glasses.record("speech", frames(1, 10), holes={2})
    glasses.journal.connect(b"a")
    for _ in range(4):
        assert glasses.journal.load(recording)
        recording.sent = glasses.journal.frame_index + 1
    glasses.save()
    assert glasses.journal.load(recording) and glasses.journal.frame_index == 5
    recording.sent = 6
    assert glasses.journal.ack(recording.number, 6)
    glasses.journal.connect(b"b")
    assert glasses.journal.load(recording) and glasses.journal.frame_index == 0
    glasses.journal.connect(b"a")
    assert glasses.journal.load(recording) and glasses.journal.frame_index == 6


def test_hosts_keep_their_places_over_a_power_cycle(micropython: Any) -> None:
    disk = Disk()
    glasses = Glasses(disk)
    recording = glasses.record("speech", frames(1, 6))
    for host, acked in ((b"\x01a", 2), (b"\x02b", 4)):
        glasses.journal.connect(host)
        glasses.read(recording)
        assert glasses.journal.ack(recording.number, acked)
    glasses.save()
    glasses = Glasses(disk, 2)
    (recording,) = glasses.journal.recordings
    for host, acked in ((b"\x02b", 4), (b"new", 0), (b"\x01a", 2)):
        glasses.journal.connect(host)
        assert (recording.acked, recording.sent) == (acked, acked)
        assert glasses.journal.load(recording) and glasses.journal.frame_index == acked


def test_an_acknowledged_recording_leaves_flash_too(micropython: Any) -> None:
    disk = Disk()
    glasses = Glasses(disk)
    recording = glasses.record("speech", frames(1, 6))
    kept = glasses.record("event", [b"x"])
    glasses.save()
    glasses.journal.connect(b"a")
    glasses.read(recording)
    glasses.capturing = True
    assert glasses.journal.ack(recording.number, 7)
    run_for(20, glasses)
    assert len(disk.files) == 2, "not while the microphone runs"
    glasses.capturing = False
    run_for(3, glasses)
    assert len(disk.files) == 1
    assert list(Glasses(disk).held()) == [kept.number]


# --- when it is saved -----------------------------------------------------------------------------


def test_what_a_host_acknowledges_soon_is_never_written(micropython: Any) -> None:
    glasses = Glasses(Disk())
    glasses.streaming = True
    glasses.journal.connect(b"a")

    async def script() -> None:
        for n in range(5):
            recording = glasses.record("speech", frames(n, 6))
            glasses.read(recording)
            await asyncio.sleep(7)
            assert glasses.journal.ack(recording.number, 7)

    run_for(5, glasses, script)
    assert glasses.disk.log == []


@pytest.mark.parametrize("streaming, seconds", [(False, 2), (True, 10)])
def test_what_waits_is_saved_after_a_while(micropython: Any, streaming: bool, seconds: int) -> None:
    glasses = Glasses(Disk())
    glasses.streaming = streaming
    recording = glasses.record("speech", frames(1, 6))
    draft = glasses.journal.open("speech", {}, draft=True)
    growing = glasses.record("speech", frames(1, 2), close=False)
    run_for(seconds - 0.5, glasses)
    assert glasses.disk.log == []
    run_for(2, glasses)
    assert recording.file is not None
    assert (draft.file, growing.file, growing.held) == (None, None, 2)


def test_a_short_memory_is_saved_at_once(micropython: Any) -> None:
    glasses = Glasses(Disk(), slots=20)
    glasses.record("speech", frames(1, 16))

    async def script() -> None:
        await asyncio.sleep(0.2)
        glasses.record("speech", frames(2, 16))

    run_for(0.2, glasses, script)
    assert glasses.journal.saved == 2
    assert glasses.journal.evicted_recordings == 0


@settings(max_examples=40)
@given(st.lists(st.floats(0.001, 0.2), min_size=1, max_size=12))
def test_a_capture_stops_all_writing_and_it_goes_on_after(micropython: Any, spans: list[float]) -> None:
    """The disk itself refuses what comes while the microphone runs."""
    disk = Disk()
    glasses = Glasses(disk, slots=200)
    glasses.record("speech", frames(1, 120))
    everything = glasses.held()

    async def script() -> None:
        await asyncio.sleep(2)
        for span in spans:
            glasses.capturing = not glasses.capturing
            await asyncio.sleep(span)
        glasses.capturing = False

    run_for(5, glasses, script)
    assert glasses.disk.log.count("open journal/00000000.new") == 1, "it is not begun again"
    assert glasses.journal.saved == 1
    assert Glasses(disk).held() == everything


def test_a_recording_that_goes_while_it_is_saved_leaves_no_file(micropython: Any) -> None:
    glasses = Glasses(Disk(), slots=200)
    recording = glasses.record("speech", frames(1, 120))

    async def script() -> None:
        while not glasses.disk.log:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.006)
        glasses.capturing = True
        await asyncio.sleep(0.1)
        glasses.journal.delete(recording)
        await asyncio.sleep(1)
        assert list(glasses.disk.files) == ["journal/00000000.new"]
        glasses.capturing = False

    run_for(2, glasses, script)
    assert glasses.disk.files == {}
    assert glasses.saver.dropped == 1
    assert glasses.gone == [recording.number]


def test_a_saver_that_dies_leaves_no_file(micropython: Any) -> None:
    glasses = Glasses(Disk(), slots=200)
    glasses.record("speech", frames(1, 120))

    async def script() -> None:
        while not glasses.disk.log:
            await asyncio.sleep(0.001)

    run_for(0.006, glasses, script)  # and its task is cancelled
    assert list(glasses.disk.files) == ["journal/00000000.new"]
    everything = glasses.held()
    assert glasses.save() == 0
    assert list(glasses.disk.files) == ["journal/00000000"]
    assert glasses.held() == everything


# --- full and broken flash ------------------------------------------------------------------------


def test_a_full_flash_gives_up_the_oldest(micropython: Any) -> None:
    disk = Disk(64 * 1024 + 65536)
    glasses = Glasses(disk, slots=100)
    recordings = []
    for n in range(6):
        recordings.append(glasses.record("speech", frames(n, 80)))
        assert glasses.save() == 0
    kept = [r.number for r in glasses.journal.recordings]
    assert kept == [r.number for r in recordings[-len(kept) :]] and 1 < len(kept) < 6
    assert glasses.gone == [r.number for r in recordings[: -len(kept)]]
    assert glasses.journal.evicted_recordings == 6 - len(kept)
    assert glasses.journal.evicted_frames == 80 * (6 - len(kept))
    assert disk.statvfs("")[3] * 4096 >= 65536, "the reserve is left to others"
    assert list(Glasses(disk).held()) == kept


def test_what_fits_never_is_not_tried_for_ever(micropython: Any) -> None:
    disk = Disk(16 * 1024 + 65536)
    glasses = Glasses(disk, slots=200)
    small = glasses.record("event", [b"x"])
    assert glasses.save() == 0
    glasses.record("speech", frames(1, 150))
    assert glasses.save() == 1
    assert glasses.gone == [], "nothing is given up for what does not fit even then"
    run_for(60, glasses)
    assert (glasses.saver.failed, glasses.journal.saved) == (1, 1)
    disk.size *= 4
    glasses.journal.delete(small)  # a file less: worth another try
    run_for(5, glasses)
    assert glasses.journal.saved == 1 and glasses.saver.failed == 1


def test_enospc_gives_up_the_oldest_too(micropython: Any) -> None:
    """The file system's own count may be off."""
    disk = Disk()
    glasses = Glasses(disk)
    first = glasses.record("speech", frames(1, 20))
    assert glasses.save() == 0
    second = glasses.record("speech", frames(2, 20))
    disk.fail["write"] = 28
    assert glasses.save() == 0
    assert glasses.gone == [first.number]
    assert list(Glasses(disk).held()) == [second.number]
    assert len(disk.files) == 1


@pytest.mark.parametrize("word", ["mkdir", "open", "write", "close", "rename"])
def test_a_flash_that_fails_costs_nothing_but_the_save(micropython: Any, word: str) -> None:
    disk = Disk()
    glasses = Glasses(disk)
    recording = glasses.record("speech", frames(1, 20))
    everything = glasses.held()
    disk.fail[word] = 5
    assert glasses.save() == 1
    assert glasses.saver.failed == 1 and glasses.log.lines
    assert glasses.held() == everything and recording.file is None
    assert [name for name in disk.files if word != "rename"] == []
    assert glasses.save() == 0
    assert glasses.held() == everything
    assert list(disk.files) == ["journal/00000000"]


def test_without_memory_for_a_sector_it_is_saved_another_time(
    micropython: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sector is there while something is saved only."""

    def none(size: Any) -> bytearray:
        if size == 4096:
            raise MemoryError
        return bytearray(size)

    disk = Disk()
    glasses = Glasses(disk)
    recording = glasses.record("speech", frames(1, 20))
    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("glasses.savefile"), "bytearray", none, raising=False)
        assert glasses.save() == 1
    assert recording.file is None and not disk.files and glasses.saver.failed == 1
    assert glasses.save() == 0 and recording.file is not None


def saved_file(n: int = 5) -> tuple[Disk, int]:
    disk = Disk()
    glasses = Glasses(disk)
    glasses.record("speech", frames(1, n))
    glasses.record("event", [b"safe"])
    glasses.save()
    (length,) = struct.unpack_from("<H", disk.files["journal/00000000"], 4)
    return disk, 16 + length


@settings(max_examples=80)
@given(st.data())
def test_damaged_files_are_counted_and_removed_and_the_others_stay(micropython: Any, data: Any) -> None:
    disk, header = saved_file()
    whole = disk.files["journal/00000000"]
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif data.draw(st.booleans()):
        at = data.draw(st.integers(0, header - 1))
        broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    else:
        broken = whole + data.draw(st.binary(min_size=1, max_size=200))
    disk.files["journal/00000000"] = broken
    glasses = Glasses(disk)
    assert [r.kind for r in glasses.journal.recordings] == ["event"]
    assert glasses.spool.damaged == 1 and "journal/00000000" in glasses.log.lines[0]
    run_for(2, glasses)
    assert list(disk.files) == ["journal/00000001"]


@settings(max_examples=80)
@given(st.binary(max_size=300), st.sampled_from(["0000000f", "notes.txt", "x.new", "00000000.new", "+1"]))
def test_anything_may_lie_in_the_folder(micropython: Any, data: bytes, name: str) -> None:
    disk, _ = saved_file()
    disk.files[f"journal/{name}"] = data
    glasses = Glasses(disk)
    assert len(glasses.journal.recordings) == 2
    run_for(2, glasses)
    assert sorted(disk.files) == ["journal/00000000", "journal/00000001"]


def test_a_header_with_a_right_checksum_and_wrong_contents(micropython: Any) -> None:
    disk, header = saved_file()
    whole = disk.files["journal/00000000"]
    good = json.loads(whole[16:header])
    wrong: list[Any] = [[], {}, 7, None, "x"]
    for name in good:
        wrong += [{**good, name: value} for value in (None, -1, "zz", [], {"q": 1}, 1.5)]
        wrong.append({key: good[key] for key in good if key != name})
    accepted = 0
    for described in wrong:
        body = json.dumps(described).encode()
        fixed = bytearray(whole[:16])
        struct.pack_into("<H", fixed, 4, len(body))
        fixed[12:] = binascii.crc32(bytes(fixed[:12]) + body).to_bytes(4, "little")
        disk.files["journal/00000000"] = bytes(fixed) + body + whole[header:]
        glasses = Glasses(disk)
        accepted += len(glasses.journal.recordings) - 1
        assert glasses.spool.damaged == 2 - len(glasses.journal.recordings)
    assert accepted < 10  # what is of the right type, like an empty `hosts`


def test_a_file_that_cannot_be_read_is_gone_and_the_host_is_told(micropython: Any) -> None:
    disk, _ = saved_file()
    for name in ("short", "missing"):
        glasses = Glasses(disk)
        recording = glasses.journal.recordings[0]
        if name == "short":
            disk.files["journal/00000000"] = disk.files["journal/00000000"][:-100]
            while recording.cursor != NONE and glasses.journal.load(recording):
                pass
        else:
            del disk.files["journal/00000001"]
            assert recording.kind == "event"
            assert not glasses.journal.load(recording)
        assert glasses.gone == [recording.number]
        assert glasses.journal.damaged == 1
        assert recording not in glasses.journal.recordings
        disk.files.pop("journal/00000000", None)


def test_a_seek_that_fails_is_no_crash(micropython: Any) -> None:
    disk, _ = saved_file()
    glasses = Glasses(disk)
    recording = glasses.journal.recordings[0]
    disk.files.clear()
    glasses.journal.rewind(recording, 3)
    assert glasses.gone == [recording.number]
    glasses.journal.connect(b"x")  # the other one begins at its first frame: not read yet
    assert len(glasses.journal.recordings) == 1


def test_one_file_is_open_at_a_time_and_read_in_order_without_seeking(micropython: Any) -> None:
    disk = Disk()
    glasses = Glasses(disk)
    glasses.record("speech", frames(1, 30))
    glasses.save()
    disk.opened.clear()
    disk.seeks = 0
    (recording,) = glasses.journal.recordings
    assert len(glasses.read(recording)) == 30
    assert disk.opened == ["journal/00000000"]
    assert disk.seeks == 1
    assert len(glasses.spool._views) == 1
    glasses.read(recording, 20)
    assert disk.opened == ["journal/00000000"]


@pytest.mark.parametrize("holes", [set(), {1, 2}])
def test_what_the_host_turns_out_to_have_is_skipped(micropython: Any, holes: set[int]) -> None:
    glasses = Glasses(Disk())
    recording = glasses.record("speech", frames(1, 8), holes)
    glasses.save()
    glasses.journal.connect(b"a")
    whole = glasses.read(recording)
    glasses.journal.rewind(recording, 0)
    assert glasses.journal.load(recording)
    assert glasses.journal.ack(recording.number, 5)
    assert glasses.journal.load(recording)
    assert glasses.journal.frame_index == 5
    assert glasses.journal.ack(recording.number, whole[-1][0] + 1)
    assert recording.cursor == NONE


def test_there_are_never_more_recordings_than_allowed(micropython: Any) -> None:
    from glasses.journal import MAX_RECORDINGS

    disk = Disk(4 << 20)
    glasses = Glasses(disk)
    for _ in range(MAX_RECORDINGS + 20):
        glasses.record("event", [b"x"])
        glasses.save()
    assert len(glasses.journal.recordings) == MAX_RECORDINGS
    assert glasses.journal.evicted_recordings == 20
    assert len(disk.files) == MAX_RECORDINGS
    spare = disk.files[f"journal/{100:08x}"]
    disk.files["journal/0000ffff"] = spare  # the same recording twice
    after = Glasses(disk)
    assert len(after.journal.recordings) == MAX_RECORDINGS
    assert after.spool.damaged == 1


# --- power cuts -----------------------------------------------------------------------------------


def number_of(data: bytes) -> int:
    """The id in a file, read without the firmware."""
    (length,) = struct.unpack_from("<H", data, 4)
    return int(json.loads(data[16 : 16 + length])["number"])


class Session:
    """Recording, saving, acknowledging and running out of flash; what must be there after a power cut."""

    def __init__(self, disk: Disk):
        self.disk = disk
        self.glasses = Glasses(disk, slots=100)
        self.truth: dict[int, tuple[Any, ...]] = {}

    def record(self, kind: str, parts: list[bytes], holes: set[int] | None = None) -> Any:
        recording = self.glasses.record(kind, parts, holes)
        self.truth |= {n: held for n, held in self.glasses.held().items() if n == recording.number}
        return recording

    async def play(self) -> None:
        glasses = self.glasses
        glasses.journal.connect(b"host")
        first = self.record("speech", frames(1, 60))
        self.record("event", [b'"bookmark"'])
        await asyncio.sleep(4)
        self.record("photo", frames(2, 30, 176), {5})
        await asyncio.sleep(2.01)
        glasses.capturing = True  # in the middle of the save
        await asyncio.sleep(1)
        glasses.journal.ack(first.number, first.count + 1)
        glasses.capturing = False
        await asyncio.sleep(3)
        for n in range(4):  # more than flash takes: the oldest ones go
            self.record("speech", frames(3 + n, 90))
            await asyncio.sleep(4)

    def run(self) -> bool:
        """False if the power went."""

        async def main() -> None:
            task = asyncio.create_task(self.glasses.saver.run())
            play = asyncio.create_task(self.play())
            await asyncio.wait((task, play), return_when=asyncio.FIRST_COMPLETED)
            for ended in (task, play):
                if ended.done():
                    ended.result()
            task.cancel()

        try:
            run(main())
        except PowerCut:
            return False
        return True


def test_after_a_power_cut_at_any_operation_all_that_was_saved_is_there_once_and_whole(
    micropython: Any,
) -> None:
    size = 40 * 1024 + 65536
    calm = Session(Disk(size))
    assert calm.run()
    total = calm.disk.operations
    words = {line.split()[0] for line in calm.disk.log}
    assert words == {"mkdir", "open", "write", "close", "rename", "remove"} and total > 50
    assert calm.glasses.journal.evicted_recordings > 0

    for cut in range(total):
        disk = Disk(size)
        session = Session(disk)
        disk.cut_at = cut
        assert not session.run()
        saved = {line.split()[1][: -len(".new")] for line in disk.log if line.startswith("rename")}
        saved -= {line.split()[1] for line in disk.log if line.startswith("remove")}
        assert saved == {name for name in disk.files if not name.endswith(".new")}
        disk.cut_at = -1
        after = Glasses(disk, boot=2, slots=100)
        held = after.held()
        assert len(after.journal.recordings) == len(held), "none twice"
        assert sorted(held) == sorted(number_of(disk.files[name]) for name in saved)
        assert held == {number: session.truth[number] for number in held}, "none damaged"
        assert after.spool.damaged == 0
        # And life goes on: what was half done is cleared away, what comes is saved.
        new = after.record("event", [b"later"])
        run_for(5, after)
        assert not [name for name in disk.files if name.endswith(".new")]
        assert new.file is not None
        assert set(Glasses(disk, boot=3, slots=100).held()) == {*held, new.number}


def test_power_cuts_while_starting_over(micropython: Any) -> None:
    """The clearing away after a cut may be cut, too."""
    for first_cut in (2, 3, 4):
        for second_cut in range(4):
            disk = Disk()
            session = Session(disk)
            disk.cut_at = first_cut
            session.run()
            disk.cut_at = disk.operations + second_cut
            after = Glasses(disk, boot=2)
            expected = after.held()
            after.record("event", [b"later"])
            with contextlib.suppress(PowerCut):
                run_for(4, after)
            disk.cut_at = -1
            last = Glasses(disk, boot=3).held()
            assert {n: held for n, held in last.items() if n >> 16 == 1} == expected
