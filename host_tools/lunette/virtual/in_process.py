"""Glasses in this process and in virtual time: the chip, its radio on an air, and the firmware's many lives.

For example, within ``micropython_modules(paths.HAL, paths.FIRMWARE) as env`` and a `VirtualLoop`:

    glasses = InProcessGlasses(env, air, board)
    await glasses.power_on()
    ...                             # it runs, sleeps, wakes, resets by itself
    glasses.power_cut()
    await glasses.close()

A start is what it is on the chip: nothing in memory but what the RTC keeps, ticks from 0, every module
loaded anew. `boot_ms` passes before its first line, and loading takes the time that `load` says; meanwhile
the program is deaf, its hardware is not. What stops the chip stops the program between two instructions.

The board's file system is the working directory. Not modelled: flash that is being written when the power
goes (a write is whole or not begun), REPL and safe mode, a program that never lets go of the loop.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bumble.device import Device

from lunette import paths
from lunette.virtual.air import Air
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.power import ChipStopped
from lunette.virtual.chip.radio import Radio
from lunette.virtual.chip.sound import Sound
from lunette.virtual.cpython import Environment, VirtualLoop
from lunette.virtual.firmware_import import FirmwareFinder
from lunette.virtual.program import Program

ADDRESS = "C0:FF:EE:00:00:01"

OFF, BOOT, AWAKE, ASLEEP = "off", "boot", "awake", "asleep"

_MPY_PART = 0.34  # bytes of a .mpy file for each of its source, over the firmware: `make bench` lists them
_ROOT_BYTES = 700  # of main.py and board.py each, which are loaded as they are


@dataclass(frozen=True)
class Load:
    """What the program waits for: milliseconds a file that is loaded, and a KB of its .mpy, and until
    Bluetooth is on."""

    file_ms: float
    kb_ms: float
    radio_ms: float = 0.0

    @classmethod
    def of(cls, board: Any) -> Load | None:
        """As the board's CURRENTS say, None if they do not."""
        currents = getattr(board, "CURRENTS", {})
        if "load_file_ms" not in currents:
            return None
        return cls(
            float(currents["load_file_ms"]),
            float(currents["load_kb_ms"]),
            float(currents.get("radio_ms", 0.0)),
        )

    def seconds(self, source_bytes: int) -> float:
        return (self.file_ms + self.kb_ms * source_bytes * _MPY_PART / 1024) / 1000


async def glasses_main() -> None:
    """The entry point of the firmware: boot.py, and what main.py comes to."""
    if importlib.util.find_spec("boot") is not None:
        importlib.import_module("boot")
    glasses = importlib.import_module("glasses")
    if hasattr(glasses, "main"):
        await glasses.main()
    else:
        await glasses.instance().main()


class InProcessGlasses:
    """See the module's text. `folders`: the HAL and the firmware, as in `env`; `entry` is the program.

    `phase` is OFF, BOOT, AWAKE or ASLEEP, since `phase_at` (time of the loop). `starts` counts first lines.
    `crashes` are errors that ended the program: it then stays awake and does nothing, as at a prompt.
    Only one in a process at a time.
    """

    def __init__(
        self,
        env: Environment,
        air: Air,
        board: Any,
        *,
        address: str = ADDRESS,
        entry: Callable[[], Awaitable[Any]] = glasses_main,
        hal: Path = paths.HAL,
        firmware: Path = paths.FIRMWARE,
        boot_ms: float = 0.0,
        load: Load | None = None,
        sound: Sound | None = None,
    ):
        self.env = env
        self.air = air
        self.board = board
        self.address = address
        self.boot_ms = boot_ms
        self.load = load
        self.chip = Chip(board.CHIP, sound=sound, parts=getattr(board, "PARTS", None))
        self.radio = Radio(self.chip.bus)
        self.radio.on_start = self._on_radio_start
        self.phase = OFF
        self.phase_at = 0.0
        self.starts = 0
        self.blocked_s = 0.0
        """Seconds that the program computed without letting go: loading."""
        self.crashes: list[BaseException] = []
        self._watchers: list[Callable[[], None]] = []
        self._firmware = str(Path(firmware).resolve())
        self._entry = entry
        self._finder = FirmwareFinder((firmware, hal), self._on_load)
        self._program: Program | None = None
        self._device: Device | None = None
        self._plugged = False
        self._boot: asyncio.Task[None] | None = None
        self._graves: set[asyncio.Task[None]] = set()
        self._installed = False
        self.chip.on_halt = self._on_halt
        self.chip.on_reset = self._on_reset
        self.chip.on_wake = self._on_wake
        self.chip.on_radio_off = self._radio_off
        self.chip.on_light_sleep = self.radio.reset
        self.chip.is_program = self._is_program
        self.chip.on_change = self.radio.on_change = self._tell
        env.clock.on_blocked = self.chip.catch_up

    # --- power --------------------------------------------------------------------------------------

    async def power_on(self) -> None:
        """Give them power. Returns when the program has run up to its first wait."""
        if self.phase != OFF:
            return
        self.chip.reset("power_on")
        self._begin_boot()
        await self.started()

    async def started(self) -> None:
        """Wait until a boot that is under way is over, and the program has run up to its first wait."""
        while (boot := self._boot) is not None:
            await asyncio.wait([boot])
            if boot is self._boot:
                self._boot = None
                boot.result()
        await asyncio.sleep(0)

    def power_cut(self) -> None:
        """Take the power away, at this instant: files and committed NVS stay, and nothing else."""
        if self.phase == OFF:
            return
        self._stop("power")
        self.chip.reset("power_on")
        self._enter(OFF)

    async def close(self) -> None:
        """Away with everything. RuntimeError if something of the firmware goes on without a chip."""
        try:
            self.power_cut()
            while self._graves:
                await asyncio.gather(*self._graves)
        finally:
            self._graves.clear()
            await self.radio.close()
            if self._device is not None:
                self.air.remove(self._device)
                self._device = None
            self._finder.remove()
            self._finder.forget()
            self.env.clock.on_blocked = lambda: None

    @property
    def running(self) -> bool:
        """The program runs: it has neither returned nor crashed."""
        return self._program is not None and self._program.running

    @property
    def device(self) -> Device | None:
        """The antenna, while there is one."""
        return self._device

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call it after every change of the phase, the clock, I2S or the radio. Returns what stops that."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def _tell(self) -> None:
        for callback in self._watchers:
            callback()

    # --- the chip stops and starts --------------------------------------------------------------------

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.phase_at = asyncio.get_running_loop().time()
        self._tell()

    def _on_halt(self, kind: str) -> None:
        self._stop(kind)
        if kind == "deepsleep":
            self._enter(ASLEEP)
        elif kind == "soft":
            raise ChipStopped(kind)  # as if `machine.soft_reset` did not return

    def _stop(self, kind: str) -> None:
        """Nothing more of the program happens."""
        self.chip.detach_cpython(kind)
        self._radio_off()
        boot, self._boot = self._boot, None
        if boot is not None:
            boot.cancel()
        program, self._program = self._program, None
        if program is not None:
            program.halt()
            if program.crash is not None:
                self.crashes.append(program.crash)
            grave = asyncio.get_running_loop().create_task(program.bury())
            self._graves.add(grave)
            grave.add_done_callback(self._on_buried)

    def _on_buried(self, grave: asyncio.Task[None]) -> None:
        if grave.cancelled() or grave.exception() is None:
            self._graves.discard(grave)  # else `close` finds it

    def _is_program(self, owner: Any) -> bool:
        """A task of the firmware's, or what runs its callbacks."""
        program = self._program
        if isinstance(owner, asyncio.Task):
            return program is not None and program.is_ours(owner)
        return owner is self.env.scheduler

    def _on_reset(self, kind: str) -> None:
        self._begin_boot(ticks_go_on=kind == "soft")

    def _on_wake(self, reason: int) -> None:
        self._begin_boot()

    def _radio_off(self) -> None:
        """No power for the radio, at this instant."""
        device = self._device
        if device is None or not self._plugged:
            return
        self._plugged = False
        if self.radio.cut() is None or not self.air.rest(device):
            self.air.remove(device)
            self._device = None

    # --- booting ------------------------------------------------------------------------------------

    def _begin_boot(self, ticks_go_on: bool = False) -> None:
        self._enter(BOOT)
        self._boot = asyncio.get_running_loop().create_task(self._start_up(ticks_go_on))

    async def _start_up(self, ticks_go_on: bool) -> None:
        me = asyncio.current_task()
        loop = asyncio.get_running_loop()
        woken = loop.time()
        for grave in list(self._graves):
            await asyncio.wait([grave])
        device = self._device
        if device is None:
            device = await self.air.device("glasses", self.address)
            if self._boot is not me:  # the power went meanwhile, and Bumble has kept that from us
                self.air.remove(device)
                return
        self._device = device
        self._plugged = True
        self.radio.plug(device)
        left = woken + self.boot_ms / 1000 - loop.time()
        if left > 0:
            await asyncio.sleep(left)
        if self._boot is not me:
            return
        self._boot = None
        if not ticks_go_on:
            self.env.clock.boot_us = round(woken * 1e6)
        self._first_line()

    def _first_line(self) -> None:
        if not self._installed:
            self._installed = True
            self._finder.forget_others()
            self._finder.install()
        sys.modules["board"] = self.board
        self.chip.attach_cpython(importlib.import_module("_port"))
        self.starts += 1
        self._program = Program(self.env, self._finder, self._main)
        self._enter(AWAKE)
        self._program.start()

    async def _main(self) -> None:
        if self.load is not None:
            for _ in range(2):
                self._block(self.load.file_ms / 1000 + self.load.kb_ms * _ROOT_BYTES / 1024 / 1000)
        await self._entry()

    def _on_load(self, path: str, size: int) -> None:
        if self.load is not None and path.startswith(self._firmware + os.sep):
            self._block(self.load.seconds(size))

    def _on_radio_start(self) -> None:
        if self.load is not None:
            self._block(self.load.radio_ms / 1000)

    def _block(self, seconds: float) -> None:
        """The program computes for so long, and its hardware goes on."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.blocked_s += seconds
        loop.advance(seconds)
        self.chip.catch_up()
