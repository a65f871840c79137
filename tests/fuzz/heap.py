"""The same bytes against the real MicroPython in real time: CPython cannot show whether the heap grows.

The glasses run their usual program and, from time to time, collect garbage and print what is left. That is
looked at when they are at rest: no capture, no recording, nothing queued.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import statistics
import struct
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

from lunette.client import Backends
from lunette.listen import Listener
from lunette.protocol import wire
from lunette.virtual.air import Air
from lunette.virtual.bleak_backend import VirtualClient, VirtualScanner
from lunette.virtual.bleak_radio import host_identity, use_air
from lunette.virtual.introduce import BONDS, introduce
from lunette.virtual.link_model import LinkModel
from lunette.virtual.simulator import ADDRESS, VirtualGlasses

from . import entries, inputs
from .peer import RawPeer
from .watch import Found

# One block of 32 bytes for each write would be 8,000 in the shortest run, 700,000 in one of 30,000 writes.
# What differs from one look to the next is the text of the last 64 lines of the log, and what is under way.
TOLERANCE = 4096
_ROUND = 250
_BURST = 8
_LIMIT_S = 30.0
_REST_S = 0.25

_MAIN = """
import asyncio
import gc

import glasses


async def tell():
    g = glasses.instance()
    # One view is kept of each size of packet (at most 525): all are made now, so that they are no growth.
    for size in range(525):
        g.link.pump._view(size)
    while True:
        await asyncio.sleep_ms(100)
        gc.collect()
        print("HEAP", gc.mem_alloc(), g.link.door.errors, g.link.failed, len(g.journal.recordings))


asyncio.create_task(tell())
glasses.run()
"""
_HEAP = re.compile(rb"HEAP (\d+) (\d+) (\d+) (\d+)\r?\n")
_CONTROL, _STREAM, _TIME = (wire.CONTROL, wire.STREAM, "2A2B")


def _ends_it(data: bytes) -> bool:
    """Legal, and the end of what is measured."""
    return b"reboot" in data or b"forget" in data


class _Rig:
    glasses: VirtualGlasses
    peer: RawPeer

    def __init__(self, rng: Random):
        self.rng = rng
        self.air = Air(LinkModel(interval_ms=7.5))
        self.printed = bytearray()
        self.heap: list[tuple[int, int, int, int]] = []
        self.restarts = 0
        self.sent: deque[bytes] = deque(maxlen=30)
        self.replies: dict[Any, dict[str, Any]] = {}
        self.number = 0
        self.failure = ""

    def observe(self, what: str, detail: Any) -> None:
        if what == "reset":
            self.restarts += 1
        if what != "console":
            return
        self.printed += detail
        if re.search(rb"Traceback|MemoryError|ERROR|error   ", self.printed):
            self.fail(self.printed[-2000:].decode(errors="replace"))
        end = self.printed.rfind(b"\n") + 1
        for match in _HEAP.finditer(bytes(self.printed[:end])):
            self.heap.append(tuple(int(g) for g in match.groups()))  # type: ignore[arg-type]
        del self.printed[:end]

    def fail(self, why: str) -> None:
        self.failure = why

    def check(self) -> None:
        last = self.heap[-1] if self.heap else (0, 0, 0, 0)
        if self.failure or last[1] or last[2]:
            sent = "\n".join(f"  {data.hex()}" for data in self.sent)
            raise Found(f"{self.failure} irq_errors {last[1]}, failed {last[2]}\nsent last:\n{sent}")

    async def until(self, done: Callable[[], Any], what: str) -> None:
        end = asyncio.get_running_loop().time() + _LIMIT_S
        while not done():
            self.check()
            if asyncio.get_running_loop().time() > end:
                self.fail(f"not in {_LIMIT_S:g} s: {what}")
            await asyncio.sleep(0.01)

    # --- the host

    async def come(self) -> None:
        identity = host_identity()
        world: Any = SimpleNamespace(air=self.air)
        self.peer = RawPeer(world, str(identity.address).split("/")[0], identity.keystore, ADDRESS)
        await self.peer.connect(_LIMIT_S)
        if not await self.peer.encrypt():
            raise Found("the host could not encrypt")
        assert self.glasses._device is not None
        self.handles = {}
        for attribute in self.glasses._device.gatt_server.attributes:
            self.handles[str(getattr(attribute, "uuid", "")).lower()] = attribute.handle
        self.unpacker = wire.Unpacker()
        self.peer.on_value = self._on_value
        await self.peer.ask(struct.pack("<BH", 2, 512))
        await self.peer.write(self.handle(_STREAM) + 1, b"\1\0")
        await self.peer.write(self.handle(_CONTROL), wire.ready())

    def handle(self, uuid: str) -> int:
        (found,) = [handle for name, handle in self.handles.items() if uuid.lower() in name]
        return found

    def _on_value(self, handle: int, value: bytes) -> None:
        if handle != self.handle(_STREAM):
            return
        for kind, body in self.unpacker.feed(value):
            if kind == wire.REPLY:
                reply = wire.parse_message(kind, body)[1]
                if not {"id", "ok"} <= set(reply):
                    self.fail(f"a reply of this shape: {body!r}")
                if isinstance(reply["id"], int):
                    self.replies[reply["id"]] = reply

    async def request(self, op: str, **fields: Any) -> Any:
        """What the glasses answer; None if they refuse."""
        for _ in range(5):
            self.number += 1
            number = 10**9 + self.number
            await self.write(_CONTROL, wire.dumps({"id": number, "op": op, **fields}))
            end = asyncio.get_running_loop().time() + 3
            while number not in self.replies and asyncio.get_running_loop().time() < end:
                await asyncio.sleep(0.005)
            if number in self.replies:
                reply = self.replies[number]
                self.replies.clear()
                return reply.get("result")
            await self.peer.write(self.handle(_CONTROL), wire.ready())
        raise Found(f"{op} is not answered any more")

    async def rest(self) -> int:
        """Leave the glasses nothing to do; heap bytes that are left then."""
        await self.request("record", on=False)
        while True:
            listed = await self.request("recordings")
            if not listed["recordings"]:
                break
            for number, _, _, closed in listed["recordings"]:
                if closed:
                    await self.request("delete", recording=number)
        await asyncio.sleep(_REST_S)
        seen = len(self.heap)
        await self.until(lambda: len(self.heap) > seen, "the heap is told")
        self.check()
        return self.heap[-1][0]

    # --- the fuzz

    def _write(self) -> tuple[str, bytes] | None:
        self.number += 1
        if self.rng.random() < 0.25:
            return _TIME, inputs.current_time(self.rng)
        data = inputs.control(self.rng, self.number)
        return None if _ends_it(data) else (_CONTROL, data)

    async def stay(self) -> None:
        """Connected, if need be again."""
        self.check()
        if self.peer.gone:
            await self.peer.leave()
            await self.come()

    async def write(self, uuid: str, data: bytes) -> None:
        await self.stay()
        await self.peer.write(self.handle(uuid), data)

    async def round(self) -> int:
        done = 0
        while done < _ROUND:
            await self.stay()
            if self.rng.random() < 0.1:
                for _ in range(_BURST):
                    self.peer.frame(inputs.frame(self.rng, list(range(1, 40))))
            for _ in range(_BURST):
                chosen = self._write()
                if chosen is not None:
                    self.sent.append(chosen[1])
                    self.peer.command(self.handle(chosen[0]), chosen[1])
                done += 1
            await self.peer.ask(struct.pack("<BH", 0x0A, 3))
        return done


@contextlib.asynccontextmanager
async def _rig(rng: Random) -> AsyncIterator[_Rig]:
    """Glasses that are on, with the host connected."""
    rig = _Rig(rng)
    use_air(rig.air)
    files = {BONDS: await introduce(host_identity(), ADDRESS), "main.py": _MAIN.encode()}
    rig.glasses = VirtualGlasses(rig.air, files=files, observe=rig.observe)
    try:
        await rig.glasses.power_on()
        await rig.come()
        yield rig
    finally:
        await rig.glasses.close()
        use_air(None)
        await rig.air.close()


async def _run(writes: int, seed: int, say: Callable[[str], None]) -> None:
    async with _rig(Random(f"heap {seed}")) as rig:
        left: list[int] = []
        done = 0
        while done < writes:
            done += await rig.round()
            left.append(await rig.rest())
        quarter = max(1, len(left) // 4)
        first, last = statistics.median(left[:quarter]), statistics.median(left[-quarter:])
        say(f"    heap at rest, median of the first quarter {first:.0f} bytes, of the last {last:.0f}")
        if last - first > TOLERANCE:
            raise Found(f"the heap grew by {last - first:.0f} bytes, more than {TOLERANCE}: {left}")
        if rig.restarts:
            raise Found(f"{rig.restarts} restarts that nobody asked for")
        await _afterwards(rig)


async def _afterwards(rig: _Rig) -> None:
    """A reboot that was asked for, then a sentence."""
    await rig.request("mute", on=False)
    usual: dict[str, Any] = {"longest_s": 600, "hold_ms": 300, "gap_ms": 250, "adv_ms": 100, "mtu": 512}
    for name, value in (usual | {"security": "paired", "log_level": "info"}).items():
        await rig.request("set", name=name, value=value)
    rig.peer.command(rig.handle(_CONTROL), wire.dumps({"id": 1, "op": "reboot", "force": True}))
    await rig.until(lambda: rig.restarts, "they restart")
    await rig.peer.leave()
    with tempfile.TemporaryDirectory(prefix="lunette-fuzz-") as folder:
        listener = Listener(
            Path(folder), backends=Backends(VirtualClient, VirtualScanner), first_timeout_s=30
        )
        task = asyncio.ensure_future(listener.run())
        try:
            await rig.until(
                lambda: listener.client is not None and listener.client.is_connected, "a host is in"
            )
            await asyncio.sleep(0.5)
            rig.glasses.sound.say(np.random.default_rng(1).integers(-9000, 9000, 32000).astype(np.int16))
            rig.glasses.press()
            await asyncio.sleep(1.2)
            rig.glasses.release()
            await rig.until(lambda: [r for r in listener.recordings if r.complete], "a sentence arrives")
            (recording,) = [r for r in listener.recordings if r.complete]
            if (recording.lost, recording.crc_ok) != (0, True):
                raise Found(f"the sentence afterwards: lost {recording.lost}, crc {recording.crc_ok}")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    rig.check()


def run(writes: int, seed: int, say: Callable[[str], None] = print) -> None:
    """`writes` to the real MicroPython. Raises Found."""
    asyncio.run(_run(writes, seed, say))


async def _replay() -> None:
    async with _rig(Random(1)) as rig:
        for entry in entries.load("control"):
            if not _ends_it(entry.data):
                rig.sent.append(entry.data)
                await rig.write(_CONTROL, entry.data)
        for entry in entries.load("current_time"):
            rig.sent.append(entry.data)
            await rig.write(_TIME, entry.data)
        for entry in entries.load("host_frames"):
            await rig.stay()
            rig.sent.append(entry.data)
            rig.peer.frame(entry.data)
        await rig.rest()
        await _afterwards(rig)


def replay() -> None:
    """The corpus, but for what ends the session. Raises Found."""
    asyncio.run(_replay())
