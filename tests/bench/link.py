"""How much of the air a backlog gets: the firmware against arithmetic and against a bare loop.

All in virtual time and in CPython, so the numbers are the same in every run and on every computer. The
ceiling is what connection events can carry when every exchange in them is part of a notification of
the length that serves best. The bare loop does nothing but notify as much as the MTU allows. The pump is
the firmware with a host that only takes; the listener is the real one, which stores and acknowledges.
All links are encrypted, as those of paired hosts are.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.world import World

from lunette.client import GlassesClient, find
from lunette.protocol import wire
from lunette.receiver import ACK_LATEST
from lunette.virtual.link_model import LinkModel, exchange_airtime_s

from . import bare
from .backlog import fill
from .in_world import in_world
from .pool import spread
from .rows import Row

FRAME_BYTES = 164
_DRAIN_S = 6.0
_FRAMES = (400, 1200)
_SETTLE_S = 1.0  # the central has moved the link to its PHY, and all that is said at the start is said
_LIMIT_S = 120.0
_FRAGMENT = 251
_ATT_AND_L2CAP = 7
_MESSAGE_HEADER = 3
_ACK_OCTETS = 9 + _ATT_AND_L2CAP

INTERVALS_MS = (7.5, 15.0, 30.0, 100.0)
PHYS = ("1M", "2M")
MTUS = (185, 247, 517)
LOSSES = (0.0, 0.2)


def ceiling_kbps(model: LinkModel, acks: bool = False) -> float:
    """Notified bytes in kbit/s when every exchange of every connection event carries part of one.

    Lost exchanges are as many as they are likely to be. The notifications are of the MTU's length, or
    shorter where that fills link layer packets better. `acks`: the host takes air too, for an ACK every
    100 frames.
    """
    longest = model.mtu - 3
    whole = (longest + _ATT_AND_L2CAP) // _FRAGMENT * _FRAGMENT - _ATT_AND_L2CAP
    return max(_carried_kbps(model, size, acks) for size in (longest, whole) if size > 0)


def _carried_kbps(model: LinkModel, payload: int, acks: bool) -> float:
    size = payload + _ATT_AND_L2CAP
    pdus = [min(_FRAGMENT, size - at) for at in range(0, size, _FRAGMENT)]
    phys = (model.phy, model.phy)
    costs = [exchange_airtime_s(0, octets, phys, encrypted=True) for octets in pdus]
    ack_s = exchange_airtime_s(_ACK_OCTETS, 0, phys, encrypted=True) - exchange_airtime_s(0, 0, phys)
    each = ACK_LATEST * (FRAME_BYTES + _MESSAGE_HEADER)
    interval = model.interval_ms / 1000
    events, sent, acked = 1000, 0, 0
    for _ in range(events):
        used, exchanges = 0.0, 0
        while exchanges != model.pdus_per_event:
            used += costs[sent % len(costs)]
            if acks and sent / len(pdus) * payload >= (acked + 1) * each:
                used += ack_s
                acked += 1
            if exchanges and used > interval + 1e-9:
                break
            exchanges += 1
            sent += 1
    return sent / len(pdus) * payload * 8 / (events * interval) / 1000 * (1 - model.loss)


async def _to_listener(world: World, frames: int) -> float:
    await asyncio.sleep(_SETTLE_S)
    fill(world, frames)
    (stored,) = await world.complete(1, timeout=_LIMIT_S)
    if not stored.crc_ok or len(stored.frames) != frames:
        raise RuntimeError(f"{len(stored.frames)} of {frames} frames were stored, CRC {stored.crc_ok}")
    return bare.kbps([t for t, what, _ in world.events if what == "frame"], FRAME_BYTES)


async def _to_taker(world: World, frames: int) -> float:
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
        fill(world, frames)
        await asyncio.wait_for(closed.wait(), _LIMIT_S)
        if client.mtu != world.air.model.mtu:
            raise RuntimeError(f"the MTU was {client.mtu}")
    finally:
        await client.disconnect()
    if len(times) != frames:
        raise RuntimeError(f"{len(times)} of {frames} frames arrived")
    return bare.kbps(times, FRAME_BYTES)


@dataclass(frozen=True)
class Drain:
    """kbit/s of frames; of whole notifications for the bare loop and the ceiling."""

    model: LinkModel
    ceiling: float
    acked: float  # the ceiling with ACKs
    bare: float
    pump: float
    listener: float


def drain(link: tuple[float, str, int, float]) -> Drain:
    """Of a link of that interval in ms, PHY, MTU and loss."""
    interval, phy, mtu, loss = link

    def model() -> LinkModel:
        return LinkModel(interval_ms=interval, phy=phy, mtu=mtu, loss=loss, seed=1)

    ceiling = ceiling_kbps(model())
    frames = round(min(max(ceiling * 1000 / 8 / FRAME_BYTES * _DRAIN_S, _FRAMES[0]), _FRAMES[1]))
    return Drain(
        model(),
        ceiling,
        ceiling_kbps(model(), acks=True),
        bare.goodput_kbps(model(), frames * FRAME_BYTES // (mtu - 3)),
        in_world(lambda world: _to_taker(world, frames), model(), listen=False),
        in_world(lambda world: _to_listener(world, frames), model(), listen=True),
    )


def measure() -> Iterator[Row]:
    for got in spread(drain, itertools.product(INTERVALS_MS, PHYS, MTUS, LOSSES)):
        model = got.model
        pump, listener = got.pump / got.ceiling, got.listener / got.acked
        yield Row(
            f"drain, {model.interval_ms:g} ms {model.phy} MTU {model.mtu}"
            + (f" loss {model.loss:g}" if model.loss else ""),
            min(pump, listener),
            "of air",
            goal=">= 0.95",
            note=f"pump {got.pump:.0f} of {got.ceiling:.0f} kbit/s, "
            f"listener {got.listener:.0f} of {got.acked:.0f} beside ACKs, "
            f"{got.pump / got.bare:.2f} and {got.listener / got.bare:.2f} of a bare loop's {got.bare:.0f}",
        )
