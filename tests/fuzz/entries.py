"""The corpus: inputs that found something, or that took a way through the code that none before them took.

One file of JSON lines for each target, in `tests/fuzz/corpus`: {"why": ..., "text": ...} where the bytes are
plain ASCII, else {"why": ..., "hex": ...}. `python -m tests.fuzz.collect` adds to it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.world import World

from .host import Host
from .peer import RawPeer
from .watch import Watch, quiet, record_afterwards

FOLDER = Path(__file__).with_name("corpus")
# target: settings of the glasses
SETTINGS: dict[str, dict[str, object]] = {
    "control": {},
    "current_time": {},
    "omi_time": {"security": "open", "omi": True},
    "stranger": {},
    "window": {},
    "host_frames": {},
}
SERVICES = {"control": "control", "current_time": "CurrentTime", "omi_time": "Time"}
_FRAMES_A_CONNECTION = 40


@dataclass
class Entry:
    why: str
    data: bytes

    def line(self) -> str:
        plain = bool(self.data) and all(32 <= byte < 127 for byte in self.data)
        shown = {"text": self.data.decode()} if plain else {"hex": self.data.hex()}
        return json.dumps({"why": self.why, **shown})


def load(target: str) -> list[Entry]:
    path = FOLDER / f"{target}.jsonl"
    entries = []
    for line in path.read_text().splitlines() if path.exists() else []:
        row = json.loads(line)
        data = row["text"].encode() if "text" in row else bytes.fromhex(row["hex"])
        entries.append(Entry(row["why"], data))
    return entries


def save(target: str, entries: list[Entry]) -> None:
    (FOLDER / f"{target}.jsonl").write_text("".join(entry.line() + "\n" for entry in entries))


class Sender:
    """Plays inputs one by one, each to its end. Targets are those of `SETTINGS`."""

    def __init__(self, watch: Watch, target: str):
        self.watch = watch
        self.target = target
        self.host = Host(watch, Random(1))
        self.peer: RawPeer | None = None
        self._left = 0

    async def send(self, data: bytes) -> None:
        if self.target in SERVICES:
            await self._write(data)
        else:
            await self._frame(data)
        self.watch.check()

    async def _write(self, data: bytes) -> None:
        host, name = self.host, SERVICES[self.target]
        await self.watch.up()
        if self.peer is None or host.peer.gone or not self.watch.world.glasses.link.connected:
            await self._end()
            await host.come()
            self.peer = host.peer
        await host.write(host.handles[name], name, data, True)
        await quiet(self.watch.world)
        if name == "control":
            await host.answered()
        if b'"reboot"' in data or b'"forget"' in data:
            await asyncio.sleep(1)  # they happen a little later

    async def _frame(self, data: bytes) -> None:
        world = self.watch.world
        if self.peer is None or self.peer.gone or not self._left:
            await self._end()
            self._left = _FRAMES_A_CONNECTION
            if self.target == "host_frames":
                await self.host.come()
                self.peer = self.host.peer
                self.peer.on_value = None
            else:
                if self.target == "window":
                    world.glasses.security.pair()
                self.peer = await RawPeer(world).connect(60)
        self._left -= 1
        self.watch.note(self.target, data)
        self.peer.frame(data)
        await asyncio.sleep(0.03)
        if self.target == "stranger" and self.peer.values:
            self.watch.fail("a stranger heard something")

    async def _end(self) -> None:
        if self.peer is not None:
            await self.peer.leave()
            self.peer = None

    async def finish(self) -> None:
        await self._end()
        world = self.watch.world
        if self.target == "window":  # somebody may have paired in it
            world.glasses.link.guard.close_window()
        await asyncio.sleep(1)
        await self.watch.up()
        hosts = world.glasses.link.guard.bonds.hosts
        if world.glasses.link.guard.paired and not hosts:
            await self.host.come()  # pairs anew
            await self.host.leave()
            await asyncio.sleep(1)


async def replay(world: World, target: str) -> Watch:
    """Every entry of a target against a world without a listener. Raises watch.Found."""
    watch = Watch(world)
    watch.baseline = Path("settings.json").read_bytes()
    with watch.watching():
        await world.until(lambda: world.radio.active, "the glasses start")
        sender = Sender(watch, target)
        for entry in load(target):
            await sender.send(entry.data)
        await sender.finish()
        await record_afterwards(watch, Random(1))
    return watch
