"""The speech codec beside C in CPython, turn by turn in one run so that noise hits both."""

from __future__ import annotations

import functools
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lunette import codecs, paths
from lunette.audio_files import read_audio

from .in_micropython import InMicroPython
from .rows import Row

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

SAMPLES, FRAME_US = 320, 20000
_ROUNDS, _WARM_UP = 41, 3
_SIGNATURE = "(a: ptr16, b: int, c: ptr8, d: int, e: int, f: ptr8) -> int"


def clip() -> list[bytes]:
    """The demo's speech, frame by frame."""
    pcm = read_audio(paths.DATA / "speech.wav")
    pcm = pcm[: len(pcm) // SAMPLES * SAMPLES].astype("<i2")
    return [frame.tobytes() for frame in pcm.reshape(-1, SAMPLES)]


def _us(work: Callable[[], Any], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - begin) * 1e6 / calls


def _turns(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    """Medians of both, measured in turns; the first few do not count."""
    pairs = [(one(), other()) for _ in range(_ROUNDS + _WARM_UP)][_WARM_UP:]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def measure() -> Iterator[Row]:
    frames = clip()
    yield from _coding(frames)
    yield from _decoding(frames)


def _coding(frames: list[bytes]) -> Iterator[Row]:
    # All of the clip in one call, not the same frame again: a branch predictor learns 100 frames of speech
    # by heart, and then it takes a fifth of the time.
    pcm = b"".join(frames)
    samples = len(pcm) // 2
    specs = (("hex", pcm.hex()), 0, ("fill", 4 + samples // 2, 0), 0, samples, ("hex", "00000000"))
    with InMicroPython() as micropython:
        micropython.prepare("glasses.dsp.adpcm.encode", specs, _SIGNATURE)
        viper, c = _turns(
            lambda: micropython.us(1)[0] / len(frames),
            lambda: _us(lambda: audioop.lin2adpcm(pcm, 2, None), 1) / len(frames),
        )
    yield Row("ADPCM encode, 20 ms, viper", viper, "us", c, "C (audioop.lin2adpcm)", goal="<= 3")
    yield Row("ADPCM encode, share of real time here", 100 * viper / FRAME_US, "%", goal="<= 1")


def _decoding(frames: list[bytes]) -> Iterator[Row]:
    """What the host does with each frame that arrives."""
    headers, coded, state = [], [], (0, 0)
    for frame in frames:
        headers.append(state)
        data, state = audioop.lin2adpcm(frame, 2, state)
        coded.append(data)
    wire = [
        bytes(((p >> 8) & 255, p & 255, index, 0)) + data
        for (p, index), data in zip(headers, coded, strict=True)
    ]
    decoder = codecs.Dvi4Decoder()
    for data, frame, header in zip(wire, coded, headers, strict=True):
        same = np.frombuffer(audioop.adpcm2lin(frame, 2, header)[0], "<i2")
        if not np.array_equal(decoder.decode(data), same):
            raise RuntimeError("the decoders disagree: nothing to compare")
    pairs = []
    for data, frame, header in zip(wire, coded, headers, strict=True):
        ours = _us(functools.partial(decoder.decode, data), 1)
        pairs.append((ours, _us(functools.partial(audioop.adpcm2lin, frame, 2, header), 1)))
    host, c = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    yield Row("ADPCM decode, 20 ms, host", host, "us", c, "C (audioop.adpcm2lin)")
    yield Row("ADPCM decode, share of real time here", 100 * host / FRAME_US, "%", goal="<= 10")
