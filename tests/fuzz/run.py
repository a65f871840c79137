"""Runs a target in a world of its own, out of everybody's way."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.world import World, run_world

from lunette.virtual.link_model import LinkModel

from .targets import TARGETS, play
from .watch import Watch

__all__ = ["TARGETS", "in_world"]


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def in_world(target: str, seed: int, writes: int) -> Watch:
    """What was seen. Raises Found."""
    results: list[Watch] = []
    settings = TARGETS[target][1]

    async def test(world: World) -> None:
        results.append(await play(world, target, seed, writes))

    with tempfile.TemporaryDirectory(prefix="lunette-fuzz-") as folder, _inside(folder):
        Path("settings.json").write_text(json.dumps(settings))
        run_world(Path(folder), test, listen=False, model=LinkModel(interval_ms=7.5))
    return results[0]
