"""The firmware onto glasses that run MicroPython: built for the chip that answers, copied, switched over."""

from __future__ import annotations

import re
import time
from pathlib import Path

from lunette.console import Prompt, Silent
from lunette.deploy import identity, transfer
from lunette.deploy.build import Version, build
from lunette.deploy.remote import Remote
from lunette.deploy.transfer import Progress, Result
from lunette.errors import LunetteError

__all__ = ["Progress", "Result", "Version", "build", "deploy", "go_back", "start"]

_STARTED = re.compile(r"info +runtime .* start \d+$")
_START_S = 20.0
_QUIET_S = 4.0
_LEVEL = """
import json
try:
    with open("/settings.json") as file:
        print(json.load(file).get("log_level", "info"))
except (OSError, ValueError, AttributeError):
    print("info")
"""


def deploy(
    prompt: Prompt,
    board: str | None = None,
    *,
    source: bool = False,
    firmware: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Version, Result]:
    """Put the firmware on the glasses behind `prompt`, whose program is ended. `board` is a name; without it
    the one that is on them, or the only one for the chip. They are not started (`start`).

    Raises LunetteError, and the prompt's errors; what ran before is whole then.
    """
    progress = progress or Progress()
    _calm(prompt)
    who = identity.ask(prompt)
    identity.check(who, source)
    remote = Remote(prompt)
    now = transfer.present(remote)
    data = identity.board(who, board, _board_there(remote, now))
    progress.say(f"compiling for {who.arch or 'any chip'}, board {data.name}")
    version = build(data, who.arch, who.version, source, firmware)
    result = transfer.install(remote, version, progress, now)
    result.warning = who.warning
    remote.end()
    return version, result


def go_back(prompt: Prompt) -> Result:
    """Switch the glasses to the version before. They are not started."""
    _calm(prompt)
    remote = Remote(prompt)
    result = transfer.back(remote)
    remote.end()
    return result


def _calm(prompt: Prompt) -> None:
    """Nothing of a program is to run, or to take memory, while files are written."""
    try:
        prompt.soft_reset()
    except Silent:
        if not prompt.recover():
            raise


def _board_there(remote: Remote, now: transfer.Present) -> str | None:
    if now.listed is not None:
        return str(now.listed.get("board"))
    return identity.present_board(remote.text("/board.py"))


def start(prompt: Prompt) -> tuple[float, list[str]]:
    """Start the glasses; returns after how many seconds they were there, and what they printed.

    Those that are set to log less than that are taken to run when nothing else is heard for some seconds.
    Raises LunetteError with what they print if they end at their prompt instead.
    """
    quiet = prompt.run(_LEVEL, 5).strip() not in ("debug", "info")
    began = time.monotonic()
    prompt.start()
    lines = prompt.lines(_QUIET_S if quiet else _START_S, lambda line: bool(_STARTED.search(line)))
    if lines and _STARTED.search(lines[-1]):
        return time.monotonic() - began, lines
    said = "\n".join(lines[-20:])
    if any(line.startswith("Traceback") for line in lines):
        raise LunetteError(
            f"the glasses do not start:\n{said}\ncorrect this and deploy again, or return to the version "
            "before with `lunette deploy --back`"
        )
    if quiet:
        return time.monotonic() - began, lines
    raise LunetteError(
        f"the glasses have not said within {_START_S:.0f} s that they run"
        + (f"; they said:\n{said}\n" if said else ": ")
        + "look with `lunette repl`, or return to the version before with `lunette deploy --back`"
    )
