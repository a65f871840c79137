"""Whole virtual glasses and a host in one process and one virtual clock: chip, air, firmware, listener."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from bleak import BleakClient, BleakScanner

from lunette import boards, paths
from lunette.client import Backends
from lunette.listen import Listener
from lunette.store import Recording
from lunette.virtual.air import Air, LinkModel
from lunette.virtual.bleak_backend import VirtualClient, VirtualScanner
from lunette.virtual.bleak_radio import host_identity, use_air
from lunette.virtual.cpython import Environment, micropython_modules, run
from lunette.virtual.in_process import ADDRESS, InProcessGlasses
from lunette.virtual.introduce import BONDS, introduce
from lunette.virtual.kernels import fast_kernels, plain_kernels
from lunette.virtual.static_device import static_address

__all__ = ["ADDRESS", "World", "fast_kernels", "inside", "plain_kernels", "run_world", "virtual_board"]

TALK, LIGHT = 1, 2  # pins of boards/virtual


def virtual_board(**changes: Any) -> SimpleNamespace:
    """Data of boards/virtual with `changes`, for example ``JOURNAL_KB=16``. Without `CLEANING` among them the
    speech is not cleaned, which would take its time in CPython; without `PARTS` there is no speaker, and all
    I2S is the microphone's."""
    data = boards.module("virtual")
    data.PARTS = {name: part for name, part in data.PARTS.items() if name != "speaker"}
    data.CLEANING = "off"
    vars(data).update(changes)
    return data


class World:
    """`glasses` (the firmware's runtime), `chip`, `radio`, `air`, `listener`, and what a hand does.
    `power` is their life: starts, sleep, resets. `paired`: the host was paired with them before. `life`:
    options of `InProcessGlasses`. The working directory is their file system.

    Times are seconds of the running `VirtualLoop`. `events` is what the listener observed, with times.
    """

    def __init__(
        self,
        env: Environment,
        folder: Path,
        board: Any = None,
        model: LinkModel | None = None,
        paired: bool = True,
        **life: Any,
    ):
        self.paired = paired
        self.env = env
        self.folder = folder
        self.board = board or virtual_board()
        self.air = Air(model)
        self.power = InProcessGlasses(env, self.air, self.board, address=ADDRESS, **life)
        self.chip = self.power.chip
        self.radio = self.power.radio
        self.listener: Listener | None = None
        self.events: list[tuple[float, str, Any]] = []
        self.light: list[tuple[float, int]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._last: Any = None

    async def start(self, listen: bool = True) -> None:
        """Power on; returns with the host connected if it is to listen."""
        self.chip.pins.watch(lambda pin, level, t: self.light.append((t, level)) if pin == LIGHT else None)
        self.chip.analog.volts[8] = 1.95
        self.usb(True)
        use_air(self.air)
        await host_identity().keystore.delete(str(static_address(ADDRESS)))
        if self.paired:
            Path(BONDS).write_bytes(await introduce(host_identity(), ADDRESS))
        await self.power.power_on()
        if listen:
            self.listen()
            await self.until(lambda: self.glasses.link.streaming, "the host connects")

    @property
    def glasses(self) -> Any:
        """The firmware's runtime in its present or last life; None if that has none, as a beacon's."""
        package: Any = sys.modules.get("glasses")
        if package is not None:
            self._last = package._instance
        return self._last

    async def restart(self) -> None:
        """Take the power away, at this instant, and give it back: files stay, memory does not."""
        self.power.power_cut()
        await self.power.power_on()

    def listen(self, folder: str = "host") -> Listener:
        """Start the host program of `lunette listen`."""
        self.listener = Listener(
            self.folder / folder,
            backends=self.backends(),
            observe=self._observe,
            first_timeout_s=30,
            keep_frames=True,
            jitter=lambda: 0.0,
        )
        task = asyncio.create_task(self.listener.run())
        self._tasks.append(task)
        self.listening = task
        return self.listener

    def _observe(self, what: str, detail: Any) -> None:
        self.events.append((asyncio.get_running_loop().time(), what, detail))

    async def stop_listening(self) -> None:
        self.listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.listening

    @staticmethod
    def backends() -> Backends:
        return Backends(VirtualClient, VirtualScanner)

    async def central(self) -> BleakClient:
        """A plain Bleak client, connected."""
        device = await BleakScanner.find_device_by_address(ADDRESS, timeout=5, backend=VirtualScanner)
        assert device is not None, "the glasses do not advertise"
        client = BleakClient(device, backend=VirtualClient)
        await client.connect()
        return client

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(1)  # what the radio was told to do is done
        await self.power.close()
        await self.air.close()
        use_air(None)

    # --- the hand and the mouth

    def usb(self, plugged: bool) -> None:
        """Plug the cable in or out, if the board can tell. It is in until then, and keeps them awake."""
        data = self.board.PARTS.get("usb")
        if data is not None:
            self.chip.pins.drive(data["pin"], data["active"] if plugged else 1 - data["active"])

    def press(self, bounce_ms: float = 0.0) -> None:
        self.chip.pins.press(TALK, bounce_ms=bounce_ms)

    def release(self, bounce_ms: float = 0.0) -> None:
        self.chip.pins.release(TALK, bounce_ms=bounce_ms)

    async def tap(self, seconds: float = 0.08) -> None:
        self.press()
        await asyncio.sleep(seconds)
        self.release()

    async def talk(self, seconds: float, bounce_ms: float = 0.0) -> None:
        """Hold the button for so long."""
        self.press(bounce_ms)
        await asyncio.sleep(seconds)
        self.release(bounce_ms)

    def say(self, pcm: Any, at: float | None = None) -> float:
        return self.chip.sound.say(np.asarray(pcm, np.int16), at)

    # --- looking

    @property
    def recordings(self) -> list[Recording]:
        assert self.listener is not None
        return [r for r in self.listener.recordings if r.complete]

    def heard(self, session: int = -1) -> Any:
        """The samples that the chip's microphone delivered in a session (int16)."""
        found = self.chip.i2s.takes[session]
        return self.chip.sound.render(found.first_sample, found.delivered)

    async def until(self, done: Callable[[], Any], what: str, timeout: float = 30.0) -> None:
        """Wait in virtual time; AssertionError after `timeout` seconds of it."""
        end = asyncio.get_running_loop().time() + timeout
        while not done():
            assert asyncio.get_running_loop().time() < end, f"not in {timeout:g} s: {what}"
            await asyncio.sleep(0.005)

    async def complete(self, count: int, timeout: float = 30.0) -> list[Recording]:
        """The recordings, once there are `count` whole ones."""
        await self.until(lambda: len(self.recordings) >= count, f"{count} recordings", timeout)
        return self.recordings


@contextlib.contextmanager
def inside(folder: str) -> Iterator[None]:
    """`folder` as the glasses' file system, which is the working directory."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_world(
    folder: Path,
    test: Callable[[World], Awaitable[None]],
    *,
    listen: bool = True,
    checked: bool = False,
    **options: Any,
) -> None:
    """Run ``await test(world)`` with glasses that are on, `checked`: with 32-bit checks in the kernels.
    `options` are World's."""
    with micropython_modules(paths.HAL, paths.FIRMWARE) as env:
        if not checked:
            fast_kernels()

        async def main() -> None:
            world = World(env, folder, **options)
            try:
                await world.start(listen)
                await test(world)
            finally:
                await world.close()
            assert not world.chip.errors

        run(main())
