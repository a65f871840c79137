"""A host without a radio: carries out the steps of a `Receiver`, on a disk that can crash."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lunette.protocol import wire
from lunette.receiver import Receiver, Steps, Tell, Work
from lunette.recording import Recording
from lunette.store import Store

FOLDER = Path("/recordings")
OWNER = "C0:FF:EE:00:00:01"


class Crash(BaseException):
    """The computer stops here."""


class CrashingDisk:
    """`lunette.disk.Disk` in memory, as strict as POSIX lets a disk be.

    `steps` counts operations that change something. `crash_at` n: the n'th raises Crash, before, in the
    middle of or after its work, as `rng` decides. `fail` is asked before each and may raise OSError.
    `after_crash` gives the disk that the next program finds: what was not synced may be gone, or there
    in part, followed by zeros; a removal that no sync followed may not have happened.
    """

    def __init__(self, rng: random.Random | None = None):
        self.rng = rng or random.Random(0)
        self.files: dict[Path, bytes] = {}
        self.durable: dict[Path, bytes] = {}
        self.folders = {Path("/")}
        self.open: set[Path] = set()
        self.steps = 0
        self.crash_at = -1
        self.fail: Callable[[str, Path], None] = lambda what, path: None

    def _step(self, what: str, path: Path, *stages: Callable[[], None]) -> None:
        self.steps += 1
        if self.steps == self.crash_at:
            for stage in stages[: self.rng.randint(0, len(stages))]:
                stage()
            raise Crash
        self.fail(what, path)
        for stage in stages:
            stage()

    def after_crash(self) -> CrashingDisk:
        disk = CrashingDisk(self.rng)
        disk.folders = set(self.folders)
        for path in self.files.keys() | self.durable.keys():
            volatile, durable = self.files.get(path), self.durable.get(path)
            if durable is None:
                # Its name was never synced.
                content = volatile if self.rng.random() < 0.5 else None
            elif volatile is None:
                content = durable if self.rng.random() < 0.5 else None
            else:
                content = durable
                if volatile != durable and volatile.startswith(durable):
                    content += volatile[len(durable) : self.rng.randint(len(durable), len(volatile))]
                    content += bytes(self.rng.choice((0, 0, 7, 200)))
            if content is not None:
                disk.files[path] = disk.durable[path] = content
        return disk

    # --- what a Store uses

    def make_folder(self, path: Path) -> None:
        if path not in self.folders:
            self._step("make_folder", path, lambda: self.folders.update([path, *path.parents]))

    def names(self, path: Path) -> list[str]:
        return sorted(p.name for p in self.files if p.parent == path)

    def exists(self, path: Path) -> bool:
        return path in self.files

    def read(self, path: Path) -> bytes | None:
        return self.files.get(path)

    def replace(self, path: Path, data: bytes, by_way_of: Path) -> None:
        if path.parent not in self.folders or by_way_of.parent not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))

        def write() -> None:
            # Its name may reach the disk before its content does.
            self.files[by_way_of] = data
            self.durable[by_way_of] = data[: self.rng.randint(0, len(data))]

        def sync() -> None:
            self.durable[by_way_of] = data

        def rename() -> None:
            del self.files[by_way_of]
            del self.durable[by_way_of]
            self.files[path] = data
            if self.rng.random() < 0.5:
                self.durable[path] = data

        def sync_folder() -> None:
            self.durable[path] = data

        self._step("replace", path, write, sync, rename, sync_folder)

    def append(self, path: Path, data: bytes) -> None:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))

        def some() -> None:
            self.files[path] += data[: len(data) // 2]

        def rest() -> None:
            self.files[path] += data[len(data) // 2 :]

        self._step("append", path, some, rest)
        self.open.add(path)

    def sync(self, path: Path) -> None:
        if path in self.open:
            if path not in self.files:
                raise FileNotFoundError(errno.ENOENT, "it was removed", str(path))
            self._step("sync", path, lambda: self.durable.update({path: self.files[path]}))

    def close(self, path: Path) -> None:
        self.open.discard(path)

    def truncate(self, path: Path, size: int) -> None:
        def cut() -> None:
            self.files[path] = self.durable[path] = self.files[path][:size]

        self._step("truncate", path, cut)

    def remove(self, path: Path) -> None:
        def remove() -> None:
            self.files.pop(path, None)
            if self.rng.random() < 0.5:
                self.durable.pop(path, None)

        self._step("remove", path, remove)

    def final(self) -> dict[str, bytes]:
        """The finished recordings and their descriptions, by name."""
        return {p.name: data for p, data in self.files.items() if p.parent == FOLDER}


class Host:
    """A program of a host, from its start to its end. `send` gets what is written to CONTROL, parsed."""

    def __init__(self, disk: Any, send: Callable[[tuple[Any, ...]], None], **options: Any):
        self.disk = disk
        self.send = send
        self.store = Store(FOLDER, OWNER, disk=disk, **options)
        self.receiver = Receiver(self.store)
        self.told: list[tuple[str, Any]] = []

    def do(self, steps: Steps) -> None:
        for step in steps:
            if isinstance(step, Work):
                step.run()
            elif isinstance(step, Tell):
                self.told.append((step.what, step.detail))
            else:
                self.send(wire.parse_request(step.data))

    def connect(self) -> None:
        self.do(self.receiver.connect())

    def hear(self, *messages: tuple[Any, ...]) -> None:
        for message in messages:
            self.do(self.receiver.message(message))

    def gap(self) -> None:
        self.do(self.receiver.gap())

    @property
    def recorded(self) -> list[Recording]:
        return [detail for what, detail in self.told if what == "recorded"]
