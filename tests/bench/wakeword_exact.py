"""Whether a wake word is heard as by pymicro-features and TensorFlow Lite's C runtime: to the last bit.

Three comparisons of the same sounds: features with features; each step's probability, of the same features;
and the words that the glasses' `Detector` has heard, from samples, with the heap locked.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymicro_features import MicroFrontend
from tests.quality.wakeword_inputs import inputs_of

from lunette import paths
from lunette.virtual import interpreter
from lunette.wakeword import engine, listening
from lunette.wakeword.convert import convert
from lunette.wakeword.packaged import Source, carried
from lunette.wakeword.reference import Reference

from .rows import Row
from .wakeword_clips import Clip, Pcm, clips

Numbers = np.ndarray[Any, np.dtype[Any]]
_HEAR = Path(__file__).with_name("hear_features.py")
_LIMIT_S = 600
_STEP = 0.0390625  # of the reference's floats, which are whole numbers times that
_BANDS, _HOP = 40, 160
GOAL = "== 0"
"""Of all rows of exactness, and of no others."""


@functools.lru_cache(maxsize=1)
def models() -> dict[str, tuple[Source, bytes]]:
    """By name: the package's, and the glasses' file."""
    return {
        source.name: (
            source,
            convert(source.path.read_bytes(), source.phrase, source.cutoff, source.window),
        )
        for source in carried()
    }


# --- Features ---------------------------------------------------------------------------------------------


def features_here(pcm: Pcm) -> tuple[Numbers, float]:
    """(vectors, microseconds of one) of the firmware's features in MicroPython."""
    with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder:
        given, made = Path(folder) / "pcm", Path(folder) / "vectors"
        given.write_bytes(pcm.astype("<i2").tobytes())
        command = interpreter.command(str(_HEAR), str(paths.FIRMWARE), str(given), str(made))
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S
        )
        if done.returncode:
            raise RuntimeError(f"MicroPython failed: {done.stderr.strip().splitlines()[-1:]}")
        return np.frombuffer(made.read_bytes(), "<u2").reshape(-1, _BANDS), float(done.stdout)


def features_there(pcm: Pcm) -> tuple[Numbers, float]:
    """The same of pymicro-features, called from CPython 10 ms at a time."""
    raw = pcm[: len(pcm) // 320 * 320].astype("<i2").tobytes()
    frontend, vectors, at = MicroFrontend(), [], 0
    began = time.perf_counter()
    while at + 2 * _HOP <= len(raw):
        heard = frontend.process_samples(raw[at : at + 2 * _HOP])
        at += 2 * heard.samples_read
        if heard.features:
            vectors.append(heard.features)
    took = time.perf_counter() - began
    return np.round(np.array(vectors) / _STEP).astype(int), took / max(len(vectors), 1) * 1e6


def features() -> Iterator[Row]:
    """All clips one after the other."""
    whole = np.concatenate([clip.pcm for clip in clips()])
    ours, theirs = features_here(whole)[0], features_there(whole)[0]
    if ours.shape != theirs.shape:
        raise RuntimeError(f"{len(ours)} vectors, where pymicro-features has {len(theirs)}")
    apart = np.abs(ours.astype(int) - theirs)
    said = sum(clip.spoken for clip in clips())
    note = (
        f"of {ours.size} of pymicro-features, by {apart.max()} at most; "
        f"{len(clips())} clips, {said} of which are speech"
    )
    yield Row("features, numbers that differ", int((apart > 0).sum()), "", goal=GOAL, note=note)


# --- Probabilities ----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def inputs() -> tuple[tuple[Clip, Numbers], ...]:
    """Each clip and what the network is given of it, a row for each step."""
    return tuple((clip, inputs_of(clip.pcm)) for clip in clips())


def _decisions(probabilities: Numbers, source: Source) -> Numbers:
    """Of each step: whether the mean of the last is above the cutoff."""
    return listening.means(probabilities.astype(np.int64), source.window) > source.cutoff


def probabilities() -> Iterator[Row]:
    """One after the other without a reset between, as a stream is; and random bytes. Decided by clips."""
    several = [rows for _, rows in inputs()]
    several.append(np.random.default_rng(1).integers(-128, 128, (2000, 120)).astype(np.int8))
    whole = np.concatenate(several)
    for name, (source, model) in models().items():
        made = engine.of_inputs(model, whole).probabilities
        with Reference(source.path.read_bytes()) as reference:
            theirs = reference.steps(whole)
        apart = np.abs(made.astype(int) - theirs)
        note = f"of {len(made)} of TensorFlow Lite, by {apart.max()} of 255 at most"
        yield Row(f"{name}, steps that differ", int((apart > 0).sum()), "", goal=GOAL, note=note)
        at = otherwise = above = 0
        for rows in several:
            pair = [_decisions(one[at : at + len(rows)], source) for one in (made, theirs)]
            otherwise += not np.array_equal(*pair)
            above += bool(pair[1].any())
            at += len(rows)
        note = f"of {len(several)}; above the cutoff in {above}"
        yield Row(f"{name}, clips decided otherwise", otherwise, "", goal=GOAL, note=note)


# --- Words ------------------------------------------------------------------------------------------------


@dataclass
class _Tally:
    """Of a model: clips that have its word, those in which it is heard; words heard in those of a text that
    is alike, and in all others; clips in which it is heard more than one step elsewhere than by the
    reference, or not as often, and by how much; and probabilities that differ."""

    have: int = 0
    heard: int = 0
    alike: int = 0
    crossed: int = 0
    otherwise: int = 0
    most: int = 0
    apart: int = 0
    steps: int = 0

    def count(self, clip: Clip, name: str, ours: list[int], theirs: list[int]) -> None:
        if clip.word == name:
            self.have += 1
            self.heard += bool(ours)
        elif clip.alike == name:
            self.alike += len(ours)
        else:
            self.crossed += len(ours)
        if len(ours) != len(theirs):
            self.otherwise += 1
            return
        most = max((abs(one - other) for one, other in zip(ours, theirs, strict=True)), default=0)
        self.most = max(self.most, most)
        self.otherwise += most > 1


def _step(word: listening.Word) -> int:
    """Which step it is known in, from 0."""
    return (round(word.at_s * 16000) - listening.FIRST) // listening.HOP


def detections() -> Iterator[Row]:
    """Each clip from a start, through one `Detector` with all models."""
    names = list(models())
    tallies = {name: _Tally() for name in names}
    for clip in clips():
        heard = listening.hear(clip.pcm, [models()[name][1] for name in names])
        for i, name in enumerate(names):
            source, tally = models()[name][0], tallies[name]
            theirs = listening.reference(clip.pcm, source.path)
            ours = heard.probabilities[:, i]
            if len(ours) != len(theirs):
                raise RuntimeError(f"{clip.name}: {len(ours)} steps, where the reference has {len(theirs)}")
            tally.steps += len(ours)
            tally.apart += int((ours != theirs).sum())
            words = [_step(word) for word in heard.words if word.model == i]
            tally.count(clip, name, words, listening.decided(theirs, source.cutoff, source.window))
    for name, tally in tallies.items():
        note = (
            f"of {len(clips())}, {tally.have} of which have its word: heard in {tally.heard}; "
            f"{tally.crossed} cross-fires, {tally.alike} by words that are alike; "
            f"at most {tally.most} steps apart; "
            f"probabilities differ in {tally.apart} of {tally.steps} steps"
        )
        yield Row(f"{name}, clips heard otherwise", tally.otherwise, "", goal=GOAL, note=note)
