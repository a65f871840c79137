"""A few seconds of live speech from the firmware over the air, for several subjects.

In MicroPython and real time, where this computer takes part; or in CPython and virtual time, where no
program takes any, so that what is left is the design's.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.world import World

from lunette import paths
from lunette.virtual.link_model import LinkModel
from lunette.virtual.scene import Scene, check, expand
from lunette.virtual.stage import Stage

from .in_world import in_world

RATE = 16000
HOLD_S = 4.5
HOLD_MS = 300  # the firmware's setting: a press this long is a hold
_PRESS_S = 0.3


@dataclass
class Take:
    """What one take gave. All times are seconds of the loop."""

    report: dict[str, Any]
    pressed: float = 0.0
    started: float = 0.0  # of the microphone's sample 0
    arrivals: list[tuple[int, float]] = field(default_factory=list)  # frame index, when the host had it
    frame: int = 320

    def latencies_ms(self, live: bool) -> list[float]:
        """From the last sample of each frame to the host.

        `live`: only frames that were sampled when the press had become a hold. Those before are kept
        back until then: their latency is the length of a hold, not the link's.
        """
        found = []
        for index, arrived in self.arrivals:
            sampled = self.started + (index + 1) * self.frame / RATE
            if not live or sampled >= self.pressed + HOLD_MS / 1000:
                found.append((arrived - sampled) * 1000)
        return found


def _scene(interval_ms: float) -> Scene:
    entries = [
        {"t": _PRESS_S, "do": "hold", "seconds": HOLD_S},
        {"t": _PRESS_S, "do": "say", "wav": "speech.wav"},
    ]
    actions = [action for entry in entries for action in expand(check(entry, "bench"))]
    actions.sort(key=lambda action: action.t)
    return Scene(
        duration_s=_PRESS_S + HOLD_S + 0.1,
        link=LinkModel(interval_ms=interval_ms),
        settings={"hold_ms": HOLD_MS},
        actions=actions,
        folder=paths.DATA,
    )


async def _perform(interval_ms: float, folder: Path) -> Take:
    take = Take({})

    def observe(what: str, detail: Any) -> None:
        now = asyncio.get_running_loop().time()
        if what == "frame":
            recording, index = detail
            take.frame = int(recording.meta.get("frame", take.frame))
            take.arrivals.append((index, now))
        elif what == "action" and detail.do == "press":
            take.pressed = now

    stage = Stage(_scene(interval_ms), folder, observe=observe)
    take.report = await stage.play()
    assert stage.glasses is not None
    take.started = stage.glasses.chip.i2s.sessions[-1].started
    if take.report["errors"]:
        raise RuntimeError(f"the firmware printed: {take.report['errors'][0]}")
    return take


async def _talk(world: World) -> Take:
    await asyncio.sleep(_PRESS_S)
    take = Take({}, pressed=asyncio.get_running_loop().time())
    await world.talk(HOLD_S)
    await world.complete(1)
    take.started = world.chip.i2s.sessions[-1].started
    take.arrivals = [(detail[1], t) for t, what, detail in world.events if what == "frame"]
    return take


def virtual_take(interval_ms: float) -> Take:
    """The same without a scene, in virtual time; its report is empty."""
    return in_world(_talk, LinkModel(interval_ms=interval_ms), listen=True)


_takes: dict[float, Take] = {}


def take(interval_ms: float) -> Take:
    """The take at that connection interval; made once a run."""
    if interval_ms not in _takes:
        with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder:
            _takes[interval_ms] = asyncio.run(_perform(interval_ms, Path(folder)))
    return _takes[interval_ms]
