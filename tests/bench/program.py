"""What programs of the bench have in common: their arguments, rows as they come, and the file of these."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lunette import paths

from .rows import Row, failed
from .table import Display

OUT = paths.ROOT / "out" / "bench.json"

Measures = Mapping[str, Callable[[], Iterable[Row]]]


def options(prog: str, about: str, kind: str, names: Iterable[str]) -> tuple[list[str], Path]:
    """What the command line asks for: some of `names`, or all, and where the rows go. `kind`: what a name is
    one of."""
    known = list(names)
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=about.splitlines()[0])
    parser.add_argument(f"{kind}s", nargs="*", metavar=kind.upper(), help=f"of: {', '.join(known)}")
    parser.add_argument("--out", type=Path, default=OUT, help="where the rows go (%(default)s)")
    given = parser.parse_args()
    chosen = getattr(given, f"{kind}s")
    for name in chosen:
        if name not in known:
            parser.error(f"no {kind} {name!r}; there are: {', '.join(known)}")
    return chosen or known, given.out


def run(measures: Measures, names: Iterable[str], display: Display) -> list[Row]:
    """The rows of these. One that raises ends with a row that says so; the next goes on."""
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        display.show(row)

    for name in names:
        with display.measuring(name):
            try:
                for row in measures[name]():
                    add(row)
            except Exception as error:
                add(failed(name, error))
    return rows


def write(rows: list[Row], path: Path, keep: bool = False) -> None:
    """The file of rows, in one step. `keep` those of other names that are there."""
    entries = [row.as_json() for row in rows]
    if keep and path.exists():
        names = {entry["name"] for entry in entries}
        entries = [one for one in json.loads(path.read_text()) if one["name"] not in names] + entries
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(entries, indent=1) + "\n")
    os.replace(new, path)


def summary(rows: list[Row], began: float, path: Path) -> str:
    """A line about them; `began` is of time.monotonic."""
    missed = sum(row.ok is False for row in rows)
    judged = sum(row.ok is not None for row in rows)
    took = time.monotonic() - began
    return f"{len(rows)} rows, {judged - missed} of {judged} goals met, {took:.0f} s: {path}"
