"""Live speech while a backlog drains over the same link, in virtual time and CPython.

The latency of a frame is from its last sample to its arrival at the host. Part of it is nobody's fault
on the link: the DMA hands samples over a descriptor of 256 at a time (0, 4, 8 or 12 ms after the
frame's last), and up to one interval passes before the link has its turn. So beside every take stands the
same one without a backlog.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tests.world import World, virtual_board

from lunette.virtual.link_model import LinkModel

from .in_world import in_world

RATE, FRAME = 16000, 320
FRAME_BYTES = 164
JOURNAL_KB = 2048
HOLD_S = 0.35  # a press this long is a hold; what was said before waits until then
_FRAME_MS, _PROGRAMS_MS = 20, 10
_SETTLE_S = 1.0
_AFTER_S = 2.0


@dataclass
class Take:
    """Latencies in ms of the frames that were live; what else the link did meanwhile."""

    latencies: list[float] = field(default_factory=list)
    behind_s: float = 0.0  # late: until the host had caught up with the speaker
    backlog_kbps: float = 0.0
    left: int = 0
    rate: float = 0.0
    paced: int = 0
    enomem: int = 0
    measured: int = 0


def bound_ms(interval_ms: float) -> float:
    """What the latency of 95 % of the frames may be."""
    return _FRAME_MS + interval_ms + _PROGRAMS_MS


def fill(world: World, frames: int) -> None:
    """A recording of so many frames, all at once."""
    journal = world.glasses.journal
    recording = journal.open(
        "speech", {"codec": "dvi4", "rate": RATE, "frame": FRAME, "cause": "bench", "t": 0}
    )
    for i in range(frames):
        offset = journal.slot()
        if offset < 0:
            raise RuntimeError(f"the journal is full after {i} frames")
        journal.data[offset : offset + FRAME_BYTES] = i.to_bytes(4, "big") * (FRAME_BYTES // 4)
        journal.append(recording, FRAME_BYTES)
    journal.close(recording)
    world.glasses.link.kick()


async def _talk(world: World, frames: int, seconds: float, late: bool) -> Take:
    loop = asyncio.get_running_loop()
    take = Take()
    pump = world.glasses.link.pump
    if late:
        fill(world, frames)
        world.press()
        await asyncio.sleep(_AFTER_S)
        world.listen()
        await world.until(lambda: world.glasses.link.streaming, "the host connects")
        pressed = loop.time()
    else:
        await asyncio.sleep(_SETTLE_S)
        if frames:
            fill(world, frames)
            await asyncio.sleep(_SETTLE_S)
        pressed = loop.time()
        world.press()
        await asyncio.sleep(HOLD_S)
    began = loop.time()
    await asyncio.sleep(seconds)
    ended = loop.time()
    take.left = sum(r.count - r.sent for r in world.glasses.journal.recordings if r.closed)
    take.rate = pump.pace.rate / 65536
    take.paced, take.enomem, take.measured = pump.paced, pump.enomem, pump.pace.measured
    world.release()
    await asyncio.sleep(1.5)
    started = world.chip.i2s.sessions[-1].started
    others = 0
    behind = late
    for t, what, detail in world.events:
        if what != "frame":
            continue
        recording, index = detail
        if recording.meta["cause"] == "bench":
            others += began <= t < ended
            continue
        sampled = started + (index + 1) * FRAME / RATE
        if behind and t - sampled <= bound_ms(world.air.model.interval_ms) / 1000:
            behind = False
            take.behind_s = t - pressed
        if not behind and max(began, pressed + HOLD_S) <= sampled < ended:
            take.latencies.append((t - sampled) * 1000)
    take.backlog_kbps = others * FRAME_BYTES * 8 / (ended - began) / 1000
    return take


def talk(model: LinkModel, *, frames: int, seconds: float, late: bool = False) -> Take:
    """Hold the button for so long while `frames` wait; `late`: the host comes in the middle of it."""

    async def work(world: World) -> Take:
        return await _talk(world, frames, seconds, late)

    return in_world(work, model, listen=not late, board=virtual_board(JOURNAL_KB=JOURNAL_KB))
