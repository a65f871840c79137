"""A recording as the host has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lunette.codecs import Dvi4Decoder, read_wav
from lunette.errors import LunetteError

# No recording is longer (11 hours of speech): an index beyond it is an error of the glasses, and the
# silence before it would fill this computer's memory.
MOST_FRAMES = 1 << 21
_SAMPLES, _RATE = 320, 16000
_MOST_SAMPLES = 4096
_RATES = range(1000, 192001)


@dataclass
class Recording:
    """What is known of one recording.

    `number` is its id, `kind` "speech", "photo", "log" or "event"; `meta` and `end` are what the glasses
    said at its start and end (docs/protocol.md). `frames` maps index to coded bytes; indices have holes
    where the glasses had no room. `started_s` is when it was first heard of, in seconds on the event
    loop's clock. When it is `complete`: `lost` frames are missing, `crc_ok` says whether the rest is
    what the glasses recorded, and `path` is its file (None if there is no folder).
    """

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
    name: str = ""  # of its file, without the suffix
    order: int = 0  # of its arrival
    stored: int = 0  # frames below this index survive a crash of this computer
    since_ack: int = 0  # frames
    taken: bool = True  # the host's program has what it wants of it: it may be acknowledged
    acknowledged: bool = False  # the glasses have heard that it is stored as a whole

    @property
    def cause(self) -> str | None:
        """What began it: "button", "host", ..."""
        return self.meta.get("cause")

    @property
    def truncated(self) -> bool:
        """The glasses threw the rest away before this host had it."""
        return bool(self.end.get("truncated"))

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
    def seconds(self) -> float:
        """Duration of speech in seconds, 0 for other kinds."""
        if self.kind != "speech":
            return 0.0
        return self.next_index * self.frame_samples / self.rate

    def pcm(self, count: int | None = None) -> np.ndarray[Any, np.dtype[np.int16]]:
        """Decoded speech of `count` frames (all), int16 mono; frames that the glasses lost are silence.
        Raises LunetteError when the frames have left the memory and the file cannot be read either."""
        if not self.frames and self.complete and self.path is not None:
            return read_wav(self.path, self.rate)
        size = self.frame_samples
        out = np.zeros((self.next_index if count is None else count) * size, np.int16)
        decoder = Dvi4Decoder()
        for index, frame in self.frames.items():
            try:
                samples = decoder.decode(frame)[:size]
            except ValueError:  # too short to be one: silence, and the checksum tells
                continue
            out[index * size : index * size + len(samples)] = samples
        return out

    def payload(self) -> bytes:
        """All frames, joined: the picture, the text. Raises LunetteError as `pcm` does; the coded frames
        of speech are not kept on disk."""
        if not self.frames and self.complete and self.path is not None:
            if self.kind == "speech":
                raise LunetteError("the coded frames of finished speech are not kept: use pcm()")
            try:
                return self.path.read_bytes()
            except OSError as error:
                raise LunetteError(f"cannot read {self.path}: {error.strerror or error}") from error
        return b"".join(self.frames[i] for i in sorted(self.frames))
