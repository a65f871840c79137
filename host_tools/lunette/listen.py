"""Listening: stays with the glasses, reconnects, stores every recording, acknowledges what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bleak.backends.device import BLEDevice

from lunette.client import Backends, Disconnected, GlassesClient, find
from lunette.errors import LunetteError
from lunette.protocol import wire
from lunette.store import Recording, Store

ACK_EVERY = 25  # frames: half a second of speech
_BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Listener:
    """``await Listener(folder).run()`` listens until cancelled.

    `observe(what, detail)` is told: "searching", "connected" (HELLO dict), "disconnected",
    "recording" (Recording), "frame" (Recording, index), "recorded" (Recording),
    "acknowledged" (Recording: the glasses may forget it), "problem" (text).
    `first_timeout_s` limits the first search (LunetteError then); later ones go on for ever.
    `attach` is called before each search: where the glasses are to be looked for may have changed.
    `keep_frames` keeps the frames of finished recordings in memory, for reports.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str | None = None,
        backends: Backends | None = None,
        observe: Callable[[str, Any], None] | None = None,
        first_timeout_s: float | None = None,
        keep_frames: bool = False,
        attach: Callable[[], Any] | None = None,
    ):
        self.folder = folder
        self.name = name
        self.backends = backends
        self._observe = observe or (lambda what, detail: None)
        self._first_timeout = first_timeout_s
        self._keep_frames = keep_frames
        self._attach = attach
        self._current: Recording | None = None  # of the last DATA or MORE
        self._index = -1
        self._unacked = 0
        self._out_of_step = False  # packets went missing: wait for the HELLO after which all is sent again
        self._retried: set[int] = set()  # recordings that were asked for again on this connection
        self.client: GlassesClient | None = None
        self.store: Store | None = None
        self.reconnects = -1
        self.notifications = 0
        self.bytes = 0
        self.paused = asyncio.Event()  # set: stay away (a host that has left)

    @property
    def recordings(self) -> list[Recording]:
        return list(self.store.recordings.values()) if self.store else []

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            if self.client is not None:
                await self.client.disconnect()
            if self.store is not None:
                self.store.close()

    async def _run(self) -> None:
        failures = 0
        self._observe("searching", None)
        device: BLEDevice | None = None
        while True:
            if device is None:
                device = await self._find()
            try:
                await self._stay(device)
                failures = 0
            except Disconnected as error:
                failures += 1
                self._observe("problem", str(error))
                if failures >= 3:
                    device = None  # it may have another address by now
            while self.paused.is_set():
                await asyncio.sleep(0.05)
            await asyncio.sleep(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])

    async def _find(self) -> BLEDevice:
        waited = 0.0
        while True:
            limit = self._first_timeout if self.reconnects < 0 else None
            span = 5.0 if limit is None else min(5.0, limit - waited)
            try:
                if self._attach is not None:
                    self._attach()
                device = await find(self.name, span, self.backends)
            except LunetteError as error:
                if limit is not None or self.reconnects < 0:
                    raise
                # It has worked before: an adapter that is off now may be on again.
                self._observe("problem", str(error))
                await asyncio.sleep(_BACK_OFF_S[-1])
                continue
            if device is not None:
                return device
            waited += span
            if limit is not None and waited >= limit:
                raise LunetteError(
                    f"no glasses heard in {limit:g} s: "
                    "are they on, in range, and not connected to another host?"
                )

    async def _stay(self, device: BLEDevice) -> None:
        """One connection, from connect to disconnect."""
        queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._current, self._index = None, -1
        self._out_of_step = False
        self._retried.clear()
        client = self.client = GlassesClient(
            device,
            backends=self.backends,
            on_message=lambda message: queue.put_nowait(("message", message)),
            on_gap=lambda: queue.put_nowait(("gap", None)),
            on_disconnect=lambda: queue.put_nowait(("end", None)),
        )
        try:
            await client.connect()
            if self.store is None:
                self.store = Store(self.folder, device.address)
            for recording in self.recordings:
                if not recording.complete:
                    await client.resume(recording.number, recording.next_index)
            hello = await client.ready()
            self.reconnects += 1
            self._observe("connected", hello)
            while True:
                what, detail = await queue.get()
                if what == "end":
                    break
                if what == "gap":
                    await self._repair(client)
                else:
                    await self._on_message(client, detail)
        finally:
            self.notifications += client.notifications
            self.bytes += client.bytes
            self._observe("disconnected", None)
            await client.disconnect()

    async def leave(self) -> None:
        """Disconnect and stay away until `come_back`."""
        self.paused.set()
        if self.client is not None:
            await self.client.disconnect()

    def come_back(self) -> None:
        self.paused.clear()

    async def _repair(self, client: GlassesClient) -> None:
        """Packets went missing between the adapter and us: have everything sent again that is not
        acknowledged. Frames that come before the glasses know of it have a hole before them."""
        self._current = None
        self._out_of_step = True
        await client.ready()

    async def _on_message(self, client: GlassesClient, message: tuple[Any, ...]) -> None:
        store = self.store
        assert store is not None
        kind = message[0]
        if kind == wire.HELLO:
            self._out_of_step = False
        elif self._out_of_step:
            return
        elif kind == wire.OPEN:
            _, number, name, meta = message
            known = store.recordings.get(number)
            recording = store.open(number, name, meta, asyncio.get_running_loop().time())
            if recording.complete:
                await client.ack(number, recording.next_index + 1, sure=True)
            elif recording is not known:
                self._observe("recording", recording)
                if known is not None:  # we asked to resume the other one
                    await client.resume(number, 0)
        elif kind == wire.DATA:
            self._current = store.recordings.get(message[1])
            self._index = message[2]
            await self._on_frame(client, message[3])
        elif kind == wire.MORE:
            self._index += 1
            await self._on_frame(client, message[1])
        elif kind == wire.CLOSE:
            _, number, count, crc, end = message
            closing = store.recordings.get(number)
            if closing is not None:
                await self._on_close(client, closing, count, crc, end)
        elif kind == wire.GONE:
            gone = store.forget(message[1])
            if gone is not None:
                self._observe("recorded", gone)

    async def _on_frame(self, client: GlassesClient, frame: bytes) -> None:
        recording, store = self._current, self.store
        if recording is None or store is None:
            return
        if not store.add(recording, self._index, frame):
            return
        self._observe("frame", (recording, self._index))
        self._unacked += 1
        if self._unacked >= ACK_EVERY:
            self._unacked = 0
            # Acknowledge what is on disk when the disk says so; frames go on arriving meanwhile.
            stored = recording.next_index
            await asyncio.to_thread(store.flush, recording)
            await client.ack(recording.number, stored)

    async def _on_close(
        self, client: GlassesClient, recording: Recording, count: int, crc: int, end: dict[str, Any]
    ) -> None:
        store = self.store
        assert store is not None
        if not recording.complete:
            missing = recording.crc != crc and recording.next_index < count and not end.get("lost")
            if missing and recording.number not in self._retried:
                self._retried.add(recording.number)  # once: another host may have taken what is missing
                await client.resume(recording.number, recording.next_index)
                return
            await asyncio.to_thread(store.finish, recording, count, crc, end)
            self._observe("recorded", recording)
        await client.ack(recording.number, count + 1, sure=True)
        self._observe("acknowledged", recording)
        if not self._keep_frames:
            store.release(recording)
