"""Carries out the actions of scenes and of `lunette sim ...` on virtual glasses."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Protocol

from lunette.audio_files import read_audio
from lunette.errors import LunetteError
from lunette.virtual import spoken
from lunette.virtual.chip.sound import Noise
from lunette.virtual.scene import place
from lunette.virtual.simulator import VirtualGlasses
from lunette.virtual.stranger import Stranger

_MPREMOTE_TIMEOUT_S = 60.0
_WRITING_TIMEOUT_S = 20.0
_LOOK_S = 0.001


class HostSide(Protocol):
    """What a performer needs of the host that listens, if there is one."""

    async def leave(self) -> None: ...
    async def crash(self) -> None: ...
    def come_back(self) -> None: ...
    async def pair(self) -> None: ...
    def stall(self, seconds: float) -> None: ...
    async def write(self, characteristic: str, data: bytes) -> None: ...


class Performer:
    """`folder` is where relative WAV paths start, `repl_port` where mpremote finds the glasses."""

    def __init__(
        self,
        glasses: VirtualGlasses,
        *,
        host: HostSide | None = None,
        folder: Path | None = None,
        repl_port: int | None = None,
    ):
        self.glasses = glasses
        self.host = host
        self.folder = folder or Path()
        self.repl_port = repl_port
        self.mpremote_runs: list[dict[str, Any]] = []
        self.strangers: list[Stranger] = []
        self._jobs: list[asyncio.Task[None]] = []
        self._clips: dict[Path, Any] = {}
        self._noises: dict[int, Noise] = {}  # by the identity of the action's values

    async def close(self) -> None:
        """Whoever is still there has to go."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    def clip(self, values: dict[str, Any]) -> Any:
        """What a `say` is to say, as 16 kHz mono int16. It is made once. Raises LunetteError."""
        if "text" in values:
            return spoken.clip(values["text"], values["voice"], values["rate"])
        path = Path(values["wav"])
        path = path if path.is_absolute() else self.folder / path
        if path not in self._clips:
            self._clips[path] = read_audio(path)
        return self._clips[path]

    def make_noise(self, values: dict[str, Any]) -> None:
        """Get the noise of an action ready, which takes its time. Raises LunetteError."""
        try:
            noise = self.glasses.sound.make_noise(values["kind"], float(values["level_dbfs"]), place(values))
        except ValueError as error:
            raise LunetteError(str(error)) from None
        self._noises[id(values)] = noise

    async def perform(self, do: str, values: dict[str, Any]) -> Any:
        """Carry out one action (its values checked by `scene.arguments`). Raises LunetteError."""
        glasses = self.glasses
        if do == "press":
            glasses.press(values["button"])
        elif do == "release":
            glasses.release(values["button"])
        elif do == "say":
            # When it will have been said, on the loop's clock.
            clip = await asyncio.to_thread(self.clip, values) if "text" in values else self.clip(values)
            return glasses.sound.say(clip, gain_db=float(values["gain_db"]), place=place(values))
        elif do == "noise":
            if id(values) not in self._noises:
                await asyncio.to_thread(self.make_noise, values)
            noise = self._noises.pop(id(values))
            glasses.sound.begin_noise(noise, duration=float(values["seconds"]) or None)
        elif do == "mic":
            microphone = glasses.microphone(values["channel"])
            if "fault" in values:
                microphone.break_(values["fault"], values.get("value"), values.get("bit"))
            if "noise_dbfs" in values:
                microphone.noise_dbfs = float(values["noise_dbfs"])
        elif do == "stall":
            glasses.stall(float(values["seconds"]))
        elif do == "drop":
            return glasses.air.drop()
        elif do == "power_cut":
            if values["written"]:
                await self._until_written(values["written"].encode())
            await glasses.power_cut()
        elif do == "power_on":
            await glasses.power_on()
        elif do == "battery":
            glasses.battery(float(values["volts"]))
        elif do == "usb":
            glasses.usb(values["plugged"])
        elif do == "worn":
            glasses.worn(values["on"])
        elif do == "mpremote":
            return await self._mpremote([str(a) for a in values["args"]])
        elif do == "set_link":
            for name, value in values.items():
                setattr(glasses.air.model, name, value)
        elif do == "stranger":
            self.strangers.append(Stranger(glasses.air, glasses.address, values["tries"]))
            self._jobs.append(asyncio.ensure_future(self.strangers[-1].run(float(values["seconds"]))))
        elif self.host is None:
            raise LunetteError(f"{do} needs a listening host, which only a scene has")
        elif do == "host_leave":
            await self.host.leave()
        elif do == "host_crash":
            await self.host.crash()
        elif do == "host_pair":
            await self.host.pair()
        elif do == "host_stall":
            self.host.stall(float(values["seconds"]))
        elif do == "host_return":
            self.host.come_back()
        elif do == "write":
            await self.host.write(values["characteristic"], bytes.fromhex(values["hex"]))
        else:
            raise LunetteError(f"unknown action {do!r}")
        return None

    async def _until_written(self, text: bytes) -> None:
        """Return when flash holds these bytes. Every erase and program is one write to the image, so its
        time tells when to look."""
        image, loop = self.glasses.flash_image, asyncio.get_running_loop()
        looked, end = 0, loop.time() + _WRITING_TIMEOUT_S
        while True:
            changed = image.stat().st_mtime_ns
            if changed != looked:
                looked = changed
                if text in image.read_bytes():
                    return
            if loop.time() > end:
                raise LunetteError(f"power_cut: {text.decode()} was not written in {_WRITING_TIMEOUT_S:g} s")
            await asyncio.sleep(_LOOK_S)

    async def _mpremote(self, args: list[str]) -> dict[str, Any]:
        if self.repl_port is None:
            raise LunetteError("mpremote needs the REPL port to be served")
        command = [sys.executable, "-m", "mpremote", "connect", f"socket://127.0.0.1:{self.repl_port}", *args]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _MPREMOTE_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise LunetteError(f"mpremote {' '.join(args)} did not end") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        run = {"args": args, "code": process.returncode, "output": output.decode(errors="replace")}
        self.mpremote_runs.append(run)
        return run
