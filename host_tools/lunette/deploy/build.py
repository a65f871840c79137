"""A version of the firmware as the files of its folder on the glasses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lunette import mpy, paths
from lunette.boards import Board
from lunette.errors import LunetteError

MANIFEST = "manifest.json"
SOURCE = "source"
_DIGEST = 32  # hex digits of SHA-256 that are kept
# What runs as a source whatever the rest is: it is run in `__main__`, where the prompt finds its names.
_APP = "main.py"
_KERNELS = ("glasses/dsp/", "glasses/wakeword/")
# Before this version the compiler on the chip made wrong code of viper kernels.
_TRUSTED = (1, 29)


def digest(data: bytes) -> str:
    """Of a file's contents, as manifests have it."""
    return hashlib.sha256(data).hexdigest()[:_DIGEST]


@dataclass(frozen=True)
class Version:
    """`files` maps paths below the version's folder to contents. `form` is an architecture of mpy-cross
    or `SOURCE`, `board` a board's name."""

    board: str
    form: str
    files: dict[str, bytes]

    @cached_property
    def digests(self) -> dict[str, str]:
        return {path: digest(self.files[path]) for path in sorted(self.files)}

    @property
    def id(self) -> str:
        """Eight hex digits that tell versions apart."""
        return digest(json.dumps([self.form, self.digests]).encode())[:8]

    @property
    def manifest(self) -> bytes:
        """What is written when all the rest is there: a folder with it is complete."""
        text = {"id": self.id, "board": self.board, "form": self.form, "files": self.digests}
        return json.dumps(text, separators=(",", ":")).encode()

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


def build(
    board: Board, arch: str, micropython: tuple[int, ...], source: bool = False, firmware: Path | None = None
) -> Version:
    """The firmware (of the checkout, or of that folder) for a board, and a chip of that architecture that
    runs that version of MicroPython.

    Raises LunetteError: no firmware there, or a file that does not compile.
    """
    firmware = paths.FIRMWARE if firmware is None else firmware
    if not (firmware / "glasses" / "__init__.py").is_file() or not (firmware / _APP).is_file():
        raise LunetteError(f"no firmware in {firmware}: name the folder that has main.py and glasses/")
    sources = {path.relative_to(firmware).as_posix(): path for path in _modules(firmware)}
    sources["board.py"] = board.path

    def contents(item: tuple[str, Path]) -> tuple[str, bytes]:
        name, path = item
        kernels = name.startswith(_KERNELS) and micropython < _TRUSTED
        if name == _APP or (source and not kernels):
            if name != _APP:
                _check(path)
            return name, path.read_bytes()
        return name[: -len(".py")] + ".mpy", mpy.compiled(path, arch, name)

    with ThreadPoolExecutor() as pool:  # a process each: what is waited for is theirs
        files = dict(pool.map(contents, sorted(sources.items())))
    mpy.compiled(sources[_APP], arch)  # so that a mistake shows here and not on the glasses
    return Version(board.name, SOURCE if source else arch, files)


def _modules(firmware: Path) -> Iterable[Path]:
    yield from sorted(firmware.glob("*.py"))
    yield from sorted((firmware / "glasses").rglob("*.py"))


def _check(path: Path) -> None:
    try:
        compile(path.read_text(), str(path), "exec")
    except SyntaxError as error:
        where = f"{path}:{error.lineno}"
        raise LunetteError(f"{where} does not compile; correct this first: {error.msg}") from None
