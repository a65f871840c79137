"""Glasses in virtual time that listen for "Okay Nabu", and what is said to them."""

from __future__ import annotations

import asyncio
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import correlate
from sleepy import Night, play
from world import World

from lunette.virtual.spoken import clip
from lunette.wakeword.loaded import load

RATE = 16000
SETTLED_S = 2.4  # of sound before the first word that counts
WORD, QUESTION = "okay nabu", "what is the weather tomorrow"
OTHERS = ("turn the lights in the kitchen off", "hey there")


@functools.lru_cache
def model(name: str = "okay_nabu") -> bytes:
    return load(name).content


def equip(folder: Path, *names: str, **settings: Any) -> None:
    """The models, and settings that listen for them."""
    for text in (WORD, QUESTION, "alexa", *OTHERS):
        clip(text)  # now: speaking takes a process, which nobody waits for in virtual time
    (folder / "wakeword").mkdir(exist_ok=True)
    for name in names or ("okay_nabu",):
        (folder / "wakeword" / f"{name}.mww").write_bytes(model(name))
    settings = {"wakeword": ",".join(names or ("okay_nabu",)), **settings}
    (folder / "settings.json").write_text(json.dumps(settings))


def sound(*parts: str | float) -> tuple[Any, list[tuple[float, float]]]:
    """Texts and pauses (seconds) in a row, over faint noise; and when each text begins and ends."""
    pieces, spans, at = [], [], 0
    for part in parts:
        piece = clip(part) if isinstance(part, str) else np.zeros(int(part * RATE), np.int16)
        if isinstance(part, str):
            spans.append((at / RATE, (at + len(piece)) / RATE))
        pieces.append(piece)
        at += len(piece)
    pcm = np.concatenate(pieces) + np.random.default_rng(1).normal(0, 12, at)
    return np.clip(np.rint(pcm), -32768, 32767).astype(np.int16), spans


async def listens(world: World) -> None:
    await world.until(lambda: world.glasses.listener is not None and world.glasses.listener.on, "they listen")


def deafen(world: World) -> None:
    """Have the detector compute nothing, for as long as it is: where nothing is said it hears nothing."""
    world.glasses.listener._detector.run = lambda pcm, voice=False, late=False: -1


async def alone(night: Night) -> None:
    """Until nobody needs the radio."""
    await night.world.until(lambda: not night.world.glasses.presence.radio.running, "the radio is off", 60)


def play_night(folder: Path, test: Any, **settings: Any) -> None:
    """Glasses that listen and sleep, with the times of a real start; nobody is connected."""
    equip(folder)
    play(folder, test, settings={"wakeword": "okay_nabu", **settings})


async def said(world: World, *parts: str | float, settle: float = SETTLED_S, after: float = 3.0) -> Any:
    """Say these when the detector has settled; returns when they and `after` seconds are over: (samples, the
    spans of the texts in seconds since the first sample, when that was)."""
    pcm, spans = sound(settle, *parts, after)
    begins = world.say(pcm) - len(pcm) / RATE
    await asyncio.sleep(len(pcm) / RATE)
    return pcm, spans, begins


def place(recording: Any, pcm: Any) -> tuple[float, float]:
    """Where in the samples the recording begins, in seconds, and how much of its energy is something else."""
    part = recording[RATE // 2 :][:RATE].astype(float)
    best = correlate(pcm.astype(float), part, "valid", method="fft").argmax()
    begins = int(best) - RATE // 2
    there = pcm[max(0, begins) : begins + len(recording)].astype(float)
    heard = recording[max(0, -begins) :][: len(there)].astype(float)
    return begins / RATE, float(((heard - there) ** 2).sum() / (there**2).sum())
