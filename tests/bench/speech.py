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
BACKLOG_S = 14.0
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
    others: list[float] = field(default_factory=list)  # when the host had frames of earlier recordings

    def beside_backlog_ms(self, bound: float) -> list[float]:
        """Latencies, from the first that is within `bound` to the last while a backlog arrived."""
        latencies = self.latencies_ms(live=True)
        arrived = [t for _, t in self.arrivals][-len(latencies) :]
        caught = next((i for i, ms in enumerate(latencies) if ms <= bound), len(latencies))
        end = max(self.others, default=0.0)
        return [ms for ms, t in list(zip(latencies, arrived, strict=True))[caught:] if t <= end]

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


def _busy_scene(interval_ms: float) -> Scene:
    """A long recording while no host is there; it comes in the middle of the second one."""
    end = _PRESS_S + BACKLOG_S
    entries = [
        {"t": 0.1, "do": "host_leave"},
        {"t": _PRESS_S, "do": "hold", "seconds": BACKLOG_S},
        {"t": end + 0.3, "do": "hold", "seconds": HOLD_S},
        {"t": end + 0.3, "do": "say", "wav": "speech.wav"},
        {"t": end + 0.7, "do": "host_return"},
    ]
    actions = [action for entry in entries for action in expand(check(entry, "bench"))]
    actions.sort(key=lambda action: action.t)
    return Scene(
        duration_s=end + 0.3 + HOLD_S + 4,
        link=LinkModel(interval_ms=interval_ms),
        settings={"hold_ms": HOLD_MS},
        actions=actions,
        folder=paths.DATA,
    )


async def _perform(scene: Scene, folder: Path) -> Take:
    """The last recording of the scene."""
    take = Take({})
    last = -1

    def observe(what: str, detail: Any) -> None:
        nonlocal last
        now = asyncio.get_running_loop().time()
        if what == "frame":
            recording, index = detail
            if recording.number > last:
                last = recording.number
                take.arrivals.clear()
            if recording.number < last:
                take.others.append(now)
                return
            take.frame = int(recording.meta.get("frame", take.frame))
            take.arrivals.append((index, now))
        elif what == "action" and detail.do == "press":
            take.pressed = now

    stage = Stage(scene, folder, observe=observe)
    take.report = await stage.play()
    assert stage.glasses is not None
    take.started = stage.glasses.chip.i2s.takes[-1].started
    if take.report["errors"]:
        raise RuntimeError(f"the firmware printed: {take.report['errors'][0]}")
    return take


async def _talk(world: World) -> Take:
    await asyncio.sleep(_PRESS_S)
    take = Take({}, pressed=asyncio.get_running_loop().time())
    await world.talk(HOLD_S)
    await world.complete(1)
    take.started = world.chip.i2s.takes[-1].started
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
            _takes[interval_ms] = asyncio.run(_perform(_scene(interval_ms), Path(folder)))
    return _takes[interval_ms]


_busy: dict[float, Take] = {}


def busy_take(interval_ms: float) -> Take:
    """One whose host comes in the middle of it, and has a longer recording to fetch at the same time."""
    if interval_ms not in _busy:
        with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder:
            _busy[interval_ms] = asyncio.run(_perform(_busy_scene(interval_ms), Path(folder)))
    return _busy[interval_ms]
