"""Measurements in virtual time do not disturb each other: they run on all cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def spread(work: Callable[[A], T], jobs: Iterable[A]) -> Iterator[T]:
    """``work(job)`` for each job in a process of its own kind, results in the order of the jobs."""
    # Not forked: the bench's display has a thread.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as executor:
        yield from executor.map(work, jobs)
