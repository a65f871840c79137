"""A picture of speech as it was said and as it arrived."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

_COLUMNS = 1600
_INK, _SENT, _RECEIVED, _DIFFERENCE = "#22303c", "#2a78b5", "#1f9e77", "#c2543d"


@dataclass(frozen=True)
class Comparison:
    """How `received` differs from `sent` over their common length.

    `missing_s` is how much longer sent is than received (negative: shorter); `peak` the largest
    difference in steps of 16 bit, `snr_db` the ratio of power of sent to that of the difference.
    """

    seconds: float
    missing_s: float
    peak: int
    snr_db: float


def compare(sent: Pcm, received: Pcm, rate: int) -> Comparison:
    """Compare int16 mono signals that start at the same instant."""
    n = min(len(sent), len(received))
    wide = sent[:n].astype(np.int64)
    difference = wide - received[:n].astype(np.int64)
    error = float(np.sum(difference**2))
    signal = float(np.sum(wide**2))
    snr = math.inf
    if error:
        snr = 10 * math.log10(signal / error) if signal else -math.inf
    peak = int(np.max(np.abs(difference))) if n else 0
    return Comparison(n / rate, (len(sent) - len(received)) / rate, peak, snr)


def draw(path: Path, sent: Pcm, received: Pcm, rate: int, title: str = "Lunette") -> Comparison:
    """Write a PNG of both signals and their difference on one time axis; returns the numbers in it.

    The file appears in one step.
    """
    # No display is there, and none is wanted.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    result = compare(sent, received, rate)
    n = min(len(sent), len(received))
    difference = sent[:n].astype(np.int32) - received[:n]
    figure = Figure(figsize=(12, 6.4), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 1.6]})
    limit = max(1000, int(np.max(np.abs(sent.astype(np.int32)), initial=0))) / 32768 * 1.1
    _panel(top, sent, rate, _SENT, "sent: at the microphone", limit)
    _panel(middle, received, rate, _RECEIVED, "received: the WAV at the host", limit)
    small = max(1, int(np.max(np.abs(difference), initial=0))) / 32768 * 1.25
    _panel(bottom, difference, rate, _DIFFERENCE, "difference (magnified)", small)
    bottom.set_xlabel("seconds since the microphone was switched on", color=_INK)
    bottom.set_xlim(0, max(len(sent), len(received)) / rate or 1)
    snr = "no difference at all" if math.isinf(result.snr_db) else f"SNR {result.snr_db:.1f} dB"
    caption = (
        f"{len(received) / rate:.2f} s received of {len(sent) / rate:.2f} s sent    ·    "
        f"{snr}    ·    largest difference {result.peak} of 32768"
    )
    figure.suptitle(title, x=0.065, y=0.975, ha="left", fontsize=15, fontweight="bold", color=_INK)
    figure.text(0.065, 0.912, caption, ha="left", fontsize=10.5, color=_INK)
    figure.subplots_adjust(left=0.065, right=0.985, top=0.875, bottom=0.085, hspace=0.16)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    figure.savefig(new, format="png")
    os.replace(new, path)
    return result


def _envelope(samples: NDArray[Any], rate: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Time, lowest and highest value of each of at most _COLUMNS columns of the picture."""
    step = max(1, math.ceil(len(samples) / _COLUMNS))
    whole = np.zeros(math.ceil(len(samples) / step) * step, np.float64)
    whole[: len(samples)] = samples
    columns = whole.reshape(-1, step) / 32768
    return (np.arange(len(columns)) + 0.5) * step / rate, columns.min(axis=1), columns.max(axis=1)


def _panel(axes: Any, samples: NDArray[Any], rate: int, colour: str, label: str, limit: float) -> None:
    t, low, high = _envelope(samples, rate)
    axes.fill_between(t, low, high, color=colour, linewidth=0.4)
    axes.axhline(0, color=colour, linewidth=0.5)
    axes.set_ylim(-limit, limit)
    axes.grid(axis="x", color="#d9dee3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.yaxis.set_major_locator(_ticks())
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9aa5af")
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
    axes.text(
        0.006,
        0.93,
        label,
        transform=axes.transAxes,
        va="top",
        color=colour,
        fontsize=10.5,
        fontweight="bold",
        bbox=box,
    )


def _ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, symmetric=True)
