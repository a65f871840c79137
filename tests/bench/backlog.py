"""Live speech while a backlog drains over the same link, in virtual time and CPython.

The latency of a frame is from its last sample to its arrival at the host. Part of it is nobody's fault
on the link: the DMA hands samples over a descriptor of 256 at a time (0, 4, 8 or 12 ms after the
frame's last), and up to one interval passes before the link has its turn. So beside every take stands the
same one without a backlog.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from tests.world import World, virtual_board

from lunette.virtual.link_model import LinkModel

from .in_world import in_world
from .pool import spread
from .rows import Row

RATE, FRAME = 16000, 320
FRAME_BYTES = 164
JOURNAL_KB = 4096
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
    started = world.chip.i2s.takes[-1].started
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


_TAKE_S = {7.5: 8.0, 15.0: 8.0, 30.0: 12.0, 100.0: 20.0}
_FRAMES_PER_S = {7.5: 1100, 15.0: 800, 30.0: 450, 100.0: 150}  # more than the link carries
Job = tuple[float, str, float]


def _three(job: Job) -> tuple[Job, Take, Take, Take]:
    """Without a backlog, with one, and with a host that comes in the middle."""
    interval, phy, loss = job

    def take(frames: int, late: bool = False) -> Take:
        model = LinkModel(interval_ms=interval, phy=phy, mtu=247, loss=loss, seed=1)
        return talk(model, frames=frames, seconds=_TAKE_S[interval], late=late)

    frames = min(round(_FRAMES_PER_S[interval] * (_TAKE_S[interval] + 3)), 22_000)
    return job, take(0), take(frames), take(frames, late=True)


def _p95(take: Take) -> float:
    if not take.latencies:
        raise RuntimeError("the host never caught up with the speaker")
    return float(np.percentile(take.latencies, 95))


def measure() -> Iterator[Row]:
    jobs = itertools.product((7.5, 15.0, 30.0, 100.0), ("1M", "2M"), (0.0, 0.2))
    for (interval, phy, loss), alone, busy, late in spread(_three, jobs):
        if not busy.left:
            raise RuntimeError("the backlog was not long enough")
        name = f"live + backlog, {interval:g} ms {phy}" + (f" loss {loss:g}" if loss else "")
        caught = (
            f"{_p95(late):.0f} after the {late.behind_s:.1f} s" if late.latencies else "never, after the rest"
        )
        yield Row(
            name,
            _p95(busy),
            "ms",
            goal=f"<= {bound_ms(interval):g}",
            note=f"p95 from the last sample, oldest {_p95(busy) + _FRAME_MS:.0f}; "
            f"without a backlog {_p95(alone):.0f}; a host that comes in the middle {caught} "
            f"that it needs to catch up; backlog meanwhile {busy.backlog_kbps:.0f} kbit/s",
        )
