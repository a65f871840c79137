"""Models on the glasses: files of the folder /wakeword, through the prompt. (By the link they come as
`lunette.asking` has it.)

Nothing is written while the microphone runs, and nothing is reset: the glasses may go on behind the prompt.
Each piece of work keeps the microphone from starting for as long as it takes, half a second at most.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lunette.console import Failed
from lunette.console.errors import understood
from lunette.deploy.build import digest
from lunette.deploy.remote import Remote, Runs, failures
from lunette.errors import LunetteError
from lunette.wakeword import packaged
from lunette.wakeword.loaded import SUFFIX

FOLDER = "/wakeword"

_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")
_PATIENCE_S = 60.0
_AGAIN_S = 0.5
_BUSY = "16"  # EBUSY
_TIDY = (
    "try:\n    _hold()\n    try:\n        _tidy()\n    finally:\n        _free()\nexcept OSError:\n    pass"
)
_CUT = "it is not whole: add it again"

# `alive` of on_glasses.py would restart what runs behind the prompt: it takes that one's timer.
_PROGRAM = """
import sys
def alive():
    pass
def _running():
    return getattr(sys.modules.get("glasses"), "_instance", None)
def _hold():
    global _was
    _was = None
    g = _running()
    if g is None:
        return
    was = g.voice.muted
    g.voice.muted = True
    if getattr(g, "recording", g.capturing)():
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
def _left():
    g = _running()
    m = None if g is None else getattr(g.commands, "models", None)
    now = "" if m is None else "/" + m.receiving
    names = os.listdir("/wakeword") if exists("/wakeword") else ()
    return [p for p in ["/wakeword/" + name for name in names] if p.endswith(".new") and p != now]
def _tidy():
    for path in _left():
        os.remove(path)
def _tidy_if_quiet():
    try:
        _hold()
    except OSError:
        return
    try:
        _tidy()
    finally:
        _free()
def _settings():
    g = _running()
    if g is not None:
        return g.settings
    from glasses.settings import Settings
    return Settings()
def _words():
    return _settings().all().get("wakeword")
def _listen(words):
    g = _running()
    if g is None:
        _settings().set("wakeword", words)
    else:
        try:
            g.commands.handle({"op": "set", "name": "wakeword", "value": words})
        finally:
            g.log.set_level("error")  # the prompt's: what is logged would be taken for an answer
"""


@dataclass(frozen=True)
class Stored:
    """A model on the glasses: its name, size in bytes, phrase, cutoff (a probability), and what is
    wrong with it."""

    name: str
    size: int
    phrase: str
    cutoff: float
    problem: str | None

    @classmethod
    def of(cls, name: str, size: int, head: bytes) -> Stored:
        """By the beginning of its file."""
        try:
            made = packaged.Glasses.of(head)
        except LunetteError as error:
            return cls(name, size, "", 0.0, str(error))
        return cls(name, size, made.phrase, _share(made.cutoff), None if made.size == size else _CUT)

    @classmethod
    def told(cls, entry: dict[str, Any]) -> Stored:
        """By what the glasses say of it (docs/protocol.md)."""
        problem = None if entry["whole"] else _CUT
        return cls(entry["name"], entry["bytes"], entry["phrase"], _share(entry["cutoff"]), problem)


def _share(cutoff: int) -> float:
    return round(cutoff / 255, 3)


def with_word(words: str, name: str) -> str:
    """The setting `wakeword` that has this name, too."""
    known = _split(words)
    return ",".join(known if name in known else [*known, name])


def without_word(words: str, name: str) -> str:
    """The setting without this name."""
    return ",".join(word for word in _split(words) if word != name)


def _split(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


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
        """Those that are there, by name. What a cable that was pulled has left of others is removed, unless
        they record."""
        with failures():
            if self._prompt.run("print(len(_left()))").strip() != "0":
                self._prompt.run("_tidy_if_quiet()")
            said = self._prompt.run("_models()")
        found = []
        with understood():
            for size, head, name in (line.split(" ", 2) for line in said.splitlines()):
                found.append(Stored.of(name[: -len(SUFFIX)], int(size), bytes.fromhex(head)))
        return found

    def add(self, name: str, content: bytes, sent: Callable[[int], None] = lambda n: None) -> bool:
        """Write a model under that name; one that was there stays until the new one is whole. False if it is
        there already. LunetteError if there is no room or the name is none."""
        path = self.path(name)
        with failures():
            there = self._prompt.run(f"print(exists({path!r}) and sha({path!r}))").strip()
        if there == digest(content):
            return False
        self._run("_tidy()")
        block, free = self.free()
        if free * block < len(content) + 4 * block:
            raise LunetteError(
                f"the glasses' flash has {free * block // 1024} KB free, and {name} needs "
                f"{len(content) // 1024 + 1} KB: `lunette wakeword rm` removes models you do not need"
            )
        self.folder(FOLDER)
        self.put(path, content, sent)
        self._told(name)
        return True

    def discard(self, name: str) -> bool:
        """Remove a model, also from the setting `wakeword`; returns whether that had it. LunetteError if it
        is not there."""
        known = [one.name for one in self.listed()]
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there are none"
            raise LunetteError(f"there is no model {name} on the glasses: {there}")
        words = self.words() or ""
        heard = without_word(words, name) != ",".join(_split(words))
        if heard:
            self.listen(without_word(words, name))
        self.remove(f"{FOLDER}/{name}{SUFFIX}")
        self._told(name)
        return heard

    def words(self) -> str | None:
        """The setting `wakeword`; None if this firmware has none."""
        with failures(), understood():
            found: str | None = json.loads(self._prompt.run("import json\nprint(json.dumps(_words()))"))
            return found

    def listen(self, words: str) -> None:
        """Set it. Raises LunetteError."""
        try:
            self._run(f"_listen({words!r})")
        except Failed as error:
            if error.exception in ("Refusal", "SettingsError"):
                raise LunetteError(error.detail) from None
            raise

    def _told(self, name: str) -> None:
        """Who listens for it is to load it anew."""
        self._prompt.run(f"g = _running()\nif g is not None:\n    g.bus.emit('models', 0, {name!r})")

    def status(self) -> dict[str, Any] | None:
        """What they say of listening for wake words; None while nothing runs."""
        asked = "None if _running() is None else _running().status().get('wakeword')"
        with failures(), understood():
            found: dict[str, Any] | None = json.loads(
                self._prompt.run(f"import json\nprint(json.dumps({asked}))")
            )
            return found

    @staticmethod
    def path(name: str) -> str:
        """Where a model of that name is. LunetteError if it is none."""
        if not _NAME.fullmatch(name):
            raise LunetteError(f"{name!r} is no name for a model: up to 32 of a to z, 0 to 9 and _")
        return f"{FOLDER}/{name}{SUFFIX}"
