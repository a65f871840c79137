"""One chip on which the firmware's modules start afresh after each reset, in virtual time."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

import pytest

from lunette import paths
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.power import ChipStopped
from lunette.virtual.cpython import micropython_modules, run


def module(name: str) -> Any:
    """Firmware module `name`, without `glasses/__init__.py`, which begins a run and needs a chip."""
    if "glasses" not in sys.modules:
        package = ModuleType("glasses")
        package.__path__ = [str(paths.FIRMWARE / "glasses")]
        sys.modules["glasses"] = package
    return importlib.import_module("glasses." + name)


class Restarts:
    """`chip` and its `machine`. `module` gives a firmware module of the program that runs since `reset`."""

    def __init__(self) -> None:
        self.chip = Chip("esp32s3")
        self.chip.attach_cpython(importlib.import_module("_port"))
        self.machine: Any = importlib.import_module("machine")

    def module(self, name: str) -> Any:
        return module(name)

    def forget(self) -> None:
        """The program is gone: what is imported next is a new one."""
        for name in [n for n in sys.modules if n.split(".")[0] == "glasses"]:
            del sys.modules[name]

    def reset(self, cause: str) -> None:
        """`cause` is one of chip.reset's: power_on, hard, wdt, deepsleep, soft."""
        self.chip.reset(cause)
        self.forget()

    async def sleep(self, ms: int) -> None:
        """Deep sleep and the wake from it by the timer."""
        with pytest.raises(ChipStopped):
            self.machine.deepsleep(ms)
        await asyncio.sleep(ms / 1000 + 0.01)
        self.forget()


def restarting(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Decorator for ``async def test(restarts, ...)``."""

    def runner(**arguments: Any) -> None:
        with micropython_modules(paths.HAL, paths.FIRMWARE):

            async def main() -> None:
                await test(Restarts(), **arguments)

            run(main())

    functools.update_wrapper(runner, test)
    signature = inspect.signature(test)
    # So that pytest does not look for a fixture of the first argument's name.
    rest = list(signature.parameters.values())[1:]
    runner.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    return runner
