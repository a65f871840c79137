"""A microphone by its board's data, on the chip model."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import numpy as np

from lunette import paths
from lunette.virtual.chip.chip import Chip
from lunette.virtual.cpython import micropython_modules, run
from lunette.virtual.kernels import fast_kernels


def with_chip(test: Callable[[Chip], Coroutine[Any, Any, None]], parts: Any = None) -> None:
    """Run ``await test(chip)`` in virtual time; `parts` is what the board has at the chip's pins."""
    with micropython_modules(paths.HAL, paths.FIRMWARE):
        fast_kernels()

        async def main() -> None:
            chip = Chip("esp32s3", parts=parts)
            chip.attach_cpython(importlib.import_module("_port"))
            await test(chip)
            assert not chip.errors

        run(main())


def made(data: dict[str, Any]) -> Any:
    """The part "mic" of these data."""
    from glasses.board import Parts

    parts = Parts(SimpleNamespace(PARTS={"mic": data}))
    parts.make_first()
    assert not parts.problems
    return parts.microphone


async def heard(microphone: Any, frames: int) -> list[np.ndarray[Any, Any]]:
    """What one capture of so many frames gives, an int16 array for each channel."""
    microphone.prepare()
    channels: list[list[bytes]] = [[] for _ in range(microphone.channels)]
    pcm = bytearray(640)
    microphone.start()
    for _ in range(frames):
        for _ in range(100):
            if microphone.ready():
                break
            await asyncio.sleep(0.003)
        index = microphone.take()
        for channel, got in enumerate(channels):
            microphone.read(index, channel, pcm)
            got.append(bytes(pcm))
        microphone.give(index)
    microphone.stop()
    return [np.frombuffer(b"".join(got), "<i2") for got in channels]
