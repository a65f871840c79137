"""Runs the unmodified firmware in CPython: MicroPython's extra names, and an event loop in virtual time.

`VirtualLoop` never sleeps: when nothing is ready it jumps to the next timer. A second of firmware takes
as long as its computing takes, and two runs see the same times. Within one callback time stands
still, so a busy wait on ``ticks_ms`` never ends; ``time.sleep_ms`` moves the clock.

`micropython_modules` puts in place what MicroPython has and CPython has not (``micropython``,
``time.ticks_*``, ``asyncio.ThreadSafeFlag``, ...) for the duration of a ``with`` block, and removes it
together with every firmware module, so that the next block starts with fresh singletons.

Not modelled: the heap (``heap_lock`` only counts), preemption (scheduled callbacks run between tasks,
not between bytecodes), MicroPython's smaller standard library, and error numbers that differ on the
chip (ENOTCONN is 128 there).
"""

from __future__ import annotations

import asyncio
import asyncio.events
import builtins
import gc
import importlib
import os
import selectors
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from heapq import heapify, heappop
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from lunette.virtual import viper as _viper
from lunette.virtual.chip.power import ChipStopped

T = TypeVar("T")
_Ready = list[tuple[selectors.SelectorKey, int]]

TICKS_PERIOD = 1 << 30
"""Period of ``ticks_ms``, ``ticks_us`` and ``ticks_cpu`` on the ESP32: a small integer's positive half."""

SCHEDULE_DEPTH = 8
"""Entries of ``micropython.schedule``'s queue on the ESP32."""

# Slack for binary fractions: 0.29 s must read as 290 ms. The loop's own timers use the same slack.
_RESOLUTION_S = 1e-9
_POLL_EVERY = 256
_MOST_CANCELLED = 16


class DeadlockError(RuntimeError):
    """No task can ever run again: nothing is scheduled and nothing outside can wake the loop."""


# --- Virtual time ---------------------------------------------------------------------------------


class _JumpingSelector(selectors.DefaultSelector):
    """Polls real file descriptors, but asks the loop to move its clock instead of waiting."""

    idle: Callable[[float | None, Callable[[float], _Ready]], _Ready]

    def select(self, timeout: float | None = None) -> _Ready:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self.idle(timeout, super().select)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual.

    ``start_s`` is what `time` returns first. Real file descriptors are polled before every jump, but
    time does not wait for them: with timers pending, a peer in another process sees time fly. While a
    job runs in an executor, or when only file descriptors are left to wait for, the loop waits up to
    ``patience_s`` real seconds.
    """

    def __init__(self, start_s: float = 0.0, *, patience_s: float = 5.0) -> None:
        self._now = start_s
        self._patience = patience_s
        self._jobs = 0
        self._jumping = _JumpingSelector()
        self._jumping.idle = self._idle
        self._turn = 0
        super().__init__(self._jumping)
        self._own_descriptors = len(self._jumping.get_map())  # the loop's wake-up socket

    def _run_once(self) -> None:
        """One turn: asyncio's own, without the look at file descriptors when nobody outside has any. They
        are looked at now and then all the same, because a thread's wake-up fills the loop's socket."""
        self._turn += 1
        shared: Any = self
        alone = not self._jobs and len(self._jumping.get_map()) <= self._own_descriptors
        scheduled, ready = shared._scheduled, shared._ready
        if not alone or self._turn % _POLL_EVERY == 0 or not (scheduled or ready):
            super()._run_once()  # type: ignore[misc]
            return
        if shared._timer_cancelled_count > _MOST_CANCELLED:
            # Each timer is compared with a few others as it comes and goes: not with those, too.
            for handle in scheduled:
                if handle._cancelled:
                    handle._scheduled = False
            scheduled[:] = [handle for handle in scheduled if not handle._cancelled]
            heapify(scheduled)
            shared._timer_cancelled_count = 0
        while scheduled and scheduled[0]._cancelled:
            shared._timer_cancelled_count -= 1
            heappop(scheduled)._scheduled = False
        if not ready and not shared._stopping:
            if not scheduled:
                return  # the next turn sees to it
            self._now += max(0.0, scheduled[0]._when - self._now)
        limit = self._now + shared._clock_resolution
        while scheduled and scheduled[0]._when < limit:
            handle = heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        # The end of a program on the chip is no error of whoever happened to be running.
        if not isinstance(context.get("exception"), ChipStopped):
            super().call_exception_handler(context)

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock as a blocking sleep does: timers that are passed fire late.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._now += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, _future: Any) -> None:
        self._jobs -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._jobs += 1  # its thread wakes the loop, too
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jobs -= 1

    def _idle(self, timeout: float | None, wait: Callable[[float], _Ready]) -> _Ready:
        """Nothing is ready: move to the next timer, or wait for the world outside."""
        if self._jobs:
            return wait(self._patience)
        if timeout is not None:
            self._now += timeout
            return []
        if len(self._jumping.get_map()) > self._own_descriptors:
            ready = wait(self._patience)
            if ready:
                return ready
        raise DeadlockError(f"deadlock at {self._now:.3f} s: nothing will ever happen{self._waiting()}")

    def _waiting(self) -> str:
        lines = []
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = task.get_stack(limit=1)
            where = f" at {frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else ""
            coroutine = getattr(task.get_coro(), "__qualname__", "?")
            lines.append(f"\n  {task.get_name()} waits in {coroutine}{where}")
        return "".join(lines)


def run(main: Coroutine[Any, Any, T], *, loop: VirtualLoop | None = None) -> T:
    """Run ``main`` to its end in virtual time, then cancel what it left and close the loop.

    Raises:
        DeadlockError: ``main`` waits for what can never happen.
    """
    loop = loop or VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            loop.run_until_complete(_cancel(asyncio.all_tasks(loop)))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


class Clock:
    """What ``time.ticks_*`` read: microseconds since the glasses' power on.

    The running `VirtualLoop`'s time if there is one in this thread, else `fallback_us`, since `boot_us`, plus
    ``offset_us`` (set it to put a counter's wrap where a test wants it). `on_blocked` is called after time
    has passed in a program that did not let go: interrupts come then.
    """

    def __init__(self) -> None:
        self.fallback_us = 0
        self.boot_us = 0
        self.offset_us = 0
        self.on_blocked: Callable[[], None] = lambda: None

    @staticmethod
    def _loop() -> VirtualLoop | None:
        loop = asyncio.events._get_running_loop()
        return loop if isinstance(loop, VirtualLoop) else None

    def now_us(self) -> int:
        """Microseconds, not wrapped."""
        loop = self._loop()
        base = self.fallback_us if loop is None else int((loop.time() + _RESOLUTION_S) * 1e6)
        return base - self.boot_us + self.offset_us

    def sleep_us(self, duration: int) -> None:
        """Block: time passes and nothing else runs. Negative durations return at once."""
        loop = self._loop()
        if duration <= 0:
            return
        if loop is None:
            self.fallback_us += duration
        else:
            loop.advance(duration / 1e6)
            self.on_blocked()


# --- time -----------------------------------------------------------------------------------------


def ticks_diff(end: int, start: int) -> int:
    """Signed difference of two tick values, -2**29..2**29-1."""
    half = TICKS_PERIOD // 2
    return ((end - start + half) & (TICKS_PERIOD - 1)) - half


def ticks_add(ticks: int, delta: int) -> int:
    """``ticks + delta`` on the circle of ticks.

    Raises:
        OverflowError: ``delta`` is half a period or more.
    """
    if not -(TICKS_PERIOD // 2) < delta < TICKS_PERIOD // 2:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & (TICKS_PERIOD - 1)


def _time_names(clock: Clock) -> dict[str, Any]:
    mask = TICKS_PERIOD - 1
    real_sleep = time.sleep

    def sleep(seconds: float) -> None:
        if clock._loop() is None:
            real_sleep(seconds)
        else:
            clock.sleep_us(round(seconds * 1e6))

    return {
        "sleep": sleep,
        "sleep_ms": lambda ms: clock.sleep_us(ms * 1000),
        "sleep_us": clock.sleep_us,
        "ticks_add": ticks_add,
        "ticks_cpu": lambda: clock.now_us() * 160 & mask,
        "ticks_diff": ticks_diff,
        "ticks_ms": lambda: clock.now_us() // 1000 & mask,
        "ticks_us": lambda: clock.now_us() & mask,
    }


# --- asyncio --------------------------------------------------------------------------------------


class ThreadSafeFlag:
    """MicroPython's ``asyncio.ThreadSafeFlag``: set from an interrupt, awaited by one task.

    As there, `set` is noticed when the loop next polls (a `clear` before that undoes it), and `wait`
    clears the flag. A second waiter raises RuntimeError; on the chip it would be lost.
    """

    def __init__(self) -> None:
        self.state = 0
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        self.state = 1
        waiter = self._waiter
        if waiter is not None:
            loop = waiter.get_loop()
            if asyncio.events._get_running_loop() is loop:
                loop.call_soon(self._poll)
            else:
                loop.call_soon_threadsafe(self._poll)

    def clear(self) -> None:
        self.state = 0

    def _poll(self) -> None:
        if self.state and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        if not self.state:
            if self._waiter is not None:
                raise RuntimeError("ThreadSafeFlag: one task at a time can wait")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self.state = 0


def _asyncio_names() -> dict[str, Any]:
    async def sleep_ms(ms: int) -> None:
        await asyncio.sleep(max(0, ms) / 1000)

    async def wait_for_ms(awaitable: Any, ms: int) -> Any:
        return await asyncio.wait_for(awaitable, ms / 1000)

    return {"ThreadSafeFlag": ThreadSafeFlag, "sleep_ms": sleep_ms, "wait_for_ms": wait_for_ms}


# --- micropython, gc, sys -------------------------------------------------------------------------


class Scheduler:
    """``micropython.schedule``: a queue of 8 callbacks that run, one a loop iteration, in order.

    An exception in a callback is printed, as on the chip, and kept in `failures` for a test to see.
    """

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self._queue: deque[tuple[Callable[[Any], Any], Any]] = deque()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def schedule(self, function: Callable[[Any], Any], arg: Any) -> None:
        """Queue ``function(arg)``.

        Without a loop it stays queued until `run_pending`, or until a loop next schedules.

        Raises:
            RuntimeError: 8 callbacks wait already.
        """
        if not callable(function):
            raise TypeError("schedule() needs a function")
        with self._lock:
            if len(self._queue) >= SCHEDULE_DEPTH:
                raise RuntimeError("schedule queue full")
            self._queue.append((function, arg))
        running = asyncio.events._get_running_loop()
        if running is not None:
            # A new loop also runs what was queued when there was none.
            calls = 1 if running is self._loop else len(self._queue)
            self._loop = running
            for _ in range(calls):
                running.call_soon(self.run_one)
        elif self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.run_one)

    def run_one(self) -> bool:
        """Run the oldest entry; False if there is none."""
        with self._lock:
            if not self._queue:
                return False
            function, arg = self._queue.popleft()
        try:
            function(arg)
        except ChipStopped:
            pass  # it went to sleep, or the program was over before its turn came
        except Exception as error:
            self.failures.append(error)
            print_exception(error)
        return True

    def clear(self) -> None:
        """The program is over: what it had scheduled does not run any more."""
        with self._lock:
            self._queue.clear()

    def run_pending(self) -> None:
        """Run what is queued now, for code without a loop."""
        for _ in range(len(self._queue)):
            self.run_one()


def print_exception(error: BaseException, file: Any = None) -> None:
    """MicroPython's ``sys.print_exception``: the traceback to ``file``, by default standard output."""
    target = sys.stdout if file is None else file
    target.write("".join(traceback.format_exception(type(error), error, error.__traceback__)))


def _micropython_module(scheduler: Scheduler) -> ModuleType:
    depth = 0

    def heap_lock() -> None:
        nonlocal depth
        depth += 1

    def heap_unlock() -> int:
        nonlocal depth
        depth -= 1
        return depth

    module = ModuleType("micropython", "CPython stand-in for MicroPython's own module.")
    names: dict[str, Any] = {
        "alloc_emergency_exception_buf": lambda size: None,
        "const": lambda value: value,
        "heap_lock": heap_lock,
        "heap_unlock": heap_unlock,
        "heap_locked": lambda: depth,
        "kbd_intr": lambda char: None,
        "mem_info": lambda verbose=0: None,
        "native": lambda function: function,
        "opt_level": lambda level=None: 0 if level is None else None,
        "schedule": scheduler.schedule,
        "viper": _viper.viper,
    }
    vars(module).update(names)
    return module


def _gc_names() -> dict[str, Any]:
    return {
        # CPython's goes through everything that the tests have loaded, and frees nothing of the firmware's.
        "collect": lambda *_: 0,
        "mem_alloc": lambda: 0,
        "mem_free": lambda: 1 << 23,
        "threshold": lambda amount=None: -1 if amount is None else None,
    }


# --- Putting it in place --------------------------------------------------------------------------

_BOARD_MODULES = frozenset(
    ("_ops", "_port", "bluetooth", "board", "camera", "esp32", "machine", "main", "micropython", "neopixel")
)


class Environment:
    """What a ``with micropython_modules(...)`` block yields.

    `clock` is behind ``time.ticks_*``, `scheduler` behind ``micropython.schedule``.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.scheduler = Scheduler()


def _own(folders: tuple[str, ...]) -> list[str]:
    """The names of the imported modules that are the firmware's, the HAL's or a board's."""
    found = []
    # Of thousands of modules, twice for each block: hence text, and few steps.
    for name, module in sys.modules.items():
        package = name.partition(".")[0]
        if package == "lunette":  # the simulator itself may live next to the HAL
            continue
        own = package in _BOARD_MODULES or package == "glasses"
        if own or (getattr(module, "__file__", None) or "").startswith(folders):
            found.append(name)
    return found


_MISSING = object()
_active: Environment | None = None


@contextmanager
def micropython_modules(
    hal_dir: Path | str | None = None,
    firmware_dir: Path | str | None = None,
    extra: Mapping[str, ModuleType] | None = None,
    *,
    paths: Iterable[Path | str] = (),
) -> Iterator[Environment]:
    """Make CPython look like MicroPython on the glasses, and undo it at the end of the block.

    Args:
        hal_dir: folder of ``machine``, ``bluetooth``, ``esp32``; may be absent. Its ``time`` is not used.
        firmware_dir: folder of ``main`` and ``glasses``; may be absent.
        extra: modules to put in place by name, for example a fake ``machine`` or a ``board``.
        paths: more folders to import from; their modules are dropped at the end, too.

    Raises:
        RuntimeError: a block is active already: what it replaces is global to the process.
    """
    global _active
    if _active is not None:
        raise RuntimeError("micropython_modules() is active already")
    folders = [Path(p).resolve() for p in (firmware_dir, hal_dir, *paths) if p is not None]
    environment = Environment()
    changes: list[tuple[Any, dict[str, Any]]] = [
        (time, _time_names(environment.clock)),
        (asyncio, _asyncio_names()),
        (gc, _gc_names()),
        (builtins, dict(_viper._TYPES)),
        (sys, {"print_exception": print_exception}),
    ]
    before_path, before_finders = list(sys.path), list(sys.meta_path)
    placed = dict(extra or {})
    prefixes = tuple(f"{folder}{os.sep}" for folder in folders)
    before_modules = {n: sys.modules[n] for n in {*_own(prefixes), *placed} if n in sys.modules}
    for name in before_modules:
        del sys.modules[name]
    before_names = [
        (target, name, target.__dict__.get(name, _MISSING)) for target, names in changes for name in names
    ]
    _active = environment
    try:
        for target, names in changes:
            for name, value in names.items():
                setattr(target, name, value)
        sys.modules["micropython"] = _micropython_module(environment.scheduler)
        sys.modules.update(placed)
        sys.path[:0] = [str(folder) for folder in folders]
        importlib.invalidate_caches()
        yield environment
    finally:
        _active = None
        sys.path[:], sys.meta_path[:] = before_path, before_finders
        for name in {*_own(prefixes), *placed}:
            sys.modules.pop(name, None)
        sys.modules.update(before_modules)
        for target, name, value in before_names:
            if value is _MISSING:
                delattr(target, name)
            else:
                setattr(target, name, value)
        importlib.invalidate_caches()
