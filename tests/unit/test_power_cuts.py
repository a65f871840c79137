"""A power cut at every instant of a session: glasses that boot, with their settings, bonds and recordings.

A cut takes everything but the file system. So all instants between two changes of it are one and the same,
and one boot stands for them: the session is played once, each request to the chip and each operation on files
is an instant, and every file system that was there at one of them is booted. On littlefs a file that is being
written is empty until it is closed; half of it stands for a write that was torn all the same.
"""

from __future__ import annotations

import asyncio
import builtins
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bumble.keys import PairingKeys
from world import ADDRESS, World, run_world

from lunette.virtual.bleak_radio import host_identity
from lunette.virtual.chip.bus import Bus
from lunette.virtual.static_device import static_address

SETTINGS = {"grace_s": 10, "awake_s": 5, "sleep": "deep", "reach_s": 0}
Files = dict[str, bytes]
State = tuple[tuple[str, bytes], ...]


@dataclass
class Cuts:
    """`states`: the distinct file systems."""

    points: int = 0
    states: set[State] = field(default_factory=set)
    files: Files = field(default_factory=dict)
    saved: dict[str, int] = field(default_factory=dict)  # file of a recording: its number

    def point(self) -> None:
        self.points += 1
        if not self.files:
            return
        self.states.add(tuple(sorted(self.files.items())))

    def owed(self, state: State) -> set[int]:
        """Recordings that a file system holds. (Its file is gone soon after a recording was acknowledged; the
        instants between the two are those before it was, too.)"""
        return {self.saved[name] for name, _ in state if name in self.saved}

    def change(self, **files: bytes | None) -> None:
        if not self.files:  # the first: what was there before
            here = [path for path in Path().iterdir() if path.is_file() and path.name not in files]
            self.files = {path.name: path.read_bytes() for path in here}
        for name, data in files.items():
            if data is None:
                self.files.pop(name, None)
            else:
                self.files[name] = data
        self.point()


class Output:
    """A file that the firmware writes: what of it would be there."""

    def __init__(self, cuts: Cuts, name: str, inner: Any):
        self._cuts, self._name, self._inner = cuts, name, inner
        cuts.change(**{name: b""})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: Any) -> Any:
        self._cuts.point()
        return self._inner.write(data)

    def close(self) -> None:
        if not self._inner.closed:
            self._inner.close()
            whole = Path(self._name).read_bytes()
            self._cuts.change(**{self._name: whole[: len(whole) // 2]})
            self._cuts.change(**{self._name: whole})


@contextmanager
def watched(cuts: Cuts) -> Iterator[None]:
    """Every request to the chip is an instant, and every operation on the glasses' own files, which are those
    with relative names."""
    real_request = Bus.request

    def request(bus: Bus, *args: Any) -> Any:
        cuts.point()
        return real_request(bus, *args)

    real_open, real = builtins.open, {name: getattr(os, name) for name in ("rename", "remove")}

    def opened(name: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = real_open(name, mode, *args, **kwargs)
        own = isinstance(name, str) and not os.path.isabs(name)
        return Output(cuts, name, file) if own and "w" in mode else file

    def rename(old: Any, new: Any, **kwargs: Any) -> None:
        real["rename"](old, new, **kwargs)
        if isinstance(old, str) and not os.path.isabs(old):
            cuts.change(**{new: cuts.files.pop(old)})

    def remove(name: Any, **kwargs: Any) -> None:
        real["remove"](name, **kwargs)
        if isinstance(name, str) and not os.path.isabs(name):
            cuts.change(**{name: None})

    patch = pytest.MonkeyPatch()
    patch.setattr(builtins, "open", opened)
    patch.setattr(os, "rename", rename)
    patch.setattr(os, "remove", remove)
    patch.setattr(Bus, "request", request)
    try:
        yield
    finally:
        patch.undo()


def play(folder: Path) -> tuple[Cuts, PairingKeys]:
    """The session: a setting is changed; a recording waits, is saved, received and removed; others are made
    over two deep sleeps."""
    cuts = Cuts()
    keys: list[PairingKeys] = []

    async def test(world: World) -> None:
        found = await host_identity().keystore.get(str(static_address(ADDRESS)))
        assert found is not None
        keys.append(found)

        def note_saved() -> None:
            for recording in world.glasses.journal.recordings:
                if recording.file is not None:
                    cuts.saved[recording.file.path] = recording.number

        async def talk() -> None:
            await world.talk(0.6)
            await world.until(lambda: world.glasses.journal.saved, "it is saved")
            note_saved()

        world.glasses.settings.set("hold_ms", 350)
        await talk()
        world.listen()
        (first,) = await world.complete(1)
        assert first.crc_ok
        await world.until(lambda: not any("journal" in name for name in cuts.files), "it is removed")
        await world.stop_listening()
        await talk()
        world.usb(False)
        await world.until(lambda: world.power.phase == "asleep", "they sleep", 60)
        world.press()
        await asyncio.sleep(0.8)
        world.release()
        await world.until(lambda: world.glasses.journal.saved == 2, "the second is saved")
        note_saved()
        await world.until(lambda: world.power.phase == "asleep", "they sleep again", 60)
        cuts.point()

    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    with watched(cuts):  # the firmware's own builtins are made from ours at its start
        run_world(folder, test, listen=False)
    return cuts, keys[0]


def boot(folder: Path, files: State, owed: set[int], host: bool, keys: Any) -> None:
    """Glasses with these files start, and have what they should."""
    for name, data in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "journal").mkdir(exist_ok=True)

    async def test(world: World) -> None:
        await host_identity().keystore.update(str(static_address(ADDRESS)), keys)
        await asyncio.sleep(0.1)
        glasses = world.glasses
        assert world.power.running and glasses.presence.radio.interval_ms, "they are on the air"
        assert len(glasses.link.guard.bonds.hosts) == 1 and not glasses.link.guard.bonds.problems
        assert glasses.settings.hold_ms in (300, 350) and not glasses.settings.problems
        assert glasses.settings.all() == glasses.settings.all() | SETTINGS
        assert {recording.number for recording in glasses.journal.recordings} >= owed
        if host:
            world.listen()
            received = await world.complete(len(glasses.journal.recordings))
            assert all(recording.crc_ok for recording in received)
            assert {recording.number for recording in received} >= owed

    run_world(folder, test, listen=False, paired=False)


def test_a_cut_at_any_instant_leaves_what_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cuts, keys = play(folder)
    assert cuts.points > 500 and len(cuts.states) > 15
    assert {len(cuts.owed(state)) for state in cuts.states} == {0, 1, 2}
    shown: set[frozenset[int]] = set()
    for files in sorted(cuts.states):
        owed = cuts.owed(files)
        fresh = tmp_path_factory.mktemp("cut")
        monkeypatch.chdir(fresh)
        # With a host, which takes longest, once for each set of recordings that it is to get.
        boot(fresh, files, owed, bool(owed) and frozenset(owed) not in shown, keys)
        shown.add(frozenset(owed))
    print(f"{cuts.points} instants, {len(cuts.states)} file systems")
