"""The host's computer stops at any instant: what was acknowledged is there, and nothing twice or in part."""

from __future__ import annotations

import itertools
import json
import random
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hosts import Crash, CrashingDisk, Host
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.protocol import wire


@dataclass
class Told:
    """A recording of the glasses: its frames, and how far hosts have acknowledged it."""

    frames: list[bytes]
    meta: dict[str, Any]
    acked: int = 0


@dataclass
class Glasses:
    """The glasses by the rules of docs/protocol.md: acknowledged frames are gone, for ever."""

    recordings: dict[int, Told] = field(default_factory=dict)
    start: dict[int, int] = field(default_factory=dict)
    ready: bool = False

    def hear(self, request: tuple[Any, ...]) -> None:
        if request[0] == wire.ACK and request[1] in self.recordings:
            told = self.recordings[request[1]]
            told.acked = max(told.acked, request[2])
            if told.acked == len(told.frames) + 1:
                del self.recordings[request[1]]
        elif request[0] == wire.RESUME:
            self.start[request[1]] = request[2]
        elif request[0] == wire.READY:
            self.ready = True

    def talk(self, host: Host) -> None:
        """Everything that is not acknowledged, two recordings at a time."""
        self.start = {}
        host.connect()
        assert self.ready
        host.hear((wire.HELLO, {}))
        for number in self.start.keys() - self.recordings.keys():
            host.hear((wire.GONE, number))
        streams = [self._stream(number, told) for number, told in self.recordings.items()]
        for some in itertools.zip_longest(*(itertools.chain(*streams[i::2]) for i in range(2))):
            host.hear(*(message for message in some if message))

    def _stream(self, number: int, told: Told) -> list[tuple[Any, ...]]:
        first = max(told.acked, self.start.get(number, 0))
        frames = [(wire.DATA, number, i, told.frames[i]) for i in range(first, len(told.frames))]
        crc = zlib.crc32(b"".join(told.frames))
        return [
            (wire.OPEN, number, "log", told.meta),
            *frames,
            (wire.CLOSE, number, len(told.frames), crc, {}),
        ]


def session(sizes: list[int]) -> tuple[Glasses, dict[int, bytes]]:
    glasses = Glasses()
    for number, size in enumerate(sizes, 1):
        frames = [bytes([number, i & 0xFF, i >> 8]) for i in range(size)]
        glasses.recordings[number] = Told(frames, {"t": number})
    return glasses, {n: b"".join(t.frames) for n, t in glasses.recordings.items()}


def check(disk: CrashingDisk, expected: dict[int, bytes], whole: bool) -> None:
    """Every final file is a whole recording, none is there twice; `whole`: all are there."""
    found = {}
    for name, data in disk.final().items():
        number = int(name.split("_")[2][:8], 16)
        if name.endswith(".json"):
            assert json.loads(data)["id"] == number
        else:
            assert number not in found, "twice"
            assert data == expected[number]
            assert name.replace(".txt", ".json") in disk.final()
            found[number] = data
    if whole:
        assert found == expected
        assert len(disk.final()) == 2 * len(expected)


def receive(disk: CrashingDisk, glasses: Glasses) -> bool:
    """A program runs until all is received; False if it was killed."""
    try:
        glasses.talk(Host(disk, glasses.hear))
    except Crash:
        return False
    return True


SIZES = [30, 1, 0, 55, 3]


def operations() -> int:
    disk = CrashingDisk()
    assert receive(disk, session(SIZES)[0])
    return disk.steps


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_every_operation_on_a_file(seed: int) -> None:
    total = operations()
    assert total >= 30
    for at in range(1, total + 1):
        glasses, expected = session(SIZES)
        disk = CrashingDisk(random.Random(f"{seed} {at}"))
        disk.crash_at = at
        assert not receive(disk, glasses)
        disk = disk.after_crash()
        check(disk, expected, whole=False)
        assert receive(disk, glasses), "the next program finishes it"
        check(disk, expected, whole=True)
        assert glasses.recordings == {}


@settings(max_examples=300)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.lists(st.integers(1, 40), max_size=6),
    st.integers(0, 2**32),
)
def test_killed_again_and_again(sizes: list[int], crashes: list[int], seed: int) -> None:
    glasses, expected = session(sizes)
    disk = CrashingDisk(random.Random(seed))
    for at in crashes:
        disk.crash_at = at
        if receive(disk, glasses):
            break
        disk = disk.after_crash()
        check(disk, expected, whole=False)
    disk.crash_at = -1
    assert receive(disk, glasses)
    check(disk, expected, whole=True)
    assert glasses.recordings == {}
    assert receive(disk.after_crash(), glasses), "and a later one finds it in order"
