"""Plays scenes and prints a row of numbers for each.  python -m tests.scenes [NAME ...]"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from lunette import paths

from . import NAMES, Report, play_all

OUT = paths.ROOT / "out" / "scenes"
COLUMNS = (
    "recordings",
    "frames",
    "lost",
    "overruns",
    "evicted",
    "resent",
    "reconnects",
    "p95 ms",
    "errors",
    "cpu s",
)


def row(report: Report) -> list[str]:
    """The numbers of a report, by COLUMNS."""
    whole = [entry for entry in report["recordings"] if entry["complete"]]
    counters = report["counters"]
    p95 = report["latency_ms"]["p95"]
    numbers = [
        len(whole),
        sum(entry["frames"] for entry in whole),
        sum(entry["lost"] for entry in whole),
        sum(entry["overruns"] or 0 for entry in whole),
        counters.get("journal.evicted_frames", "-"),
        counters.get("pump.resent", "-"),
        report["link"]["reconnects"],
        "-" if p95 is None else round(p95),
        len(report["errors"]),
        report["cpu_s"],
    ]
    return [str(number) for number in numbers]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scenes", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=OUT, help="recordings and reports (%(default)s)")
    options = parser.parse_args()
    names = options.names or NAMES
    for name in names:
        if name not in NAMES:
            parser.error(f"no scene {name!r}; there are: {', '.join(NAMES)}")
        shutil.rmtree(options.out / name, ignore_errors=True)
    began = time.monotonic()
    print(f"{'scene':16}" + "".join(f"{column:>11}" for column in COLUMNS))
    failed = 0
    cpu_s = 0.0
    for name, report in play_all(options.out, names):
        failed += "failed" in report
        cpu_s += report.get("cpu_s", 0.0)
        cells = "".join(f"{cell:>11}" for cell in row(report)) if "failed" not in report else report["failed"]
        print(f"{name:16}{cells}", flush=True)
    took = time.monotonic() - began
    print(f"{len(names)} scenes, {failed} failed, {took:.0f} s, {cpu_s:.0f} s of CPU: {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
