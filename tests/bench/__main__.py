"""Runs every subject, shows its rows as they come and leaves them in out/bench.json.

The exit code is 0 also when goals were missed or a subject failed: the bench reports, tests judge.
"""

from __future__ import annotations

import functools
import importlib
import sys
import time
from collections.abc import Iterable

from . import program
from .rows import Row
from .table import Display

# Modules of this package with a `measure()` that yields rows.
SUBJECTS = (
    *("codec", "kernels", "wakeword", "quality", "heap", "heap32", "size"),
    *("latency", "link", "backlog", "start", "simulator"),
)


def _measure(name: str) -> Iterable[Row]:
    """Imported only now: not each of them has what it needs."""
    rows: Iterable[Row] = importlib.import_module(f".{name}", __package__).measure()
    return rows


def main() -> int:
    names, out = program.options("tests.bench", __doc__ or "", "subject", SUBJECTS)
    display = Display()
    began = time.monotonic()
    display.head()
    try:
        rows = program.run({name: functools.partial(_measure, name) for name in SUBJECTS}, names, display)
    except KeyboardInterrupt:
        print("bench: interrupted, nothing written", file=sys.stderr)
        return 130
    program.write(rows, out)
    display.say(program.summary(rows, began, out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
