"""Speech and noises for the tests of the sound path, as floats at 16 kHz."""

import wave

import numpy as np

from lunette import paths

RATE = 16000
CLIP_DBFS = -22.9  # active level of the clip by ITU-T P.56


def speech(dbfs):
    """The clip of `lunette demo` at an active level in dB below full scale."""
    with wave.open(str(paths.DATA / "speech.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return pcm * 10 ** ((dbfs - CLIP_DBFS) / 20)


def _shaped(rng, n, response):
    """Noise whose amplitude over frequency is `response`."""
    bins = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20)
    return np.fft.irfft(np.fft.rfft(rng.normal(size=n)) * response(bins), n)


def white(rng, n):
    return rng.normal(size=n)


def pink(rng, n):
    return _shaped(rng, n, lambda hz: hz**-0.5)


def hum(rng, n):
    """Of mains: harmonics of 50 Hz to 600, and a little hiss."""
    t = np.arange(n) / RATE
    parts = ((1, 0.5), (2, 1), (3, 0.3), (4, 0.6), (6, 0.4), (8, 0.2), (10, 0.1), (12, 0.06))
    tones = sum(a * np.sin(2 * np.pi * 50 * k * t + rng.uniform(0, 6)) for k, a in parts)
    return tones / tones.std() + 0.03 * rng.normal(size=n)


def fan(rng, n):
    """Air below 300 Hz, three tones of its blades, 11 turns a second."""
    t = np.arange(n) / RATE
    air = _shaped(rng, n, lambda hz: (1 + (hz / 300) ** 2) ** -0.75 + 0.01)
    air *= (1 + 0.05 * np.sin(2 * np.pi * 11 * t)) / air.std()
    return air + sum(a * np.sin(2 * np.pi * hz * t) for hz, a in ((115, 0.3), (230, 0.2), (690, 0.1)))


def street(rng, n):
    """Far traffic: mostly below 200 Hz, and its level wanders by 3 dB and more within seconds."""
    far = _shaped(rng, n, lambda hz: (1 + (hz / 200) ** 2) ** -0.5 + 0.004)
    knots = np.arange(0, n + 2 * RATE, RATE)
    wander = np.interp(np.arange(n), knots, rng.normal(size=len(knots)))
    return far * 10 ** (1.5 * wander / 20)


NOISES = {f.__name__: f for f in (white, pink, hum, fan, street)}


def noise(name, n, dbfs, seed=1):
    made = NOISES[name](np.random.default_rng(seed), n)
    return made / made.std() * 32768 * 10 ** (dbfs / 20)
