"""Sends hostile bytes to virtual glasses: to what a host may write, and raw frames from strangers.

The exit code is 1 when a promise was broken; what was sent last and the seed are printed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time

from . import heap
from .run import TARGETS, fuzz
from .watch import Found

_HEAP = "heap"
_REAL_TIME = 30_000  # in MicroPython and real time, about 180 writes a second


def _play(name: str, seed: int, writes: int) -> str:
    if name == _HEAP:
        count = min(writes, _REAL_TIME)
        heap.run(count, seed)
        return f"{count} sent to MicroPython"
    result = fuzz(name, seed, writes)
    for outcome, count in sorted(result.outcomes.items()):
        print(f"    {count:7} {outcome}")
    return f"{sum(result.writes.values())} sent, {result.restarts} restarts"


def main() -> int:
    targets = [*TARGETS, _HEAP]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(targets)}")
    parser.add_argument(
        "--writes",
        type=int,
        default=100_000,
        help=f"inputs for each target; {_HEAP} takes at most {_REAL_TIME} (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same (%(default)s)")
    options = parser.parse_args()
    unknown = [name for name in options.targets if name not in targets]
    if unknown:
        parser.error(f"no target {unknown[0]!r}; there are: {', '.join(targets)}")
    logging.getLogger("bumble").propagate = False  # it tells of every odd PDU
    failed = 0
    for name in options.targets or targets:
        began = time.monotonic()
        try:
            said = _play(name, options.seed, options.writes)
        except (Found, AssertionError) as error:
            failed += 1
            print(f"{name}: FOUND, seed {options.seed}\n{error}")
            continue
        print(f"{name}: {said}, {time.monotonic() - began:.0f} s, nothing broke", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
