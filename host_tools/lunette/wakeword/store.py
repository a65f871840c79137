"""Models on the glasses: files of the folder /wakeword, through the prompt.

Nothing is written while the microphone runs, and nothing is reset: the glasses may go on behind the prompt.
Each piece of work keeps the microphone from starting for as long as it takes, half a second at most.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from lunette.console import Failed
from lunette.console.errors import understood
from lunette.deploy.remote import Remote, Runs, failures
from lunette.errors import LunetteError
from lunette.wakeword.loaded import SUFFIX

FOLDER = "/wakeword"

_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")
_PATIENCE_S = 60.0
_AGAIN_S = 0.5
_BUSY = "16"  # EBUSY

# `alive` of on_glasses.py would restart what runs behind the prompt: it takes that one's timer.
_PROGRAM = """
import sys
def alive():
    pass
def _hold():
    global _was
    _was = None
    g = getattr(sys.modules.get("glasses"), "_instance", None)
    if g is None:
        return
    was = g.voice.muted
    g.voice.muted = True
    if g.capturing():
        g.voice.muted = was
        raise OSError(16)
    _was = g, was
def _free():
    if _was is not None:
        _was[0].voice.muted = _was[1]
def _models():
    if exists("/wakeword"):
        for name in sorted(os.listdir("/wakeword")):
            if name.endswith(".mww"):
                with open("/wakeword/" + name, "rb") as f:
                    head = binascii.hexlify(f.read(96)).decode()
                print(os.stat("/wakeword/" + name)[6], head, name)
"""


@dataclass(frozen=True)
class Stored:
    """A file on the glasses: its name without the ending, its size, and its beginning."""

    name: str
    size: int
    head: bytes


class Models(Remote):
    """The folder behind a prompt. `waiting` is called when they record; this waits for the end of that."""

    def __init__(self, prompt: Runs, waiting: Callable[[], None] = lambda: None):
        super().__init__(prompt)
        self._waiting = waiting
        prompt.run(_PROGRAM)

    def _run(self, code: str, timeout_s: float = 20.0) -> str:
        held = f"_hold()\ntry:\n    {code}\nfinally:\n    _free()"
        until = time.monotonic() + _PATIENCE_S
        told = False
        while True:
            try:
                with failures():
                    return self._prompt.run(held, timeout_s)
            except Failed as error:
                if error.exception != "OSError" or _BUSY not in error.detail:
                    raise
            if time.monotonic() >= until:
                raise LunetteError(
                    f"the glasses have been recording for {_PATIENCE_S:.0f} s: nothing is written while the "
                    "microphone runs, so try again when they are not"
                )
            if not told:
                self._waiting()
            told = True
            time.sleep(_AGAIN_S)

    def listed(self) -> list[Stored]:
        """Those that are there, by name."""
        with failures():
            said = self._prompt.run("_models()")
        found = []
        with understood():
            for size, head, name in (line.split(" ", 2) for line in said.splitlines()):
                found.append(Stored(name[: -len(SUFFIX)], int(size), bytes.fromhex(head)))
        return found

    def add(self, name: str, content: bytes, sent: Callable[[int], None] = lambda n: None) -> None:
        """Write a model under that name; one that was there stays until the new one is whole. LunetteError if
        there is no room or the name is none."""
        path = self.path(name)
        block, free = self.free()
        if free * block < len(content) + 4 * block:
            raise LunetteError(
                f"the glasses' flash has {free * block // 1024} KB free, and {name} needs "
                f"{len(content) // 1024 + 1} KB: `lunette wakeword rm` removes models you do not need"
            )
        self.folder(FOLDER)
        self.put(path, content, sent)

    def discard(self, name: str) -> None:
        """Remove a model. LunetteError if it is not there."""
        known = [one.name for one in self.listed()]
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there are none"
            raise LunetteError(f"there is no model {name} on the glasses: {there}")
        self.remove(f"{FOLDER}/{name}{SUFFIX}")

    @staticmethod
    def path(name: str) -> str:
        """Where a model of that name is. LunetteError if it is none."""
        if not _NAME.fullmatch(name):
            raise LunetteError(f"{name!r} is no name for a model: up to 32 of a to z, 0 to 9 and _")
        return f"{FOLDER}/{name}{SUFFIX}"
