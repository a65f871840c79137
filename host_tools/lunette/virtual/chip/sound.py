"""The sound around the glasses: a timeline of samples that a microphone hears."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunette.acoustics import SPEED_OF_SOUND, Geometry, Point
from lunette.virtual.chip.noises import NOISES, noise_wave

Pcm = NDArray[np.int16]
Wave = NDArray[np.int32]

_FINE = 256  # steps of a sample of 24 bits in one of 16
_LEAST, _MOST = np.int32(-(1 << 23)), np.int32((1 << 23) - 1)
_HALF_TAPS = 32  # of the filter that delays by a fraction of a sample


@dataclass
class _Source:
    start: int  # sample index
    end: int | None  # None: for ever
    wave: Wave  # in steps of 24 bits
    periodic: bool
    place: Point | None = None  # None: the mouth; of noise: all around
    twin: Callable[[], Wave] | None = None  # of noise: as much again, with nothing in common
    # As each microphone hears it: (so many samples later, this wave).
    arrived: dict[int, tuple[int, Wave]] = field(default_factory=dict)


Noise = _Source


class Sound:
    """Speech and noise, mixed. One `say` alone at 0 dB is heard bit for bit.

    Sample ``i`` sounds at loop time ``t0 + i / rate``; every time here is a time of the event loop
    (seconds). `t0` is the running loop's time at construction, or 0 outside a loop. Microphones are where
    `geometry` says, counted from 0.
    """

    def __init__(self, rate: int = 16000, t0: float | None = None, geometry: Geometry | None = None):
        self.rate = rate
        if t0 is None:
            try:
                t0 = asyncio.get_running_loop().time()
            except RuntimeError:
                t0 = 0.0
        self.t0 = t0
        self._geometry = geometry or Geometry()
        self._sources: list[_Source] = []
        self.keep_s = 600
        """How long something said stays on record after its end."""
        self._noises = 0

    @property
    def geometry(self) -> Geometry:
        """Where the microphones and the mouth are. Settable, which moves them for all that is heard."""
        return self._geometry

    @geometry.setter
    def geometry(self, geometry: Geometry) -> None:
        self._geometry = geometry
        for source in self._sources:
            source.arrived.clear()

    def start(self, t0: float | None = None) -> None:
        """Make now (or `t0`) sample 0. What was said before keeps its sample index."""
        self.t0 = asyncio.get_running_loop().time() if t0 is None else t0

    def index(self, at: float) -> int:
        """The sample that sounds at time `at`."""
        return round((at - self.t0) * self.rate)

    def time(self, index: int) -> float:
        """When sample `index` sounds."""
        return self.t0 + index / self.rate

    def say(
        self, pcm: Pcm, at: float | None = None, gain_db: float = 0.0, place: Point | None = None
    ) -> float:
        """Have mono int16 `pcm` (at `rate`) heard from time `at` (now); returns the time of its end.

        It comes from the wearer's mouth, which is heard as it is by microphone 0, or from `place`: later and
        softer, by the way it has.
        """
        wave = np.asarray(pcm)
        if wave.dtype != np.int16 or wave.ndim != 1:
            raise ValueError("say() takes a one-dimensional array of int16 samples")
        wide = wave.astype(np.int32) * np.int32(_FINE)
        if gain_db != 0.0:
            wide = _whole(wide * 10.0 ** (gain_db / 20.0))
        start = self.index(self._now() if at is None else at)
        horizon = start - self.keep_s * self.rate
        self._sources = [s for s in self._sources if s.end is None or s.end >= horizon]
        self._sources.append(_Source(start, start + len(wide), wide, periodic=False, place=place))
        return self.time(start + len(wide))

    def noise(
        self,
        kind: str,
        level_dbfs: float,
        at: float | None = None,
        duration: float | None = None,
        place: Point | None = None,
    ) -> None:
        """Have noise heard from `at` (now) for `duration` seconds (for ever).

        `kind` is one of NOISES; `level_dbfs` is its RMS at microphone 0, relative to 32768. It comes from
        all around (two microphones have in common what they have in a diffuse field), or from `place`. The
        same calls give the same samples; two noises of one kind are not correlated.
        """
        self.begin_noise(self.make_noise(kind, level_dbfs, place), at, duration)

    def make_noise(self, kind: str, level_dbfs: float, place: Point | None = None) -> Noise:
        """Noise that is not heard yet, for `begin_noise`. It takes up to a second to make: not while somebody
        waits for samples. (In a thread of its own it may be made.)"""
        if kind not in NOISES:
            raise ValueError(f"unknown noise {kind!r}: {', '.join(NOISES[:-1])} or {NOISES[-1]}")
        if level_dbfs > 0:
            raise ValueError(f"level_dbfs is {level_dbfs}: it cannot be above 0")
        seed = self._noises
        self._noises += 1
        rms = _FINE * 32768.0 * 10.0 ** (level_dbfs / 20.0)
        rate = self.rate

        def made(twin: bool) -> Wave:
            wave = noise_wave(kind, seed, rate, twin)
            return _whole(wave * (rms / np.sqrt(np.mean(wave**2))))

        noise = Noise(0, None, made(False), True, place, lambda: made(True))
        for microphone in range(len(self._geometry.positions)):
            noise.arrived[microphone] = self._arriving(noise, microphone)
        return noise

    def begin_noise(self, noise: Noise, at: float | None = None, duration: float | None = None) -> None:
        """Have it heard, once, from `at` (now) for `duration` seconds (for ever)."""
        noise.start = self.index(self._now() if at is None else at)
        noise.end = None if duration is None else noise.start + round(duration * self.rate)
        self._sources.append(noise)

    def quiet(self) -> None:
        """Forget everything that was said and every noise."""
        self._sources.clear()

    def render(self, start: int, n: int, microphone: int = 0) -> Pcm:
        """Samples ``start .. start + n - 1`` as that microphone hears them, clipped to int16: the upper
        16 bits of `render24`."""
        return (self.render24(start, n, microphone) >> 8).astype(np.int16)

    def render24(self, start: int, n: int, microphone: int = 0) -> Wave:
        """The same with 24 bits, as int32 from -2**23 to 2**23 - 1."""
        mix = np.zeros(n, np.int32)
        for s in self._sources:
            arrived = s.arrived.get(microphone)
            if arrived is None:
                arrived = s.arrived[microphone] = self._arriving(s, microphone)
            later, wave = arrived
            first = s.start + later
            a = max(start, first)
            if not s.periodic:
                b = min(start + n, first + len(wave))
            else:
                b = start + n if s.end is None else min(start + n, s.end)
            if b <= a:
                continue
            if s.periodic:
                mix[a - start : b - start] += wave[np.arange(a - first, b - first) % len(wave)]
            else:
                mix[a - start : b - start] += wave[a - first : b - first]
        # Not np.clip, which takes longer to look at its arguments than to clip 20 ms.
        return np.minimum(np.maximum(mix, _LEAST), _MOST)

    def _arriving(self, s: _Source, microphone: int) -> tuple[int, Wave]:
        there = self._geometry
        if s.periodic:
            if microphone == 0:
                return 0, s.wave
            if s.place is None:
                assert s.twin is not None
                gap = there.spacing_mm(0, microphone) / 1000 / SPEED_OF_SOUND * self.rate
                return 0, _diffuse(s.wave, s.twin(), gap)
            later = there.delay_s(microphone, s.place) - there.delay_s(0, s.place)
            gain = there.gain(microphone, s.place) / there.gain(0, s.place)
            return 0, _turned(s.wave, later * self.rate, gain)
        later, gain = there.delay_s(microphone, s.place) * self.rate, there.gain(microphone, s.place)
        if abs(later) < 1e-6 and abs(gain - 1) < 1e-9:
            return 0, s.wave
        return _delayed(s.wave, later, gain)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _whole(wave: Any) -> Wave:
    return np.rint(wave).astype(np.int32)


def _delayed(wave: Wave, samples: float, gain: float) -> tuple[int, Wave]:
    """(whole samples, wave): `wave`, `samples` later, by a sinc under a Kaiser window; flat to 7.4 kHz
    of 16."""
    whole = math.floor(samples)
    x = np.arange(-_HALF_TAPS + 1, _HALF_TAPS + 1) - (samples - whole)
    taps = np.sinc(x) * np.i0(8.0 * np.sqrt(np.maximum(0.0, 1 - (x / _HALF_TAPS) ** 2)))
    # Not np.convolve, which is slower than this by orders of magnitude for a minute of speech.
    n = len(wave) + len(taps) - 1
    size = 1 << (n - 1).bit_length()
    spectrum = np.fft.rfft(wave, size) * np.fft.rfft(taps * (gain / taps.sum()), size)
    return whole - _HALF_TAPS + 1, _whole(np.fft.irfft(spectrum, size)[:n])


def _turned(wave: Wave, samples: float, gain: float) -> Wave:
    """A periodic wave, `samples` later."""
    spectrum = np.fft.rfft(wave)
    turns = np.arange(len(spectrum)) * (samples / len(wave))
    return _whole(np.fft.irfft(spectrum * gain * np.exp(-2j * np.pi * turns), len(wave)))


def _diffuse(wave: Wave, twin: Wave, gap: float) -> Wave:
    """What a microphone hears of noise from all around of which another, `gap` samples away, hears `wave`.
    Their coherence is sin(x) / x, x = 2 pi f gap (Cook et al., 1955)."""
    spectrum = np.fft.rfft(wave)
    common = np.sinc(2 * gap * np.arange(len(spectrum)) / len(wave))
    mixed = common * spectrum + np.sqrt(1 - common**2) * np.fft.rfft(twin)
    return _whole(np.fft.irfft(mixed, len(wave)))
