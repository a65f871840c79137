"""Runs a target, or replays its corpus, in a world of its own, out of everybody's way."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.world import World, inside, run_world

from lunette.virtual.link_model import LinkModel

from . import entries
from .targets import TARGETS, play
from .watch import Watch

__all__ = ["TARGETS", "fuzz", "replay"]


def in_world(settings: dict[str, Any], work: Callable[[World], Awaitable[Watch]]) -> Watch:
    results: list[Watch] = []

    async def test(world: World) -> None:
        results.append(await work(world))

    with tempfile.TemporaryDirectory(prefix="lunette-fuzz-") as folder, inside(folder):
        Path("settings.json").write_text(json.dumps(settings))
        Path("boot.count").write_text("0")  # else ids of recordings begin anywhere
        with contextlib.redirect_stdout(io.StringIO()):  # the firmware's log
            run_world(Path(folder), test, listen=False, model=LinkModel(interval_ms=7.5))
    return results[0]


def fuzz(target: str, seed: int, writes: int) -> Watch:
    """What was seen. Raises Found."""
    return in_world(TARGETS[target][1], lambda world: play(world, target, seed, writes))


def replay(target: str) -> Watch:
    """The same of the corpus."""
    return in_world(entries.SETTINGS[target], lambda world: entries.replay(world, target))
