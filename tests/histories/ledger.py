"""What was captured, and what has to have come of it at the end."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

_MARK = struct.Struct("<IIH")  # id, index, bytes that follow


def mark(number: int, index: int, filler: bytes) -> bytes:
    """A frame that says which one it is."""
    return _MARK.pack(number, index, len(filler)) + filler


MARK_BYTES = _MARK.size


@dataclass
class Truth:
    """What was captured. `frames` are those that found room."""

    kind: str
    frames: dict[int, bytes] = field(default_factory=dict)
    lost: int = 0
    closed: bool = False
    discarded: bool = False  # a tap
    cut: bool = False  # in memory when the power went
    gone: int = 0  # evicted or deleted, and counted; again if the power went before its file did


class Counts:
    """What the histories contained, so that a test can tell that they were not all peaceful."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def add(self, what: str, n: int = 1) -> None:
        self.of[what] = self.of.get(what, 0) + n


def copies(final: dict[str, bytes]) -> dict[int, tuple[dict[str, Any], dict[int, bytes]]]:
    """Final files of a host by id: the description, and frames by index. None may be there twice."""
    found: dict[int, tuple[dict[str, Any], dict[int, bytes]]] = {}
    for name, data in final.items():
        if name.endswith(".json"):
            continue
        about = json.loads(final[name.rsplit(".", 1)[0] + ".json"])
        frames: dict[int, bytes] = {}
        at = 0
        while at < len(data):
            number, index, size = _MARK.unpack_from(data, at)
            assert number == about["id"], "a frame of another recording"
            assert not frames or index > max(frames), "frames out of order, or twice"
            frames[index] = data[at : at + _MARK.size + size]
            at += _MARK.size + size
        assert about["id"] not in found, f"{about['id']:x} is there twice"
        found[about["id"]] = about, frames
    return found
