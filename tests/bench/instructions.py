"""Instructions of the coder, counted by Valgrind where it is installed: exact, whatever else runs here.

They are this computer's instructions, not the chip's; a change of the kernel shows in both.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

from lunette import paths
from lunette.virtual import interpreter

from .codec import KERNELS, SAMPLES, clip
from .rows import Row

_CALLS = 1000
_LIMIT_S = 60


def measure() -> Iterator[Row]:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return
    # With the calls and without: the difference is theirs alone. At once, starting up is what takes long.
    with clip() as (speech, _):
        runs = [_start(valgrind, str(speech), calls) for calls in (0, _CALLS)]
        try:
            idle, busy = (_count(run) for run in runs)
        finally:
            for run in runs:
                run.kill()
                run.communicate()
    yield Row(
        "ADPCM encode, instructions a sample",
        (busy - idle) / (_CALLS * SAMPLES),
        "",
        goal="<= 215",
        note="of this computer, by callgrind",
    )


def _start(valgrind: str, speech: str, calls: int) -> subprocess.Popen[str]:
    command = interpreter.command(str(KERNELS), str(paths.FIRMWARE / "glasses"), speech, "encode", str(calls))
    options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
    return subprocess.Popen(
        [valgrind, *options, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _count(run: subprocess.Popen[str]) -> int:
    _, said = run.communicate(timeout=_LIMIT_S)
    found = re.search(r"Collected : (\d+)", said)
    if run.returncode or found is None:
        raise RuntimeError(f"valgrind: {said.strip().splitlines()[-1:]}")
    return int(found[1])
