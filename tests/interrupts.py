"""A Bluetooth interrupt in the middle of a task, at every place where the chip allows one.

MicroPython lets the Bluetooth task run its handler where the main program branches, and where it waits or
prints. So an interrupt is tried after every jump and before every line of the firmware; within
an expression that does not branch none can come, nor within a kernel.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from lunette import paths

T = TypeVar("T")
_Place = tuple[int, int]  # the which call of a firmware's function (or return to it), the which step in it
_FIRMWARE = str(paths.FIRMWARE)
_KERNELS = str(paths.FIRMWARE / "glasses" / "dsp")


def at_every_step(
    prepare: Callable[[], T],
    task: Callable[[T], Any],
    interrupt: Callable[[T], Any],
    check: Callable[[T], None],
) -> int:
    """Do `task` with `interrupt` after its n-th step, for all n until the task has ended before; then
    `check`. `prepare` makes what each of them is given, anew each time, and the task does the same each time.
    Returns how many places there are."""
    places: list[_Place] = []
    for _ in range(2):  # the first time imports more
        places.clear()
        state = prepare()
        _watched(lambda state=state: task(state), lambda call, step: places.append((call, step)))  # type: ignore[misc]
        interrupt(state)
        check(state)
    for place in places:
        state = prepare()
        _interrupted(lambda state=state: task(state), lambda state=state: interrupt(state), place)  # type: ignore[misc]
        check(state)
    return len(places)


def _interrupted(task: Callable[[], Any], interrupt: Callable[[], Any], place: _Place) -> None:
    fired = False

    def at(call: int, step: int) -> None:
        nonlocal fired
        if (call, step) == place:
            fired = True
            interrupt()  # (is not traced itself)
            sys.settrace(None)

    # Only the call that has the place in it is looked at step by step, which is slow.
    _watched(task, at, place[0])
    assert fired, "the task does something else each time"


def _watched(task: Callable[[], Any], at: Callable[[int, int], None], only: int | None = None) -> None:
    """Do `task`; `at` is told the places of all calls, or of one."""
    calls = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal calls
        name = frame.f_code.co_filename
        if not name.startswith(_FIRMWARE) or name.startswith(_KERNELS):
            return None
        call = calls
        calls += 1
        return _steps(frame, lambda step: at(call, step)) if only in (None, call) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        task()
    finally:
        sys.settrace(before)


def _steps(frame: FrameType, at: Callable[[int], None]) -> Callable[..., Any]:
    frame.f_trace_opcodes = True
    branches = _branches(frame.f_code)
    steps = 0
    jumped = False

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps, jumped
        here = event == "line" or (event == "opcode" and jumped)
        if event == "opcode":
            jumped = frame.f_lasti in branches
        if here:
            steps += 1
            at(steps - 1)
        return trace

    return trace


@functools.cache
def _branches(code: CodeType) -> frozenset[int]:
    """Where in the code it jumps."""
    found = dis.get_instructions(code)
    return frozenset(step.offset for step in found if "JUMP" in step.opname or step.opname == "FOR_ITER")
