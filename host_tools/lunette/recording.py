"""A recording as the host has it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lunette import records
from lunette.audio_files import read_audio
from lunette.codecs import CODECS, decode, gap_samples
from lunette.errors import LunetteError, UnknownCodec

# No recording is longer (11 hours of DVI4): an index beyond it is an error of the glasses, and the silence
# before it would fill this computer's memory. So would a gap that is as long as they say.
MOST_FRAMES = 1 << 21
MOST_SAMPLES = MOST_FRAMES * 320
_SAMPLES, _RATE = 320, 16000
_MOST_SAMPLES = 4096
_RATES = range(1000, 192001)


@dataclass
class Recording:
    """What is known of one recording.

    `number` is its id, `kind` "speech", "photo", "log" or "event"; `meta` and `end` are what the glasses
    said at its start and end (docs/protocol.md). `frames` maps index to coded bytes; indices have holes
    where the glasses had no room. `gaps` are the places at which the microphone's samples were not captured:
    (sample of the recording, how many). `started_s` is when it was first heard of, in seconds on the event
    loop's clock. When it is `complete`: `lost` frames are missing, `crc_ok` says whether the rest is
    what the glasses recorded, and `path` is its file (None if there is no folder).
    """

    number: int
    kind: str
    meta: dict[str, Any]
    next_index: int = 0
    frames: dict[int, bytes] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    crc: int = 0
    started_s: float = 0.0
    lost: int = 0
    crc_ok: bool | None = None
    complete: bool = False
    end: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    name: str = ""  # of its file, without the suffix
    order: int = 0  # of its arrival
    stored: int = 0  # frames below this index survive a crash of this computer
    since_ack: int = 0  # frames
    taken: bool = True  # the host's program has what it wants of it: it may be acknowledged
    acknowledged: bool = False  # the glasses have heard that it is stored as a whole
    stretch: int = 0  # samples that gap frames are longer than frames of speech, all together

    @property
    def cause(self) -> str | None:
        """What began it: "button", "host", "app" or "wake"."""
        return self.meta.get("cause")

    @property
    def wake_word(self) -> str | None:
        """The model whose word began it; None if none did."""
        wake = self.meta.get("wake")
        return wake.get("model") if isinstance(wake, dict) else None

    @property
    def truncated(self) -> bool:
        """The glasses threw the rest away before this host had it."""
        return bool(self.end.get("truncated"))

    @property
    def codec(self) -> str:
        """How speech is coded."""
        return str(self.meta.get("codec", "dvi4"))

    @property
    def decodable(self) -> bool:
        """This version knows how it is coded. (What is not speech is not coded.)"""
        return self.kind != "speech" or self.codec in CODECS

    @property
    def rate(self) -> int:
        """Samples a second of speech."""
        rate = self.meta.get("rate")
        return rate if isinstance(rate, int) and rate in _RATES else _RATE

    @property
    def frame_samples(self) -> int:
        """Samples a frame of speech."""
        size = self.meta.get("frame")
        return size if isinstance(size, int) and 0 < size <= _MOST_SAMPLES else _SAMPLES

    @property
    def samples(self) -> int:
        """Samples of speech up to the last frame, lost ones and gaps included; 0 for other kinds."""
        return self.next_index * self.frame_samples + self.stretch if self.kind == "speech" else 0

    @property
    def seconds(self) -> float:
        """Duration of speech in seconds, 0 for other kinds."""
        return self.samples / self.rate

    @property
    def gaps_s(self) -> list[list[float]]:
        """The gaps in seconds: [begin, duration] of each."""
        return [[first / self.rate, count / self.rate] for first, count in self.gaps]

    def has_room(self, index: int, frame: bytes) -> bool:
        """That frame does not make it longer than a recording can be."""
        if self.kind != "speech":
            return index < MOST_FRAMES
        missing = gap_samples(frame)
        before = index * self.frame_samples + self.stretch
        length = before + (self.frame_samples if missing is None else missing)
        return index < MOST_FRAMES and length <= MOST_SAMPLES

    def most_frames(self) -> int:
        """`next_index` of a recording that begins like this one, and is as long as they get."""
        if self.kind != "speech":
            return MOST_FRAMES
        return min(MOST_FRAMES, self.next_index + (MOST_SAMPLES - self.samples) // self.frame_samples)

    def take(self, index: int, frame: bytes) -> None:
        """The next frame; those between the last one and it are lost."""
        missing = gap_samples(frame) if self.kind == "speech" else None
        if missing is not None:
            first = index * self.frame_samples + self.stretch
            if self.gaps and sum(self.gaps[-1]) == first:
                first, before = self.gaps.pop()
                self.gaps.append((first, before + missing))
            elif missing:
                self.gaps.append((first, missing))
            self.stretch += missing - self.frame_samples
        self.frames[index] = frame
        self.crc = zlib.crc32(frame, self.crc)
        self.next_index = index + 1

    def pcm(self, count: int | None = None) -> np.ndarray[Any, np.dtype[np.int16]]:
        """Decoded speech of `count` frames (all), int16 mono; frames that the glasses lost, and gaps, are
        silence. Raises UnknownCodec, or LunetteError when the frames have left the memory and the file
        cannot be read either."""
        if not self.decodable:
            raise UnknownCodec(self.codec)
        if not self.frames and self.complete and self.path is not None:
            return read_audio(self.path, self.rate)
        size = self.frame_samples
        end = self.next_index if count is None else count
        missing = {index: gap_samples(frame) for index, frame in self.frames.items() if index < end}
        stretch = sum(samples - size for samples in missing.values() if samples is not None)
        out = np.zeros(end * size + stretch, np.int16)
        stretch = 0
        for index, gap in missing.items():
            if gap is not None:
                stretch += gap - size
                continue
            try:
                samples = decode(self.codec, self.frames[index])[:size]
            except ValueError:  # too short to be one: silence, and the checksum tells
                continue
            first = index * size + stretch
            out[first : first + len(samples)] = samples
        return out

    def payload(self) -> bytes:
        """All frames, joined: the picture, the text. Raises LunetteError as `pcm` does; the coded frames
        of speech are only kept on disk when they cannot be decoded."""
        if not self.frames and self.complete and self.path is not None:
            if self.kind == "speech" and self.decodable:
                raise LunetteError("the coded frames of finished speech are not kept: use pcm()")
            try:
                content = self.path.read_bytes()
            except OSError as error:
                raise LunetteError(f"cannot read {self.path}: {error.strerror or error}") from error
            if self.kind != "speech":
                return content
            return b"".join(frame for _, frame in records.unpack(content)[0])
        return b"".join(self.frames[i] for i in sorted(self.frames))
