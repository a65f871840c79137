"""Files that survive: the few operations on the disk that `lunette.store` is made of.

Everything is durable when it returns, but for `append`, which is when `sync` returns. All raise OSError.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, BinaryIO


class Disk:
    """The computer's disk."""

    def __init__(self) -> None:
        self._open: dict[Path, BinaryIO] = {}

    def make_folder(self, path: Path) -> None:
        """Make a folder, with those above it. Nothing happens if it is there."""
        if path.is_dir():
            return
        if path.parent != path:
            self.make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)

    def names(self, path: Path) -> list[str]:
        """Names of the files in a folder, sorted; none if there is no such folder."""
        try:
            return sorted(entry.name for entry in os.scandir(path) if entry.is_file())
        except FileNotFoundError:
            return []

    def exists(self, path: Path) -> bool:
        return path.exists()

    def read(self, path: Path) -> bytes | None:
        """The whole file; None if there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def replace(self, path: Path, data: bytes, by_way_of: Path) -> None:
        """`path` holds `data`, or at any moment before what it held. `by_way_of`: a temporary file on
        the same file system; it may be left behind, but not when this fails."""
        try:
            with by_way_of.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(by_way_of, path)
        except BaseException:
            with contextlib.suppress(OSError):
                by_way_of.unlink()
            raise
        _sync_folder(path.parent)

    def append(self, path: Path, data: bytes) -> None:
        """Add to the end of a file, which then stays open until `close`; FileNotFoundError if there is
        none. When this fails, or the computer does before `sync`, any part of `data` may be there."""
        file = self._open.get(path)
        if file is None:
            file = self._open[path] = path.open("r+b")
            file.seek(0, os.SEEK_END)
        file.write(data)
        file.flush()

    def sync(self, path: Path) -> None:
        """What was appended is durable. FileNotFoundError if somebody has removed the file meanwhile."""
        file = self._open.get(path)
        if file is None:
            return
        os.fsync(file.fileno())
        if not os.fstat(file.fileno()).st_nlink:
            raise FileNotFoundError(2, "somebody removed the file", str(path))

    def close(self, path: Path) -> None:
        """No more will be appended. What was not synced may be lost."""
        file = self._open.pop(path, None)
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def truncate(self, path: Path, size: int) -> None:
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def remove(self, path: Path) -> None:
        """Nothing happens if it is not there."""
        path.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """A new name in a folder is durable when the folder is."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Lock:
    """Keeps a second program out, until `release` or the end of this one, however it ends."""

    def __init__(self, path: Path):
        self._path = path
        self._file: Any = None

    def acquire(self) -> bool:
        """False if another program (or another Lock of this one) has it. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+b")
        try:
            _lock(file)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: BinaryIO) -> None:
    if os.name == "nt":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
