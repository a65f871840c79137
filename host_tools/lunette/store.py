"""Recordings on the host's disk: partial ones that survive a crash, finished ones as WAV and JSON.

A frame counts as stored, and is acknowledged, once it is flushed into the partial file. A finished
recording appears under its final name in one step (write new, then rename).
"""

from __future__ import annotations

import json
import os
import re
import struct
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lunette.codecs import Dvi4Decoder, write_wav

_RECORD = struct.Struct("<IH")
_REMEMBERED = 64  # finished recordings whose acknowledgement may not have arrived


@dataclass
class Recording:
    """What is known of one recording. `frames` maps index to coded bytes; indices may have holes
    where the glasses had no room. Times are in seconds on the event loop's clock."""

    number: int
    kind: str
    meta: dict[str, Any]
    next_index: int = 0
    frames: dict[int, bytes] = field(default_factory=dict)
    crc: int = 0
    started_s: float = 0.0
    lost: int = 0
    crc_ok: bool | None = None
    complete: bool = False
    end: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def cause(self) -> str | None:
        return self.meta.get("cause")

    @property
    def seconds(self) -> float:
        """Duration of speech in seconds, 0 for other kinds."""
        if self.kind != "speech":
            return 0.0
        return self.next_index * self.meta.get("frame", 320) / self.meta.get("rate", 16000)

    def pcm(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        """Decoded speech, int16 mono; frames that the glasses lost are silence."""
        size = int(self.meta.get("frame", 320))
        out = np.zeros(self.next_index * size, np.int16)
        decoder = Dvi4Decoder()
        for index, frame in self.frames.items():
            try:
                samples = decoder.decode(frame)[:size]
            except ValueError:  # too short to be one: silence, and the checksum tells
                continue
            out[index * size : index * size + len(samples)] = samples
        return out

    def payload(self) -> bytes:
        return b"".join(self.frames[i] for i in sorted(self.frames))


class Store:
    """Recordings of one pair of glasses (`owner`, its address) under `folder`."""

    def __init__(self, folder: Path, owner: str):
        self.folder = folder
        self._partial = folder / ".partial" / re.sub(r"\W", "", owner)
        self._partial.mkdir(parents=True, exist_ok=True)
        self._files: dict[int, Any] = {}
        self.recordings: dict[int, Recording] = {}
        for path in sorted(self._partial.glob("*.json"), key=lambda p: p.stat().st_mtime):
            self._load(path)
        self._finished = [r.number for r in self.recordings.values() if r.complete]
        for path in self._partial.glob("*.frames"):
            number = int(path.stem, 16)
            if number not in self.recordings or self.recordings[number].complete:
                path.unlink()  # of a recording that was finished, or whose description is broken

    def _load(self, path: Path) -> None:
        try:
            head = json.loads(path.read_text())
            recording = Recording(head["number"], head["kind"], head["meta"])
            if "finished" in head:
                recording.next_index = int(head["finished"])
                recording.complete = True
        except (ValueError, KeyError, TypeError, OSError):
            path.unlink(missing_ok=True)
            return
        self.recordings[recording.number] = recording
        if recording.complete:
            return
        frames = path.with_suffix(".frames")
        data = frames.read_bytes() if frames.exists() else b""
        at = 0
        while at + _RECORD.size <= len(data):
            index, size = _RECORD.unpack_from(data, at)
            if at + _RECORD.size + size > len(data):
                break  # the end was being written when we were killed
            self._take(recording, index, data[at + _RECORD.size : at + _RECORD.size + size])
            at += _RECORD.size + size
        if frames.exists() and at < len(data):
            with frames.open("r+b") as file:
                file.truncate(at)

    def _take(self, recording: Recording, index: int, frame: bytes) -> None:
        recording.frames[index] = frame
        recording.crc = zlib.crc32(frame, recording.crc)
        recording.next_index = index + 1

    def _stem(self, number: int) -> Path:
        return self._partial / f"{number:08x}"

    def open(self, number: int, kind: str, meta: dict[str, Any], now: float) -> Recording:
        """The recording with that id: a new one, or the one that is already (partly) here."""
        recording = self.recordings.get(number)
        if recording is not None and recording.meta != meta:
            # An old id on another recording, as after new flash: keep what there is of the old one.
            self.forget(number)
            self._finished = [n for n in self._finished if n != number]
            recording = None
        if recording is None:
            recording = self.recordings[number] = Recording(number, kind, meta, started_s=now)
            head = self._stem(number).with_suffix(".json")
            _replace(head, json.dumps({"number": number, "kind": kind, "meta": meta}).encode())
        return recording

    def add(self, recording: Recording, index: int, frame: bytes) -> bool:
        """Append a frame; False if it is already here."""
        if index < recording.next_index or recording.complete:
            return False
        file = self._files.get(recording.number)
        if file is None:
            file = self._stem(recording.number).with_suffix(".frames").open("ab")
            self._files[recording.number] = file
        file.write(_RECORD.pack(index, len(frame)) + frame)
        self._take(recording, index, frame)
        return True

    def flush(self, recording: Recording) -> None:
        """Everything added so far survives a crash of this program when this returns."""
        file = self._files.get(recording.number)
        if file is not None:
            file.flush()
            os.fsync(file.fileno())

    def finish(self, recording: Recording, count: int, crc: int | None, end: dict[str, Any]) -> None:
        """Write the finished recording under its final name and forget the partial one. `crc` None:
        nobody knows what it should be.

        That it was finished is remembered: should the glasses offer it again, because we were killed
        before they heard of it, it is acknowledged and not taken for a new one.
        """
        recording.end = end
        recording.lost = count - len(recording.frames)
        recording.next_index = max(recording.next_index, count)
        recording.crc_ok = recording.crc == crc
        recording.path = self._write(recording)
        recording.complete = True
        file = self._files.pop(recording.number, None)
        if file is not None:
            file.close()
        # In this order: frames of a finished recording do not come back.
        head = {"number": recording.number, "kind": recording.kind, "meta": recording.meta}
        _replace(
            self._stem(recording.number).with_suffix(".json"),
            json.dumps({**head, "finished": recording.next_index}).encode(),
        )
        self._stem(recording.number).with_suffix(".frames").unlink(missing_ok=True)
        self._finished.append(recording.number)
        while len(self._finished) > _REMEMBERED:
            self._stem(self._finished.pop(0)).with_suffix(".json").unlink(missing_ok=True)

    def release(self, recording: Recording) -> None:
        """Free the memory of a finished recording's frames: they are on disk."""
        if recording.complete:
            recording.frames = {}

    def _write(self, recording: Recording) -> Path:
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
        stem = self.folder / f"{stamp}_{recording.kind}_{recording.number:08x}"
        if recording.kind == "speech":
            path = stem.with_suffix(".wav")
            write_wav(path, recording.pcm(), int(recording.meta.get("rate", 16000)))
        else:
            path = stem.with_suffix(".bin" if recording.kind == "photo" else ".txt")
            _replace(path, recording.payload())
        about = {
            "id": recording.number,
            "kind": recording.kind,
            "frames": len(recording.frames),
            "lost": recording.lost,
            "crc_ok": recording.crc_ok,
            "meta": recording.meta,
            "end": recording.end,
        }
        _replace(stem.with_suffix(".json"), json.dumps(about, indent=1).encode())
        return path

    def forget(self, number: int) -> Recording | None:
        """The glasses no longer have this recording: keep what came, as it is."""
        recording = self.recordings.get(number)
        if recording is not None and not recording.complete:
            self.finish(recording, recording.next_index, None, {"truncated": True})
        return recording

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
