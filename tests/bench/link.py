"""How much of the air a backlog gets: the firmware against arithmetic and against a bare loop.

All in virtual time and in CPython, so the numbers are the same in every run and on every computer. The
ceiling is what connection events can carry when every exchange in them is a full notification. The
bare loop does nothing but notify: what it misses is the stack's doing. The pump is the firmware with a
host that only takes; the listener is the real one, which stores and acknowledges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from tests.world import World

from lunette.client import GlassesClient, find
from lunette.protocol import wire
from lunette.virtual.link_model import LinkModel, exchange_airtime_s

from . import bare
from .in_world import in_world
from .rows import Row

FRAMES = 1000  # 20 s of speech
FRAME_BYTES = 164
_SETTLE_S = 1.0  # the central has moved the link to its PHY, and all that is said at the start is said
_LIMIT_S = 120.0
_FRAGMENT = 251
_ATT_AND_L2CAP = 7

# interval in ms, PHY, MTU, loss
LINKS = (
    (7.5, "2M", 247, 0.0),
    (15.0, "2M", 247, 0.0),
    (15.0, "2M", 247, 0.2),
    (30.0, "1M", 185, 0.0),
    (30.0, "2M", 517, 0.0),
)


def ceiling_kbps(model: LinkModel) -> float:
    """Notified bytes in kbit/s when every exchange of every connection event carries part of one.

    Lost exchanges are as many as they are likely to be.
    """
    payload = model.mtu - 3
    size = payload + _ATT_AND_L2CAP
    pdus = [min(_FRAGMENT, size - at) for at in range(0, size, _FRAGMENT)]
    costs = [exchange_airtime_s(0, octets, (model.phy, model.phy)) for octets in pdus]
    interval = model.interval_ms / 1000
    events, sent = 1000, 0
    for _ in range(events):
        used, exchanges = 0.0, 0
        while exchanges != model.pdus_per_event:
            used += costs[sent % len(costs)]
            if exchanges and used > interval + 1e-9:
                break
            exchanges += 1
            sent += 1
    return sent / len(pdus) * payload * 8 / (events * interval) / 1000 * (1 - model.loss)


def _fill(world: World) -> None:
    """A journal full of speech, all at once."""
    journal = world.glasses.journal
    meta: dict[str, Any] = {"codec": "dvi4", "rate": 16000, "frame": 320, "cause": "bench", "t": 0}
    recording = journal.open("speech", meta)
    for i in range(FRAMES):
        offset = journal.slot()
        if offset < 0:
            raise RuntimeError(f"the journal is full after {i} frames")
        journal.data[offset : offset + FRAME_BYTES] = i.to_bytes(4, "big") * (FRAME_BYTES // 4)
        journal.append(recording, FRAME_BYTES)
    journal.close(recording)
    world.glasses.link.kick()


async def _to_listener(world: World) -> float:
    await asyncio.sleep(_SETTLE_S)
    _fill(world)
    (stored,) = await world.complete(1, timeout=_LIMIT_S)
    if not stored.crc_ok or len(stored.frames) != FRAMES:
        raise RuntimeError(f"{len(stored.frames)} of {FRAMES} frames were stored, CRC {stored.crc_ok}")
    return bare.kbps([t for t, what, _ in world.events if what == "frame"], FRAME_BYTES)


async def _to_taker(world: World) -> float:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    closed = asyncio.Event()

    def on_message(message: tuple[Any, ...]) -> None:
        if message[0] in (wire.DATA, wire.MORE):
            times.append(loop.time())
        elif message[0] == wire.CLOSE:
            closed.set()

    device = await find(timeout=5, backends=world.backends())
    if device is None:
        raise RuntimeError("the glasses do not advertise")
    client = GlassesClient(device, backends=world.backends(), on_message=on_message)
    await client.connect()
    try:
        await client.ready()
        await asyncio.sleep(_SETTLE_S)
        _fill(world)
        await asyncio.wait_for(closed.wait(), _LIMIT_S)
    finally:
        await client.disconnect()
    if len(times) != FRAMES:
        raise RuntimeError(f"{len(times)} of {FRAMES} frames arrived")
    return bare.kbps(times, FRAME_BYTES)


def measure() -> Iterator[Row]:
    for interval, phy, mtu, loss in LINKS:

        def model(i: float = interval, p: str = phy, m: int = mtu, lost: float = loss) -> LinkModel:
            return LinkModel(interval_ms=i, phy=p, mtu=m, loss=lost, seed=1)

        name = f"{interval:g} ms {phy} MTU {mtu}" + (f" loss {loss:g}" if loss else "")
        ceiling = ceiling_kbps(model())
        against = "the air's expected ceiling" if loss else "the air's ceiling"
        plain = bare.goodput_kbps(model(), FRAMES * FRAME_BYTES // (mtu - 3))
        yield Row(f"bare loop, {name}", plain, "kbit/s", ceiling, against)
        pump = in_world(_to_taker, model(), listen=False)
        compared = f"{pump / plain:.3f} of the bare loop"
        yield Row(f"pump, {name}", pump, "kbit/s", ceiling, against, goal=">= 0.95", note=compared)
        listener = in_world(_to_listener, model(), listen=True)
        compared = f"{listener / plain:.3f} of the bare loop"
        yield Row(f"listener, {name}", listener, "kbit/s", ceiling, against, goal=">= 0.95", note=compared)
