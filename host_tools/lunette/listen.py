"""Listening: stays with the glasses, reconnects, stores every recording, acknowledges what is stored."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bleak.backends.device import BLEDevice

from lunette.connection import GlassesClient
from lunette.disk import Lock
from lunette.errors import Disconnected, HungUp, InUse, LunetteError, NotPaired
from lunette.finding import Backends, find, is_resting, not_heard
from lunette.protocol import wire
from lunette.receiver import Receiver, Steps, Tell, Work
from lunette.recording import Recording
from lunette.store import Store

T = TypeVar("T")

_BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_JITTER = 0.5  # up to this part of a pause is left out: hosts that lost the same glasses do not go in step
_SLOW_S = 15.0  # between attempts that will fail until somebody does something
_ENOUGH = 3  # hung up so often before they answered: not by chance
_SPAN_S = 5.0
_MOST_WAITING = 20_000  # messages; the glasses hold less than that unacknowledged


class _DiskError(Exception):
    """The disk does not take what it is given; the cause says why."""


class Listener:
    """``await Listener(folder).run()`` listens until cancelled.

    `observe(what, detail)` is told: "searching", "connected" (HELLO dict), "disconnected",
    "resting" (why: the glasses have said good-bye; it waits until they want a host),
    "recording" (Recording), "frame" (Recording, index), "recorded" (Recording),
    "acknowledged" (Recording: the glasses may forget it), "problem" (text; a new one, or the first since
    it was last connected).
    `folder` None keeps recordings in memory, unacknowledged until `taken`.
    `first_timeout_s` limits the first search (LunetteError then); later ones go on for ever.
    `patient`: a full disk, or glasses that are not paired with this host, are problems that somebody will
    solve while it goes on trying; else they end it (LunetteError, NotPaired).
    `receive` False leaves recordings alone until `begin`.
    `attach` is called before each search: where the glasses are to be looked for may have changed.
    `keep_frames` keeps all finished recordings and their frames in memory, for reports.
    `format` is the format of speech in `folder`: "wav" or "flac".
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        name: str | None = None,
        backends: Backends | None = None,
        observe: Callable[[str, Any], None] | None = None,
        first_timeout_s: float | None = None,
        patient: bool = True,
        receive: bool = True,
        keep_frames: bool = False,
        format: str = "wav",
        attach: Callable[[], Any] | None = None,
        jitter: Callable[[], float] = random.random,
    ):
        self.folder = folder
        self.name = name
        self.backends = backends
        self.patient = patient
        self._observe = observe or (lambda what, detail: None)
        self._first_timeout = first_timeout_s
        self._receive = receive
        self._keep_frames = keep_frames
        self._format = format
        self._attach = attach
        self._jitter = jitter
        self._queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._told: set[str] = set()  # problems, since it was last connected
        self._disk_problem = ""
        self._lock: Lock | None = None
        self.client: GlassesClient | None = None
        self.store: Store | None = None
        self._receiver: Receiver | None = None
        self.connected = False  # and the glasses have answered
        self.trouble: LunetteError | None = None  # why it is not
        self.resting = False  # they have said good-bye, and nothing is wanted of them
        self.reconnects = -1
        self.notifications = 0
        self.bytes = 0
        self.paused = asyncio.Event()  # set: stay away (a host that has left)
        self._back = asyncio.Event()  # set: it came back, try at once

    @property
    def recordings(self) -> list[Recording]:
        """Those in memory: all that are not finished, and the last that are."""
        return list(self.store.recordings.values()) if self.store else []

    # --- for the program around it ----------------------------------------------------------------

    def begin(self) -> None:
        """Receive recordings from now on, if it did not."""
        if not self._receive:
            self._receive = True
            self._queue.put_nowait(("begin", None))

    def taken(self, recording: Recording) -> None:
        """The program has what it wanted of a finished recording: acknowledge it."""
        recording.taken = True
        self._queue.put_nowait(("taken", recording))

    async def leave(self) -> None:
        """Disconnect and stay away until `come_back`."""
        self.paused.set()
        if self.client is not None:
            await self.client.disconnect()

    def come_back(self) -> None:
        """The end of `leave`: what it waited for before the next attempt counts no more."""
        self.paused.clear()
        self._back.set()

    # --- staying with the glasses -----------------------------------------------------------------

    async def run(self) -> None:
        """Only once. Raises LunetteError for what trying again does not help."""
        try:
            await self._run()
        finally:
            if self.client is not None:
                await self.client.disconnect()
            if self.store is not None:
                self.store.close()
            if self._lock is not None:
                self._lock.release()

    async def _run(self) -> None:
        failures = hung_up = 0  # in a row
        self._observe("searching", None)
        device: BLEDevice | None = None
        while True:
            slow = False
            refused: NotPaired | None = None
            if device is None:
                device = await self._find()
                if self.paused.is_set():  # it has left meanwhile
                    await self._wait(0)
            try:
                await self._stay(device)
                failures = hung_up = 0
                if self.client is not None and self.client.bye:
                    self.resting, device = True, None
                    self._observe("resting", self.client.bye)
            except Disconnected as error:
                failures += 1
                self.trouble = error
                hung_up = hung_up + 1 if isinstance(error, HungUp) else 0
                self._problem(str(error))
                if failures >= 3:
                    device = None  # it may have another address by now
                if hung_up >= _ENOUGH:
                    refused = NotPaired("they hang up before they answer")
            except NotPaired as error:
                refused = error
            except _DiskError as error:
                slow = True
                self._on_disk_problem(error)
            if refused is not None:
                if not self.patient:
                    raise refused
                slow, device, hung_up = True, None, _ENOUGH - 1
                self.trouble = refused
                self._problem(str(refused))
            pause = _SLOW_S if slow else _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
            await self._wait(pause * (1 - _JITTER * self._jitter()))

    async def _wait(self, seconds: float) -> None:
        """For so long, but not after it came back; while it stays away, without end."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._back.wait(), seconds)
        while self.paused.is_set():
            await asyncio.sleep(0.05)
        self._back.clear()

    def _problem(self, text: str) -> None:
        if text not in self._told and len(self._told) < 100:
            self._told.add(text)
            self._observe("problem", text)

    def _on_disk_problem(self, error: _DiskError) -> None:
        text = f"cannot store recordings in {self.folder}: {error}"
        if not self.patient:
            raise LunetteError(text) from error
        if text != self._disk_problem:  # once, until something could be stored
            self._disk_problem = text
            self._observe("problem", f"{text}; nothing is acknowledged, the glasses keep it")

    def _wanted_by(self, adv: Any) -> bool:
        return not self.resting or not is_resting(adv)

    def want(self) -> None:
        """The program wants something of glasses that rest: connect, as soon as they are heard."""
        self.resting = False

    async def _find(self) -> BLEDevice:
        waited = 0.0
        while True:
            limit = self._first_timeout if self.reconnects < 0 else None
            span = _SPAN_S if limit is None else min(_SPAN_S, limit - waited)
            try:
                if self._attach is not None:
                    self._attach()
                device = await find(self.name, span, self.backends, lambda adv: self._wanted_by(adv))
            except LunetteError as error:
                if limit is not None or self.reconnects < 0:
                    raise
                # It has worked before: an adapter that is off now may be on again.
                self._problem(str(error))
                await asyncio.sleep(_BACK_OFF_S[-1])
                continue
            if device is not None:
                return device
            waited += span
            if limit is not None and waited >= limit:
                raise not_heard(limit)

    async def _stay(self, device: BLEDevice) -> None:
        """One connection, from connect to disconnect."""
        queue = self._queue = asyncio.Queue()
        client = self.client = GlassesClient(
            device,
            backends=self.backends,
            on_message=lambda message: self._take(queue, message),
            on_gap=lambda: queue.put_nowait(("gap", None)),
            on_disconnect=lambda: queue.put_nowait(("end", None)),
        )
        try:
            await client.connect()
            if self._receive:
                await self._begin(client)
            else:
                await client.ready()
            self.reconnects += 1
            self._told.clear()
            self.connected, self.trouble = True, None
            self.resting = False
            self._observe("connected", client.hello)
            while True:
                what, detail = await queue.get()
                if what == "end":
                    break
                if what == "flood":
                    raise Disconnected("more came than this computer could store in time")
                if what == "begin":
                    await self._begin(client)
                elif self._receiver is None:
                    continue
                elif what == "gap":
                    await self._carry_out(client, self._receiver.gap())
                elif what == "taken":
                    await self._carry_out(client, self._receiver.taken(detail))
                else:
                    now = asyncio.get_running_loop().time()
                    await self._carry_out(client, self._receiver.message(detail, now))
        finally:
            self.notifications += client.notifications
            self.bytes += client.bytes
            self.connected = False
            self._observe("disconnected", None)
            await client.disconnect()

    @staticmethod
    def _take(queue: asyncio.Queue[tuple[str, Any]], message: tuple[Any, ...]) -> None:
        waiting = queue.qsize()
        if waiting < _MOST_WAITING:
            queue.put_nowait(("message", message))
        elif waiting == _MOST_WAITING:
            queue.put_nowait(("flood", None))

    async def _begin(self, client: GlassesClient) -> None:
        if self._receiver is None:
            await self._open_store(client.address)
        assert self._receiver is not None
        await self._carry_out(client, self._receiver.connect())

    async def _open_store(self, owner: str) -> None:
        if self.folder is not None and self._lock is None:
            lock = Lock(self.folder / ".partial" / (re.sub(r"\W", "", owner) + ".lock"))
            if not await self._on_disk(lock.acquire):
                raise InUse(
                    f"another program receives from these glasses into {self.folder}: "
                    "end it, or choose another folder"
                )
            self._lock = lock
        options: dict[str, Any] = {"keep": self._keep_frames, "format": self._format}
        self.store = await self._on_disk(partial(Store, self.folder, owner, **options))
        self._receiver = Receiver(self.store, hold=self.folder is None)

    async def _carry_out(self, client: GlassesClient, steps: Steps) -> None:
        for step in steps:
            if isinstance(step, Tell):
                self._observe(step.what, step.detail)
            elif isinstance(step, Work):
                await self._on_disk(step.run)
            elif step.data[0] == wire.READY:
                await client.ready()
            else:
                await client.write_raw(wire.CONTROL, step.data, response=step.sure)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Do what touches the disk, while the radio goes on."""
        if self.folder is None:
            return work()
        try:
            result = await asyncio.to_thread(work)
        except OSError as error:
            raise _DiskError(error.strerror or str(error)) from error
        self._disk_problem = ""
        return result
