"""Noise to hear speech in: waves that repeat seamlessly, the same for the same seed."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from lunette import paths

Wave = NDArray[np.float64]

NOISES = ("white", "pink", "hum", "fan", "street", "babble")

_SHORT = 1 << 17  # samples after which steady noise repeats (8 s at 16 kHz)
_LONG = 1 << 19  # and noise with a course of its own (33 s)
_TALKERS = 7
_CARS = 3


def noise_wave(kind: str, seed: int, rate: int, twin: bool = False) -> Wave:
    """One period of it, of any level: "white", "pink" (3 dB less an octave), "hum" (50 Hz and harmonics),
    "fan" (a rush, and the tones of its blades), "street" (traffic: a rumble that swells and fades, and a car
    that passes now and then), "babble" (seven people talking at once).

    A `twin` has the same spectrum and course, and nothing else in common: what another microphone hears of
    the same noise from elsewhere.
    """
    course = np.random.default_rng((seed, 1))
    # (White noise of a seed is what it has always been.)
    rng = np.random.default_rng((seed, 2) if twin else seed)
    if kind == "white":
        return rng.standard_normal(_SHORT)
    if kind == "pink":
        return _shaped(rng, _SHORT, rate, lambda hz: hz**-0.5)
    if kind == "hum":
        return _hum(rate, rng if twin else None)
    if kind == "fan":
        return _fan(rng, course, rate)
    if kind == "street":
        return _street(rng, course, rate)
    if kind == "babble":
        return _babble(rng, rate)
    raise ValueError(f"unknown noise {kind!r}")


def _shaped(rng: np.random.Generator, n: int, rate: int, amplitude: object) -> Wave:
    # Shaped in the frequency domain, so that the period joins its own start without a click.
    bins = n // 2 + 1
    spectrum = rng.standard_normal(bins) + 1j * rng.standard_normal(bins)
    spectrum[0] = 0
    assert callable(amplitude)
    spectrum[1:] *= amplitude(np.arange(1, bins) * (rate / n))
    wave = np.fft.irfft(spectrum, n)
    return np.asarray(wave / np.sqrt(np.mean(wave**2)))


def _hum(rate: int, rng: np.random.Generator | None) -> Wave:
    turns = 2 * np.pi * 50 * np.arange(rate) / rate  # one second holds whole periods
    wave = np.zeros(rate)
    for harmonic, amplitude in ((1, 1.0), (2, 0.5), (3, 0.25), (5, 0.1)):
        phase = 0.0 if rng is None else rng.uniform(0, 2 * np.pi)
        wave += amplitude * np.sin(harmonic * turns + phase)
    return wave


def _fan(rng: np.random.Generator, course: np.random.Generator, rate: int) -> Wave:
    # Air is loudest around 200 Hz and falls by 6 dB an octave above 1 kHz; the tones stand out by a little.
    rush = _shaped(
        rng, _SHORT, rate, lambda hz: (1 + (120 / hz) ** 4) ** -0.5 * (1 + (hz / 1000) ** 2) ** -0.5
    )
    turns = 2 * np.pi * np.arange(_SHORT) / _SHORT
    blades = round(course.uniform(110, 170) * _SHORT / rate)  # whole periods
    for harmonic, amplitude in ((1, 0.4), (2, 0.25), (3, 0.1), (4, 0.06)):
        rush += amplitude * np.sin(harmonic * blades * turns + rng.uniform(0, 2 * np.pi))
    return rush


def _street(rng: np.random.Generator, course: np.random.Generator, rate: int) -> Wave:
    # Engines and tyres: most below 1 kHz, falling by 9 dB an octave beyond. Far away it swells by 3 dB or so.
    t = np.arange(_LONG) / _LONG
    swell = np.zeros(_LONG)
    for cycles in range(1, 6):
        swell += course.uniform(0.4, 1.0) * np.sin(2 * np.pi * (cycles * t + course.uniform()))
    wave = _shaped(rng, _LONG, rate, _engines) * 10 ** (swell / 20)
    # A car passes: for about two seconds it is as loud as all the rest, and hisses.
    tyres = _shaped(
        rng, _LONG, rate, lambda hz: (1 + (400 / hz) ** 4) ** -0.5 * (1 + (hz / 2000) ** 2) ** -0.5
    )
    for car in range(_CARS):
        middle = (car + course.uniform(0.2, 0.8)) / _CARS
        away_s = (t - middle) * _LONG / rate
        wave += tyres * course.uniform(0.7, 1.6) / (1 + (away_s / course.uniform(0.5, 1.0)) ** 2)
    return wave


def _engines(hz: Wave) -> Wave:
    return np.asarray((1 + (40 / hz) ** 4) ** -0.5 * hz**-0.5 * (1 + (hz / 1000) ** 2) ** -0.5)


@functools.lru_cache(maxsize=4)
def _speech(rate: int) -> Wave:
    from lunette.audio_files import read_audio  # which takes a while to import

    return read_audio(paths.DATA / "speech.wav", rate).astype(np.float64)


def _babble(rng: np.random.Generator, rate: int) -> Wave:
    # The same sentence, by people of other sizes who began at other times: as soon as there are three of
    # them nobody hears that it is.
    wave = np.zeros(_LONG)
    own = _speech(rate)
    for _ in range(_TALKERS):
        size = round(len(own) * rng.uniform(0.82, 1.22))
        voice = _resized(own, size)
        pause = np.zeros(round(rng.uniform(0.1, 0.5) * rate))
        turns = np.concatenate([voice, pause])
        said = np.tile(turns, _LONG // len(turns))
        said = np.concatenate([said, np.zeros(_LONG - len(said))])
        wave += np.roll(said, rng.integers(_LONG)) * rng.uniform(0.5, 1.0)
    return wave


def _resized(wave: Wave, n: int) -> Wave:
    spectrum = np.fft.rfft(wave)
    if len(spectrum) > n // 2:  # shorter: what would be beyond half the rate goes
        spectrum = spectrum[: n // 2]
    return np.asarray(np.fft.irfft(spectrum, n))
