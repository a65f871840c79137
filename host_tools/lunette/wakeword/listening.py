"""Models over a recording: the glasses' own code in real MicroPython, and TensorFlow's C runtime beside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunette import paths
from lunette.codecs import SPEECH_RATE, Pcm
from lunette.wakeword import packaged, program

FRAME = 320
FIRST, HOP = 800, 480
"""Samples until the end of what the first step is of, and of each step after it."""

_SECONDS = 60.0  # of computing, for each minute of sound: a hundred times as long as it takes


@dataclass(frozen=True)
class Word:
    """`model` (its number) has heard its word: known at `at_s`, probable since `ended_s`; `score` is the mean
    of the last probabilities, of 1."""

    model: int
    at_s: float
    ended_s: float
    score: float


@dataclass(frozen=True)
class Heard:
    """`probabilities[step, model]` are of 256; `times` are the seconds of sound that each step had heard."""

    times: NDArray[np.float64]
    probabilities: NDArray[np.int64]
    words: tuple[Word, ...]
    skipped: int


def hear(pcm: Pcm, models: Sequence[bytes], **options: Any) -> Heard:
    """What the glasses' detector makes of int16 samples at 16 kHz, in MicroPython with its heap locked.

    `models` are files for the glasses. `options` are those of `hear.py`. Raises LunetteError.
    """
    limit = _SECONDS * (1 + len(pcm) / SPEECH_RATE / 60) * max(1, len(models))
    arguments = [str(paths.FIRMWARE / "glasses"), json.dumps(options)]
    lines = program.printed("hear.py", arguments, [np.asarray(pcm, "<i2").tobytes(), *models], limit)
    rows = np.array([line.split() for line in lines], np.int64)
    rows = rows.reshape(-1, 5 + len(models))
    words = tuple(
        Word(fired, end / SPEECH_RATE, (end - ago) / SPEECH_RATE, score / 1000)
        for frame, _, fired, score, ago in rows[:, :5].tolist()
        if fired >= 0
        for end in [(frame + 1) * FRAME]
    )
    # Those that are skipped are steps, too: the time goes on.
    numbers = np.arange(len(rows)) + rows[:, 1]
    skipped = int(rows[-1, 1]) if len(rows) else 0
    return Heard((FIRST + HOP * numbers) / SPEECH_RATE, rows[:, 5:], words, skipped)


def reference(pcm: Pcm, model: Path) -> NDArray[np.int64]:
    """The probability of each step, of 256, by TensorFlow's C runtime as pymicro-wakeword has it.
    LunetteError if that is not installed."""
    package = packaged.package()
    # The mean of one is it.
    word = package.MicroWakeWord(
        model.stem,
        wake_word=model.stem,
        tflite_model=model,
        probability_cutoff=1,
        sliding_window_size=1,
        trained_languages=[],
        libtensorflowlite_c_path=packaged.runtime(),
    )
    whole = np.asarray(pcm[: len(pcm) // FRAME * FRAME], "<i2")
    features = list(package.MicroWakeWordFeatures().process_streaming(whole.tobytes()))
    found = [word.process_streaming_prob(vector) for vector in features]
    word.close()
    return np.array(np.round(np.array(found[word.stride - 1 :: word.stride]) * 256), np.int64)


def decided(
    probabilities: NDArray[np.int64], cutoff: float, window: int, settle: int = 74, rest: int = 25
) -> list[int]:
    """The steps in which a word is said, by pymicro-wakeword's means and the glasses' rule: one word is one
    (`firmware/glasses/wakeword/detector.py`)."""
    found: list[int] = []
    low = rest
    for i in range(window - 1, len(probabilities)):
        mean = int(probabilities[i + 1 - window : i + 1].sum()) / (256 * window)
        if mean <= cutoff:
            low += 1
        elif i >= settle and low >= rest:
            found.append(i)
            low = 0
    return found


def means(probabilities: NDArray[np.int64], window: int) -> NDArray[np.float64]:
    """Of the last `window`, of 1; 0 as long as there are too few."""
    sums = np.cumsum(np.concatenate([np.zeros(window, np.int64), probabilities]))
    result = (sums[window:] - sums[:-window]) / (256 * window)
    result[: window - 1] = 0
    return np.asarray(result)
