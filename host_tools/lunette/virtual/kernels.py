"""Ways to run the firmware's viper kernels in CPython: checked (the default, see `viper`), plain, and fast.

Both of these are for programs that run whole: the kernels are tested by themselves. They count for what is
imported from then on within a `micropython_modules` block, and for every new life of the program in it.
"""

from __future__ import annotations

import builtins
import sys
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

POINTERS = {
    name: (lambda buffer, code=code: memoryview(buffer).cast("B").cast(code))
    for name, code in (("ptr8", "B"), ("ptr16", "H"), ("ptr32", "I"))
}


def plain_kernels() -> None:
    """As plain Python, without 32-bit checks: ten times as fast as checked."""
    sys.modules["micropython"].viper = _plain  # type: ignore[attr-defined]
    vars(builtins).update(POINTERS)


def fast_kernels() -> None:
    """Plain, and those of a second of speech as exact equivalents in C: another fifty times as fast.
    (ADPCM only where Python has, or was given, `audioop`.)"""
    plain_kernels()
    sys.modules["micropython"].viper = _fast  # type: ignore[attr-defined]


def _plain(kernel: Callable[..., Any]) -> Callable[..., Any]:
    annotated = enumerate(kernel.__annotations__.values())
    pointers = [(i, pointer) for i, pointer in annotated if pointer in POINTERS.values()]

    def call(*args: Any) -> Any:
        shown = list(args)
        for i, pointer in pointers:
            shown[i] = pointer(shown[i])
        return kernel(*shown)

    return call


def _fast(kernel: Callable[..., Any]) -> Callable[..., Any]:
    name = ".".join((*kernel.__module__.split(".")[-2:], kernel.__name__))
    return _EQUIVALENTS.get(name) or _plain(kernel)


# --- the same, otherwise: tests/unit/test_kernel_equivalents.py -----------------------------------------


def _bytes(buffer: Any) -> memoryview:
    return memoryview(buffer).cast("B")


def _encode(pcm: Any, pcm_off: int, out: Any, out_off: int, n: int, state: Any) -> int:
    low, high, index = state[0], state[1], min(state[2], 88)
    predictor = (high << 8 | low) - (high >> 7 << 16)
    samples = _bytes(pcm)[2 * pcm_off : 2 * (pcm_off + n)]
    coded, (predictor, after) = audioop.lin2adpcm(samples, 2, (predictor, index))
    size = 4 + len(coded)
    out[out_off : out_off + size] = bytes((high, low, index, 0)) + coded
    state[0], state[1], state[2] = predictor & 255, predictor >> 8 & 255, after
    return size


def _copy(dst: Any, dst_off: int, src: Any, src_off: int, n: int) -> None:
    _bytes(dst)[dst_off : dst_off + n] = _bytes(src)[src_off : src_off + n]


def _update(state: Any, buf: Any, off: int, n: int) -> None:
    value = zlib.crc32(_bytes(buf)[off : off + n], int.from_bytes(state[:4], "little"))
    state[:4] = value.to_bytes(4, "little")


def _peak(pcm: Any, n: int) -> int:
    samples = np.frombuffer(pcm, "<i2", n)
    return min(32767, max(int(samples.max()), -int(samples.min()))) if n > 0 else 0


_EQUIVALENTS: dict[str, Callable[..., Any]] = {
    "dsp.pcm.copy": _copy,
    "dsp.pcm.peak": _peak,
    "dsp.crc32.update": _update,
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        import audioop
    except ImportError:  # Python 3.13 without audioop-lts
        pass
    else:
        _EQUIVALENTS["dsp.adpcm.encode"] = _encode
