"""What a host does with messages, step by step, without a radio and without a disk."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hosts import FOLDER, OWNER, Crash, CrashingDisk, Host

from lunette import records
from lunette.protocol import wire
from lunette.receiver import Receiver, Work, Write
from lunette.store import Store

ACK, RESUME, READY = wire.ACK, wire.RESUME, wire.READY


def host(disk: CrashingDisk | None = None) -> tuple[Host, list[tuple[Any, ...]]]:
    sent: list[tuple[Any, ...]] = []
    return Host(disk or CrashingDisk(), sent.append), sent


def closing(number: int, data: bytes, count: int | None = None, **end: Any) -> tuple[Any, ...]:
    return wire.CLOSE, number, len(data) if count is None else count, zlib.crc32(data), end


def letters(number: int, data: bytes) -> list[tuple[Any, ...]]:
    """DATA and MORE, a frame for each byte."""
    frames = [(wire.MORE, data[i : i + 1]) for i in range(1, len(data))]
    return [(wire.DATA, number, 0, data[:1]), *frames]


def test_a_recording_from_open_to_close() -> None:
    it, sent = host()
    it.connect()
    it.hear((wire.HELLO, {}), (wire.OPEN, 1, "log", {}), *letters(1, b"abc"), closing(1, b"abc"))
    assert sent == [(READY, 1), (ACK, 1, 4)]
    assert [what for what, _ in it.told] == ["recording", *["frame"] * 3, "recorded", "acknowledged"]
    (recording,) = it.recorded
    assert (recording.crc_ok, recording.lost) == (True, 0)
    assert sorted(it.disk.final().values())[0] == b"abc"


def test_frames_after_a_gap_wait_for_the_ones_before() -> None:
    """What is on its way when the gap is noticed may begin with a DATA, but has a hole before it."""
    it, sent = host()
    it.hear((wire.OPEN, 1, "log", {}), (wire.DATA, 1, 0, b"a"))
    it.gap()
    it.hear((wire.MORE, b"c"), (wire.DATA, 1, 3, b"d"), closing(1, b"abcd"))
    assert sent == [(READY, 1)]
    it.hear((wire.HELLO, {}), (wire.OPEN, 1, "log", {}), *letters(1, b"abcd"), closing(1, b"abcd"))
    (recording,) = it.recorded
    assert (recording.crc_ok, recording.lost) == (True, 0)
    assert sent == [(READY, 1), (ACK, 1, 5)]


def test_what_is_on_its_way_when_receiving_starts_anew_is_not_taken() -> None:
    it, sent = host()
    it.hear((wire.OPEN, 1, "log", {}), *letters(1, b"abc"), (wire.OPEN, 2, "log", {}))
    it.connect()  # on the same connection
    it.hear((wire.MORE, b"d"), (wire.DATA, 1, 4, b"e"), closing(1, b"abcde"), (wire.GONE, 2))
    assert [r.number for r in it.recorded] == [2], "what is gone is gone"
    it.hear((wire.HELLO, {}), (wire.OPEN, 1, "log", {}), *letters(1, b"abcde"), closing(1, b"abcde"))
    assert it.recorded[-1].crc_ok
    assert sent == [(RESUME, 1, 3), (RESUME, 2, 0), (READY, 1), (ACK, 1, 6)]


def test_what_is_acknowledged_is_on_the_disk() -> None:
    disk = CrashingDisk()
    asked: list[tuple[int, int]] = []

    def send(request: tuple[Any, ...]) -> None:
        held = Store(FOLDER, OWNER, disk=disk.after_crash()).recordings[request[1]]  # type: ignore[arg-type]
        assert held.next_index == request[2] == len(held.frames)
        asked.append(request[1:])

    it = Host(disk, send)
    it.hear((wire.OPEN, 1, "log", {}), *letters(1, bytes(60)))
    assert asked == [(1, 25), (1, 50)]


def test_two_recordings_at_a_time_are_acknowledged_each_by_itself() -> None:
    it, sent = host()
    it.hear((wire.OPEN, 1, "log", {}), (wire.OPEN, 2, "photo", {}))
    for i in range(30):
        it.hear((wire.DATA, 1, i, b"a"), (wire.DATA, 2, i, b"b"))
    assert sent == [(ACK, 1, 25), (ACK, 2, 25)]


def test_a_program_that_starts_again_resumes_and_then_is_ready() -> None:
    disk = CrashingDisk()
    first, _ = host(disk)
    first.hear((wire.OPEN, 1, "log", {"a": 1}), *letters(1, bytes(30)))
    second, sent = host(disk.after_crash())
    second.connect()
    assert sent == [(RESUME, 1, 25), (READY, 1)]


def test_the_hello_is_not_crowded_out_by_answers_to_resumes() -> None:
    it, sent = host()
    for number in range(1, 12):
        it.hear((wire.OPEN, number, "log", {}), (wire.DATA, number, 0, b"x"))
    it.connect()
    assert [s[0] for s in sent] == [RESUME] * 6 + [READY]
    it.hear((wire.HELLO, {}))
    assert [s[1] for s in sent if s[0] == RESUME] == list(range(1, 12))


def test_frames_that_are_missing_at_the_close_are_asked_for_once() -> None:
    it, sent = host()
    it.hear((wire.OPEN, 1, "log", {}), (wire.DATA, 1, 0, b"a"), closing(1, b"abc"))
    assert sent == [(RESUME, 1, 1)]
    it.hear(closing(1, b"abc"))
    (recording,) = it.recorded
    assert (recording.crc_ok, recording.lost) == (False, 2)
    assert sent[1:] == [(ACK, 1, 4)]


def test_holes_that_the_glasses_counted_are_not_asked_for() -> None:
    it, sent = host()
    it.hear((wire.OPEN, 1, "log", {}), (wire.DATA, 1, 0, b"a"))
    it.hear((wire.CLOSE, 1, 3, zlib.crc32(b"a"), {"lost": 2}))
    (recording,) = it.recorded
    assert (recording.crc_ok, recording.lost) == (True, 2)
    assert sent == [(ACK, 1, 4)]


def test_gone_keeps_what_came() -> None:
    it, sent = host()
    it.hear((wire.OPEN, 1, "log", {}), (wire.DATA, 1, 0, b"a"), (wire.GONE, 1), (wire.GONE, 99))
    (recording,) = it.recorded
    assert recording.truncated and not recording.crc_ok and sent == []
    assert b"a" in it.disk.final().values()


def test_the_id_of_another_recording() -> None:
    it, sent = host()
    it.hear((wire.OPEN, 1, "log", {"t": 1}), (wire.DATA, 1, 0, b"a"))
    it.hear((wire.OPEN, 1, "log", {"t": 2}), *letters(1, b"bc"), closing(1, b"bc"))
    old, new = it.recorded
    assert old.truncated and new.crc_ok
    assert sent == [(RESUME, 1, 0), (ACK, 1, 3)]
    assert {b"a", b"bc"} <= set(it.disk.final().values())


def test_a_finished_recording_that_is_offered_again_is_acknowledged_again() -> None:
    it, sent = host()
    whole = [(wire.OPEN, 1, "log", {}), *letters(1, b"ab"), closing(1, b"ab")]
    it.hear(*whole)
    again, sent = host(it.disk.after_crash())
    again.hear(*whole)
    assert sent == [(ACK, 1, 3), (ACK, 1, 3)] and again.recorded == []
    assert len(again.disk.final()) == 2


def test_a_disk_that_is_full_acknowledges_nothing_and_loses_nothing() -> None:
    disk = CrashingDisk()
    it, sent = host(disk)
    data = bytes(range(60))
    messages = [(wire.OPEN, 1, "log", {}), *letters(1, data), closing(1, data)]

    def full(what: str, path: Path) -> None:
        if what in ("append", "sync", "replace"):
            raise OSError(28, "No space left on device")

    for fail_at in range(len(messages)):
        disk.fail = full
        try:
            it.hear(messages[fail_at])
        except OSError:
            assert sent == []
    it.connect()
    assert sent == [(RESUME, 1, 60), (READY, 1)]
    disk.fail = lambda what, path: None
    it.hear((wire.HELLO, {}), messages[0], messages[-1])
    assert sent[2:] == [(ACK, 1, 61)]
    assert it.recorded[0].crc_ok and data in disk.final().values()


@pytest.mark.parametrize("during", ["append", "sync"])
def test_after_a_failed_write_the_partial_file_is_written_anew(during: str) -> None:
    disk = CrashingDisk()
    it, sent = host(disk)
    it.hear((wire.OPEN, 1, "log", {}), *letters(1, bytes(range(25))))
    wrong: list[int] = []

    def fail(what: str, path: Path) -> None:
        if what == during and not wrong:
            wrong.append(1)
            if what == "append":
                disk.files[path] += b"half"
            raise OSError(5, "Input/output error")

    disk.fail = fail
    more = [(wire.DATA, 1, i, bytes([i])) for i in range(25, 75)]
    with pytest.raises(OSError):
        it.hear(*more[:25])
    it.hear(*more[25:])
    assert sent == [(ACK, 1, 25), (ACK, 1, 75)]
    held = Store(FOLDER, OWNER, disk=disk.after_crash()).recordings[1]  # type: ignore[arg-type]
    assert held.payload() == bytes(range(75))


def test_a_folder_that_is_removed_is_made_again() -> None:
    disk = CrashingDisk()
    it, sent = host(disk)
    data = bytes(range(80))
    frames = letters(1, data)
    it.hear((wire.OPEN, 1, "log", {}), *frames[:30])
    disk.files.clear()
    disk.durable.clear()
    disk.folders = {Path("/")}
    it.hear(*frames[30:60])
    assert sent == [(ACK, 1, 25), (ACK, 1, 50)]
    held = Store(FOLDER, OWNER, disk=disk.after_crash()).recordings[1]  # type: ignore[arg-type]
    assert held.payload() == data[:50]
    disk.files.clear()
    disk.folders = {Path("/")}
    it.hear(*frames[60:], closing(1, data))
    assert data in disk.final().values()


def test_memory_stays_bounded() -> None:
    it, _ = host()
    for number in range(300):
        data = bytes([number % 251]) * 3
        it.hear((wire.OPEN, number, "event", {}), *letters(number, data), closing(number, data))
    held = it.store.recordings.values()
    assert len(held) == 64 and not any(r.frames for r in held)
    assert len(it.disk.names(FOLDER / ".partial" / "C0FFEE000001")) == 64


def test_nonsense_fills_neither_memory_nor_disk() -> None:
    it, _ = host()
    for number in range(5000):
        it.hear((wire.OPEN, number, "log", {}))
    assert len(it.store.recordings) == 1024 and it.receiver.ignored == 5000 - 1024
    ignored = it.receiver.ignored
    it.hear((wire.DATA, 1, 0xFFFFFFFF, b"x"), (wire.MORE, b"y"), (wire.CLOSE, 1, 0xFFFFFFFF, 0, {"lost": 1}))
    assert it.recorded == [] and it.receiver.ignored == ignored + 1


@pytest.mark.parametrize(
    "meta",
    [
        {"rate": 0},
        {"rate": "fast"},
        {"frame": 0},
        {"frame": 1e9},
        {"frame": -3},
        {"cause": 7, "rate": None},
        {"codec": None},
        {"codec": ["dvi4"]},
        {"codec": "\x1b[2J" * 300},
    ],
)
def test_strange_metadata_is_survived(meta: dict[str, Any]) -> None:
    it, _ = host()
    it.hear((wire.OPEN, 1, "speech", meta), (wire.DATA, 1, 0, bytes(164)), closing(1, bytes(164), 1))
    assert it.recorded[0].crc_ok and it.recorded[0].seconds > 0
    (about,) = (data for name, data in it.disk.final().items() if name.endswith(".json"))
    assert json.loads(about)["meta"] == meta


def test_speech_in_an_unknown_codec_is_told_kept_and_acknowledged() -> None:
    it, sent = host()
    data = bytes(range(50))
    it.hear((wire.OPEN, 1, "speech", {"codec": "opus"}), *letters(1, data), closing(1, data))
    assert [what for what, _ in it.told if what != "frame"] == [
        "recording", "recorded", "problem", "acknowledged",
    ]  # fmt: skip
    (problem,) = (detail for what, detail in it.told if what == "problem")
    (name,) = (name for name in it.disk.final() if name.endswith(".frames"))
    assert "'opus'" in problem and name in problem and "newer" in problem
    assert b"".join(frame for _, frame in records.unpack(it.disk.final()[name])[0]) == data
    assert sent[-1] == (ACK, 1, 51)
    it.hear((wire.OPEN, 2, "speech", {"codec": "opus"}), (wire.DATA, 2, 0, b"x"), (wire.GONE, 2))
    assert [what for what, _ in it.told][-2:] == ["recorded", "problem"]


def test_gap_frames_are_frames_to_the_checksum_and_time_to_the_listener() -> None:
    it, sent = host()
    meta = {"codec": "pcm", "rate": 16000, "frame": 80}
    frames = [bytes(160), b"\x80\x3e\0", bytes(160)]
    whole = [(wire.OPEN, 1, "speech", meta), (wire.DATA, 1, 0, frames[0])]
    whole += [(wire.MORE, frame) for frame in frames[1:]]
    it.hear(*whole, (wire.CLOSE, 1, 3, zlib.crc32(b"".join(frames)), {"lost": 0}))
    (recording,) = it.recorded
    assert (recording.crc_ok, recording.lost, recording.seconds) == (True, 0, 1.01)
    (about,) = (json.loads(data) for name, data in it.disk.final().items() if name.endswith(".json"))
    assert about["gaps"] == [[0.005, 1.0]] and about["frames"] == 3
    assert sent == [(ACK, 1, 4)]


def test_held_recordings_are_acknowledged_when_they_are_taken() -> None:
    store = Store(None, OWNER)
    receiver = Receiver(store, hold=True)
    whole = [(wire.OPEN, 1, "log", {}), *letters(1, bytes(60)), closing(1, bytes(60))]
    for message in whole:
        for step in receiver.message(message):
            assert not isinstance(step, Write)
            if isinstance(step, Work):
                step.run()
    (recording,) = store.recordings.values()
    for message in (whole[0], whole[-1]):  # on the next connection
        assert list(receiver.message(message)) == []
    assert next(receiver.taken(recording)) == Write(wire.ack(1, 61))
    assert next(receiver.message(whole[0])) == Write(wire.ack(1, 61))  # it was not heard


def test_a_whole_recording_stays_whole_though_its_end_was_not_noted() -> None:
    """Killed after the last file was written; meanwhile the glasses have thrown the recording away."""
    disk = CrashingDisk()
    it, _ = host(disk)

    def kill(what: str, path: Path) -> None:
        if path.name == "00000001.json" and len(disk.final()) == 2:
            raise Crash

    disk.fail = kill
    with pytest.raises(Crash):
        it.hear((wire.OPEN, 1, "log", {}), *letters(1, b"abc"), closing(1, b"abc", 5, lost=2))
    again, sent = host(disk.after_crash())
    again.connect()
    again.hear((wire.HELLO, {}), (wire.GONE, 1))
    (about,) = (json.loads(data) for name, data in again.disk.final().items() if name.endswith(".json"))
    assert about["crc_ok"] and about["end"] == {"lost": 2}
    again.hear((wire.OPEN, 1, "log", {}))
    assert sent == [(READY, 1), (ACK, 1, 6)]


def test_a_program_that_takes_nothing_does_not_fill_the_memory() -> None:
    store = Store(None, OWNER)
    receiver = Receiver(store, hold=True)

    def hear(number: int) -> None:
        for message in ((wire.OPEN, number, "log", {}), *letters(number, b"ab"), closing(number, b"ab")):
            for step in receiver.message(message):
                if isinstance(step, Work):
                    step.run()

    for number in range(1000):
        hear(number)
    assert list(store.recordings) == list(range(256))
    steps = list(receiver.taken(store.recordings[0]))
    assert [step.data for step in steps if isinstance(step, Write)] == [wire.ack(0, 3), wire.ready()]
    list(receiver.message((wire.HELLO, {})))
    hear(300)
    hear(301)
    assert 300 in store.recordings and 301 not in store.recordings
