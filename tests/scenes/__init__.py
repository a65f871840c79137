"""Scenes, in files of this folder, and what plays them side by side: each in real time, in a process of its
own, with the real MicroPython."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import resource
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lunette.virtual import scene

FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
# For each processor: scenes mostly wait, but what they do must not come late.
_SIDE_BY_SIDE = 5

Report = dict[str, Any]


def play(name: str, folder: Path) -> Report:
    """The report of a scene; its recordings are in `folder`. One that cannot be played to its end has
    only "failed"."""
    from lunette.virtual.stage import Stage

    for variable in [name for name in os.environ if name.startswith("LUNETTE_")]:
        if variable != "LUNETTE_MICROPYTHON":
            del os.environ[variable]
    logging.getLogger("bumble").setLevel(logging.ERROR)  # it warns of what scenes do on purpose
    played = scene.load(FOLDER / f"{name}.toml")
    played.settings.setdefault("cleaning", "off")  # what was said is compared bit for bit
    stage = Stage(played, folder)
    try:
        report = asyncio.run(stage.play())
    except Exception:  # the others go on
        return {"failed": traceback.format_exc()}
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    report["cpu_s"] = round(sum(u.ru_utime + u.ru_stime for u in usage), 2)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def _duration_s(name: str) -> float:
    return scene.load(FOLDER / f"{name}.toml").duration_s


def _job(job: tuple[str, Path]) -> tuple[str, Report]:
    return job[0], play(*job)


def play_all(folder: Path, names: Iterable[str] = NAMES) -> Iterator[tuple[str, Report]]:
    """(name, report) of each scene, as they end. `folder` gets one folder a scene."""
    jobs = []
    # The long ones first: nobody waits for one of them at the end.
    for name in sorted(names, key=_duration_s, reverse=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        jobs.append((name, folder / name))
    # What takes long to import is imported once; and each scene has a host that never met any glasses.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lunette.virtual.stage"])
    with context.Pool((os.cpu_count() or 1) * _SIDE_BY_SIDE, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(_job, jobs, chunksize=1)
