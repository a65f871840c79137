"""What must hold whatever is sent: looked at from outside the firmware and from inside."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import sys
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
from tests.world import World

from lunette.virtual.chip.power import ChipStopped

_TASKS = 16  # of the firmware: main, six services, and what they have begun
_TAIL = 60
_BAD = re.compile(r"Traceback|ERROR +runtime|MemoryError")


class Found(AssertionError):
    """A promise was broken. The message says which, and what was sent last."""


class _Printed(io.TextIOBase):
    """The firmware's output: only what tells of a failure is kept."""

    def __init__(self) -> None:
        self.bad: list[str] = []
        self.recent: deque[str] = deque(maxlen=30)

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self.recent.append(line)
        if _BAD.search(text):
            self.bad.append(text.strip())
        return len(text)


class Watch:
    """`check` raises Found. `sent` remembers the last inputs, `outcomes` counts what became of them."""

    def __init__(self, world: World):
        self.world = world
        self.sent: deque[tuple[str, bytes]] = deque(maxlen=_TAIL)
        self.writes: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.problems: list[str] = []
        self.printed = _Printed()
        self.restarts = 0
        self._door: Any = None
        self._restarting: asyncio.Task[None] | None = None
        self.baseline: bytes = b"{}"

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watch]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loop_error)
        before, sys.stdout = sys.stdout, self.printed
        self.world.chip.on_reset = self._on_reset
        try:
            yield self
        finally:
            sys.stdout = before
            self.world.chip.on_reset = None

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, (ChipStopped, asyncio.CancelledError)):
            return
        text = "".join(traceback.format_exception(error)) if error is not None else ""
        self.problems.append(f"{context.get('message')}: {text[-1500:]}")

    # --- resets -----------------------------------------------------------------------------------

    def _on_reset(self, kind: str) -> None:
        self.restarts += 1
        self._restarting = asyncio.ensure_future(self._restart())

    async def _restart(self) -> None:
        # Else what a request has set, such as "open", would change what is to be checked.
        with open("settings.json", "wb") as file:
            file.write(self.baseline)
        await self.world.restart()

    async def up(self) -> None:
        """Wait until a restart that was asked for is over."""
        if self._restarting is not None:
            await asyncio.wait_for(asyncio.shield(self._restarting), 30)
            self._restarting = None

    # --- the checks -------------------------------------------------------------------------------

    def note(self, target: str, data: bytes) -> None:
        self.sent.append((target, data))
        self.writes[target] += 1

    def _tap(self) -> None:
        """Keep what the guard of the interrupt swallows."""
        door = self.world.glasses.link.door
        if door is self._door:
            return
        self._door = door
        inner = door._on_event

        def on_event(event: int, data: Any) -> Any:
            try:
                return inner(event, data)
            except Exception as error:
                self.problems.append(f"interrupt, event {event}: {traceback.format_exc()[-1500:]} {error}")
                raise

        door._on_event = on_event

    def broken(self) -> list[str]:
        """Every promise that does not hold at the moment."""
        world, glasses = self.world, self.world.glasses
        link, guard = glasses.link, glasses.link.guard
        found = [*self.problems, *self.printed.bad]
        found += [f"interrupt handler: {error!r}" for error in world.chip.errors]
        found += [f"scheduled: {error!r}" for error in world.env.scheduler.failures]
        handler = sys.modules["bluetooth"].BLE()._handler
        limits = {
            "inbox": (len(link.door.inbox), 32),
            "control": (len(link.pump._control), 8),
            "log": (len(glasses.log.lines), 64),
            "peers": (len(guard.peers), 4),
            "hidden": (len(guard._hidden), 6),
            "staged": (len(guard._staged), 2),
            "bonds": (len(guard.bonds.hosts), 3),
            "recordings": (len(glasses.journal.recordings), 256),
            "events": (len(glasses.bus._queue), 64),
            "views": (len(link.pump._views), 600),
            "tasks": (_tasks(), _TASKS),
        }
        found += [f"{name}: {n}, more than {most}" for name, (n, most) in limits.items() if n > most]
        for name, wrong in (
            ("an exception in the Bluetooth interrupt", link.door.errors),
            ("another service failed", link.failed),
            ("the Bluetooth handler is gone", handler is None),
            ("the Bluetooth stack hangs", world.radio.security.stuck),
            ("unanswered questions of the stack", world.radio.questions.unanswered),
            ("interrupts that found the scheduler full", world.chip.bus.dropped),
            ("dead tasks", [n for n, task in glasses._tasks.items() if task.done() and n not in ("main",)]),
        ):
            if wrong:
                found.append(f"{name}: {wrong}")
        return found

    def check(self) -> None:
        self._tap()
        found = self.broken()
        if found:
            raise Found("\n".join(found[:5]) + "\nsent last:\n" + self.tail())

    def state(self) -> str:
        link = self.world.glasses.link
        return (
            f"inbox {len(link.door.inbox)}, control {len(link.pump._control)}, streaming {link.streaming}, "
            f"connected {link.connected}, changed {link._changed}, peers {len(link.guard.peers)}, "
            f"counters {link.counters()}"
        )

    def tail(self) -> str:
        return "\n".join(f"  {target} {data.hex()}" for target, data in list(self.sent)[-30:])

    def fail(self, why: str) -> None:
        raise Found(f"{why}\nsent last:\n{self.tail()}")


def _tasks() -> int:
    codes = [getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()]
    return sum(code is not None and "/firmware/glasses/" in code.co_filename for code in codes)


async def quiet(world: World, timeout: float = 20) -> None:
    """Until the glasses have done all they were asked: AssertionError if that never comes."""

    def done() -> bool:
        link = world.glasses.link
        return not link.door.inbox and not (link.pump.running and link.pump._control) and not link._changed

    await world.until(done, "the glasses finish what they were asked", timeout)


async def record_afterwards(watch: Watch, rng: Random) -> None:
    """The glasses still do what they are for: a host connects, a sentence arrives whole, soon."""
    world = watch.world
    await watch.up()
    world.release()
    for name, task in list(world.glasses._tasks.items()):
        assert not task.done(), f"{name} is dead"
    loop = asyncio.get_running_loop()
    start = loop.time()
    listener = world.listen(f"host-{rng.getrandbits(40):x}")
    await world.until(lambda: world.glasses.link.streaming, "a host is served", 60)
    assert listener.client is not None
    client = listener.client
    if world.glasses.voice.capturing:
        await client.request("record", on=False)
    if world.glasses.voice.muted:
        await client.request("mute", on=False)
    defaults = sys.modules["glasses.settings"].DECLARED
    for name in ("hold_ms", "gap_ms", "debounce_ms", "adv_ms", "longest_s", "log_level", "mtu", "name"):
        await client.request("set", name=name, value=defaults[name][0])
    before = {r.number for r in listener.recordings}
    world.say(np.random.default_rng(1).integers(-9000, 9000, 32000))
    await world.talk(1.2)
    whole: list[Any] = []

    def heard() -> bool:
        whole[:] = [r for r in world.recordings if r.number not in before and r.kind == "speech"]
        return bool(whole)

    await world.until(heard, "a sentence arrives", 60)
    if (whole[-1].lost, whole[-1].crc_ok) != (0, True):
        watch.fail(f"the sentence afterwards: lost {whole[-1].lost}, crc {whole[-1].crc_ok}")
    if loop.time() - start > 90:
        watch.fail(f"a host was served only after {loop.time() - start:.0f} s")
    await world.stop_listening()
    watch.check()
