"""Bonds on flash: what is saved comes back, whenever the power goes; what is broken is said."""

from __future__ import annotations

import builtins
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("micropython", "folder")

KEYS = st.binary(min_size=7, max_size=7)
SECRETS = st.binary(max_size=100)


def load() -> Any:
    from glasses.bonds import Bonds

    return Bonds()


def shown(bonds: Any) -> list[tuple[bytes, bytes, bytes]]:
    return [(host.key, host.ours, host.theirs) for host in bonds.hosts]


def test_addresses_read_as_people_write_them() -> None:
    from glasses.bonds import address_of

    assert address_of(bytes.fromhex("01 01 00 00 EE FF C0")) == "C0:FF:EE:00:00:01"


@given(
    irk=st.none() | st.binary(min_size=16, max_size=16),
    steps=st.lists(st.tuples(KEYS, SECRETS, SECRETS), max_size=6),
)
def test_what_is_saved_comes_back(irk: bytes | None, steps: list[tuple[bytes, bytes, bytes]]) -> None:
    Path("bonds.json").unlink(missing_ok=True)
    bonds = load()
    if irk is not None:
        bonds.set_irk(irk)
    for step in steps:
        bonds.keep(*step)
    bonds.save()
    again = load()
    assert (again.irk, shown(again), again.problems) == (irk, shown(bonds), [])
    assert not bonds.dirty and not again.dirty


@given(steps=st.lists(st.tuples(KEYS, SECRETS, SECRETS), max_size=8))
def test_the_last_three_are_kept(steps: list[tuple[bytes, bytes, bytes]]) -> None:
    bonds = load()
    bonds.hosts = []
    gone = []
    for step in steps:
        gone += bonds.keep(*step)
    expected: dict[bytes, tuple[bytes, bytes, bytes]] = {}
    for step in steps:
        expected.pop(step[0], None)
        expected[step[0]] = step
        if len(expected) > 3:
            del expected[next(iter(expected))]
    assert shown(bonds) == list(expected.values())


def test_use_decides_who_has_to_go() -> None:
    bonds = load()
    for i in range(3):
        bonds.keep(bytes([i] * 7), b"ours", b"theirs")
    bonds.used(bonds.hosts[0])
    (gone,) = bonds.keep(bytes([9] * 7), b"ours", b"theirs")
    assert gone.key == bytes([1] * 7)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"hosts": 5}',
        '{"hosts": [{}]}',
        '{"hosts": [{"peer": "00", "ours": "", "theirs": ""}]}',
        '{"hosts": [{"peer": "zz", "ours": "", "theirs": ""}]}',
        '{"irk": "00", "hosts": []}',
    ],
)
def test_a_broken_file_is_said_and_pairing_starts_anew(content: str) -> None:
    Path("bonds.json").write_text(content)
    bonds = load()
    assert bonds.hosts == []
    assert len(bonds.problems) == 1 and "paired again" in bonds.problems[0]
    bonds.keep(bytes(7), b"a", b"b")
    bonds.save()
    assert len(load().hosts) == 1


def test_a_power_cut_leaves_the_old_or_the_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every operation on the file system, one after the other."""
    bonds = load()
    bonds.keep(b"1" * 7, b"ours", b"theirs")
    bonds.save()
    old = shown(load())
    bonds.keep(b"2" * 7, b"ours", b"theirs")
    new = shown(bonds)
    real_open, real_rename = builtins.open, os.rename
    for cut in range(300):
        count = iter(range(cut, -1, -1))

        def step(counter: Any = count) -> None:
            if next(counter) == 0:
                raise KeyboardInterrupt  # nothing in the firmware may hold it up

        class Cutting:
            def __init__(self, file: Any, step: Any = step):
                self._file, self._step = file, step

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: Any) -> None:
                self._file.close()

            def write(self, data: str) -> int:
                self._step()
                return int(self._file.write(data))

        def cutting_open(*args: Any, step: Any = step, cutting: Any = Cutting) -> Any:
            step()
            return cutting(real_open(*args))

        def cutting_rename(*args: Any, step: Any = step) -> None:
            step()
            real_rename(*args)

        with monkeypatch.context() as patch:
            patch.setattr(builtins, "open", cutting_open)
            patch.setattr(os, "rename", cutting_rename)
            try:
                bonds.save()
                finished = True
            except KeyboardInterrupt:
                finished = False
        again = load()
        assert again.problems == []
        assert shown(again) == (new if finished else old)
        if finished:
            assert cut > 3
            return
    raise AssertionError("it never got through")


def test_a_failed_save_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bonds = load()
    bonds.keep(b"1" * 7, b"ours", b"theirs")

    def full(*_: Any) -> None:
        raise OSError(28)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises(OSError):
            bonds.save()
    assert bonds.dirty
    bonds.save()
    assert json.loads(Path("bonds.json").read_text())["hosts"][0]["peer"] == b"1".hex() * 7
