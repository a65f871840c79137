"""A driver call that blocks the program, as light sleep does, while the world goes on: in one event loop.

The call is made somewhere inside the program's task. The loop is turned from in there until the chip has its
answer; meanwhile nothing of the program runs: steps of its tasks, interrupt handlers and scheduled callbacks
are put aside and come when the call returns, in their order.
"""

from __future__ import annotations

import asyncio
from asyncio import tasks
from collections.abc import Callable, Coroutine
from typing import Any


def wait_for(
    coroutine: Coroutine[Any, Any, Any],
    is_program: Callable[[Any], bool],
    is_over: Callable[[], bool],
) -> Any:
    """The result of `coroutine`, run while everything for which ``is_program(owner)`` holds stands still.

    `owner` is the task or object whose method the loop is about to call. Once ``is_over()``, the coroutine is
    cancelled and CancelledError is raised.
    """
    loop: Any = asyncio.get_running_loop()
    current = asyncio.current_task()
    work = loop.create_task(coroutine)
    aside: list[asyncio.Handle] = []
    # The turn that we are in counts on what it saw in the queue.
    counted = len(loop._ready)
    if current is not None:
        tasks._leave_task(loop, current)
    try:
        while not work.done():
            if is_over():
                work.cancel()
                raise asyncio.CancelledError
            _put_aside(loop._ready, aside, is_program)
            loop._run_once()
    finally:
        if current is not None:
            tasks._enter_task(loop, current)
        loop._ready.extendleft(reversed(aside))
        while len(loop._ready) < counted:
            nothing = asyncio.Handle(lambda: None, (), loop)
            nothing.cancel()
            loop._ready.append(nothing)
    return work.result()


def _put_aside(ready: Any, aside: list[asyncio.Handle], is_program: Callable[[Any], bool]) -> None:
    for _ in range(len(ready)):
        handle = ready.popleft()
        owner = getattr(handle._callback, "__self__", None)
        if owner is not None and is_program(owner):
            aside.append(handle)
        else:
            ready.append(handle)
