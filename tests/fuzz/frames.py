"""Below the services: raw L2CAP frames of strangers, of peers in the pairing window, of the host."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from random import Random
from typing import Any

from tests.world import World

from lunette.virtual.bleak_radio import host_identity

from . import inputs
from .answers import Answers
from .host import Host
from .peer import RawPeer
from .watch import Watch


def _watch_reads(watch: Watch) -> None:
    """No stranger may read what is not public: every decision of the firmware is looked at."""
    questions = watch.world.radio.questions
    inner = questions.may_read

    async def may_read(connection: int, handle: int) -> int:
        refused = await inner(connection, handle)
        link = watch.world.glasses.link
        peer = link.guard.peers.get(connection)
        if peer is not None and not peer.trusted and not refused and handle not in link.radio.public:
            watch.problems.append(f"a stranger may read {handle}")
        return refused

    questions.may_read = may_read  # type: ignore[method-assign]


def _send_some(watch: Watch, rng: Random, peer: RawPeer, known: list[int], count: int) -> None:
    for _ in range(count):
        data = inputs.frame(rng, known)
        watch.note("frame", data)
        peer.frame(data)


async def _play(watch: Watch, rng: Random, peer: RawPeer, known: list[int], writes: int) -> int:
    """Frames until there were `writes` or the connection ended; how many."""
    done = 0
    while done < writes and not peer.gone:
        burst = rng.choice((1, 4, 16, 64))
        _send_some(watch, rng, peer, known, burst)
        done += burst
        await asyncio.sleep(rng.choice((0.0, 0.02, 0.05, 0.2)))
        if rng.random() < 0.02:
            await asyncio.sleep(2)
            watch.check()
    for (opcode, code), count in peer.answers.items():
        watch.outcomes[f"answer {opcode:02x}" + (f" error {code:02x}" if code else "")] += count
    peer.answers.clear()
    return done


def _known(world: World) -> list[int]:
    return list(range(1, len(world.radio._device.gatt_server.attributes) + 3))  # type: ignore[union-attr]


async def stranger(watch: Watch, rng: Random, writes: int) -> None:
    """Frames of peers that are not paired, while a lot goes on that they would like to hear."""
    world = watch.world
    _watch_reads(watch)
    done = 0
    while done < writes:
        peer = await RawPeer(world).connect(60)
        known = _known(world)
        for handle in known:  # subscribe to everything
            peer.send(4, struct.pack("<BHH", 0x52, handle, 1))
        if rng.random() < 0.5:
            host = Host(watch, rng)
            with contextlib.suppress(Exception):
                await host.come()
        else:
            host = None
        if rng.random() < 0.5:
            world.press()
        world.glasses.note("secret")
        done += await _play(watch, rng, peer, known, min(writes - done, 2000))
        world.release()
        if peer.values:
            watch.fail(f"a stranger heard {list(peer.heard)[-3:]}")
        await peer.leave()
        if host is not None:
            await host.leave()
        watch.check()
    if world.glasses.link.guard.bonds.hosts[0].address != str(host_identity().address).split("/")[0]:
        watch.fail("the host is known no more")


async def pairing(watch: Watch, rng: Random, writes: int) -> None:
    """Peers in and out of the pairing window whose pairing is disturbed at any point."""
    world = watch.world
    done = 0
    while done < writes:
        guard = world.glasses.link.guard
        opened = rng.random() < 0.7
        if opened:
            world.glasses.security.pair()
        before = _keys(guard)
        address = None
        if rng.random() < 0.2:  # under the address of the host
            address = str(host_identity().address).split("/")[0]
        peer = await RawPeer(world, address).connect(60)
        known = _known(world)
        seen = 0
        at = rng.randrange(8)

        def change(pdu: bytes, at: int = at) -> bytes:
            nonlocal seen, done
            seen += 1
            done += 1
            watch.note("smp", pdu)
            return inputs.mutate(rng, pdu) if seen == at or rng.random() < 0.05 else pdu

        peer.change = change
        asking = asyncio.ensure_future(peer.pair(3))
        await asyncio.sleep(rng.choice((0, 0.02, 0.05, 0.1, 0.5)))
        for _ in range(rng.choice((1, 1, 4, 12))):
            count = rng.choice((1, 2, 8, 30))
            for _ in range(count):
                data = inputs.smp(rng)
                watch.note("smp", data)
                peer.send(6, data)
            done += count
            await asyncio.sleep(rng.choice((0, 0.02, 0.1)))
        if rng.random() < 0.5:
            done += await _play(watch, rng, peer, known, 100)
        with contextlib.suppress(BaseException):
            await asking
        await asyncio.sleep(0.2)
        trusted = [p for p in world.glasses.link.guard.peers.values() if p.trusted]
        if peer.values and not trusted and not peer.gone:
            watch.fail(f"a peer that did not pair heard {list(peer.heard)[-3:]}")
        watch.outcomes["pairing " + ("done" if trusted else "refused")] += 1
        await peer.leave()
        guard.close_window()
        if not opened and _keys(guard) != before:
            watch.fail("keys were changed outside the window")
        watch.check()
    await _introduce_again(watch, rng)


def _keys(guard: Any) -> set[tuple[bytes, bytes, bytes]]:
    return {(host.key, host.ours, host.theirs) for host in guard.bonds.hosts}


async def _introduce_again(watch: Watch, rng: Random) -> None:
    """Who paired in the window may have pushed the host out, or taken its name: it pairs once more."""
    watch.world.glasses.security.forget()
    await asyncio.sleep(2)
    host = Host(watch, rng)
    await host.come()
    await host.leave()
    await asyncio.sleep(1)


async def host_frames(watch: Watch, rng: Random, writes: int) -> None:
    """Frames of the paired host itself."""
    done = 0
    host = Host(watch, rng)
    await host.come()
    while done < writes:
        await watch.up()
        host.answers = Answers(watch)
        host.peer.on_value = None
        done += await _play(watch, rng, host.peer, _known(watch.world), min(2000, writes - done))
        watch.check()
        await host.back()
    await host.leave()
