"""Glasses that sleep, in virtual time, with the times of a real start; and what they do meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bumble.device import Device
from world import ADDRESS, World, run_world, virtual_board

from lunette.virtual.in_process import ASLEEP, Load
from lunette.virtual.stranger import Stranger

SHORT = {"awake_s": 5, "grace_s": 10, "sleep": "deep"}


def configure(folder: Path, **changes: Any) -> None:
    """The settings of the next start: soon asleep, and deeply, unless `changes` say otherwise."""
    (folder / "settings.json").write_text(json.dumps(SHORT | changes))


class Night:
    """A World without USB, and what is seen of its sleep. Times are of the loop."""

    def __init__(self, world: World):
        self.world = world
        self.loop = asyncio.get_running_loop()
        self.phases: list[tuple[float, str]] = []
        self._phase = (world.power.phase_at, world.power.phase)
        self.loads: list[tuple[float, str, bool]] = []  # when, module's path, did the microphone run
        self._hooks: dict[str, list[Callable[[], None]]] = {}
        self._due: list[tuple[float, Callable[[], None]]] = []
        world.power.watch(self._on_change)
        finder: Any = world.power._finder
        load = finder._on_load

        def on_load(path: str, size: int) -> None:
            _, found, name = path.rpartition("/firmware/")
            if not found:
                name = path.rpartition("/hal/")[2]
            self.loads.append((self.loop.time(), name.removesuffix(".py"), self.recording))
            load(path, size)
            for action in self._hooks.get(self.loads[-1][1], ()):
                action()
            self._catch_up()

        finder._on_load = on_load
        world.usb(False)

    def _on_change(self) -> None:
        phase = (self.world.power.phase_at, self.world.power.phase)
        if phase != self._phase:
            self._phase = phase
            self.phases.append(phase)

    def on_load(self, name: str, action: Callable[[], None]) -> None:
        """Do it in every start, just before that module runs."""
        self._hooks.setdefault(name, []).append(action)

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it so many seconds from now, even while the program loads, which holds up the loop: between two
        modules then, with the interrupt that comes of it."""
        self._due.append((self.now + seconds, action))
        self.loop.call_later(seconds, self._catch_up)

    def _catch_up(self) -> None:
        due = [entry for entry in self._due if entry[0] <= self.now + 1e-9]
        self._due = [entry for entry in self._due if entry not in due]
        for _, action in sorted(due, key=lambda entry: entry[0]):
            action()
            self.world.chip.deliver()

    async def talk(self, seconds: float) -> None:
        """Hold the button for so long."""
        self.world.press()
        self.at(seconds, self.world.release)
        await asyncio.sleep(seconds)

    @property
    def now(self) -> float:
        return self.loop.time()

    @property
    def asleep(self) -> bool:
        return self.world.power.phase == ASLEEP

    @property
    def recording(self) -> bool:
        return self.world.chip.i2s.running(0)

    @property
    def loaded(self) -> list[str]:
        """Modules in the order in which they were loaded since `forget`."""
        return [name for _, name, _ in self.loads]

    def forget(self) -> None:
        self.loads.clear()
        self.phases.clear()
        self.world.light.clear()

    def times(self, phase: str) -> list[float]:
        return [t for t, entered in self.phases if entered == phase]

    async def sleep(self, timeout: float = 90.0) -> None:
        """Until they are asleep; what was seen before is forgotten."""
        await self.world.until(lambda: self.asleep, "they fall asleep", timeout)
        self.forget()

    async def stranger(self, tries: list[str], seconds: float = 0.0) -> Stranger:
        """Somebody else who waits for them, from now on. It connects when they call."""
        stranger = Stranger(self.world.air, ADDRESS, tries)
        self.world._tasks.append(asyncio.ensure_future(stranger.run(seconds)))
        return stranger

    async def scanner(self) -> list[tuple[float, bytes]]:
        """A host that listens all the time and never connects: what it hears, and when."""
        device = await self.world.air.device("scanner", "C0:FF:EE:00:00:07")
        heard: list[tuple[float, bytes]] = []
        device.on(
            Device.EVENT_ADVERTISEMENT,
            lambda found: (
                heard.append((self.now, bytes(found.data))) if str(found.address) == ADDRESS else None
            ),
        )
        await device.start_scanning(filter_duplicates=False)
        return heard


def play(
    folder: Path,
    test: Callable[[Night], Awaitable[None]],
    *,
    board: Any = None,
    settings: dict[str, Any] | None = None,
    listen: bool = False,
    **options: Any,
) -> None:
    """Run ``await test(night)`` with glasses that start, load and boot as the board's CURRENTS say."""
    configure(folder, **(settings or {}))
    board = board or virtual_board()

    async def main(world: World) -> None:
        await test(Night(world))
        assert not world.power.crashes

    times = {"boot_ms": board.CURRENTS["boot_ms"], "load": Load.of(board)}
    run_world(folder, main, listen=listen, board=board, **(times | options))
