"""The paired host gone mad: a raw peer that the glasses serve."""

from __future__ import annotations

import asyncio
import struct
from random import Random

from tests.world import ADDRESS, World

from lunette.virtual.bleak_radio import host_identity
from lunette.virtual.static_device import static_address

from .answers import Answers
from .peer import RawPeer
from .watch import Watch, quiet


def handles(world: World) -> dict[str, int]:
    """Value handles by name: the writable ones, and STREAM."""
    link = world.glasses.link
    found = {"control": link.radio.control, "stream": link.radio.stream}
    for handle, owner in link.radio.owners.items():
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
        return int(link.door.inbox_full + link.pump.dropped_control)

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
