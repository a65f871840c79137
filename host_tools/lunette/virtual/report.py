"""What a scene's report says: collected while it runs, then one JSON document."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from lunette.store import Recording

_EXPECTED = re.compile(
    r"^\s*$|^\[ *\d+\.\d+\] (debug|info) |^MPY: soft reboot|^MicroPython |^Type \"help|^>>> |"
    r"^raw REPL; CTRL-B|^The glasses go on in the background"
)


class Console:
    """Splits what the firmware prints into lines and keeps those that nobody expects."""

    def __init__(self) -> None:
        self._rest = b""
        self.errors: list[str] = []
        self.lines: list[str] = []
        self.quiet = False  # somebody works at the prompt: all of it is theirs

    def feed(self, data: bytes) -> list[str]:
        """Take output; returns the lines that it completed."""
        self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        found = [line.decode(errors="replace").rstrip("\r") for line in lines]
        self.lines += found
        del self.lines[:-500]
        if not self.quiet:
            self.errors += [line for line in found if not _EXPECTED.match(line)]
        return found


class Latency:
    """Microphone sample to host: the last sample of each frame against its arrival, in ms."""

    def __init__(self) -> None:
        self.ms: list[float] = []

    def add(self, arrived_s: float, sampled_s: float) -> None:
        self.ms.append((arrived_s - sampled_s) * 1000)

    def summary(self) -> dict[str, float | None]:
        if not self.ms:
            return {"p50": None, "p95": None, "max": None}
        values = np.array(self.ms)
        return {
            "p50": round(float(np.percentile(values, 50)), 2),
            "p95": round(float(np.percentile(values, 95)), 2),
            "max": round(float(values.max()), 2),
        }


def recording_entry(recording: Recording, started_s: float | None) -> dict[str, Any]:
    """A recording as the report lists it."""
    return {
        "id": recording.number,
        "kind": recording.kind,
        "cause": recording.cause,
        "wake": recording.meta.get("wake"),
        "started_s": None if started_s is None else round(started_s, 4),
        "duration_s": round(recording.seconds, 4),
        "frames": len(recording.frames),
        "lost": recording.lost if recording.complete else None,
        "overruns": recording.end.get("overruns"),
        "crc_ok": recording.crc_ok,
        "complete": recording.complete,
        "truncated": recording.truncated,
        "wav": str(recording.path) if recording.path and recording.kind == "speech" else None,
    }
