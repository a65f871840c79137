"""Ways to run the firmware's viper kernels in CPython: checked (the default, see `viper`), plain, and fast.

Both of these are for programs that run whole: the kernels are tested by themselves. They count for what is
imported from then on within a `micropython_modules` block, and for every new life of the program in it.
"""

from __future__ import annotations

import builtins
import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from lunette.virtual.equivalents import equivalents

Instead = Callable[[str], "Callable[..., Any] | None"]

_REACH = 1 << 16


class _Pointer:
    """A viper pointer: loads are unsigned, stores keep the low bits.

    One that is made of an address (``int()`` of another) reaches on from there, whatever is there.
    """

    __slots__ = ("_cells", "_mask")

    def __init__(self, buffer: Any, code: Literal["B", "H", "I"]):
        if isinstance(buffer, int):
            buffer = (ctypes.c_ubyte * _REACH).from_address(buffer)
        self._cells = memoryview(buffer).cast("B").cast(code)
        self._mask = (1 << 8 * self._cells.itemsize) - 1

    def __int__(self) -> int:
        return np.frombuffer(self._cells, np.uint8).ctypes.data

    def __getitem__(self, index: int) -> int:
        return self._cells[index]

    def __setitem__(self, index: int, value: int) -> None:
        self._cells[index] = value & self._mask


def _ptr8(buffer: Any) -> _Pointer:
    return _Pointer(buffer, "B")


def _ptr16(buffer: Any) -> _Pointer:
    return _Pointer(buffer, "H")


def _ptr32(buffer: Any) -> _Pointer:
    return _Pointer(buffer, "I")


POINTERS = {"ptr8": _ptr8, "ptr16": _ptr16, "ptr32": _ptr32}


def plain_kernels() -> None:
    """As plain Python, without 32-bit checks: ten times as fast as checked."""
    sys.modules["micropython"].viper = _plain  # type: ignore[attr-defined]
    vars(builtins).update(POINTERS)


def fast_kernels(instead: Instead = lambda name: None) -> None:
    """Plain, and those of a second of speech as their exact `equivalents`: another fifty times as fast.

    For a kernel ("dsp.module.kernel") that ``instead(name)`` has something for, that runs: another function
    for each, as the firmware tells them apart.
    """
    plain_kernels()
    sys.modules["micropython"].viper = functools.partial(_fast, instead)  # type: ignore[attr-defined]


def _plain(kernel: Callable[..., Any]) -> Callable[..., Any]:
    annotated = enumerate(kernel.__annotations__.values())
    pointers = [(i, pointer) for i, pointer in annotated if pointer in POINTERS.values()]

    def call(*args: Any) -> Any:
        shown = list(args)
        for i, pointer in pointers:
            shown[i] = pointer(shown[i])
        return kernel(*shown)

    return call


def _fast(instead: Instead, kernel: Callable[..., Any]) -> Callable[..., Any]:
    name = ".".join((*kernel.__module__.split(".")[-2:], kernel.__name__))
    return instead(name) or equivalents().get(name) or _plain(kernel)
