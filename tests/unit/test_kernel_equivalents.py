"""Kernels in C that stand in for the firmware's in long runs: bit for bit the same."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunette import paths
from lunette.virtual.cpython import micropython_modules
from lunette.virtual.kernels import POINTERS, fast_kernels, plain_kernels

KERNELS = ("adpcm", "crc32", "pcm")
PCM = st.binary(min_size=16, max_size=200).map(lambda b: b[: len(b) & ~3])
STATES = st.binary(min_size=4, max_size=4)


def _kernels() -> dict[str, Any]:
    for name in [name for name in sys.modules if name.startswith("glasses")]:
        del sys.modules[name]
    return {name: importlib.import_module(f"glasses.dsp.{name}") for name in KERNELS}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    with micropython_modules(paths.HAL, paths.FIRMWARE):
        plain_kernels()
        plain = _kernels()
        fast_kernels()
        yield plain, _kernels()


def same(both: Any, kernel: str, *args: Any) -> Any:
    """The result of both, with the buffers (bytearray) as they left them."""
    name, function = kernel.split(".")
    assert getattr(both[0][name], function).__code__ is not getattr(both[1][name], function).__code__
    results = []
    for modules in both:
        own = [bytearray(arg) if isinstance(arg, bytearray) else arg for arg in args]
        results.append((getattr(modules[name], function)(*own), own))
    assert results[0] == results[1]
    return results[0]


@given(PCM, STATES, st.integers(0, 3), st.integers(0, 5))
def test_encode(both: Any, pcm: bytes, state: bytes, pcm_off: int, out_off: int) -> None:
    n = len(pcm) // 2 - pcm_off & ~1
    buffers = bytearray(pcm), pcm_off, bytearray(120), out_off, pcm_off + n, bytearray(state)
    same(both, "adpcm.encode_frame", 0, 0, *buffers)


@given(st.binary(min_size=5, max_size=100), st.integers(0, 3))
def test_decode(both: Any, frame: bytes, at: int) -> None:
    same(both, "adpcm.decode_frame", 0, 0, bytearray(at) + frame, at, at + len(frame), bytearray(440), 3)


@given(st.binary(max_size=100), STATES, st.integers(0, 5))
def test_crc(both: Any, data: bytes, state: bytes, off: int) -> None:
    same(both, "crc32.update", bytearray(state), bytearray(data + bytes(5)), off, len(data))


@given(PCM, st.integers(0, 4))
def test_peak(both: Any, pcm: bytes, n: int) -> None:
    same(both, "pcm.peak", bytearray(pcm), n * 2)


def test_peak_of_the_loudest(both: Any) -> None:
    assert same(both, "pcm.peak", bytearray(b"\0\x80"), 1)[0] == 32767


@given(st.binary(min_size=30, max_size=30), st.integers(0, 9), st.integers(0, 9), st.integers(0, 20))
def test_copy(both: Any, data: bytes, to: int, at: int, n: int) -> None:
    same(both, "pcm.copy", bytearray(40), to, bytearray(data), at, n)


@given(st.binary(min_size=30, max_size=30), st.integers(0, 9), st.integers(0, 20))
def test_copy_within_a_buffer(both: Any, data: bytes, at: int, n: int) -> None:
    for modules in both:
        own = bytearray(data)
        modules["pcm"].copy(own, 0, own, at, n)
        assert own == data[at : at + n] + data[n:]


def test_plain_pointers_move_through_their_buffer() -> None:
    ptr8, ptr16 = POINTERS["ptr8"], POINTERS["ptr16"]
    words = bytearray(b"abcdefgh")
    third = ptr16(int(ptr8(words)) + 2)
    assert third[0] == int.from_bytes(b"cd", "little")
    ptr16(int(third) + 2)[1] = 0x4241
    assert words == b"abcdefAB"
