"""Three starts in CPython and virtual time, one after the other: what each has imported when, and how many
bytecodes that took. Power comes, a timer wakes them for a beacon, a finger wakes them to listen."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.world import World, inside, run_world, virtual_board

from lunette.virtual import in_process
from lunette.virtual.in_process import Load

from .bytecodes import Bytecodes
from .marks import ADVERTISING, FRAME, MICROPHONE, Tap

COLD = "cold start"
BEACON = "beacon"
BUTTON = "button wake"
MARKS = {COLD: (ADVERTISING,), BEACON: (ADVERTISING,), BUTTON: (MICROPHONE, FRAME, ADVERTISING)}

# Asleep as soon as they may be, and called every 10 s.
SETTINGS = {"sleep": "deep", "reach_s": 10, "awake_s": 5, "grace_s": 10}


@dataclass(frozen=True)
class Moment:
    """`at_s`: time of the loop; `modules` of the firmware as far as they are, in the order in which they were
    complete; `bytecodes` by module."""

    at_s: float
    modules: tuple[str, ...]
    bytecodes: Counter[str] = field(default_factory=Counter)


def _imported() -> tuple[str, ...]:
    return tuple(name for name in sys.modules if name == "boot" or name.split(".")[0] == "glasses")


def starts(bytecodes: Bytecodes | None = None, timed: bool = True) -> dict[str, dict[str, Moment]]:
    """{start: {mark: Moment}}. `timed`: booting and imports take the time that the board's table says, else
    none; then the marks of what takes its own time, as a frame does, come when everything is imported."""
    found: dict[str, dict[str, Moment]] = {}

    async def play(world: World) -> None:
        loop = asyncio.get_running_loop()

        def look() -> Moment:
            counted = Counter() if bytecodes is None else bytecodes.by_module()
            return Moment(loop.time(), _imported(), counted)

        tap = Tap(world.chip, look)

        def begin() -> None:
            tap.clear()
            if bytecodes is not None:
                bytecodes.clear()

        world.usb(False)
        begin()
        await world.restart()
        found[COLD] = await tap.when(*MARKS[COLD])
        for name in (BEACON, BUTTON):
            await world.until(lambda: world.power.phase == in_process.ASLEEP, "they sleep", 60)
            begin()
            if name == BUTTON:
                world.press()
            found[name] = await tap.when(*MARKS[name])
        world.release()

    board = virtual_board()
    timing = {"boot_ms": board.CURRENTS["boot_ms"], "load": Load.of(board)} if timed else {}
    with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder, inside(folder):
        Path("settings.json").write_text(json.dumps(SETTINGS))
        with contextlib.redirect_stdout(io.StringIO()):  # the firmware's log
            run_world(Path(folder), play, listen=False, board=board, **timing)
    return found
