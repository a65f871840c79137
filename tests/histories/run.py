"""Plays many histories, fast."""

from __future__ import annotations

import importlib
import zlib
from typing import Any

from world import plain_kernels

from lunette import audio_files, paths
from lunette.recording import Recording
from lunette.virtual.cpython import VirtualLoop, micropython_modules, run

from .ledger import Counts
from .play import Play


class _Files:
    """Finished speech is its bytes, not a WAV, and the kernels that only move bytes are Python's own."""

    def __enter__(self) -> None:
        self.was = audio_files.audio_bytes, Recording.pcm
        audio_files.audio_bytes = lambda pcm, rate, form: pcm  # type: ignore[assignment]
        Recording.pcm = lambda self, count=None: self.payload()  # type: ignore[assignment,method-assign]
        pcm, crc32 = (importlib.import_module(f"glasses.dsp.{name}") for name in ("pcm", "crc32"))

        def copy(to: Any, to_at: int, source: Any, at: int, n: int) -> None:
            to[to_at : to_at + n] = bytes(source[at : at + n])

        def update(state: bytearray, data: Any, at: int, n: int) -> None:
            value = zlib.crc32(bytes(data[at : at + n]), int.from_bytes(state, "little"))
            state[:] = value.to_bytes(4, "little")

        pcm.copy, crc32.update = copy, update
        crc32.reset = lambda state: state.__setitem__(slice(None), bytes(4))

    def __exit__(self, *_: object) -> None:
        audio_files.audio_bytes, Recording.pcm = self.was  # type: ignore[method-assign]


def play(seeds: range, verbose: bool = False) -> Counts:
    """Play these histories; AssertionError with the seed of the first that goes wrong."""
    counts = Counts()
    with micropython_modules(paths.HAL, paths.FIRMWARE):
        plain_kernels()
        with _Files():
            for seed in seeds:
                try:
                    run(Play(seed, counts, verbose).play(), loop=VirtualLoop())
                except BaseException as error:
                    raise AssertionError(f"history {seed}: {error}") from error
                counts.add("histories")
    return counts
