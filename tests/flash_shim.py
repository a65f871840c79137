"""A file system in memory for the firmware's spool: slow, full or without power when a test says so.

`operations` counts what writes flash. At operation number `cut_at` the power goes: that operation
happens in part or not at all, and it and all that follow raise `PowerCut`. As on littlefs, what was
written to a file is there once it is closed; a rename or removal happens as a whole or not at all.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class PowerCut(BaseException):
    """No handler of the firmware may take it for an error."""


class _Output:
    def __init__(self, disk: Disk, name: str):
        self.disk, self.name, self.data, self.closed = disk, name, b"", False

    def write(self, data: Any) -> int:
        self.disk.operation(f"write {self.name}")
        data = bytes(data)
        if self.disk.used() + len(self.data) + len(data) > self.disk.size:
            raise OSError(28)
        self.data += data
        return len(data)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        try:
            self.disk.operation(f"close {self.name}")
        except PowerCut:
            self.disk.files[self.name] = self.data[: len(self.data) * 2 // 3]
            raise
        self.disk.files[self.name] = self.data


class _Input:
    def __init__(self, disk: Disk, data: bytes):
        self.disk, self.data, self.at = disk, data, 0

    def __enter__(self) -> _Input:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def seek(self, at: int, whence: int = 0) -> int:
        self.disk.seeks += 1
        self.at = at + (len(self.data) if whence == 2 else 0)
        return self.at

    def read(self, n: int) -> bytes:
        found = self.data[self.at : self.at + n]
        self.at += len(found)
        return found

    def readinto(self, view: Any) -> int:
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)

    def close(self) -> None:
        pass


class Disk:
    def __init__(self, size: int = 1 << 20):
        self.size = size
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = set()
        self.log: list[str] = []
        self.cut_at = -1
        self.allowed = lambda: True
        self.fail: dict[str, int] = {}  # word of an operation: errno
        self.seeks = 0
        self.opened: list[str] = []

    @property
    def operations(self) -> int:
        return len(self.log)

    def used(self) -> int:
        return sum(map(len, self.files.values()))

    def operation(self, what: str) -> None:
        assert self.allowed(), f"{what} while the microphone runs"
        if 0 <= self.cut_at <= len(self.log):
            raise PowerCut(what)
        self.log.append(what)
        number = self.fail.pop(what.split()[0], 0)
        if number:
            raise OSError(number)

    # --- what the firmware sees

    def open(self, name: str, mode: str = "r") -> Any:
        if mode == "wb":
            self.operation(f"open {name}")
            self.files[name] = b""
            return _Output(self, name)
        self.opened.append(name)
        if name not in self.files or self.fail.pop("read", 0):
            raise OSError(2)
        return _Input(self, self.files[name])

    def mkdir(self, name: str) -> None:
        if name in self.folders:
            raise OSError(17)
        self.operation(f"mkdir {name}")
        self.folders.add(name)

    def listdir(self, name: str) -> list[str]:
        if name not in self.folders:
            raise OSError(2)
        return [path.split("/")[1] for path in self.files]

    def remove(self, name: str) -> None:
        self.operation(f"remove {name}")
        if self.files.pop(name, None) is None:
            raise OSError(2)

    def rename(self, old: str, new: str) -> None:
        self.operation(f"rename {old}")
        if old not in self.files:
            raise OSError(2)
        self.files[new] = self.files.pop(old)

    def statvfs(self, name: str) -> tuple[int, ...]:
        return (4096, 4096, self.size // 4096, (self.size - self.used()) // 4096)

    def plug(self, *modules: Any) -> None:
        """Have these modules of the firmware use this file system."""
        names = ("mkdir", "listdir", "remove", "rename", "statvfs")
        for module in modules:
            module.open = self.open
            module.os = SimpleNamespace(**{name: getattr(self, name) for name in names})
