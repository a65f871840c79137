"""What keeps the glasses within reach, in real MicroPython: safe mode, and the prompt of busy glasses."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from lunette.virtual.air import Air
from lunette.virtual.simulator import VirtualGlasses

CRASHES = b"""
import glasses
import machine

@glasses.on("tap")
def tapped(event):
    glasses.note("never")

print("the app crashes")
machine.reset()
"""
LIMIT_S = 30.0


async def mpremote(port: int, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mpremote", "connect", f"socket://127.0.0.1:{port}", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0, out.decode()
    return out.decode()


class Glasses:
    """Virtual glasses with that main.py, or their own, and what they print."""

    def __init__(self, main: bytes | None = None):
        self._files = {} if main is None else {"main.py": main}
        self.console = ""
        self._printed = asyncio.Event()
        self.sleeps = 0

    async def __aenter__(self) -> Glasses:
        self.air = Air()
        self.virtual = VirtualGlasses(self.air, files=self._files, observe=self._observe)
        await self.virtual.power_on()
        assert self.virtual.supervisor is not None
        self.port = await self.virtual.supervisor.serve_repl()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.virtual.close()
        await self.air.close()

    def _observe(self, what: str, detail: Any) -> None:
        if what == "console":
            self.console += detail.decode(errors="replace")
            self._printed.set()
        self.sleeps += what == "sleep"

    async def printed(self, text: str, times: int = 1) -> None:
        async def wait() -> None:
            while self.console.count(text) < times:
                self._printed.clear()
                await self._printed.wait()

        try:
            await asyncio.wait_for(wait(), LIMIT_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"never printed {text!r}:\n{self.console}") from None


def test_an_app_that_crashes_three_times_is_left_out() -> None:
    async def scenario() -> None:
        async with Glasses(CRASHES) as glasses:
            await glasses.printed("the app crashes", 3)
            await glasses.printed("safe mode")
            await glasses.printed("runtime  Lunette on virtual")
            assert glasses.console.count("the app crashes") == 3
            told = await mpremote(
                glasses.port, "resume", "exec",
                "import glasses; g = glasses.instance(); print(g.running, g.presence.radio.interval_ms > 0);"
                "print(len(g.crashes.status()['log']))",
            )  # fmt: skip
            assert told.split() == ["True", "True", "3"], "prompt and link are there"

    asyncio.run(scenario())


def test_the_prompt_keeps_glasses_awake_and_says_how_busy_they_are() -> None:
    async def scenario() -> None:
        async with Glasses() as glasses:
            await glasses.printed("runtime  Lunette on virtual")
            told = await mpremote(
                glasses.port, "resume", "exec",
                "import glasses; p = glasses.instance().report_power(); print(p['busy_ms'] > 0, p['mhz']);"
                "print(sorted(p['locks']))",
            )  # fmt: skip
            assert told.split()[:2] == ["True", "80"]
            assert "prompt" in told and "grace" in told

    asyncio.run(scenario())


MARKED = b"""
import glasses
print("the app runs")
glasses.run()
"""


def test_the_button_held_at_a_reset_leaves_the_app_out() -> None:
    async def scenario() -> None:
        async with Glasses(MARKED) as glasses:
            await glasses.printed("the app runs")
            await glasses.printed("runtime  Lunette on virtual")
            await mpremote(glasses.port, "resume", "exec", "pass")  # they end at the prompt, not in a crash
            glasses.virtual.press()
            await glasses.virtual.hard_reset()
            blinked = asyncio.Event()
            glasses.virtual.chip.pins.watch(
                lambda pin, level, t: blinked.set() if (pin, level) == (2, 1) else None
            )
            await asyncio.wait_for(blinked.wait(), LIMIT_S)
            glasses.virtual.release()
            await glasses.printed("safe mode: the button was held at the start, so the app is left out")
            await glasses.printed(">>> ")
            await glasses.printed("runtime  Lunette on virtual", 2)
            told = await mpremote(
                glasses.port, "resume", "exec",
                "import glasses; g = glasses.instance(); print(g.running, g.presence.radio.interval_ms > 0);"
                "print(g.crashes.safe, g.crashes.status()['total'])",
            )  # fmt: skip
            assert told.split() == ["True", "True", "True", "0"], (
                "prompt and link are there, and nothing crashed"
            )
            assert glasses.console.count("the app runs") == 1
            await glasses.virtual.hard_reset()
            await glasses.printed("the app runs", 2)

    asyncio.run(scenario())
