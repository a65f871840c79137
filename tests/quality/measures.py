"""Measures of speech against what was said, on sounds of 16 kHz as floats in units of an int16.

Segmental SNR: frames of 25 ms; of each that is active (its power in the clean speech within 40 dB of the
loudest frame's) 10 log10(speech / (out - speech)), cut to -10..35 dB; the mean. Attenuation: of the frames
that are not active, apart from the first 0.8 s in which a noise is learnt, power before over power after.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float64]

RATE = 16000
_FRAME = 400
_ACTIVE = 1e-4
_LEARNT = 32


def _frames(sound: Sound) -> Sound:
    return sound[: len(sound) // _FRAME * _FRAME].reshape(-1, _FRAME)


def active(speech: Sound) -> NDArray[np.bool_]:
    """Which frames of clean speech are speech."""
    power = (_frames(speech) ** 2).mean(1)
    found: NDArray[np.bool_] = power > power.max() * _ACTIVE
    return found


def active_level(speech: Sound) -> float:
    """Root mean square of the frames that are speech."""
    return float(np.sqrt((_frames(speech)[active(speech)] ** 2).mean()))


def later(sound: Sound, samples: int) -> Sound:
    """The sound, delayed, of the same length."""
    return np.concatenate([np.zeros(samples), sound])[: len(sound)]


def segmental_snr(speech: Sound, out: Sound) -> float:
    wanted, error = _frames(speech), _frames(out - speech)
    ratio = 10 * np.log10(((wanted**2).sum(1) + 1) / ((error**2).sum(1) + 1))
    return float(np.clip(ratio, -10, 35)[active(speech)].mean())


def attenuation(speech: Sound, before: Sound, after: Sound) -> float:
    """dB that noise alone became less; 0 where there is none. All three are of the same delay."""
    pause = ~active(speech)
    pause[:_LEARNT] = False
    power = [(_frames(sound)[pause] ** 2).mean() for sound in (before, after)]
    return float(10 * np.log10((power[0] + 1e-3) / (power[1] + 1e-3)))


def pesq(speech: Sound, out: Sound) -> float:
    """MOS-LQO of ITU-T P.862.2 (wide band), 1.0 to 4.64."""
    from pesq import pesq as measure

    return float(measure(RATE, speech / 32768, out / 32768, "wb"))


def stoi(speech: Sound, out: Sound) -> float:
    """Short-time objective intelligibility (Taal and others, 2011), 0 to 1."""
    from pystoi import stoi as measure

    return float(measure(speech, out, RATE))


def word_errors(said: str, heard: str) -> int:
    """The least number of words put in, left out or changed."""
    row: list[Any] = list(range(len(heard.split()) + 1))
    for i, word in enumerate(said.split(), 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(heard.split(), 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (word != other))
    return int(row[-1])
