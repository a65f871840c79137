"""Several plays at once: one process each, since the firmware in CPython takes a process for itself."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from lunette.errors import LunetteError

_LOOK_S = 0.2


@dataclass(frozen=True)
class Job:
    """``work(*arguments, progress=...)``, a function of a module; `progress` takes a float."""

    work: Callable[..., Any]
    arguments: tuple[Any, ...]


def run_all(
    jobs: Sequence[Job], on_progress: Callable[[int, float], None] = lambda i, done: None
) -> list[Any]:
    """The results, in order. `on_progress(i, what job i tells)`. Raises what a job raised: LunetteError as it
    was, all else as RuntimeError with its traceback. No process is left when it returns or raises."""
    context = multiprocessing.get_context("spawn")
    results: list[Any] = [None] * len(jobs)
    waiting = list(range(len(jobs)))[::-1]
    running: dict[Connection, tuple[int, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                i = waiting.pop()
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(jobs[i], there), daemon=True)
                process.start()
                there.close()
                running[here] = (i, process)
            for ready in wait(list(running), _LOOK_S):
                assert isinstance(ready, Connection)
                i, process = running[ready]
                try:
                    what, detail = ready.recv()
                except EOFError:
                    raise RuntimeError(f"a process ended with {process.exitcode}, without a result") from None
                if what == "progress":
                    on_progress(i, detail)
                    continue
                if what == "refused":
                    raise LunetteError(detail)
                if what == "failed":
                    raise RuntimeError(detail)
                results[i] = detail
                del running[ready]
                process.join()
    finally:
        for _, process in running.values():
            process.kill()
            process.join()
    return results


def _child(job: Job, there: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    try:
        result = job.work(*job.arguments, progress=lambda done: there.send(("progress", done)))
        there.send(("result", result))
    except LunetteError as error:
        there.send(("refused", str(error)))
    except BaseException:
        there.send(("failed", traceback.format_exc()))
