"""Sends hostile bytes to virtual glasses: to what a host may write, and raw frames from strangers.

The exit code is 1 when a promise was broken; what was sent last and the seed are printed.
"""

from __future__ import annotations

import argparse
import sys
import time

from .run import TARGETS, in_world
from .watch import Found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(TARGETS)}")
    parser.add_argument("--writes", type=int, default=100_000, help="inputs for each target (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same (%(default)s)")
    options = parser.parse_args()
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]!r}; there are: {', '.join(TARGETS)}")
    failed = 0
    for name in options.targets or list(TARGETS):
        began = time.monotonic()
        try:
            result = in_world(name, options.seed, options.writes)
        except (Found, AssertionError) as error:
            failed += 1
            print(f"{name}: FOUND, seed {options.seed}\n{error}")
            continue
        sent, took = sum(result.writes.values()), time.monotonic() - began
        print(f"{name}: {sent} sent in {took:.0f} s, nothing broke; {result.restarts} restarts")
        for outcome, count in sorted(result.outcomes.items()):
            print(f"    {count:7} {outcome}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
