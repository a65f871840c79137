"""One run of the firmware in this process, from its first line to the instant at which the chip stops.

On the chip nothing runs after that. Here its tasks are still there, in the middle of something, and Python
would let them have their last word: `finally`, `except CancelledError`. So everything that the program's
code can name, modules, functions, `open`, is taken away from it first, at that instant; whatever it then
touches raises `ChipStopped`, which passes its own handlers as nothing else would.

Not modelled: an object that a task has in hand, such as an open file, is still there. Threads.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from lunette.virtual.chip.power import ChipStopped
from lunette.virtual.cpython import Environment, print_exception
from lunette.virtual.firmware_import import FirmwareFinder

_ROUNDS = 20  # turns of the loop within which a cancelled task has to end


class _Gone:
    """What is left of everything that a program could name."""

    def _stop(self, *_: Any, **__: Any) -> NoReturn:
        raise ChipStopped("over")

    __getattr__ = __call__ = __getitem__ = __setitem__ = __contains__ = __iter__ = __len__ = __bool__ = _stop
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __index__ = __mro_entries__ = _stop  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = __rfloordiv__ = _stop
    __truediv__ = __rtruediv__ = __mod__ = __rmod__ = __and__ = __rand__ = __or__ = __ror__ = _stop
    __xor__ = __rxor__ = __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __neg__ = __invert__ = _stop
    __hash__ = None  # type: ignore[assignment]


_GONE = _Gone()


class Program:
    """``entry()`` in a task, with modules that `finder` makes anew. `crash` is what ended it, if it was an
    error of its own."""

    def __init__(self, env: Environment, finder: FirmwareFinder, entry: Callable[[], Awaitable[Any]]):
        self._env = env
        self._finder = finder
        self._entry = entry
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self.crash: BaseException | None = None
        self.returned = False

    def start(self) -> None:
        """Run, with modules of its own."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._entry()
            self.returned = True
        except ChipStopped:
            pass
        except (Exception, SystemExit) as error:
            self.crash = error
            print_exception(error)

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done() and not self._over

    def halt(self) -> None:
        """The chip has stopped, now: not a line of the program has any effect from here on."""
        if self._over:
            return
        self._over = True
        self._env.scheduler.clear()
        for module in self._finder.loaded.values():
            if self._finder.is_main(module):  # those of the HAL find the chip gone, and have nothing else
                _take(vars(module))
        if self._finder.builtins:
            self._finder.builtins.update(_GONE_BUILTINS)
        self._finder.forget()

    async def bury(self) -> None:
        """Get rid of its tasks. RuntimeError if one refuses to end."""
        self.halt()
        loop = asyncio.get_running_loop()
        for _ in range(_ROUNDS):
            left = [task for task in asyncio.all_tasks(loop) if self.is_ours(task)]
            if not left:
                return
            for task in sorted(left, key=lambda task: (len(task.get_name()), task.get_name())):
                task.cancel()
            await asyncio.sleep(0)
        names = ", ".join(getattr(task.get_coro(), "__qualname__", "?") for task in left)
        raise RuntimeError(f"tasks of the firmware go on without a chip: {names}")

    def is_ours(self, task: asyncio.Task[Any]) -> bool:
        """Was that task made by the program?"""
        if task is self._task:
            return True
        code = getattr(task.get_coro(), "cr_code", None)
        return code is not None and self._finder.owns(code.co_filename)


def _take(names: dict[str, Any]) -> None:
    """Exceptions stay: an `except` has to be passed by, not to fail."""
    kept = {n: v for n, v in names.items() if v.__class__ is type and issubclass(v, BaseException)}
    names.update(dict.fromkeys(names, _GONE))
    if kept:
        names.update(kept)


_GONE_BUILTINS = dict(vars(builtins))
_take(_GONE_BUILTINS)
