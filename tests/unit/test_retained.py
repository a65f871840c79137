"""Retained memory: after any reset but the loss of power what was put is there, or nothing is."""

from __future__ import annotations

import ast
import importlib
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from restarts import Restarts, module, restarting

from lunette import paths
from lunette.virtual.chip.chip import Chip
from lunette.virtual.cpython import Environment

CAUSES = ("hard", "wdt", "deepsleep", "soft")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**30), 2**30) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def chip(micropython: Environment) -> Chip:
    chip = Chip("esp32s3")
    chip.attach_cpython(importlib.import_module("_port"))
    return chip


def start() -> Any:
    """What a start of the program makes of the chip's memory."""
    return module("retained").Retained()


@pytest.mark.parametrize("cause", (*CAUSES, "power_on"))
def test_what_a_reset_leaves(cause: str) -> None:
    @restarting
    async def check(restarts: Restarts) -> None:
        retained = restarts.module("retained").retained
        assert retained.get("boot") is None and retained.get("boot", 7) == 7 and not retained.found
        assert retained.put("boot", 12) and retained.put_all({"log": [1, "two"], "n": 3})
        restarts.reset(cause)
        again = restarts.module("retained").retained
        assert again is not retained
        if cause == "power_on":
            assert again.get("boot") is None and not again.found
        else:
            assert (again.get("boot"), again.get("log"), again.get("n")) == (12, [1, "two"], 3)
            assert again.found and again.refused == 0

    check()


def test_it_is_small_and_needs_nothing() -> None:
    # It is imported on each wake, every ten seconds.
    source = (paths.FIRMWARE / "glasses" / "retained.py").read_text()
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert {name.name for node in imports for name in node.names} == {"binascii", "json", "machine", "struct"}
    assert len(source) < 4096


def test_the_format(chip: Chip) -> None:
    chip.memory.rtc_memory = b""
    start().put("boot", 12)
    text = b'{"boot":12}'
    assert chip.memory.rtc_memory == b"LU\x01" + zlib.crc32(text).to_bytes(4, "little") + text


def test_remove(chip: Chip) -> None:
    chip.memory.rtc_memory = b""
    retained = start()
    retained.put_all({"a": None, "b": 2})
    retained.remove("a")
    retained.remove("never")
    assert start().get("a", "gone") == "gone" and start().get("b") == 2
    assert retained.bytes() == len(chip.memory.rtc_memory)


def test_damaged_in_any_way_it_is_empty(chip: Chip) -> None:
    chip.memory.rtc_memory = b""
    start().put_all({"boot": 300, "n": 1})
    good = chip.memory.rtc_memory
    cut = [good[:size] for size in range(len(good))]
    flipped = [
        good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1 :] for i in range(len(good)) for bit in range(8)
    ]
    old = [b"LU\x05\x00", b"\xff" * 2048, good + b" ", good + good]
    for memory in cut + flipped + old:
        chip.memory.rtc_memory = memory
        retained = start()
        assert retained.get("boot") is None and retained.found is False
        assert retained.put("boot", 1) and start().get("boot") == 1


def test_the_right_checksum_over_something_else(chip: Chip) -> None:
    retained = module("retained")
    for text in (b"[1]", b"{", b"\xff", b"", b"[" * 2000):
        crc = retained.binascii.crc32(text)
        chip.memory.rtc_memory = retained.struct.pack("<2sBI", b"LU", 1, crc) + text
        assert start().get("boot") is None and start().put("boot", 1)


def test_full(chip: Chip) -> None:
    chip.memory.rtc_memory = b""
    retained = start()
    room = 2048 - 7 - len('{"a":"","b":1}')
    assert retained.put_all({"a": "x" * room, "b": 1})
    assert len(chip.memory.rtc_memory) == 2048 == retained.bytes()
    before = chip.memory.rtc_memory
    assert not retained.put("b", 10) and not retained.put_all({"a": "", "c": "y" * 2048})
    assert retained.refused == 2 and chip.memory.rtc_memory == before
    for seen in (retained, start()):
        assert (seen.get("a"), seen.get("b"), seen.get("c")) == ("x" * room, 1, None)
    assert retained.put("b", 2)


@pytest.mark.parametrize("value", [object(), b"bytes", {1j: 2}, {"deep": {1, 2}}])
def test_what_is_no_json_is_refused(chip: Chip, value: Any) -> None:
    chip.memory.rtc_memory = b""
    retained = start()
    retained.put("a", 1)
    assert not retained.put("a", value) and retained.refused == 1
    assert retained.get("a") == 1 == start().get("a")


def test_what_a_caller_changes_later_is_not_stored(chip: Chip) -> None:
    chip.memory.rtc_memory = b""
    retained = start()
    mine = [1]
    retained.put("list", mine)
    mine.append(2)
    retained.put("other", (1, 2))
    for seen in (retained, start()):
        assert (seen.get("list"), seen.get("other")) == ([1], [1, 2])


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("abcdé"), JSON | st.text(min_size=300, max_size=900)), max_size=12))
def test_every_start_sees_what_was_put(chip: Chip, puts: list[tuple[str, Any]]) -> None:
    chip.memory.rtc_memory = b""
    model: dict[str, Any] = {}
    retained = start()
    for key, value in puts:
        if retained.put(key, value):
            model[key] = value
        else:
            assert retained.refused
        assert len(chip.memory.rtc_memory) <= 2048
        again = start()
        for name in "abcdé":
            assert retained.get(name, "none") == again.get(name, "none") == model.get(name, "none")
