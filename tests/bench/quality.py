"""What noise suppression, and all of the sound path, do to speech in noise: by measures and by a recogniser.

The noises are those of scenes, without what is below 80 Hz (the high-pass' part); a ratio is of the speech's
active level to the noise's. Sentences, measures and the recogniser are in tests/quality. All is seeded.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tests.quality import measures
from tests.quality.measures import RATE, Sound, later
from tests.quality.recogniser import Recogniser
from tests.quality.spoken import Sentence, recorded, spoken
from tests.quality.stages import ALL, DELAYS, SUPPRESSOR, Stages

from lunette.virtual.chip.noises import noise_wave

from .rows import Row

_NEEDS = ("pesq", "pystoi", "pocketsphinx", "espeakng_loader")
_CLEAN = ("none", 99)
# Steady ones, and two that are not.
CONDITIONS = (
    _CLEAN,
    *((noise, snr) for noise in ("white", "fan", "pink") for snr in (15, 10, 5, 0)),
    *(("street", snr) for snr in (15, 5)),
    ("babble", 5),
)
_RUMBLE_HZ = 80
_MEASURED = 4  # of the recorded sentences, by PESQ and STOI, which take longest; and all that are spoken


@dataclass(frozen=True)
class Figures:
    """Means over sentences; `wer` in per cent of the words. `attenuation` is of noise in pauses, in dB."""

    segmental: float
    attenuation: float
    pesq: float
    stoi: float
    wer: float


def in_noise(speech: Sound, noise: str, snr: float, seed: int) -> Sound:
    """As a microphone delivers it."""
    if (noise, snr) == _CLEAN:
        return np.round(speech)
    wave = np.resize(noise_wave(noise, seed, RATE), len(speech))
    spectrum = np.fft.rfft(wave)
    spectrum[: round(_RUMBLE_HZ * len(wave) / RATE)] = 0
    wave = np.fft.irfft(spectrum, len(wave))
    wave *= measures.active_level(speech) * 10 ** (-snr / 20) / wave.std()
    return np.asarray(np.clip(np.round(speech + wave), -32768, 32767))


@functools.lru_cache(maxsize=1)
def _sentences() -> tuple[list[Sentence], Recogniser]:
    found = [*recorded(), *spoken()]
    return found, Recogniser(sentence.words for sentence in found if sentence.recorded)


def figures(condition: tuple[str, int]) -> dict[str, Figures]:
    """Of the noise as it is (""), of the suppressor's sound and of all stages'."""
    sentences, recogniser = _sentences()
    rows: dict[str, list[tuple[float, ...]]] = {"": [], SUPPRESSOR: [], ALL: []}
    errors = dict.fromkeys(rows, 0)
    words = 0
    with Stages() as stages:
        for number, sentence in enumerate(sentences):
            before = in_noise(sentence.sound, *condition, seed=100 + number)
            words += len(sentence.words.split()) if sentence.recorded else 0
            for chain in rows:
                out = stages.run(chain, before) if chain else before
                late = DELAYS.get(chain, 0)
                speech = later(sentence.sound, late)
                if sentence.recorded:
                    errors[chain] += measures.word_errors(sentence.words, recogniser.words(out))
                if number < _MEASURED or not sentence.recorded:
                    quieter = measures.attenuation(speech, later(before, late), out) if chain else 0.0
                    segmental = measures.segmental_snr(speech, out)
                    others = measures.pesq(speech, out), measures.stoi(speech, out)
                    rows[chain].append((segmental, quieter, *others))
    return {
        chain: Figures(*np.mean(found, 0).tolist(), wer=100 * errors[chain] / words)
        for chain, found in rows.items()
    }


def _goals(noise: str, snr: int) -> dict[str, str]:
    if (noise, snr) == _CLEAN:
        return {"segmental": ">= 25", "pesq": ">= 4.2"}
    return {"segmental": ">= 6"} if (noise, snr) == ("white", 5) else {}


def _rows(noise: str, snr: int, found: dict[str, Figures]) -> Iterator[Row]:
    where = "clean" if noise == "none" else f"{noise}, {snr} dB"
    goals = _goals(noise, snr)
    raw = found[""]
    one = found[SUPPRESSOR]
    if noise == "none":
        yield Row(f"{where}: segmental SNR", one.segmental, "dB", goal=goals["segmental"])
        yield Row(f"{where}: PESQ", one.pesq, "MOS", goal=goals["pesq"])
    else:
        gained = one.segmental - raw.segmental
        note = f"{raw.segmental:.1f} to {one.segmental:.1f}; pauses {one.attenuation:.1f} dB quieter"
        yield Row(f"{where}: segmental SNR gained", gained, "dB", goal=goals.get("segmental"), note=note)
        yield Row(f"{where}: PESQ", one.pesq, "MOS", raw.pesq, "as it is")
    yield Row(f"{where}: STOI", one.stoi, "", raw.stoi, "as it is")
    yield Row(f"{where}: word errors", one.wer, "%", raw.wer, "as it is")
    every = found[ALL]
    yield Row(f"{where}: all stages, PESQ", every.pesq, "MOS", raw.pesq, "as it is")
    yield Row(f"{where}: all stages, word errors", every.wer, "%", raw.wer, "as it is")


def measure() -> Iterator[Row]:
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        yield Row("quality of speech", None, "", note=f"not installed: {', '.join(missing)} (pip: .[bench])")
        return
    _sentences()  # fetched once, before there are several to do so
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for (noise, snr), found in zip(CONDITIONS, pool.map(figures, CONDITIONS), strict=True):
            yield from _rows(noise, snr, found)
