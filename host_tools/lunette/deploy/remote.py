"""The glasses' file system through their prompt: every change is a new file, then a rename."""

from __future__ import annotations

import base64
import contextlib
import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lunette.console.errors import Failed, understood
from lunette.deploy.build import digest
from lunette.errors import LunetteError

_PROGRAM = Path(__file__).with_name("on_glasses.py")
_CHUNK = 3072  # bytes at a time: 4 KB of base64 are compiled and decoded in some 12 KB of heap
_PROGRAM_S = 20.0
_WALK_S = 90.0
_STEP_S = 20.0  # an erase of a worn sector takes half a second, and a chunk may need several
_NUMBER = re.compile(r"\[Errno (\d+)\]|^(\d+)$")


class Runs(Protocol):
    """Of `lunette.console.Prompt`, what is needed here."""

    def run(self, code: str | bytes, timeout_s: float = 10.0) -> str: ...


@dataclass(frozen=True)
class File:
    """A file that is there: bytes, and its digest."""

    size: int
    digest: str


class Full(LunetteError):
    """The flash has no more room."""


class Remote:
    """The file system behind a prompt. `written` counts bytes that were sent and are there."""

    def __init__(self, prompt: Runs):
        self._prompt = prompt
        self.written = 0
        prompt.run(_PROGRAM.read_text(), _PROGRAM_S)

    def _run(self, code: str, timeout_s: float = _STEP_S) -> str:
        with failures():
            return self._prompt.run("alive()\n" + code, timeout_s)

    def files(self, top: str) -> tuple[dict[str, File], list[str]]:
        """({path below `top`: File}, folders, the deepest of a branch first). Empty without `top`."""
        found: dict[str, File] = {}
        folders: list[str] = []
        said = self._run(f"if exists({top!r}): walk({top!r})", _WALK_S)
        with understood():
            for size, hash_, path in (line.split(" ", 2) for line in said.splitlines()):
                if size == "-":
                    folders.append(path)
                else:
                    found[path] = File(int(size), hash_)
        return found, folders

    def root(self) -> dict[str, File]:
        """{path: File} of what lies in the root itself, with its "/"."""
        said = self._run("walk_root()", _WALK_S)
        lines = (line.split(" ", 2) for line in said.splitlines())
        with understood():
            return {"/" + path: File(int(size), hash_) for size, hash_, path in lines}

    def text(self, path: str) -> bytes | None:
        """The first 8 KB of a file, None if there is none."""
        said = self._run(f"print(text({path!r}))").strip()
        with understood():
            return None if said == "None" else base64.b64decode(said, validate=True)

    def free(self) -> tuple[int, int]:
        """(bytes of a block, blocks that are free)."""
        said = self._run("print(*free())")
        with understood():
            block, blocks = map(int, said.split())
        return block, blocks

    def folder(self, path: str) -> None:
        """Make it, with those above it."""
        self._run(f"folder({path!r})")

    def put(self, path: str, data: bytes, sent: Callable[[int], None] = lambda n: None) -> None:
        """Write a file whole. Until the last moment what was there stays; `sent` is told of bytes."""
        parts = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)] or [b""]
        coded = [base64.b64encode(part) for part in parts]
        if len(parts) == 1:
            self._run(f"put({path!r}, {coded[0]!r}, {digest(data)!r})")
            sent(len(data))
        else:
            self._run(f"begin({path!r})")
            for part, code in zip(parts, coded, strict=True):
                self._run(f"more({code!r})")
                sent(len(part))
            self._run(f"end({path!r}, {digest(data)!r})")
        self.written += len(data)

    def copy(self, source: str, path: str, file: File) -> None:
        """Copy a file that is there."""
        self._run(f"copy({source!r}, {path!r}, {file.digest!r})")

    def remove(self, path: str) -> None:
        """A file, or an empty folder."""
        self._run(f"drop({path!r})")

    def end(self) -> None:
        """No more: the glasses need not wait for anything."""
        with failures():
            self._prompt.run("done()")


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """What the file system refuses, in words that say what to do."""
    try:
        yield
    except Failed as error:
        number = _NUMBER.search(error.detail)
        code = int(number[1] or number[2]) if error.exception == "OSError" and number else 0
        if code == errno.ENOSPC:
            raise Full(
                "the glasses' flash is full, and what runs on them is as it was: fetch waiting "
                "recordings (`lunette pull`), remove files you do not need (`mpremote ls`, `mpremote rm`), "
                "then try again"
            ) from None
        if code in (errno.EROFS, errno.EPERM, errno.EACCES):
            raise LunetteError(
                "the glasses' file system is read-only, so nothing was changed: remount it writable or flash "
                "them anew (`lunette flash`), then try again"
            ) from None
        damaged = error.exception == "ValueError" and "damaged" in error.detail
        if damaged or code in (errno.EIO, errno.EILSEQ):
            raise LunetteError(
                f"the glasses' flash does not keep what is written ({error.detail}); what runs is as it was: "
                "try again; if it happens again, `lunette flash` makes a new file system"
            ) from None
        if error.exception == "MemoryError":
            raise LunetteError(
                "the glasses have too little memory for it: press their reset button and try again"
            ) from None
        raise
