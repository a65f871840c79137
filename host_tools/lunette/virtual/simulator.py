"""Virtual glasses as a whole: chip, interpreter and radio, and what the world does to them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bumble.device import Device

from lunette import boards, paths
from lunette.boards import Board
from lunette.errors import LunetteError
from lunette.virtual import flash
from lunette.virtual.air import Air
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.microphones import Capsule
from lunette.virtual.chip.radio import Radio
from lunette.virtual.chip.server import ChipServer
from lunette.virtual.chip.sound import Sound
from lunette.virtual.supervisor import Supervisor

ADDRESS = "C4:1E:55:E5:00:01"
_FOLDER = "lunette-glasses-"  # then the process that uses it


def firmware_files(board: Board, settings: dict[str, Any] | None = None) -> dict[str, Path | bytes]:
    """What is copied to glasses of that board: path on the glasses to contents."""
    if not (paths.FIRMWARE / "main.py").is_file():
        raise LunetteError(f"no firmware in {paths.FIRMWARE}")
    files: dict[str, Path | bytes] = {
        str(path.relative_to(paths.FIRMWARE)): path for path in sorted(paths.FIRMWARE.rglob("*.py"))
    }
    files["board.py"] = board.path
    if settings:
        files["settings.json"] = json.dumps(settings).encode()
    return files


def _sweep() -> None:
    """Remove the folders of simulators that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        owner = folder.name[len(_FOLDER) :].split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)


class VirtualGlasses:
    """One pair of glasses on an `air`.

    `flash_image` keeps their file system; without one it is made in a temporary folder and goes
    with them. `settings` and `files` (name to contents) are put there when it is made.
    `observe(what, detail)` is told: "power" (bool), "light" (bool), "console" (bytes),
    "reset" (why), "sleep" (ms or None), "wake" (reason).
    """

    def __init__(
        self,
        air: Air,
        board: str = "virtual",
        *,
        settings: dict[str, Any] | None = None,
        files: dict[str, bytes] | None = None,
        flash_image: Path | None = None,
        address: str = ADDRESS,
        observe: Callable[[str, Any], None] | None = None,
    ):
        self.board = boards.load(board)
        self.air = air
        self.address = address
        self._settings = settings or {}
        self._files = files or {}
        self._observe = observe or (lambda what, detail: None)
        self._folder: Path | None = None
        if flash_image is None:
            _sweep()
            self._folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
            flash_image = self._folder / "flash.img"
        self.flash_image = flash_image
        self.sound = Sound()
        self.chip = Chip(self.board.chip, sound=self.sound, parts=self.board.parts)
        self.radio = Radio(self.chip.bus)
        self._device: Device | None = None
        self._server = ChipServer(self.chip.bus)
        self.supervisor: Supervisor | None = None
        self._asleep = False
        self._jobs: set[asyncio.Task[None]] = set()
        self.powered = False
        self._dark_s = 0.0
        self._dark_since = asyncio.get_running_loop().time()

    # --- life ---------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Make the flash image, if it is not there yet, and get everything ready but the power."""
        if not self.flash_image.exists():
            self.flash_image.parent.mkdir(parents=True, exist_ok=True)
            flash.create(self.flash_image, self.board.flash_kb)
            flash.install(self.flash_image, firmware_files(self.board, self._settings) | self._files)
        self.supervisor = Supervisor(
            self.flash_image,
            heap_kb=self.board.heap_kb,
            attach=self._server.attach,
            detach=self._server.detach,
            on_output=lambda data: self._observe("console", data),
            on_exit=self._on_exit,
        )
        self._server.on_scheduled = self.supervisor.poke
        self.chip.on_reset = self._on_reset
        self.chip.on_sleep = self._on_sleep
        self.chip.on_wake = self._on_wake
        self.chip.on_radio_off = self.radio.reset
        if "light" in self.board.parts:
            light = self.board.parts["light"]
            pin, active = int(light["pin"]), int(light.get("active", 1))

            def watch(changed: int, level: int, t: float) -> None:
                if changed == pin:
                    self._observe("light", level == active)

            self.chip.pins.watch(watch)
        self.battery(4.0)
        self.usb(True)
        self.worn(True)
        for part in self.board.parts:
            if self.board.parts[part].get("driver") == "button":
                self.release(part)

    async def power_on(self) -> None:
        """Give them power; the firmware boots."""
        if self.supervisor is None:
            await self.prepare()
        assert self.supervisor is not None
        if self.powered:
            return
        self.powered = True
        self._dark_s += asyncio.get_running_loop().time() - self._dark_since
        self._observe("power", True)
        self.chip.reset("power_on")
        await self._antenna(True)
        await self.supervisor.start()

    async def power_cut(self) -> None:
        """Take the power away, at whatever instant this is."""
        if not self.powered or self.supervisor is None:
            return
        self.powered = False
        self._asleep = False
        self._dark_since = asyncio.get_running_loop().time()
        await self.supervisor.power_cut()
        await self._antenna(False)
        self.chip.reset("power_on")
        self._observe("power", False)

    async def hard_reset(self) -> None:
        """The reset button."""
        assert self.supervisor is not None
        await self._antenna(False)
        self.chip.reset("hard")
        await self._antenna(True)
        await self.supervisor.hard_reset()

    async def close(self) -> None:
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self.supervisor is not None:
            await self.supervisor.close()
        await self._antenna(False)
        await self.radio.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _antenna(self, on: bool) -> None:
        # A device is made anew with each start: without power it cannot say good-bye, so its
        # peers must only notice by the supervision timeout.
        if self._device is not None:
            await self.radio.unplug()
            self.air.remove(self._device)
            self._device = None
        if on:
            self._device = await self.air.device("Lunette", self.address)
            self.radio.plug(self._device)

    # --- what the chip and the supervisor report ----------------------------------------------

    def _job(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def _on_exit(self, why: str) -> None:
        if why == "soft":
            self._observe("reset", "soft")
            self.chip.reset("soft")
            self.radio.reset()
        elif why == "crash":
            self._observe("reset", "crash")
            self.chip.reset("hard")
            self.radio.reset()

    def _on_reset(self, why: str) -> None:
        self._observe("reset", why)
        if why != "soft":  # then the program exits by itself
            self._job(self._restart())

    async def _restart(self) -> None:
        assert self.supervisor is not None
        await self._antenna(False)
        await self._antenna(True)
        await self.supervisor.hard_reset()

    def _on_sleep(self, ms: int | None) -> None:
        self._observe("sleep", ms)
        self._asleep = True
        self._job(self._fall_asleep())

    async def _fall_asleep(self) -> None:
        assert self.supervisor is not None
        await self.supervisor.power_cut()
        await self._antenna(False)

    def _on_wake(self, reason: Any) -> None:
        self._observe("wake", reason)
        if self._asleep:
            self._asleep = False
            self._job(self._wake())

    async def _wake(self) -> None:
        assert self.supervisor is not None
        await self._antenna(True)
        await self.supervisor.start()

    # --- what the world does --------------------------------------------------------------------

    def button(self, name: str) -> dict[str, Any]:
        """Data of a button. Raises LunetteError when the board has no such button."""
        data = self.board.parts.get(name)
        if data is None or data.get("driver") != "button":
            have = ", ".join(p for p in self.board.parts if self.board.parts[p].get("driver") == "button")
            raise LunetteError(f"board {self.board.name} has no button {name!r} (it has: {have or 'none'})")
        return data

    def press(self, button: str = "talk") -> None:
        data = self.button(button)
        self.chip.pins.drive(int(data["pin"]), int(data.get("active", 0)))

    def release(self, button: str = "talk") -> None:
        data = self.button(button)
        pulled = data.get("pull", "up") is not None
        # A released button leaves the pin to its pull; without one the board has its own.
        self.chip.pins.drive(int(data["pin"]), None if pulled else 1 - int(data.get("active", 0)))

    def microphone(self, side: str) -> Capsule:
        """The microphone on that side, to break it or have it hiss. Raises LunetteError when the board has
        none there."""
        try:
            return self.chip.i2s.microphone(side)
        except ValueError as error:
            raise LunetteError(f"board {self.board.name}: {error}") from None

    def stall(self, seconds: float) -> None:
        """Hold the program up for so long from now on, as something in C that does not let go: nothing of it
        runs, no handler either. The hardware goes on, the radio too."""
        if self.supervisor is None or not self.supervisor.running:
            raise LunetteError("the glasses are off: there is no program to hold up")
        self.supervisor.stall(seconds)

    def battery(self, volts: float) -> None:
        """Set the cell's voltage, 0..5 V."""
        if not 0 <= volts <= 5:
            raise LunetteError(f"a battery has 0 to 5 V, not {volts}")
        data = self.board.parts.get("battery")
        if data is not None:
            self.chip.analog.volts[int(data["pin"])] = volts / float(data["ratio"])

    def usb(self, plugged: bool) -> None:
        """Plug the USB cable in or out: in, it keeps them awake. Not every board can tell."""
        data = self.board.parts.get("usb")
        if data is not None:
            active = int(data.get("active", 1))
            self.chip.pins.drive(int(data["pin"]), active if plugged else 1 - active)

    def worn(self, on: bool) -> None:
        """Put the glasses on, or take them off. Not every board can tell."""
        data = self.board.parts.get("worn")
        if data is not None:
            active = int(data.get("active", 1))
            self.chip.pins.drive(int(data["pin"]), active if on else 1 - active)

    @property
    def asleep(self) -> bool:
        """In deep sleep."""
        return self._asleep

    @property
    def device(self) -> Device | None:
        """The antenna, while there is one."""
        return self._device

    @property
    def dark_s(self) -> float:
        """Seconds without power so far."""
        since = 0.0 if self.powered else asyncio.get_running_loop().time() - self._dark_since
        return self._dark_s + since

    @property
    def light(self) -> bool:
        """Is the capture light lit?"""
        data = self.board.parts.get("light")
        return data is not None and self.chip.pins.level(int(data["pin"])) == int(data.get("active", 1))
