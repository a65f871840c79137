"""The sound around the glasses: a timeline of samples that a microphone hears."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

_NOISE_PERIOD = 1 << 17  # samples after which noise repeats (8 s at 16 kHz), seamlessly
_HUM_HZ = 50
_LEAST, _MOST = np.int32(-32768), np.int32(32767)


@dataclass
class _Source:
    start: int  # sample index
    end: int | None  # None: for ever
    wave: NDArray[np.int32]
    periodic: bool


class Sound:
    """Speech and noise, mixed. One `say` alone at 0 dB is heard bit for bit.

    Sample ``i`` sounds at loop time ``t0 + i / rate``; every time here is a time of the event loop
    (seconds). `t0` is the running loop's time at construction, or 0 outside a loop.
    """

    def __init__(self, rate: int = 16000, t0: float | None = None):
        self.rate = rate
        if t0 is None:
            try:
                t0 = asyncio.get_running_loop().time()
            except RuntimeError:
                t0 = 0.0
        self.t0 = t0
        self._sources: list[_Source] = []
        self.keep_s = 600
        """How long something said stays on record after its end."""
        self._noises = 0

    def start(self, t0: float | None = None) -> None:
        """Make now (or `t0`) sample 0. What was said before keeps its sample index."""
        self.t0 = asyncio.get_running_loop().time() if t0 is None else t0

    def index(self, at: float) -> int:
        """The sample that sounds at time `at`."""
        return round((at - self.t0) * self.rate)

    def time(self, index: int) -> float:
        """When sample `index` sounds."""
        return self.t0 + index / self.rate

    def say(self, pcm: Pcm, at: float | None = None, gain_db: float = 0.0) -> float:
        """Have mono int16 `pcm` (at `rate`) heard from time `at` (now); returns the time of its end."""
        wave = np.asarray(pcm)
        if wave.dtype != np.int16 or wave.ndim != 1:
            raise ValueError("say() takes a one-dimensional array of int16 samples")
        wide = wave.astype(np.int32)
        if gain_db != 0.0:
            wide = np.rint(wide * 10.0 ** (gain_db / 20.0)).astype(np.int32)
        start = self.index(self._now() if at is None else at)
        horizon = start - self.keep_s * self.rate
        self._sources = [s for s in self._sources if s.end is None or s.end >= horizon]
        self._sources.append(_Source(start, start + len(wide), wide, periodic=False))
        return self.time(start + len(wide))

    def noise(
        self, kind: str, level_dbfs: float, at: float | None = None, duration: float | None = None
    ) -> None:
        """Have noise heard from `at` (now) for `duration` seconds (for ever).

        `kind` is "white", "pink" or "hum" (50 Hz and harmonics); `level_dbfs` is its RMS relative to
        32768. The same calls give the same samples; two noises of one kind are not correlated.
        """
        if kind not in ("white", "pink", "hum"):
            raise ValueError(f"unknown noise {kind!r}: white, pink or hum")
        if level_dbfs > 0:
            raise ValueError(f"level_dbfs is {level_dbfs}: it cannot be above 0")
        seed = self._noises
        self._noises += 1
        wave = _hum(self.rate) if kind == "hum" else _coloured(kind, seed)
        wave = wave * (32768.0 * 10.0 ** (level_dbfs / 20.0) / np.sqrt(np.mean(wave**2)))
        start = self.index(self._now() if at is None else at)
        end = None if duration is None else start + round(duration * self.rate)
        self._sources.append(_Source(start, end, np.rint(wave).astype(np.int32), periodic=True))

    def quiet(self) -> None:
        """Forget everything that was said and every noise."""
        self._sources.clear()

    def render(self, start: int, n: int) -> Pcm:
        """Samples ``start .. start + n - 1`` as heard, clipped to int16."""
        mix = np.zeros(n, np.int32)
        for s in self._sources:
            a = max(start, s.start)
            b = start + n if s.end is None else min(start + n, s.end)
            if b <= a:
                continue
            if s.periodic:
                mix[a - start : b - start] += s.wave[np.arange(a - s.start, b - s.start) % len(s.wave)]
            else:
                mix[a - start : b - start] += s.wave[a - s.start : b - s.start]
        # Not np.clip, which takes longer to look at its arguments than to clip 20 ms.
        return np.minimum(np.maximum(mix, _LEAST), _MOST).astype(np.int16)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _coloured(kind: str, seed: int) -> NDArray[np.float64]:
    # Shaped in the frequency domain, so that the period joins its own start without a click.
    rng = np.random.default_rng(seed)
    if kind == "white":
        return rng.standard_normal(_NOISE_PERIOD)
    bins = _NOISE_PERIOD // 2 + 1
    spectrum = rng.standard_normal(bins) + 1j * rng.standard_normal(bins)
    spectrum[0] = 0
    spectrum[1:] /= np.sqrt(np.arange(1, bins))
    return np.fft.irfft(spectrum, _NOISE_PERIOD)


def _hum(rate: int) -> NDArray[np.float64]:
    turns = 2 * np.pi * _HUM_HZ * np.arange(rate) / rate  # one second holds whole periods
    wave = np.zeros(rate)
    for harmonic, amplitude in ((1, 1.0), (2, 0.5), (3, 0.25), (5, 0.1)):
        wave += amplitude * np.sin(harmonic * turns)
    return wave
