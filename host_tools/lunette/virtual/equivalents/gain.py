"""The automatic gain, in numpy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

_BLOCK = 32
_LIMIT = 29204 << 14


def peaks(pcm: Any, top: int, blocks: int, out: Any) -> None:
    samples = np.frombuffer(pcm, "<i2")[: blocks * _BLOCK].reshape(-1, _BLOCK).astype(np.int32)
    np.frombuffer(out, "<u4")[1 : 1 + blocks] = np.abs(samples).max(axis=1, initial=0)


def adapt(tops: Any, state: Any) -> None:
    words = np.frombuffer(state, "<u4")
    mean, count, want = (int(word) for word in words[:3])
    power = int((np.frombuffer(tops, "<u4")[1:11].astype(np.int64) ** 2 // 16).sum())
    if power < 360:
        return
    if power < mean // 32:
        words[0] = mean - mean // 256
        return
    count = min(count + 1, 128)
    mean += (power - mean) // count
    words[:2] = mean, count
    if count < 10:
        return
    goal = max(4115, min(518112, (5565 << 14) // (math.isqrt(mean) + 1)))
    if goal > 2 * want:
        want += want // 16
    elif goal < want // 2:
        want -= want // 16
    elif count >= 64:
        if goal > want + want // 8 + want // 16:
            want += want // 128
        elif goal < want - want // 8 - want // 32:
            want -= want // 128
    words[2] = want


def plan(tops: Any, gains: Any, want: int) -> int:
    levels, words = np.frombuffer(tops, "<u4"), np.frombuffer(gains, "<u4")
    tall = levels[:11].tolist()
    gain = int(words[10])
    planned = [gain]
    highest = 0
    for top, then in itertools.pairwise(tall):
        goal = min(want, gain + (want - gain) // 64) if want > gain else want
        loudest = max(top, then)
        if loudest > 923:
            goal = min(goal, _LIMIT // loudest)
        after = gain + (goal - gain) // 16 * 16
        highest = max(highest, (top * max(gain, after) + 8192) >> 14)
        gain = after
        planned.append(gain)
    words[:11] = planned
    levels[0] = tall[10]
    return highest


def apply(pcm: Any, gain: int, gains: Any, late: Any, turn: int) -> None:
    samples: Any = np.frombuffer(pcm, "<i2")
    waiting: Any = np.frombuffer(late, "<i2")
    ends = np.frombuffer(gains, "<u4").astype(np.int64)
    steps = np.diff(ends[:11]) // 16
    line: Any = np.repeat(ends[:10, None] + steps[:, None] * np.arange(1, 17), 2, axis=1).ravel()
    source = np.concatenate((waiting[turn * _BLOCK :][:_BLOCK], samples[:320]))
    waiting[(1 - turn) * _BLOCK :][:_BLOCK] = source[320:]
    samples[:320] = (source[:320] * line + 8192) >> 14


EQUIVALENTS = {
    "dsp.gain.peaks": peaks,
    "dsp.gain.adapt": adapt,
    "dsp.gain.plan": plan,
    "dsp.gain.apply": apply,
}
