"""Runs something with the firmware in CPython and virtual time, out of everybody's way."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.world import World, inside, run_world

from lunette.virtual.link_model import LinkModel

T = TypeVar("T")


def in_world(work: Callable[[World], Awaitable[T]], model: LinkModel, *, listen: bool, **options: Any) -> T:
    """What ``await work(world)`` returns. The glasses are on, with `listen` a host has connected, and
    both sides offer the model's MTU. `options` are World's. RuntimeError if they did not agree on it."""
    results = []

    async def play(world: World) -> None:
        results.append(await work(world))
        link = world.glasses.link
        if link.connected and link.mtu != model.mtu:
            raise RuntimeError(f"the MTU was {link.mtu}")

    with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder, inside(folder):
        Path("settings.json").write_text(json.dumps({"mtu": model.mtu}))
        with contextlib.redirect_stdout(io.StringIO()):  # the firmware's log
            run_world(Path(folder), play, listen=listen, model=model, **options)
    return results[0]
