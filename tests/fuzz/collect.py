"""Adds to the corpus: plays random inputs one by one and keeps those that take a new way through the code.

A way is a pair of lines, one run after the other, in the firmware or in the simulated chip's Bluetooth.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from tests.world import World

from . import inputs
from .entries import SERVICES, SETTINGS, Entry, Sender, load, save
from .run import in_world
from .watch import Watch

_CHIP = "/virtual/chip/"
_BLUETOOTH = ("att_channel", "l2cap", "pairing", "security", "gatt_server")
_LOOKED_AT = ("/firmware/glasses/", *(_CHIP + name for name in _BLUETOOTH))


class Ways:
    """`new()` tells how many ways were taken for the first time since it was last asked."""

    def __init__(self) -> None:
        self._seen: set[tuple[Any, int, int]] = set()
        self._known = 0
        self._wanted: dict[Any, bool] = {}

    def trace(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        wanted = self._wanted.get(code)
        if wanted is None:
            wanted = self._wanted[code] = any(part in code.co_filename for part in _LOOKED_AT)
        if not wanted:
            return None
        before = -1

        def lines(frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
            nonlocal before
            kind = arg[0].__name__ if event == "exception" else ""
            self._seen.add((code, before, frame.f_lineno, kind))  # type: ignore[arg-type]
            before = frame.f_lineno
            return lines

        return lines

    def new(self) -> int:
        count = len(self._seen) - self._known
        self._known = len(self._seen)
        return count


def _make(target: str, rng: Random, number: int, sender: Sender) -> bytes:
    if target == "control":
        known = list(sender.host.answers.recordings) if sender.peer is not None else []
        return inputs.control(rng, number, known)
    if target == "current_time":
        return inputs.current_time(rng)
    if target == "omi_time":
        return inputs.omi_time(rng)
    return inputs.frame(rng, list(range(1, 35)))


def _why(sender: Sender, before: dict[str, int]) -> str:
    told = [k for k, v in sender.watch.outcomes.items() if v != before.get(k) and "response" not in k]
    last = sender.peer.last if sender.peer is not None else b""
    if sender.target not in SERVICES and last:
        told = [f"answered {last[0]:02x}" + (f", error {last[4]:02x}" if last[0] == 1 else "")]
    return ", ".join(told) or "a new way"


def collect(target: str, count: int, seed: int) -> list[Entry]:
    entries = load(target)
    rng = Random(f"corpus {target} {seed}")
    ways = Ways()

    async def test(world: World) -> Watch:
        watch = Watch(world)
        watch.baseline = Path("settings.json").read_bytes()
        with watch.watching():
            await world.until(lambda: world.radio.active, "the glasses start")
            sender = Sender(watch, target)
            sys.settrace(ways.trace)
            try:
                for entry in list(entries):
                    await sender.send(entry.data)
                await asyncio.sleep(2)
                ways.new()
                for number in range(count):
                    data = _make(target, rng, number, sender)
                    if number % 40 == 20:
                        world.press()
                    if number % 40 == 30:
                        world.release()
                    before = dict(watch.outcomes)
                    if sender.peer is not None:
                        sender.peer.last = b""
                    await sender.send(data)
                    if ways.new():
                        entries.append(Entry(_why(sender, before), data))
            finally:
                sys.settrace(None)
            await sender.finish()
        return watch

    in_world(SETTINGS[target], test)
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.collect", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(SETTINGS)}")
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for target in options.targets or list(SETTINGS):
        before = len(load(target))
        entries = collect(target, options.inputs, options.seed)
        save(target, entries)
        print(f"{target}: {before} entries, now {len(entries)}", file=sys.stderr)


if __name__ == "__main__":
    main()
