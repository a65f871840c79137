"""A chip model with the HAL modules attached, in this process and in virtual time."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lunette import paths
from lunette.virtual.chip.chip import Chip
from lunette.virtual.cpython import micropython_modules, run


@dataclass
class Rig:
    """The modules that a program on `chip` imports."""

    chip: Chip
    machine: ModuleType
    esp32: ModuleType
    neopixel: ModuleType
    port: ModuleType


def with_chip(name: str = "esp32s3", **options: Any) -> Callable[[Any], Callable[..., None]]:
    """Run ``async def test(rig, ...)`` in virtual time on a fresh chip `name`."""

    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        def runner(**arguments: Any) -> None:
            async def main() -> None:
                chip = Chip(name, **options)
                port = importlib.import_module("_port")
                chip.attach_cpython(port)
                modules = [importlib.import_module(m) for m in ("machine", "esp32", "neopixel")]
                await test(Rig(chip, *modules, port), **arguments)
                assert not chip.errors

            with micropython_modules(paths.HAL):
                run(main())

        functools.update_wrapper(runner, test)
        signature = inspect.signature(test)
        others = list(signature.parameters.values())[1:]
        # So that pytest does not look for a fixture called `rig`.
        runner.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return runner

    return decorate
