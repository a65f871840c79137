"""Two microphones as one: the same filters, each of them one convolution of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lunette.virtual.equivalents import octets


def combine(i: int, x: int, near: Any, far: Any, out: Any, end: int, state: Any, taps: Any) -> None:
    n = end - i
    if n <= 0:
        return
    numbers = np.frombuffer(taps, "<i2").astype(np.int64)
    held = octets(state)
    line = np.frombuffer(held[:32], "<i2").copy()
    sums = np.frombuffer(held[32:88], "<i4").astype(np.int64)
    heard = np.frombuffer(near, "<i2")[i:end].astype(np.int64)
    places = np.arange(i, end)
    delayed = np.arange(n) - numbers[16]
    voice = np.where(delayed >= 0, heard[np.maximum(delayed, 0)], line[(places - numbers[16]) & 15])
    aligned, sums[:7] = _filtered(np.frombuffer(far, "<i2")[i:end], numbers[:8], sums[:7])
    guess, sums[7:] = _filtered(voice - (aligned >> 12), numbers[8:16], sums[7:])
    line[places[-16:] & 15] = heard[-16:]
    result = np.minimum(np.maximum(voice - (guess >> 12), -32768), 32767)
    held[:32] = line.tobytes()
    held[32:88] = sums.astype("<i4").tobytes()
    octets(out)[2 * i : 2 * end] = result.astype("<i2").tobytes()


def _filtered(samples: Any, taps: Any, sums: Any) -> tuple[Any, Any]:
    """What the filter gives, and the sums that it leaves, from those that were left."""
    whole = np.convolve(samples.astype(np.int64), taps)
    whole[:7] += sums
    return whole[:-7], whole[-7:]


def blend(taps: Any, old: Any, new: Any, k: int) -> None:
    begin, end = (np.frombuffer(octets(weights)[:16], "<i2").astype(np.int64) for weights in (old, new))
    octets(taps)[16:32] = ((16 * begin + (end - begin) * k) >> 4).astype("<i2").tobytes()


def survey(i: int, x: int, pcm: Any, n: int, seen: Any) -> None:
    samples = np.frombuffer(pcm, "<i2")[:n].astype(np.int64)
    some = samples[::8]
    found = (some.max() - some.min(), np.abs(some - samples[1::8]).sum()) if n > 0 else (-65535, 0)
    octets(seen)[:8] = np.array(found, "<i4").tobytes()


EQUIVALENTS = {"dsp.beam.combine": combine, "dsp.beam.blend": blend, "dsp.beam.survey": survey}
