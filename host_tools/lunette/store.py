"""Recordings on the host's disk: partial ones that survive a crash, finished ones as WAV or FLAC and JSON.

Frames wait in memory until `flush`, and may be acknowledged when that has returned. A finished recording
appears under its final name in one step, its description first: who finds the sound finds both.

Files of one pair of glasses, in ``.partial/<address>/`` under the folder: ``<id>.json`` says what the
recording is and, later, that it is finished; ``<id>.frames`` holds its frames (`lunette.records`). A name is
chosen when a recording begins, so that one which is finished twice, because the first time was cut off, is
one file in the end.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

from lunette import audio_files, records
from lunette.disk import Disk
from lunette.recording import Recording

__all__ = ["Recording", "Store"]

_REMEMBERED = 64  # finished recordings whose acknowledgement may not have arrived
_SUFFIX = {"photo": ".bin"}
_OF_SPEECH = (*(f".{form}" for form in audio_files.FORMATS), ".frames")


class Store:
    """Recordings of one pair of glasses (`owner`, its address) under `folder`; None: in memory only.

    `keep`: finished recordings stay in memory, all and with their frames, for reports. `format` is that of
    speech, "wav" or "flac"; what FLAC cannot hold, as no samples at all, becomes a WAV, and what this version
    cannot decode a file of its frames (`lunette.records`, suffix ``.frames``). What touches the disk may run
    in another thread, one call at a time; it raises OSError, can then be called again, and has acknowledged
    nothing. `close` may come at any time.
    """

    def __init__(
        self,
        folder: Path | None,
        owner: str,
        *,
        disk: Disk | None = None,
        keep: bool = False,
        format: str = "wav",
    ):
        if format not in audio_files.FORMATS:
            raise ValueError(f"speech is kept as one of {', '.join(audio_files.FORMATS)}, not {format}")
        self.folder = folder
        self._format = format
        self._disk = disk or Disk()
        self._keep = keep
        self._lock = threading.RLock()
        self._pending: dict[int, bytearray] = {}  # records that are not on disk
        self._whole: set[int] = set()  # ids whose partial files must be written anew
        self._finished: list[int] = []
        self._order = 0
        self.recordings: dict[int, Recording] = {}
        if folder is not None:
            self._partial = folder / ".partial" / re.sub(r"\W", "", owner)
            self._disk.make_folder(self._partial)
            self._load()

    # --- what an earlier program left -----------------------------------------------------------

    def _load(self) -> None:
        found = []
        for name in self._disk.names(self._partial):
            match = re.fullmatch(r"([0-9a-f]{8})\.json", name)
            recording = self._load_one(self._partial / name) if match else None
            if recording is not None and match and recording.number == int(match[1], 16):
                found.append(recording)
            elif not name.endswith(".frames"):
                self._disk.remove(self._partial / name)  # broken, or the rest of a file being written
        for recording in sorted(found, key=lambda r: r.order):
            self.recordings[recording.number] = recording
            self._order = max(self._order, recording.order)
            if recording.complete:
                self._finished.append(recording.number)
        for name in self._disk.names(self._partial):
            if name.endswith(".frames"):
                known = self.recordings.get(int(name[:8], 16)) if re.match("[0-9a-f]{8}", name) else None
                if known is None or known.complete:
                    self._disk.remove(self._partial / name)

    def _load_one(self, path: Path) -> Recording | None:
        try:
            head = json.loads(self._disk.read(path) or b"")
            recording = Recording(head["number"], head["kind"], head["meta"])
            recording.name, recording.order = str(head["name"]), int(head["order"])
            if not isinstance(recording.meta, dict):
                return None
            if "finished" in head:
                recording.next_index = int(head["finished"])
                recording.stretch = int(head.get("stretch", 0))
                recording.gaps = [(int(first), int(count)) for first, count in head.get("gaps", ())]
                recording.complete = True
                return recording
        except (ValueError, KeyError, TypeError):
            return None
        self._load_frames(recording)
        final = self._final(recording)
        if any(self._disk.exists(path) for path in final):  # we were killed before that was noted
            try:
                about = json.loads(self._disk.read(final[0].with_suffix(".json")) or b"")
                recording.next_index = max(recording.next_index, int(about["frames"]) + int(about["lost"]))
            except (ValueError, KeyError, TypeError):
                pass  # somebody has taken it away: the frames say how long it is
            recording.complete = True
            recording.frames = {}
            self._write_head(recording, finished=recording.next_index)
        return recording

    def _load_frames(self, recording: Recording) -> None:
        path = self._frames_path(recording.number)
        data = self._disk.read(path) or b""
        found, at = records.unpack(data)  # what was being written when we, or the computer, stopped
        for index, frame in found:
            recording.take(index, frame)
        if at < len(data):
            self._disk.truncate(path, at)
        recording.stored = recording.next_index

    # --- receiving ------------------------------------------------------------------------------

    def open(self, number: int, kind: str, meta: dict[str, Any], now: float) -> Recording:
        """The recording with that id: a new one, or the one that is already (partly) here. Does not
        touch the disk, but for a look at what names are taken. (`forget` first what `is_other`.)"""
        recording = self.recordings.get(number)
        if recording is None or self.is_other(number, kind, meta):
            self._finished = [n for n in self._finished if n != number]
            self._pending.pop(number, None)
            self._order += 1
            recording = Recording(number, kind, meta, started_s=now, order=self._order)
            recording.name = self._new_name(kind, number)
            self.recordings[number] = recording
        return recording

    def is_other(self, number: int, kind: str, meta: dict[str, Any]) -> bool:
        """That id was another recording's, as after new flash."""
        recording = self.recordings.get(number)
        return recording is not None and (recording.meta != meta or recording.kind != kind)

    def add(self, recording: Recording, index: int, frame: bytes) -> bool:
        """Append a frame, in memory; False if it is already here, or cannot be."""
        if recording.complete or index < recording.next_index or not recording.has_room(index, frame):
            return False
        recording.take(index, frame)
        if self.folder is not None:
            self._pending.setdefault(recording.number, bytearray()).extend(records.pack(index, frame))
        return True

    def flush(self, recording: Recording) -> None:
        """Everything added so far survives a crash of this computer when this returns."""
        if self.folder is None:
            return
        with self._lock:
            number, pending = recording.number, self._pending.get(recording.number)
            if recording.complete or not pending:
                return
            reached = recording.next_index
            try:
                if not recording.stored or number in self._whole:
                    self._write_whole(recording)
                else:
                    path = self._frames_path(number)
                    try:
                        self._disk.append(path, bytes(pending))
                        self._disk.sync(path)
                    except FileNotFoundError:  # somebody has removed the folder; we have all of it yet
                        self._write_whole(recording)
            except OSError:
                # How much of it is there, nobody knows.
                self._whole.add(number)
                self._disk.close(self._frames_path(number))
                raise
            self._whole.discard(number)
            self._pending.pop(number, None)
            recording.stored = reached

    def _write_whole(self, recording: Recording) -> None:
        path = self._frames_path(recording.number)
        self._disk.close(path)
        self._disk.make_folder(self._partial)
        self._write_head(recording)
        content = _packed(recording)
        self._disk.replace(path, content, path.with_suffix(".new"))

    # --- the end of a recording -----------------------------------------------------------------

    def finish(self, recording: Recording, count: int, crc: int | None, end: dict[str, Any]) -> None:
        """Write the finished recording under its final name and forget the partial one. `crc` None:
        nobody knows what it should be.

        That it was finished is remembered: should the glasses offer it again, because we were killed
        before they heard of it, it is acknowledged and not taken for a new one.
        """
        with self._lock:
            number = recording.number
            length = min(max(recording.next_index, count), recording.most_frames())
            lost, crc_ok = length - len(recording.frames), recording.crc == crc
            if self.folder is not None:
                self._disk.make_folder(self._partial)
                if not recording.stored:
                    self._write_head(recording)  # its name must be known if we are killed now
                recording.path = self._write(recording, length, lost, crc_ok, end)
                self._write_head(recording, finished=length)
            recording.end, recording.lost, recording.crc_ok = end, lost, crc_ok
            recording.next_index = length
            recording.complete = True
            self._pending.pop(number, None)
            self._whole.discard(number)
            self._finished.append(number)
            if self.folder is not None:
                self._disk.close(self._frames_path(number))
                with contextlib.suppress(OSError):  # it is finished; the next program tidies up
                    self._disk.remove(self._frames_path(number))
            self._prune()

    def _write(self, recording: Recording, length: int, lost: int, crc_ok: bool, end: dict[str, Any]) -> Path:
        assert self.folder is not None
        by_way_of = self._frames_path(recording.number).with_suffix(".new")
        form = self._format
        if recording.kind != "speech":
            suffix, content = _SUFFIX.get(recording.kind, ".txt"), recording.payload()
        elif not recording.decodable:
            suffix, content = ".frames", _packed(recording)
        else:
            pcm = recording.pcm(length)
            if not audio_files.holds(form, len(pcm), recording.rate):
                form = "wav"
            suffix, content = f".{form}", audio_files.audio_bytes(pcm, recording.rate, form)
        path = self.folder / (recording.name + suffix)
        about: dict[str, Any] = {
            "id": recording.number,
            "kind": recording.kind,
            "file": path.name,
            "frames": len(recording.frames),
            "lost": lost,
            "crc_ok": crc_ok,
            "meta": recording.meta,
            "end": end,
        }
        if recording.kind == "speech":
            about["gaps"] = recording.gaps_s
        self._disk.replace(path.with_suffix(".json"), json.dumps(about, indent=1).encode(), by_way_of)
        self._disk.replace(path, content, by_way_of)
        return path

    def forget(self, number: int) -> Recording | None:
        """The glasses no longer have this recording: keep what came, as it is."""
        recording = self.recordings.get(number)
        if recording is not None and not recording.complete:
            self.finish(recording, recording.next_index, None, {"truncated": True})
        return recording

    def release(self, recording: Recording) -> None:
        """The glasses have heard that it is stored: free the memory of its frames."""
        if recording.complete and not self._keep:
            recording.frames = {}

    def _prune(self) -> None:
        oldest = [n for n in self._finished if self.recordings[n].taken]
        for number in oldest[: max(0, len(oldest) - _REMEMBERED)]:
            self._finished.remove(number)
            if self.folder is not None:
                with contextlib.suppress(OSError):
                    self._disk.remove(self._head_path(number))
            if not self._keep:
                del self.recordings[number]

    def abandon(self) -> None:
        """As if the computer had stopped: what is not on disk is gone. A write that goes on is waited for."""
        with self._lock:
            self._pending.clear()

    def close(self) -> None:
        """Put on disk what can be, so that less has to be sent again."""
        with self._lock:
            for number in list(self._pending):
                recording = self.recordings.get(number)
                if recording is not None:
                    with contextlib.suppress(OSError):
                        self.flush(recording)
            self._pending.clear()
            if self.folder is not None:
                for recording in self.recordings.values():
                    self._disk.close(self._frames_path(recording.number))

    # --- names ----------------------------------------------------------------------------------

    def _head_path(self, number: int) -> Path:
        return self._partial / f"{number:08x}.json"

    def _frames_path(self, number: int) -> Path:
        return self._partial / f"{number:08x}.frames"

    def _final(self, recording: Recording) -> list[Path]:
        """What its file may be called: an earlier program may have been asked for another format."""
        assert self.folder is not None
        kind = recording.kind
        suffixes = _OF_SPEECH if kind == "speech" else (_SUFFIX.get(kind, ".txt"),)
        return [self.folder / (recording.name + suffix) for suffix in suffixes]

    def _new_name(self, kind: str, number: int) -> str:
        stem = name = f"{time.strftime('%Y-%m-%dT%H-%M-%S')}_{kind}_{number:08x}"
        again = 1
        while self.folder is not None and self._disk.exists(self.folder / f"{name}.json"):
            again += 1  # another recording of that id, in the same second or on a clock that was set back
            name = f"{stem}-{again}"
        return name

    def _write_head(self, recording: Recording, finished: int | None = None) -> None:
        head: dict[str, Any] = {"number": recording.number, "kind": recording.kind, "meta": recording.meta}
        head |= {"name": recording.name, "order": recording.order}
        if finished is not None:
            head["finished"] = finished
            if recording.gaps:
                head |= {"gaps": recording.gaps, "stretch": recording.stretch}
        path = self._head_path(recording.number)
        self._disk.replace(path, json.dumps(head).encode(), path.with_suffix(".new"))


def _packed(recording: Recording) -> bytes:
    return b"".join(records.pack(index, frame) for index, frame in recording.frames.items())
