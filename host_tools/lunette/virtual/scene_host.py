"""The listening host of a scene: a `Listener` that can also leave, pair, stop reading, and crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lunette import pairing
from lunette.client import Backends
from lunette.errors import LunetteError
from lunette.listen import Listener
from lunette.recording import Recording
from lunette.virtual.air import Air
from lunette.virtual.bleak_backend import VirtualClient, VirtualScanner
from lunette.virtual.bleak_radio import Radio

_PAIR_TIMEOUT_S = 5.0


def backends() -> Backends:
    """Bleak on the simulated air."""
    return Backends(VirtualClient, VirtualScanner)


class SceneHost:
    """Keeps recordings in `folder`, which is what outlives a crash. `observe` as a `Listener` has it."""

    def __init__(self, folder: Path, air: Air, observe: Callable[[str, Any], None]):
        self._folder = folder
        self._air = air
        self._observe = observe
        self._listeners: list[Listener] = []  # one more after each crash
        self._crashed = False
        self.task: asyncio.Task[None]
        self.start()

    def start(self) -> None:
        self._listeners.append(
            Listener(self._folder, backends=backends(), observe=self._observe, keep_frames=True)
        )
        self.task = asyncio.ensure_future(self.listener.run())

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    # --- what a script does with it ---------------------------------------------------------------

    async def leave(self) -> None:
        await self.listener.leave()

    async def crash(self) -> None:
        """Its computer stops, here and now: no good-bye, and what is not on disk is gone."""
        store, radio = self.listener.store, Radio.of(self._air)
        if radio is not None:
            radio.cut()
        self.task.cancel()
        if store is not None:
            store.abandon()
        await asyncio.gather(self.task, return_exceptions=True)
        self._crashed = True

    def come_back(self) -> None:
        """After `leave`, or as a new program after `crash`."""
        if self._crashed:
            self._crashed = False
            self.start()
        else:
            self.listener.come_back()

    async def pair(self) -> None:
        """As `lunette pair` does. Raises NotPaired, LunetteError."""
        await self.listener.leave()
        try:
            await pairing.pair(None, _PAIR_TIMEOUT_S, backends())
        finally:
            self.listener.come_back()

    def stall(self, seconds: float) -> None:
        """Its computer takes nothing from the adapter for so long. Raises LunetteError."""
        radio = Radio.of(self._air)
        if radio is None or not self.connected:
            raise LunetteError("host_stall: the host is not connected")
        device = radio.device
        self._air.stall(device, True)

        def again() -> None:
            if Radio.of(self._air) is radio:
                self._air.stall(device, False)

        asyncio.get_running_loop().call_later(seconds, again)

    async def write(self, characteristic: str, data: bytes) -> None:
        client = self.listener.client
        if client is None or not self.connected:
            raise LunetteError("write: the host is not connected")
        await client.write_raw(characteristic, data)

    # --- what is known of it ----------------------------------------------------------------------

    @property
    def listener(self) -> Listener:
        return self._listeners[-1]

    @property
    def away(self) -> bool:
        return self._crashed or self.listener.paused.is_set()

    @property
    def connected(self) -> bool:
        """And the glasses have answered."""
        return not self._crashed and self.listener.connected

    @property
    def recordings(self) -> list[Recording]:
        """All that it ever knew of, by age; one that a crash interrupted as it is now."""
        known: dict[int, Recording] = {}
        for listener in self._listeners:
            for recording in listener.recordings:
                if recording.number not in known or not known[recording.number].complete:
                    known[recording.number] = recording
        return sorted(known.values(), key=lambda recording: recording.number)

    @property
    def reconnects(self) -> int:
        return max(0, sum(listener.reconnects + 1 for listener in self._listeners) - 1)

    def traffic(self) -> tuple[int, int]:
        """(notifications, bytes) that the glasses have sent it."""
        # A connection's traffic is added to the listener's when it has ended.
        client = self.listener.client
        notifications = sum(listener.notifications for listener in self._listeners)
        received = sum(listener.bytes for listener in self._listeners)
        if not self._crashed and client is not None and client.is_connected:
            notifications, received = notifications + client.notifications, received + client.bytes
        return notifications, received
