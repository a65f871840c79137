"""Runs every subject, shows its rows as they come and leaves them in out/bench.json.

The exit code is 0 also when goals were missed or a subject failed: the bench reports, tests judge.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

from lunette import paths

from .rows import Row, failed
from .table import Display

OUT = paths.ROOT / "out" / "bench.json"

# Modules of this package with a `measure()` that yields rows.
SUBJECTS = (
    *("codec", "kernels", "wakeword", "quality", "heap", "heap32", "size"),
    *("latency", "link", "backlog", "start", "simulator"),
)


def run(names: list[str], display: Display) -> list[Row]:
    """The rows of these subjects. One that raises ends with a row that says so; the next goes on."""
    rows = []

    def add(row: Row) -> None:
        rows.append(row)
        display.show(row)

    for name in names:
        with display.measuring(name):
            try:
                for row in importlib.import_module(f".{name}", __package__).measure():
                    add(row)
            except Exception as error:
                add(failed(name, error))
    return rows


def write(rows: list[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    os.replace(new, path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of: {', '.join(SUBJECTS)}")
    parser.add_argument("--out", type=Path, default=OUT, help="where the rows go (%(default)s)")
    options = parser.parse_args()
    unknown = [name for name in options.subjects if name not in SUBJECTS]
    if unknown:
        parser.error(f"no subject {unknown[0]!r}; there are: {', '.join(SUBJECTS)}")
    display = Display()
    began = time.monotonic()
    display.head()
    try:
        rows = run(options.subjects or list(SUBJECTS), display)
    except KeyboardInterrupt:
        print("bench: interrupted, nothing written", file=sys.stderr)
        return 130
    write(rows, options.out)
    missed = sum(row.ok is False for row in rows)
    judged = sum(row.ok is not None for row in rows)
    took = time.monotonic() - began
    display.say(f"{len(rows)} rows, {judged - missed} of {judged} goals met, {took:.0f} s: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
