"""Sentences with their words: recorded ones of the recogniser's own tests, and spoken ones of eSpeak NG.

The recordings are fetched, once, with the source distribution of pocketsphinx on PyPI, into a folder that is
no part of the repository. All are 16 kHz, and made as loud as the active level of `LEVEL_DBFS`.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lunette import paths
from lunette.virtual.spoken import wave

from .measures import RATE, Sound, active_level

CACHE = paths.ROOT / "out" / "quality"
LEVEL_DBFS = -26.0
_BEFORE_S, _AFTER_S = 1.0, 0.4  # of nothing but noise
_VERSION = "5.1.1"
_DATA = f"pocketsphinx-{_VERSION}/test/data/"
_LIBRIVOX = "librivox/sense_and_sensibility_01_austen_64kb-{}.wav"

# As spoken; what the transcripts of the files say, too, except "a more a amiable".
_RECORDED = {
    _LIBRIVOX.format("0870"): "and mister john dashwood had then leisure to consider how much there might be "
    "prudently in his power to do for them",
    _LIBRIVOX.format("0880"): "he was not an ill disposed young man",
    _LIBRIVOX.format("0890"): "unless to be rather cold hearted and rather selfish is to be ill disposed",
    _LIBRIVOX.format("0920"): "had he married a more amiable woman he might have been made still more "
    "respectable than he was",
    _LIBRIVOX.format("0930"): "he might even have been made amiable himself",
    "cards/001.wav": "ten of clubs",
    "cards/002.wav": "four queen of clubs",
    "cards/003.wav": "seven of clubs",
    "cards/004.wav": "five five",
    "cards/005.wav": "eight of spades four of clubs seven of hearts",
    "goforward.raw": "go forward ten meters",
    "something.raw": "go somewhere and do something",
    "tidigits/dhd.2934z.raw": "two nine three four zero",
}
# (voice, words a minute, text)
_SPOKEN = (
    ("en-us", 140, "go forward ten meters"),
    ("en-us+f3", 160, "seven of hearts four of spades"),
    ("en-gb-x-rp", 170, "he might have been a young man"),
    ("en-gb-scotland+f2", 150, "two nine three four zero"),
)


@dataclass(frozen=True)
class Sentence:
    name: str
    words: str
    sound: Sound
    recorded: bool


def _archive() -> Path:
    """The source distribution. RuntimeError with pip's words if it cannot be had."""
    path = CACHE / f"pocketsphinx-{_VERSION}.tar.gz"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--no-binary", "pocketsphinx", "--dest", str(CACHE)]
        done = subprocess.run(
            [*command, f"pocketsphinx=={_VERSION}"], capture_output=True, text=True, timeout=300
        )
        if done.returncode or not path.exists():
            raise RuntimeError(f"no recordings: {done.stderr.strip().splitlines()[-1:]}")
    return path


def _levelled(sound: Sound) -> Sound:
    """As loud as all of them, with time before and after."""
    scaled = sound * 32768 * 10 ** (LEVEL_DBFS / 20) / active_level(sound)
    peak = np.abs(scaled).max()
    if peak > 32000:
        scaled *= 32000 / peak
    return np.concatenate([np.zeros(round(RATE * _BEFORE_S)), scaled, np.zeros(round(RATE * _AFTER_S))])


def recorded() -> Iterator[Sentence]:
    with tarfile.open(_archive()) as archive:
        for name, words in _RECORDED.items():
            member = archive.extractfile(_DATA + name)
            assert member is not None
            data = member.read()
            begin = 44 if name.endswith(".wav") else 0
            yield Sentence(name, words, _levelled(np.frombuffer(data[begin:], "<i2").astype(float)), True)


def spoken() -> Iterator[Sentence]:
    for name, rate, words in _SPOKEN:
        yield Sentence(f"{name}, {rate}: {words}", words, _levelled(wave(words, name, rate)), False)
