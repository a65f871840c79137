"""A Bluetooth interrupt in the middle of a task, at every place where the chip allows one.

MicroPython lets the Bluetooth task run its handler where the main program branches, and where it waits or
prints. So an interrupt is tried after every jump and before every line of the firmware; within
an expression that does not branch none can come, nor within a kernel.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from lunette import paths

T = TypeVar("T")
_FIRMWARE = str(paths.FIRMWARE)
_KERNELS = str(paths.FIRMWARE / "glasses" / "dsp")


def at_every_step(
    prepare: Callable[[], T],
    task: Callable[[T], Any],
    interrupt: Callable[[T], Any],
    check: Callable[[T], None],
) -> int:
    """Do `task` with `interrupt` after its n-th step, for all n until the task has ended before; then
    `check`. `prepare` makes what each of them is given, anew each time. Returns how many places there are."""
    n = 0
    while True:
        state = prepare()
        fired = _once(lambda state=state: task(state), lambda state=state: interrupt(state), n)  # type: ignore[misc]
        if not fired:
            interrupt(state)
        check(state)
        if not fired:
            return n
        n += 1
        assert n < 20_000, "the task does not end"


def _once(task: Callable[[], Any], interrupt: Callable[[], Any], n: int) -> bool:
    left = n
    fired = False
    jumped: dict[FrameType, bool] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left, fired
        name = frame.f_code.co_filename
        if not name.startswith(_FIRMWARE) or name.startswith(_KERNELS):
            return None
        frame.f_trace_opcodes = True
        here = event == "line" or (event == "opcode" and jumped.get(frame, False))
        if event == "opcode":
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            jumped[frame] = "JUMP" in name or name == "FOR_ITER"
        if here and not fired:
            if left == 0:
                fired = True
                interrupt()  # (is not traced itself)
            left -= 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        task()
    finally:
        sys.settrace(before)
    return fired
