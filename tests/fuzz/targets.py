"""What is fuzzed: each target plays against whole virtual glasses in virtual time, `writes` inputs long."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.world import ADDRESS, World

from lunette.virtual.bleak_radio import host_identity
from lunette.virtual.static_device import static_address

from . import inputs
from .peer import RawPeer
from .watch import Answers, Found, Watch, quiet, record_afterwards

_CHECK_EVERY = 200
_BURST = 8
_HOST = "the host"


def handles(world: World) -> dict[str, int]:
    """Value handles by name: the writable ones, and STREAM."""
    link = world.glasses.link
    found = {"control": link._control, "stream": link._stream}
    for handle, owner in link._owners.items():
        if owner is not None:
            found[type(owner).__name__] = handle
    return found


class Host:
    """The paired host, as a raw peer that is served. It comes back when it was sent away."""

    def __init__(self, watch: Watch, rng: Random):
        self.watch = watch
        self.world = watch.world
        self.rng = rng
        self.peer: RawPeer
        self.answers: Answers
        self.number = 0
        self.connects = 0

    async def come(self) -> None:
        """Connect, encrypt (pairing anew if it was forgotten) and say READY."""
        world = self.world
        await self.watch.up()
        identity = host_identity()
        self.peer = RawPeer(world, str(identity.address).split("/")[0], identity.keystore)
        await self.peer.connect(60)
        security = world.glasses.link.guard
        if security.paired and not security.bonds.hosts:
            self.watch.outcomes["paired anew"] += 1
            await identity.keystore.delete(str(static_address(ADDRESS)))
            world.glasses.security.pair()
            paired = await self.peer.pair()
            assert paired, "the host could not pair in the window"
        elif security.paired:
            encrypted = await self.peer.encrypt()
            assert encrypted, "the host could not encrypt"
        await world.until(lambda: world.glasses.link.connected, "the host is served", 20)
        self.handles = handles(world)
        self.answers = Answers(self.watch)
        self.peer.on_value = self._on_value
        await self.peer.ask(struct.pack("<BH", 0x02, 512))
        await self.peer.write(self.handles["stream"] + 1, b"\1\0")
        await self.peer.write(self.handles["control"], b"\x83\x01")
        self.connects += 1
        self._restarts = self.watch.restarts

    def _on_value(self, handle: int, value: bytes) -> None:
        if handle == self.handles["stream"]:
            self.answers.packet(value)

    async def leave(self) -> None:
        await self.peer.leave()

    async def back(self) -> None:
        await self.leave()
        await self.come()

    def counted(self) -> int:
        """Limits that the glasses say they hit, for which an answer may be missing."""
        link = self.world.glasses.link
        return int(link.inbox_full + link.pump.dropped_control)

    async def write(self, handle: int, name: str, data: bytes, respond: bool) -> None:
        self.watch.note(name, data)
        if name == "control":
            self.answers.asked(data)
        if respond:
            code = await self.peer.write(handle, data)
            self.watch.outcomes[f"{name} response {code}"] += 1
            if code == -1 and not self.peer.gone and self.watch.restarts == self._restarts:
                self.watch.fail(f"{name}: no answer to a write")
        else:
            self.peer.command(handle, data)

    async def settle(self) -> None:
        """Wait until all is done; whatever was not answered must have been counted."""
        if self.peer.gone:
            return
        world = self.world
        await self.peer.ask(struct.pack("<BH", 0x0A, 3))  # what was sent before has arrived
        await quiet(world)
        await world.until(lambda: not world.radio.connections or not _pending(world), "the air is quiet", 30)
        await asyncio.sleep(0.05)

    async def answered(self) -> None:
        """After a single write: the answer to it comes, if the host was listening."""
        expected = self.answers.expected
        loop = asyncio.get_running_loop()
        end = loop.time() + 2
        while expected and loop.time() < end:
            await asyncio.sleep(0.01)
        link = self.world.glasses.link
        if expected and link.streaming and not self.peer.gone and self.watch.restarts == self._restarts:
            self.watch.fail("a request alone was not answered")

    def capture(self) -> None:
        """A finger on the button, or off it."""
        if self.rng.random() < 0.5:
            self.world.press()
        else:
            self.world.release()


def _pending(world: World) -> int:
    return sum(world.radio.pending(c.handle) for c in world.radio.connections)


async def control(watch: Watch, rng: Random, writes: int) -> None:
    """Requests of the paired host, valid and mutated, with and without response, while it records."""
    host = Host(watch, rng)
    await host.come()
    world = watch.world
    done = 0
    while done < writes:
        await watch.up()
        if host.peer.gone or not world.glasses.link.connected:
            await host.back()
        link = world.glasses.link
        before = host.counted()
        ready = False
        alone = rng.random() < 0.2
        for _ in range(_CHECK_EVERY // _BURST):
            respond = alone or rng.random() < 0.4
            for _ in range(_BURST):
                host.number += 1
                data = inputs.control(rng, host.number, list(host.answers.recordings))
                if rng.random() < 0.0005:
                    data = inputs.request_of(rng.choice(inputs.DESTRUCTIVE), host.number)
                ready = ready or data[:1] == b"\x83"
                await host.write(host.handles["control"], "control", data, respond)
                done += 1
                if alone:
                    await host.answered()
            if rng.random() < 0.1:
                host.capture()
            if not alone and rng.random() < 0.02:
                ready = True  # a flood: more than the inbox holds
                same = inputs.control(rng, host.number) if rng.random() < 0.5 else None
                for _ in range(60):
                    host.number += 1
                    data = same or inputs.control(rng, host.number)
                    await host.write(host.handles["control"], "control", data, False)
                    done += 1
            if not respond and not host.peer.gone:
                await host.peer.ask(struct.pack("<BH", 0x0A, 3))
            if host.peer.gone:
                break
        await host.settle()
        await watch.up()
        if world.glasses.link is not link:
            await host.back()
            continue
        if not host.peer.gone and world.glasses.link.connected:
            missing = host.answers.settle()
            if missing > host.counted() - before and not ready:
                watch.fail(f"{missing} requests without an answer, {host.counted() - before} counted")
        voice = world.glasses.voice
        if voice.capturing and rng.random() < 0.7:
            world.release()
            voice.stop()
        if world.glasses.link.guard.paired is not True:
            watch.fail("the glasses are open")
        watch.check()
        if rng.random() < 0.01:
            await host.back()
    await host.leave()


async def _service(
    watch: Watch, rng: Random, writes: int, name: str, make: Callable[[Random], bytes]
) -> None:
    host = Host(watch, rng)
    await host.come()
    done = 0
    while done < writes:
        if host.peer.gone:
            await host.back()
        for _ in range(_CHECK_EVERY):
            await host.write(host.handles[name], name, make(rng), done % _BURST == 0)
            done += 1
            if rng.random() < 0.005:
                host.capture()
        await host.settle()
        if watch.world.glasses.voice.capturing and rng.random() < 0.7:
            watch.world.release()
        watch.check()
    await host.leave()


async def current_time(watch: Watch, rng: Random, writes: int) -> None:
    """Writes to the Current Time Service."""
    await _service(watch, rng, writes, "CurrentTime", inputs.current_time)


async def omi_time(watch: Watch, rng: Random, writes: int) -> None:
    """Writes to Omi's clock; the glasses are open."""
    await _service(watch, rng, writes, "Time", inputs.omi_time)


# --- below the services -------------------------------------------------------------------------------


class _Reads:
    """No stranger may read what is not public: every decision of the firmware is looked at."""

    def __init__(self, watch: Watch):
        questions = watch.world.radio.questions
        inner = questions.may_read

        async def may_read(connection: int, handle: int) -> int:
            refused = await inner(connection, handle)
            link = watch.world.glasses.link
            peer = link.guard.peers.get(connection)
            if peer is not None and not peer.trusted and not refused and handle not in link._public:
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
    reads = _Reads(watch)
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
    del reads


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


# --- running them -----------------------------------------------------------------------------------

Target = Callable[[Watch, Random, int], Awaitable[None]]

# name: (target, settings of the glasses)
TARGETS: dict[str, tuple[Target, dict[str, Any]]] = {
    "control": (control, {}),
    "current_time": (current_time, {}),
    "omi_time": (omi_time, {"security": "open", "omi": True}),
    "stranger": (stranger, {}),
    "pairing": (pairing, {}),
    "host_frames": (host_frames, {}),
}


async def play(world: World, target: str, seed: int, writes: int) -> Watch:
    """One target against a world that is on and has no listener; returns what was seen. Raises Found."""
    rng = Random(f"{target} {seed}")
    watch = Watch(world)
    settings = Path("settings.json")
    watch.baseline = settings.read_bytes() if settings.exists() else b"{}"
    with watch.watching():
        await world.until(lambda: world.radio.active, "the glasses start")
        watch.check()
        try:
            await TARGETS[target][0](watch, rng, writes)
            await watch.up()
            await record_afterwards(watch, rng)
        except Found:
            raise
        except Exception as error:  # what never came, mostly
            trace = "".join(traceback.format_exception(error))[-1200:]
            watch.fail("\n".join([trace, *watch.broken()[:3], watch.state(), *watch.printed.recent]))
    return watch
