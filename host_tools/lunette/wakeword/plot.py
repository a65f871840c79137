"""A picture of what models made of recordings: waveform, below it each model's probabilities over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunette.codecs import SPEECH_RATE, Pcm
from lunette.picture import BLUE, GREEN, GREY, INK, PAPER, RED, Sheet, waveform

MOST_PANELS = 24

_HEAD, _WAVE, _PANEL, _BETWEEN = 0.34, 0.85, 0.8, 0.27


@dataclass(frozen=True)
class Curve:
    """Of one model: `probabilities` of 1 in steps that end at `times`, their means, and TensorFlow's means if
    they are known. `words` and `reference_words` are seconds."""

    title: str
    detail: str
    cutoff: float
    times: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    means: NDArray[np.float64]
    reference: NDArray[np.float64] | None
    words: Sequence[float]
    reference_words: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """A recording, int16 at 16 kHz, and its curves."""

    title: str
    pcm: Pcm
    curves: Sequence[Curve]


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Write the PNG. Raises OSError."""
    rows: list[float] = []
    above: list[float] = []
    for k, panel in enumerate(panels):
        rows += [_WAVE, *[_PANEL] * len(panel.curves)]
        above += [_HEAD + (0.12 if k else 0.05), *[_BETWEEN] * len(panel.curves)]
    sheet = Sheet(rows, above)
    seconds = max(len(panel.pcm) for panel in panels) / SPEECH_RATE
    axes = iter(sheet.axes)
    for panel in panels:
        wave = next(axes)
        length = len(panel.pcm) / SPEECH_RATE
        sheet.text(wave, 0.1, panel.title, fontsize=10.5, fontweight="bold")
        how = "thick: mean of the last, thin: each step, dashed: TensorFlow's mean, dotted: cutoff"
        sheet.text(wave, 0.1, f"{length:.2f} s   \N{MIDDLE DOT}   {how}", ha="right", fontsize=9)
        peak = float(np.max(np.abs(panel.pcm.astype(np.int32)), initial=0)) / 32768
        waveform(wave, panel.pcm, SPEECH_RATE, BLUE, min(1.0, max(0.03, peak) * 1.1))
        for curve in panel.curves:
            below = next(axes)
            colour = RED if curve.words else INK
            sheet.text(below, 0.06, curve.title, fontsize=9.5, fontweight="bold", color=colour)
            sheet.text(below, 0.06, curve.detail, ha="right", fontsize=8.5)
            _curve(below, curve, length)
    sheet.time_axis(seconds, "seconds")
    sheet.save(path)


def _curve(axes: Any, curve: Curve, seconds: float) -> None:
    plot = axes.plot
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.5, 1])
    axes.set_facecolor(PAPER)
    plot((0, seconds), (curve.cutoff, curve.cutoff), color=GREY, linewidth=0.9, linestyle=":")
    plot(curve.times, curve.probabilities, color=GREEN, linewidth=0.6, alpha=0.7)
    plot(curve.times, curve.means, color=GREEN, linewidth=1.8)
    if curve.reference is not None:
        plot(curve.times, curve.reference, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    for at in curve.reference_words:
        plot((at, at), (0, 1), color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    for at in curve.words:
        plot((at, at), (0, 1), color=RED, linewidth=1.6)
        plot((at,), (curve.cutoff,), color=RED, marker="o", markersize=5)
