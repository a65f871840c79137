"""Somebody at the friendly prompt of virtual glasses, in real MicroPython; the page that shows what they see.

``python -m tests.at_prompt`` writes the answers in docs/repl.md anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lunette import paths
from lunette.audio_files import read_audio
from lunette.virtual.air import Air
from lunette.virtual.simulator import VirtualGlasses

PAGE = Path(__file__).parents[1] / "docs" / "repl.md"
LIMIT_S = 30.0
UP = "runtime  Lunette on virtual"
PROMPT = ">>> "
_BLOCK = re.compile(r"(```console\n)(.*?)(```)", re.S)


class AtPrompt:
    """`console` is what has been printed, `light` how often it went on. Leaving takes their power."""

    def __init__(self, files: dict[str, bytes] | None = None, **settings: Any):
        self._files = files or {}
        self._settings = settings
        self.console = ""
        self.light: list[bool] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> AtPrompt:
        self.air = Air()
        self.virtual = VirtualGlasses(
            self.air, files=self._files, settings=self._settings, observe=self._observe
        )
        await self.virtual.power_on()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.virtual.close()
        await self.air.close()

    def _observe(self, what: str, detail: Any) -> None:
        if what == "console":
            self.console += detail.decode(errors="replace")
        elif what == "light":
            self.light.append(detail)
        self._changed.set()

    async def until(self, done: Callable[[], Any], what: str) -> None:
        """Wait until ``done()``, which is asked whenever they have printed or the light has changed."""

        async def wait() -> None:
            while not done():
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(wait(), LIMIT_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"never: {what}\n{self.console}") from None

    async def printed(self, text: str) -> str:
        """Wait for `text`; returns what was printed up to its end, and forgets that."""
        await self.until(lambda: text in self.console, f"printed {text!r}")
        head, _, self.console = self.console.partition(text)
        return head + text

    async def keys(self, text: str) -> None:
        assert self.virtual.supervisor is not None
        await self.virtual.supervisor.console_write(text.encode())

    async def interrupt(self) -> None:
        """Ctrl-C, to the prompt."""
        await self.printed(UP)
        await self.keys("\x03")
        await self.printed(PROMPT)

    async def start(self, line: str) -> None:
        """Type a line; what it prints is yet to come."""
        self.console = ""
        await self.keys(line + "\r")
        await self.printed(line + "\r\n")

    async def ask(self, line: str) -> str:
        """Type a line; returns what it printed."""
        await self.start(line)
        return (await self.printed(PROMPT))[: -len(PROMPT)].replace("\r\n", "\n")

    async def quiet(self) -> None:
        """At the prompt, and from now on nothing of the log comes between what is asked."""
        await self.interrupt()
        await self.ask("import glasses, time; glasses.instance().log.set_level('error')")

    async def talk(self, seconds: float) -> None:
        """Hold the button for so long."""
        self.virtual.press()
        await self.until(lambda: self.light and self.light[-1], "the light goes on")
        await self.ask(f"time.sleep_ms({round(seconds * 1000)})")
        self.virtual.release()
        await self.until(lambda: not self.light[-1], "the light goes out")
        while await self.ask("glasses.instance().earcons.playing") != "False\n":
            pass  # the sound at its end


async def renewed(page: str) -> str:
    """The page with what glasses print now: some that have made a recording, and hear somebody speak."""
    speech = read_audio(paths.DATA / "speech.wav")
    async with AtPrompt() as glasses:
        await glasses.quiet()
        glasses.virtual.sound.say(speech)
        await glasses.talk(1.5)
        at, written = 0, ""
        for block in _BLOCK.finditer(page):
            answered = ""
            for line in block.group(2).splitlines():
                if line.startswith(PROMPT):
                    if "listen" in line:
                        glasses.virtual.sound.say(speech)
                    answered += line + "\n" + await glasses.ask(line[len(PROMPT) :])
            written += page[at : block.start()] + block.group(1) + answered + block.group(3)
            at = block.end()
        return written + page[at:]


def shape(page: str) -> list[str]:
    """The examples without what differs from day to day: numbers, and what depends on them."""
    lines = []
    for block in _BLOCK.findall(page):
        for line in block[1].splitlines():
            label = re.match(r"(states|used|by|counters|awake for) ", line)
            if label is not None:
                line = label.group(1)
            elif line.startswith(" " * 12) and "counters" in lines:
                continue
            line = re.sub(r"[#-]{24}", "BAR", line)
            lines.append(" ".join(re.sub(r"-?\d+(\.\d+)?", "N", line).split()))
    return lines


if __name__ == "__main__":
    PAGE.write_text(asyncio.run(renewed(PAGE.read_text())))
