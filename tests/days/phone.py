"""A host that comes, goes, breaks off and dies. What it has stored outlives it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from world import World

from lunette.errors import LunetteError
from lunette.listen import Listener
from lunette.receiver import Receiver
from lunette.store import Store
from lunette.virtual.bleak_radio import Radio


class _Program(Listener):
    """Keeps recordings in memory, and acknowledges them as if they were on a disk."""

    def __init__(self, store: Store, observe: Callable[[str, Any], None]):
        super().__init__(None, backends=World.backends(), observe=observe, jitter=lambda: 0.0)
        self._kept = store

    async def _open_store(self, owner: str) -> None:
        self.store = self._kept
        self._receiver = Receiver(self._kept)


class Phone:
    def __init__(self, world: World, say: Callable[[str], None]):
        self._world = world
        self._say = say
        self.store = Store(None, "glasses", keep=True)
        self.program: _Program | None = None
        self.connects = 0
        self._task: asyncio.Task[None] | None = None
        self._radio: Radio | None = None

    def _observe(self, what: str, detail: Any) -> None:
        if what == "connected":
            self.connects += 1
        if what not in ("frame", "searching"):
            shown = f"{detail.number:x}" if hasattr(detail, "number") else str(detail)[:60]
            self._say(f"phone: {what} {shown}")

    @property
    def connected(self) -> bool:
        return self.program is not None and self.program.connected

    @property
    def resting(self) -> bool:
        """It was told that it need not come."""
        return self.program is not None and self.program.resting

    async def near(self) -> None:
        """It is there, and wants to be connected."""
        if self._radio is None:
            # Held, so that it is not made anew for each scan.
            self._radio = await Radio.acquire()
        self._in_range(True)
        if self.program is None:
            self.program = _Program(self.store, self._observe)
            self._task = asyncio.create_task(self.program.run())
        self.program.come_back()
        self.program.want()

    async def far(self) -> None:
        """It leaves in order."""
        if self.program is not None:
            with contextlib.suppress(LunetteError):
                await self.program.leave()

    async def lost(self) -> None:
        """It is carried away."""
        self._in_range(False)

    def _in_range(self, there: bool) -> None:
        if self._radio is not None:
            self._world.air.set_in_range(self._radio.device, there)

    async def crash(self) -> None:
        """Its program dies without a word, and its radio with it."""
        task, self._task, self.program = self._task, None, None
        radio, self._radio = self._radio, None
        if task is None or radio is None:
            return
        radio.cut()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        radio.release()

    async def ask(self, op: str, **fields: Any) -> Any:
        """The answer, None if there is no connection, or it is lost meanwhile, or the glasses refuse."""
        program = self.program
        if program is None or not program.connected or program.client is None:
            return None
        self._say(f"phone asks for {op} {fields or ''}")
        try:
            return await asyncio.wait_for(program.client.request(op, **fields), 6)
        except (LunetteError, asyncio.TimeoutError) as error:
            self._say(f"phone: no {op}: {error}")
            return None
