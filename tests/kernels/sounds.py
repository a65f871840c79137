"""Speech and noises for the tests of the sound path, as floats at 16 kHz."""

import functools
import wave

import numpy as np

from lunette import paths
from lunette.virtual.chip.noises import noise_wave

RATE = 16000
CLIP_DBFS = -22.9  # active level of the clip by ITU-T P.56
STEADY = ("white", "pink", "hum", "fan", "street")
_wave = functools.lru_cache(maxsize=8)(noise_wave)


def speech(dbfs):
    """The clip of `lunette demo` at an active level in dB below full scale."""
    with wave.open(str(paths.DATA / "speech.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return pcm * 10 ** ((dbfs - CLIP_DBFS) / 20)


def noise(name, n, dbfs, seed=1):
    """Those of scenes, at a mean level."""
    made = np.resize(_wave(name, seed, RATE), n)
    return made / made.std() * 32768 * 10 ** (dbfs / 20)
