"""Recordings on the host's disk: whole or resumable at any moment."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import warnings
import wave
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hosts import Crash, CrashingDisk, Host
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette import records
from lunette.codecs import decode_dvi4
from lunette.disk import Lock
from lunette.errors import LunetteError, UnknownCodec
from lunette.protocol import wire
from lunette.recording import MOST_SAMPLES, Recording
from lunette.store import Store

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

META = {"codec": "dvi4", "rate": 16000, "frame": 320, "cause": "button"}
OWNER = "C0:FF:EE:00:00:01"


def frame(seed: int) -> bytes:
    """A DVI4 frame of 320 samples."""
    return bytes([seed & 0x7F, 0, seed % 89, 0]) + np.random.default_rng(seed).bytes(160)


def partial(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / ".partial").rglob("*") if p.is_file())


def test_a_whole_recording_is_a_wav_and_its_description(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(7, "speech", META, now=1.5)
    frames = [frame(i) for i in range(5)]
    for i, data in enumerate(frames):
        assert store.add(recording, i, data)
    assert recording.seconds == 0.1
    crc = zlib.crc32(b"".join(frames))
    store.finish(recording, 5, crc, {"lost": 0})
    assert (recording.complete, recording.crc_ok, recording.lost, recording.started_s) == (True, True, 0, 1.5)
    assert recording.path is not None
    with wave.open(str(recording.path)) as file:
        heard = np.frombuffer(file.readframes(10_000), "<i2")
    assert np.array_equal(heard, np.concatenate([decode_dvi4(f) for f in frames]))
    about = json.loads(recording.path.with_suffix(".json").read_text())
    assert about == {
        "id": 7, "kind": "speech", "file": recording.path.name, "frames": 5, "lost": 0, "crc_ok": True,
        "meta": META, "end": {"lost": 0}, "gaps": [],
    }  # fmt: skip
    assert [p.suffix for p in partial(tmp_path)] == [".json"]  # that it was finished
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.is_file()) == [".json", ".wav"]


@pytest.mark.parametrize(("kind", "suffix"), [("photo", ".bin"), ("log", ".txt"), ("event", ".txt")])
def test_other_kinds_are_kept_as_they_are(tmp_path: Path, kind: str, suffix: str) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(1, kind, {}, 0.0)
    store.add(recording, 0, b"abc")
    store.add(recording, 1, b"def")
    store.finish(recording, 2, zlib.crc32(b"abcdef"), {})
    assert recording.path is not None and recording.path.suffix == suffix
    assert recording.path.read_bytes() == b"abcdef"
    assert recording.seconds == 0
    assert recording.crc_ok


def test_what_the_glasses_lost_is_silence_and_counted(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(1, "speech", META, 0.0)
    for i in (0, 1, 4):
        store.add(recording, i, frame(i))
    store.finish(recording, 6, zlib.crc32(frame(0) + frame(1) + frame(4)), {"lost": 3})
    pcm = recording.pcm()
    assert (recording.lost, recording.crc_ok, len(pcm)) == (3, True, 6 * 320)
    assert np.array_equal(pcm[4 * 320 : 5 * 320], decode_dvi4(frame(4)))
    assert not pcm[2 * 320 : 4 * 320].any()
    assert not pcm[5 * 320 :].any()


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(1, "speech", META, 0.0)
    store.add(recording, 0, frame(0))
    store.finish(recording, 1, zlib.crc32(frame(0)) ^ 1, {})
    assert recording.crc_ok is False
    assert recording.path is not None
    assert json.loads(recording.path.with_suffix(".json").read_text())["crc_ok"] is False


def test_frames_that_are_no_frames_do_not_prevent_the_rest(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(1, "speech", META, 0.0)
    frames = [b"\x01", frame(1) + bytes(40), frame(2)]
    for i, data in enumerate(frames):
        store.add(recording, i, data)
    store.finish(recording, 3, 0, {})
    assert np.array_equal(recording.pcm()[640:], decode_dvi4(frame(2)))
    assert not recording.pcm()[:320].any()


def test_duplicates_and_late_frames_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(1, "log", {}, 0.0)
    assert store.add(recording, 0, b"a")
    assert store.add(recording, 3, b"b")
    for index in (0, 1, 2, 3):
        assert not store.add(recording, index, b"x")
    assert recording.payload() == b"ab"
    store.finish(recording, 4, zlib.crc32(b"ab"), {})
    assert not store.add(recording, 4, b"c")
    assert store.open(1, "log", {}, 9.0) is recording


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=200)), min_size=1, max_size=12),
    st.integers(0, 2**16),
)
def test_a_crash_at_any_byte_keeps_a_prefix(
    tmp_path_factory: Any, frames: list[tuple[int, bytes]], cut: int
) -> None:
    """The partial file, cut anywhere, gives the frames that were whole; and it can be added to."""
    folder = tmp_path_factory.mktemp("store")
    store = Store(folder, OWNER)
    recording = store.open(1, "log", {"a": 1}, 0.0)
    expected, index = [], 0
    for skip, data in frames:
        index += skip
        assert store.add(recording, index, data)
        expected.append((index, data))
        index += 1
    store.flush(recording)
    store.close()
    (path,) = [p for p in partial(folder) if p.suffix == ".frames"]
    size = path.stat().st_size
    cut = min(cut, size)
    os.truncate(path, size - cut)

    again = Store(folder, OWNER)
    (loaded,) = again.recordings.values()
    held = list(loaded.frames.items())
    assert held == expected[: len(held)]
    sizes = [10 + len(data) for _, data in expected]
    assert len(held) == sum(sum(sizes[: i + 1]) <= size - cut for i in range(len(sizes)))
    assert loaded.crc == zlib.crc32(b"".join(data for _, data in held))
    assert (loaded.kind, loaded.meta, loaded.complete) == ("log", {"a": 1}, False)
    for index, data in expected[len(held) :]:
        assert again.add(loaded, index, data)
    again.flush(loaded)
    again.close()
    third = Store(folder, OWNER)
    assert list(third.recordings[1].frames.items()) == expected
    third.finish(third.recordings[1], index + 1, zlib.crc32(b"".join(d for _, d in expected)), {})
    assert third.recordings[1].crc_ok
    assert [p.suffix for p in partial(folder)] == [".json"]


def test_what_is_flushed_is_on_disk(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(1, "log", {}, 0.0)
    store.add(recording, 0, b"abc")
    store.flush(recording)
    other = Store(tmp_path, OWNER)  # while the first still has it open, as after a kill
    assert other.recordings[1].frames == {0: b"abc"}


def test_hosts_of_two_glasses_do_not_mix(tmp_path: Path) -> None:
    for owner, data in ((OWNER, b"a"), ("C0:FF:EE:00:00:02", b"b")):
        store = Store(tmp_path, owner)
        recording = store.open(1, "log", {}, 0.0)
        store.add(recording, 0, data)
        store.close()
    assert Store(tmp_path, OWNER).recordings[1].payload() == b"a"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"number": 1}', "7"])
def test_a_broken_description_is_dropped(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path, OWNER)
    store.add(store.open(1, "log", {}, 0.0), 0, b"old")
    store.close()
    (path,) = [p for p in partial(tmp_path) if p.suffix == ".json"]
    path.write_text(content)
    again = Store(tmp_path, OWNER)
    assert again.recordings == {}
    recording = again.open(1, "log", {}, 0.0)
    assert again.add(recording, 0, b"x")
    again.close()
    assert Store(tmp_path, OWNER).recordings[1].payload() == b"x"


def test_gone_from_the_glasses_keeps_what_came(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(1, "speech", META, 0.0)
    store.add(recording, 0, frame(0))
    assert store.forget(1) is recording
    assert (recording.complete, recording.crc_ok, recording.end) == (True, False, {"truncated": True})
    assert recording.path is not None and recording.path.exists()
    assert store.forget(99) is None


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(1, "photo", {}, 0.0)
    store.add(recording, 0, b"abc")
    store.flush(recording)

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError):
        store.finish(recording, 1, zlib.crc32(b"abc"), {})
    monkeypatch.undo()
    assert not recording.complete
    assert not list(tmp_path.glob("*.bin"))
    store.close()
    assert Store(tmp_path, OWNER).recordings[1].payload() == b"abc"


def test_a_finished_recording_is_known_after_a_crash(tmp_path: Path) -> None:
    """The host was killed between writing the file and the glasses' hearing of it."""
    store = Store(tmp_path, "glasses")
    recording = store.open(7, "event", {"t": 1}, 0.0)
    store.add(recording, 0, b"note")
    store.finish(recording, 1, zlib.crc32(b"note"), {})
    store.close()

    again = Store(tmp_path, "glasses")
    offered = again.open(7, "event", {"t": 1}, 0.0)
    assert offered.complete and offered.next_index == 1
    assert again.add(offered, 0, b"note") is False
    # The same id on another recording is not that one.
    assert again.open(7, "event", {"t": 2}, 0.0).complete is False
    again.close()
    assert len(list(tmp_path.glob("*.txt"))) == 1


def test_only_so_many_finished_recordings_are_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path, "glasses")
    for number in range(70):
        recording = store.open(number, "event", {"t": number}, 0.0)
        store.finish(recording, 0, 0, {})
    store.close()
    assert len(list((tmp_path / ".partial" / "glasses").iterdir())) == 64
    assert Store(tmp_path, "glasses").open(69, "event", {"t": 69}, 0.0).complete


def test_released_frames_are_gone_from_memory_only(tmp_path: Path) -> None:
    store = Store(tmp_path, "glasses")
    recording = store.open(7, "event", {}, 0.0)
    store.add(recording, 0, b"note")
    store.release(recording)
    assert recording.frames  # not finished yet
    store.finish(recording, 1, zlib.crc32(b"note"), {})
    store.release(recording)
    assert not recording.frames
    assert recording.path is not None and recording.path.read_bytes() == b"note"
    store.close()


def test_a_removed_folder_is_made_again_on_a_real_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "out", OWNER)
    recording = store.open(1, "log", {}, 0.0)
    for i in range(4):
        store.add(recording, i, b"x%d" % i)
        store.flush(recording)
        shutil.rmtree(tmp_path / "out")
    store.add(recording, 4, b"x4")
    store.flush(recording)
    assert Store(tmp_path / "out", OWNER).recordings[1].payload() == b"x0x1x2x3x4"
    shutil.rmtree(tmp_path / "out")
    store.finish(recording, 5, recording.crc, {})
    assert recording.path is not None and recording.path.read_bytes() == b"x0x1x2x3x4"


def test_frames_that_have_left_the_memory_are_read_from_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    speech, note = store.open(1, "speech", META, 0.0), store.open(2, "event", {}, 0.0)
    store.add(speech, 0, frame(3))
    store.add(note, 0, b"note")
    for recording in (speech, note):
        store.finish(recording, 1, recording.crc, {})
        store.release(recording)
    assert np.array_equal(speech.pcm(), decode_dvi4(frame(3)))
    assert note.payload() == b"note"
    with pytest.raises(LunetteError, match="pcm"):
        speech.payload()


def test_two_recordings_of_one_id_in_one_second_are_two_files(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    for t in range(3):
        recording = store.open(1, "event", {"t": t}, 0.0)
        store.add(recording, 0, b"%d" % t)
        store.finish(recording, 1, recording.crc, {})
    assert {p.read_bytes() for p in tmp_path.glob("*.txt")} == {b"0", b"1", b"2"}


def test_the_order_of_arrival_does_not_depend_on_the_clock(tmp_path: Path, monkeypatch: Any) -> None:
    store = Store(tmp_path, OWNER)
    for number in range(64):
        store.finish(store.open(number, "event", {"t": number}, 0.0), 0, 0, {})
    store.close()
    for i, path in enumerate(partial(tmp_path)):  # the clock ran backwards
        os.utime(path, (10_000 - i, 10_000 - i))
    again = Store(tmp_path, OWNER)
    again.finish(again.open(64, "event", {}, 0.0), 0, 0, {})
    assert again.open(63, "event", {"t": 63}, 0.0).complete
    assert not again.open(0, "event", {"t": 0}, 0.0).complete


def test_a_lock_keeps_a_second_program_out_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    first, second = Lock(path), Lock(path)
    assert first.acquire() and not second.acquire()
    first.release()
    assert second.acquire()
    code = f"import sys; from pathlib import Path; from lunette.disk import Lock; \
sys.exit(Lock(Path({str(path)!r})).acquire())"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    second.release()
    killed = subprocess.run(
        [sys.executable, "-c", code.replace("sys.exit(", "import os; os._exit(")], check=False
    )
    assert killed.returncode == 1 and first.acquire()
    first.release()


def test_a_computer_that_stops_keeps_what_is_on_disk(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    recording = store.open(7, "speech", META, now=0.0)
    for i in range(3):
        store.add(recording, i, frame(i))
    store.flush(recording)
    store.add(recording, 3, frame(3))
    store.abandon()
    store.close()
    (left,) = Store(tmp_path, OWNER).recordings.values()
    assert left.next_index == left.stored == 3


# --- codecs, gaps, formats ------------------------------------------------------------------------

SIZES = {"dvi4": (320, 164), "mulaw": (160, 160), "pcm": (80, 160)}
GAP = st.one_of(st.integers(0, 2000), st.sampled_from([1, 319, 320, 321]))
# Frames of speech (a seed), gaps (how long), and frames that the glasses lost (how many).
PARTS = st.lists(
    st.one_of(
        st.tuples(st.just("speech"), st.integers(0, 99)),
        st.tuples(st.just("gap"), GAP),
        st.tuples(st.just("lost"), st.integers(1, 3)),
    ),
    max_size=10,
)


def speech_meta(codec: str) -> dict[str, Any]:
    return {"codec": codec, "rate": 16000, "frame": SIZES[codec][0]}


def lay_out(codec: str, parts: list[tuple[str, int]]) -> tuple[list[tuple[int, bytes]], Any, Any, int]:
    """(index, frame) of all frames, the samples and which of them a gap took, and the count: frame by frame,
    with the standard library's decoders."""
    size, coded = SIZES[codec]
    frames, pieces, index = [], [], 0
    for what, value in parts:
        if what == "speech":
            data = frame(value) if codec == "dvi4" else np.random.default_rng(value).bytes(coded)
            decoded = {
                "dvi4": lambda d: audioop.adpcm2lin(
                    d[4:], 2, (int.from_bytes(d[:2], "big", signed=True), d[2])
                )[0],
                "mulaw": lambda d: audioop.ulaw2lin(d, 2),
                "pcm": bytes,
            }[codec](data)
            pieces.append((np.frombuffer(decoded, "<i2"), False))
        elif what == "gap":
            data = value.to_bytes(3, "little")
            pieces.append((np.zeros(value, np.int16), True))
        else:
            pieces += [(np.zeros(size, np.int16), False)] * value
            index += value
            continue
        frames.append((index, data))
        index += 1
    pcm = np.concatenate([np.zeros(0, np.int16), *(samples for samples, _ in pieces)])
    missing = np.concatenate([np.zeros(0, bool), *(np.full(len(samples), gap) for samples, gap in pieces)])
    return frames, pcm, missing, index


@settings(max_examples=60)
@pytest.mark.parametrize("codec", SIZES)
@given(parts=PARTS)
def test_gaps_are_silence_at_their_place_in_any_codec(codec: str, parts: list[tuple[str, int]]) -> None:
    frames, pcm, missing, count = lay_out(codec, parts)
    recording = Recording(1, "speech", speech_meta(codec))
    for index, data in frames:
        recording.take(index, data)
    assert np.array_equal(recording.pcm(count), pcm)
    assert recording.pcm(count).dtype == np.int16
    told = np.zeros(len(pcm), bool)
    for first, samples in recording.gaps:
        assert samples > 0 and not told[first : first + samples].any()
        assert first == 0 or not told[first - 1], "gaps that touch are one"
        told[first : first + samples] = True
    assert np.array_equal(told, missing)
    lost_at_the_end = count - recording.next_index
    assert recording.samples == len(pcm) - lost_at_the_end * SIZES[codec][0]
    assert recording.seconds == recording.samples / 16000


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(SIZES)), PARTS.filter(any))
def test_flac_and_wav_have_the_same_samples(tmp_path_factory: Any, codec: str, parts: Any) -> None:
    frames, pcm, _, count = lay_out(codec, parts)
    for form in ("wav", "flac"):
        folder = tmp_path_factory.mktemp("store")
        store = Store(folder, OWNER, format=form)
        recording = store.open(1, "speech", speech_meta(codec), 0.0)
        for index, data in frames:
            assert store.add(recording, index, data)
        store.finish(recording, count, recording.crc, {})
        store.release(recording)
        path = recording.path
        assert path is not None and recording.next_index == count and recording.samples == len(pcm)
        assert path.suffix == ("." + form if len(pcm) else ".wav"), "FLAC without samples is none"
        about = json.loads(path.with_suffix(".json").read_text())
        assert about["file"] == path.name
        assert about["gaps"] == [[at / 16000, samples / 16000] for at, samples in recording.gaps]
        if len(pcm):
            heard, rate = soundfile.read(path, dtype="int16")
            assert rate == 16000 and np.array_equal(heard, pcm)
            assert np.array_equal(recording.pcm(), pcm), "from the file"


def test_gaps_are_known_after_a_crash_and_after_the_end(tmp_path: Path) -> None:
    meta = speech_meta("mulaw")
    store = Store(tmp_path, OWNER)
    recording = store.open(1, "speech", meta, 0.0)
    for index, data in enumerate((bytes(160), b"\x10\0\0", b"\x20\0\0", bytes(160))):
        store.add(recording, index, data)
    store.close()
    left = Store(tmp_path, OWNER).recordings[1]
    assert (left.gaps, left.samples) == (recording.gaps, recording.samples) == ([(160, 48)], 368)
    again = Store(tmp_path, OWNER)
    again.finish(again.recordings[1], 4, None, {})
    again.close()
    left = Store(tmp_path, OWNER).recordings[1]
    assert left.complete and (left.gaps, left.samples) == ([(160, 48)], 368)


def test_gaps_cannot_fill_the_memory() -> None:
    def gap(samples: int) -> bytes:
        return samples.to_bytes(3, "little")

    store = Store(None, OWNER)
    recording = store.open(1, "speech", META, 0.0)
    taken = sum(store.add(recording, index, gap(2**24 - 1)) for index in range(1000))
    assert taken == MOST_SAMPLES // (2**24 - 1)
    other = store.open(2, "speech", META, 0.0)
    for index in range(taken - 1):
        store.add(other, index, gap(2**24 - 1))
    assert store.add(other, taken - 1, gap(MOST_SAMPLES - other.samples - 400))
    assert not store.add(other, taken + 1, frame(1)), "with a hole before it"
    assert store.add(other, taken, frame(1))
    assert not store.add(other, taken + 1, frame(2))
    assert not store.add(other, taken + 1, gap(81))
    assert store.add(other, taken + 1, gap(80))
    assert other.samples == MOST_SAMPLES
    assert other.most_frames() == other.next_index, "whatever CLOSE counts"


@pytest.mark.parametrize("size", [320, 4096])
def test_the_glasses_count_of_frames_cannot_fill_the_memory(size: int) -> None:
    recording = Recording(1, "speech", META | {"frame": size}, next_index=3)
    assert recording.most_frames() * size <= MOST_SAMPLES < (recording.most_frames() + 1) * size


def test_what_cannot_be_decoded_is_kept_as_it_is(tmp_path: Path) -> None:
    meta = {"codec": "opus", "rate": 16000, "frame": 320}
    store = Store(tmp_path, OWNER, format="flac")
    recording = store.open(1, "speech", meta, 0.0)
    frames = [(0, b"abc"), (1, b"d" * 60), (4, b""), (5, bytes(164))]
    for index, data in frames:
        assert store.add(recording, index, data)
    store.flush(recording)
    store.finish(recording, 7, recording.crc, {"lost": 3})
    path = recording.path
    assert path is not None and path.suffix == ".frames"
    assert records.unpack(path.read_bytes()) == (frames, path.stat().st_size)
    about = json.loads(path.with_suffix(".json").read_text())
    assert (about["file"], about["meta"], about["lost"], about["crc_ok"]) == (path.name, meta, 3, True)
    for _ in range(2):
        assert recording.payload() == b"abc" + b"d" * 60 + bytes(164)
        with pytest.raises(UnknownCodec, match="opus"):
            recording.pcm()
        store.release(recording)
    path.unlink()
    with pytest.raises(LunetteError, match="cannot read"):
        recording.payload()


def test_a_format_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ogg"):
        Store(tmp_path, OWNER, format="ogg")


@pytest.mark.parametrize(("first", "then"), [("flac", "flac"), ("flac", "wav"), ("wav", "flac")])
@pytest.mark.parametrize("codec", ["dvi4", "opus"])
def test_killed_at_any_step_it_is_one_file_in_the_end(codec: str, first: str, then: str) -> None:
    """Whatever format the next program is asked for."""
    meta = {"codec": codec, "rate": 16000, "frame": 320}
    frames = [frame(i) if i != 20 else b"\x40\1\0" for i in range(40)]
    whole: list[Any] = [(wire.OPEN, 1, "speech", meta)]
    whole += [(wire.DATA, 1, index, data) for index, data in enumerate(frames)]
    whole.append((wire.CLOSE, 1, 40, zlib.crc32(b"".join(frames)), {"lost": 0}))
    steps = 1000
    finished_first = 0
    for crash_at in range(1, steps):
        disk = CrashingDisk(random.Random(crash_at))
        disk.crash_at = crash_at
        try:
            Host(disk, lambda request: None, format=first).hear(*whole)
        except Crash:
            disk = disk.after_crash()
        else:
            steps = 0
        finished_first += len(disk.final()) == 2
        again = Host(disk, lambda request: None, format=then)
        again.connect()
        again.hear((wire.HELLO, {}), *whole)
        (about,) = (json.loads(data) for name, data in disk.final().items() if name.endswith(".json"))
        (name,) = (name for name in disk.final() if not name.endswith(".json"))
        assert about["file"] == name and about["crc_ok"]
        content = disk.final()[name]
        if codec == "opus":
            assert [data for _, data in records.unpack(content)[0]] == frames
        else:
            heard, _ = soundfile.read(io.BytesIO(content), dtype="int16")
            expected = [np.zeros(320, np.int16) if len(f) == 3 else decode_dvi4(f) for f in frames]
            assert np.array_equal(heard, np.concatenate(expected))
        if not steps:
            break
    assert not steps and finished_first > 1, "it was killed before and after the file was there"
