"""Virtual glasses that stay up until told to stop: for host programs, mpremote, fingers and scripts."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lunette import paths
from lunette.errors import LunetteError
from lunette.virtual import control, scene
from lunette.virtual.air import Air
from lunette.virtual.bleak_radio import Identity
from lunette.virtual.control import ControlServer, Running
from lunette.virtual.introduce import BONDS, introduce
from lunette.virtual.link_model import LinkModel
from lunette.virtual.performer import Performer
from lunette.virtual.simulator import ADDRESS, VirtualGlasses

_SCENE_ONLY = ("write", "mpremote", "set_link", "stranger")
ACTIONS = tuple(name for name in scene.ACTIONS if name not in _SCENE_ONLY and not name.startswith("host_"))


class Desk:
    """``await Desk(...).run(ready)``.

    `paired`: new glasses are paired with this computer's host already; else somebody has to do it.
    `observe(what, detail)` is told what `VirtualGlasses` tells, and "action" (scene.Action) for
    each thing that is done to them.
    """

    def __init__(
        self,
        board: str = "virtual",
        *,
        link: LinkModel | None = None,
        flash_image: Path | None = None,
        paired: bool = True,
        repl_port: int = 0,
        air_port: int = 0,
        observe: Callable[[str, Any], None] | None = None,
    ):
        self._board = board
        self._link = link or LinkModel()
        self._flash_image = flash_image
        self._paired = paired
        self._ports = (repl_port, air_port)
        self._observe = observe or (lambda what, detail: None)
        self._stop = asyncio.Event()
        self._air: Air | None = None
        self._performer: Performer | None = None
        self._running: Running | None = None
        self._volts = 4.0
        self.held: set[str] = set()

    @property
    def glasses(self) -> VirtualGlasses:
        if self._performer is None:
            raise LunetteError("the virtual glasses are still starting")
        return self._performer.glasses

    async def run(self, ready: Callable[[Running], None]) -> None:
        """Until `stop` or cancellation. `ready` is called when they are up and can be found.

        Raises LunetteError: another simulator runs, a port is busy, an unknown board, a bad image.
        """
        with control.claim() as publish:
            server = ControlServer(self.order, self._on_answered)
            air = self._air = Air(self._link)
            glasses: VirtualGlasses | None = None
            try:
                air_port = await self._serve_air(air)
                keys, files = await self._meet()
                glasses = VirtualGlasses(
                    air, self._board, files=files, flash_image=self._flash_image, observe=self._observe
                )
                self._performer = Performer(glasses)
                await glasses.prepare()
                assert glasses.supervisor is not None
                repl_port = await glasses.supervisor.serve_repl(port=self._ports[0])
                self._running = Running(
                    pid=os.getpid(),
                    board=self._board,
                    air=f"127.0.0.1:{air_port}",
                    repl_port=repl_port,
                    pty=glasses.supervisor.pty_path,
                    control=await server.start(),
                    mtu=self._link.mtu,
                    keys=str(keys),
                )
                await glasses.power_on()
                publish(self._running)
                ready(self._running)
                await self._stop.wait()
            finally:
                await server.close()
                if glasses is not None:
                    await glasses.close()
                await air.close()
                if self._flash_image is None:
                    self._keys_file().unlink(missing_ok=True)

    async def _meet(self) -> tuple[Path, dict[str, bytes]]:
        """(the file for the keys of this computer's host, files for new glasses). The keys stay beside the
        flash that knows them; glasses without one of their own are new each time, and so is the host."""
        keys = self._keys_file()
        if self._flash_image is not None and self._flash_image.exists():
            return keys, {}
        keys.unlink(missing_ok=True)
        if not self._paired:
            return keys, {}
        keys.parent.mkdir(parents=True, exist_ok=True)
        return keys, {BONDS: await introduce(Identity(str(keys)), ADDRESS)}

    def _keys_file(self) -> Path:
        if self._flash_image is not None:
            return self._flash_image.with_name(self._flash_image.name + ".host-keys")
        return paths.runtime_dir() / "host-keys.json"

    def stop(self) -> None:
        """Have `run` end in order."""
        self._stop.set()

    async def _serve_air(self, air: Air) -> int:
        port = self._ports[1]
        try:
            return await air.serve(port=port)
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise LunetteError(f"air port {port} on 127.0.0.1 {reason}; choose another") from None

    # --- orders ---------------------------------------------------------------------------------

    async def order(self, do: str, values: dict[str, Any]) -> Any:
        """Carry out an action of scenes, with unchecked `values`, or "status" or "quit".

        Returns when it is done: a hold when the finger is up, `say` when it has been said (at once
        with "wait": false). Raises LunetteError.
        """
        if do == "status":
            return self.status()
        if do == "quit":
            return None  # once that has been answered
        if do not in ACTIONS:
            raise LunetteError(f"{do!r} is none of: {', '.join((*ACTIONS, 'status', 'quit'))}")
        values = dict(values)
        wait = values.pop("wait", True)
        checked = scene.Action(0.0, do, scene.arguments(do, values, "order"))
        if "button" in checked.values:
            self.glasses.button(checked.values["button"])
        if do in ("tap", "double", "triple", "hold", "pair"):
            await self._fingers(checked)
            return None
        result = await self._perform(checked)
        if do == "say" and wait:
            await asyncio.sleep(result - asyncio.get_running_loop().time())
        return None

    def _on_answered(self, do: str) -> None:
        if do == "quit":
            self.stop()

    async def _fingers(self, action: scene.Action) -> None:
        start = asyncio.get_running_loop().time()
        try:
            for step in scene.expand(action):
                await asyncio.sleep(start + step.t - asyncio.get_running_loop().time())
                await self._perform(step)
        finally:
            button = action.values["button"]
            if button in self.held:  # cancelled half way: no finger stays on it
                await self._perform(scene.Action(0.0, "release", {"button": button}))

    async def _perform(self, action: scene.Action) -> Any:
        assert self._performer is not None
        result = await self._performer.perform(action.do, action.values)
        if action.do == "press":
            self.held.add(action.values["button"])
        elif action.do == "release":
            self.held.discard(action.values["button"])
        elif action.do == "battery":
            self._volts = float(action.values["volts"])
        self._observe("action", action)
        return result

    @property
    def volts(self) -> float:
        """Of the battery."""
        return self._volts

    @property
    def connections(self) -> int:
        """Links that are up."""
        return int(self._air.stats()["links"]) if self._air is not None else 0

    def status(self) -> dict[str, Any]:
        """What the world sees of them, as JSON values."""
        glasses, air = self.glasses, self._air
        assert air is not None and self._running is not None
        stats = air.stats()
        return {
            **asdict(self._running),
            "powered": glasses.powered,
            "light": glasses.light,
            "listening": glasses.chip.i2s.listening,
            "held": sorted(self.held),
            "battery_v": self._volts,
            "connections": stats["links"],
            "link": {"packets": stats["packets"], "bytes": stats["bytes"], "lost": stats["lost_links"]},
        }
