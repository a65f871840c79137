"""Everything that was said with a finger down, and whether it is owed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
from world import World

from lunette.virtual.chip.i2s import Session

try:
    import audioop
except ImportError:  # Python 3.13 without audioop-lts
    audioop = None  # type: ignore[assignment]

FRAME, RATE = 320, 16000
# From the first line, or from a press with everything loaded, to the first sample.
AT_ONCE_S = 0.1
LOOK_S = 0.25  # from a beacon's first line until it looks at the button


def reference(pcm: Any) -> Any:
    """What the standard library's IMA ADPCM makes of the samples."""
    coded, _ = audioop.lin2adpcm(np.asarray(pcm, "<i2").tobytes(), 2, None)
    back, _ = audioop.adpcm2lin(coded, 2, None)
    return np.frombuffer(back, "<i2")


@dataclass
class Hold:
    """A finger that is held down. `excuse`: why nothing is owed for it, "" if it is."""

    pressed: float
    latest: float  # when its first sample is due
    excuse: str = ""
    released: float | None = None
    ended: float | None = None  # when the glasses were switched off meanwhile
    session: Session | None = None
    number: int | None = None
    phase: str = ""


def find(world: World, hold: Hold) -> Session | None:
    """The microphone's session that is about that hold."""
    assert hold.released is not None
    for session in world.chip.i2s.takes:
        if hold.pressed - 1e-6 <= session.started <= hold.released:
            return session
    return None


def check(world: World, hold: Hold, received: dict[int, Any], longest_s: int) -> str:
    """What is wrong with what became of a hold that is owed; "" if nothing is."""
    assert hold.released is not None
    what = f"the hold of {hold.released - hold.pressed:.2f} s at {hold.pressed:.3f} ({hold.phase})"
    session = hold.session
    if session is None:
        return f"{what} was not heard"
    if session.started > hold.latest:
        return f"{what} was heard {session.started - hold.pressed:.3f} s after the press"
    if hold.number is None:
        return f"{what} is no recording"
    recording = received.get(hold.number)
    if recording is None or not recording.complete:
        return f"{what}, recording {hold.number:x}, has not arrived"
    if not recording.crc_ok or recording.lost or len(recording.frames) != recording.next_index:
        return f"{what}, recording {hold.number:x}, has lost {recording.lost} frames, crc {recording.crc_ok}"
    seconds = recording.next_index * FRAME / RATE
    due = min((hold.ended or hold.released) - session.started, longest_s)
    if not due - 0.021 <= seconds <= due + 0.041:
        return f"{what}, recording {hold.number:x}, has {seconds:.2f} s of {due:.2f}"
    heard = world.chip.sound.render(session.first_sample, recording.next_index * FRAME)
    if audioop is not None and not np.array_equal(recording.pcm(), reference(heard)):
        return f"{what}, recording {hold.number:x}, is not what was said"
    return ""


def now() -> float:
    return asyncio.get_running_loop().time()
