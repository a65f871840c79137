"""The kernels in MicroPython beside C in CPython, turn by turn in one run so that noise hits both."""

from __future__ import annotations

import binascii
import contextlib
import functools
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lunette import codecs, paths
from lunette.audio_files import read_audio
from lunette.virtual import interpreter

from .rows import Row

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

KERNELS = Path(__file__).with_name("kernels.py")
SAMPLES, FRAME_US = 320, 20000
_ROUNDS, _WARM_UP = 41, 3
_BATCH = 50


@contextlib.contextmanager
def clip() -> Iterator[tuple[Path, list[bytes]]]:
    """The demo's speech: a file of its samples, and the samples frame by frame."""
    pcm = read_audio(paths.DATA / "speech.wav")
    pcm = pcm[: len(pcm) // SAMPLES * SAMPLES].astype("<i2")
    with tempfile.NamedTemporaryFile(prefix="lunette-bench-") as file:
        file.write(pcm.tobytes())
        file.flush()
        yield Path(file.name), [frame.tobytes() for frame in pcm.reshape(-1, SAMPLES)]


class _Interpreter:
    """MicroPython that runs kernels on request and says how long they took."""

    def __init__(self, speech: Path):
        command = interpreter.command(str(KERNELS), str(paths.FIRMWARE / "glasses"), str(speech))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def us(self, kernel: str, calls: int) -> float:
        """Microseconds a call. RuntimeError with MicroPython's words if it died."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{kernel} {calls}\n")
            process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"MicroPython died: {process.stderr.read().strip().splitlines()[-1:]}")
        return int(answer) / calls

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _us(work: Callable[[], Any], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - begin) * 1e6 / calls


class _Encoder:
    """audioop through the clip, frame by frame, as the kernel goes."""

    def __init__(self, frames: list[bytes]):
        self._frames = frames
        self._at = 0
        self._state: tuple[int, int] | None = None
        self.coded = b""

    def __call__(self) -> None:
        self.coded, self._state = audioop.lin2adpcm(self._frames[self._at], 2, self._state)
        self._at = (self._at + 1) % len(self._frames)


def _turns(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    """Medians of both, measured in turns; the first few do not count."""
    pairs = [(one(), other()) for _ in range(_ROUNDS + _WARM_UP)][_WARM_UP:]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def measure() -> Iterator[Row]:
    with clip() as (speech, frames):
        micropython = _Interpreter(speech)
        try:
            yield from _kernels(micropython, frames)
        finally:
            micropython.close()
        yield from _decoding(frames)


def _kernels(micropython: _Interpreter, frames: list[bytes]) -> Iterator[Row]:
    encoder = _Encoder(frames)
    viper, c = _turns(lambda: micropython.us("encode", _BATCH), lambda: _us(encoder, _BATCH))
    yield Row("ADPCM encode, 20 ms, viper", viper, "us", c, "C (audioop.lin2adpcm)", goal="<= 3")
    yield Row("ADPCM encode, share of real time here", 100 * viper / FRAME_US, "%", goal="<= 1")
    data = bytes(range(164))
    viper, c = _turns(
        lambda: micropython.us("crc", _BATCH), lambda: _us(lambda: binascii.crc32(data), _BATCH)
    )
    yield Row("CRC-32, 164 B, viper", viper, "us", c, "C (binascii.crc32)")


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
