"""What is fuzzed: each target plays against whole virtual glasses in virtual time, `writes` inputs long."""

from __future__ import annotations

import struct
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.world import World

from . import inputs
from .frames import host_frames, pairing, stranger
from .host import Host
from .watch import Found, Watch, record_afterwards

_CHECK_EVERY = 200
_BURST = 8


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
