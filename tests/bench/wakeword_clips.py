"""Sounds for a wake word's exactness: its words and others as eSpeak NG says them, and what is no speech.

Synthetic speech proves that both hear the same, not how well a model hears people.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lunette.codecs import SPEECH_RATE
from lunette.virtual.chip.noises import noise_wave
from lunette.virtual.spoken import wave

# Whose word it is, and whose it sounds like: two texts that fool a model.
TEXTS = {
    "okay nabu": ("okay_nabu", ""),
    "alexa": ("alexa", ""),
    "hey my croft": ("hey_mycroft", ""),
    "hey jarvis": ("hey_jarvis", ""),
    "okay now boost": ("", "okay_nabu"),
    "hey my craft": ("", "hey_mycroft"),
    "turn the lights in the kitchen off at seven": ("", ""),
}
_VOICES = ("en-us", "en-us+m3", "en-us+f3", "en-gb-x-rp", "en-gb-scotland+f2")
_SPEEDS = (130, 170)
# (the highest sample of what is said, the noise's name and its RMS)
_LEVELS = ((1500, "white", 12), (9000, "white", 12), (30000, "white", 12), (9000, "street", 250))
_NOISES = ("white", "pink", "fan", "street", "babble")
LEAD_S, TAIL_S = 2.6, 1.0  # what comes in the first 2.2 s does not count

Pcm = np.ndarray[Any, np.dtype[np.int16]]


@dataclass(frozen=True)
class Clip:
    """`word` is the name of the model whose word is said, `alike` of that to whose it is alike."""

    name: str
    pcm: Pcm
    word: str = ""
    alike: str = ""
    spoken: bool = False


def _int16(pcm: np.ndarray[Any, Any]) -> Pcm:
    return np.asarray(np.clip(np.round(pcm), -32768, 32767), np.int16)


def _said() -> Iterator[Clip]:
    for (text, of), voice, speed in itertools.product(TEXTS.items(), _VOICES, _SPEEDS):
        said = wave(text, voice, speed)
        said = np.pad(said / np.abs(said).max(), (int(LEAD_S * SPEECH_RATE), int(TAIL_S * SPEECH_RATE)))
        for peak, noise, rms in _LEVELS:
            around = np.resize(noise_wave(noise, 1, SPEECH_RATE), len(said))
            pcm = said * peak + around * rms / around.std()
            yield Clip(f"{text}, {voice}, {speed}, {peak}, {noise}", _int16(pcm), *of, True)


def _others() -> Iterator[Clip]:
    rng, t = np.random.default_rng(1), np.arange(4 * SPEECH_RATE) / SPEECH_RATE
    for name, rms in itertools.product(_NOISES, (100, 3000)):
        pcm = np.resize(noise_wave(name, 1, SPEECH_RATE), 6 * SPEECH_RATE)
        yield Clip(f"{name}, {rms}", _int16(pcm * rms / pcm.std()))
    for begin, end in ((50, 7950), (7950, 50), (100, 400)):
        turns = begin * t + (end - begin) * t**2 / 8
        yield Clip(f"chirp from {begin} to {end} Hz", _int16(32767 * np.sin(2 * np.pi * turns)))
    yield Clip("silence", np.zeros(3 * SPEECH_RATE, np.int16))
    for n in range(3):
        pcm = rng.integers(-32768, 32768, 4 * SPEECH_RATE)
        yield Clip(f"random numbers {n}", _int16(pcm if n < 2 else pcm >> rng.integers(0, 16, len(pcm))))
    yield Clip("full scale", _int16(rng.choice([-32768, 32767], 4 * SPEECH_RATE)))


@functools.lru_cache(maxsize=1)
def clips() -> tuple[Clip, ...]:
    """All of them."""
    return (*_said(), *_others())
