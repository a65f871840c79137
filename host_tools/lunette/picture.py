"""Pictures of sound: waveform over spectrogram, one recording below the other on one time axis."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
Span = tuple[float, float]
"""Seconds: begin and end."""

INK, GREY, BLUE, GREEN, RED, YELLOW = "#22303c", "#9aa5af", "#2a78b5", "#1f9e77", "#c2543d", "#e8a33d"
PAPER = "#eef1f3"
MOST_TRACKS = 16

_COLUMNS = 1600
_WINDOW = 512  # samples of a spectrum: 31 Hz and 32 ms at 16 kHz
_TOP_HZ = 8000
_FLOOR_DB, _CEILING_DB = -110.0, -20.0
_LONG_S = 120.0
_STEPS_S = (15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_DPI = 110
_WIDTH = 12.0
_LEFT, _RIGHT = 0.075, 0.925  # of the figure's width: the panels; the scale of the colours is beside them


@dataclass
class Track:
    """`pcm` is int16 mono, `detail` what is said of it beside the title. In `gaps` nothing was captured, in
    `voice` somebody spoke (None: nobody has looked)."""

    pcm: Pcm
    rate: int
    title: str
    detail: str = ""
    gaps: Sequence[Span] = ()
    voice: Sequence[Span] | None = None
    colour: str = BLUE

    @property
    def seconds(self) -> float:
        return len(self.pcm) / self.rate


@dataclass(frozen=True)
class Level:
    """dBFS: 0 is the amplitude 32768, and the RMS of a square wave of that. -inf for silence."""

    peak: float
    rms: float

    @classmethod
    def of(cls, pcm: NDArray[Any]) -> Level:
        if not len(pcm):
            return cls(-math.inf, -math.inf)
        x = pcm.astype(np.float64)
        return cls(_db(float(np.max(np.abs(x)))), _db(float(np.sqrt(np.mean(x**2)))))

    def __str__(self) -> str:
        if math.isinf(self.rms):
            return "silence"
        return f"peak {_signed(self.peak)}, RMS {_signed(self.rms)} dBFS"


def _db(amplitude: float) -> float:
    return 20 * math.log10(amplitude / 32768) if amplitude else -math.inf


def _signed(value: float) -> str:
    """With a minus sign that is one."""
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def spectrogram(
    pcm: NDArray[Any], rate: int, columns: int = _COLUMNS
) -> tuple[NDArray[np.float32], float, float]:
    """(levels, seconds a column, highest frequency): `levels[k]` is a row of dBFS at frequency k, of evenly
    many from 0 to the highest; a full-scale sine has 0. At most `columns`, each the mean power of its
    time."""
    bins = _WINDOW // 2 + 1
    hop = max(_WINDOW // 4, math.ceil(len(pcm) / columns))
    count = max(1, math.ceil(len(pcm) / hop))
    window = np.hanning(_WINDOW + 1)[:-1]
    # Windows overlap by a half at least; a column of a long recording has several.
    starts = np.arange(0, hop, _WINDOW // 2) if hop > _WINDOW // 2 else np.zeros(1, int)
    padded = np.zeros(count * hop + 2 * _WINDOW)
    padded[_WINDOW // 2 :][: len(pcm)] = pcm
    power = np.empty((bins, count), np.float32)
    for begin in range(0, count, 256):  # bounds the memory of the windows
        at = np.arange(begin, min(begin + 256, count)) * hop + (hop // 2 if len(starts) == 1 else 0)
        piece = (at[:, None] + starts[None, :])[..., None] + np.arange(_WINDOW)
        spectra = np.abs(np.fft.rfft(padded[piece] * window, axis=-1)) ** 2
        power[:, begin : begin + len(at)] = spectra.mean(axis=1).T
    power /= (32768 * window.sum() / 2) ** 2
    levels = 10 * np.log10(np.maximum(power, 1e-15))
    top = min(_TOP_HZ, rate / 2)
    keep = math.floor(top / (rate / 2) * (bins - 1) + 1e-9) + 1
    return levels[:keep], hop / rate, (keep - 1) * rate / _WINDOW


# --- panels ---------------------------------------------------------------------------------------------


@dataclass
class Sheet:
    """A figure of panels below each other that share the time axis. `rows` are their heights in inches, with
    `gaps[i]` inches above row i."""

    rows: Sequence[float]
    gaps: Sequence[float]
    bottom: float = 0.55
    figure: Any = field(init=False)
    axes: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        # No display is there, and none is wanted.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.height = sum(self.rows) + sum(self.gaps) + self.bottom
        self.figure = Figure(figsize=(_WIDTH, self.height), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        self.axes = []
        y = self.height
        for row, gap in zip(self.rows, self.gaps, strict=True):
            y -= gap + row
            box = (_LEFT, y / self.height, _RIGHT - _LEFT, row / self.height)
            shared = {"sharex": self.axes[0]} if self.axes else {}
            self.axes.append(self.figure.add_axes(box, **shared))
        for axes in self.axes:
            style(axes)
            axes.tick_params(labelbottom=axes is self.axes[-1])

    def text(self, axes: Any, above: float, text: str, **how: Any) -> None:
        """Write `above` inches above a panel, from its left edge or, with ha="right", from its right one."""
        box = axes.get_position()
        how = {"ha": "left", "va": "baseline", "color": INK, "fontsize": 10, **how}
        x = box.x1 if how["ha"] == "right" else box.x0
        self.figure.text(x, box.y1 + above / self.height, text, **how)

    def time_axis(self, seconds: float, label: str) -> None:
        axes = self.axes[-1]
        axes.set_xlim(0, seconds or 1)
        axes.set_xlabel(label, color=INK)
        if seconds > _LONG_S:
            from matplotlib.ticker import MultipleLocator

            step = next((step for step in _STEPS_S if seconds / step <= 10), seconds / 8)
            axes.xaxis.set_major_locator(MultipleLocator(step))
            axes.xaxis.set_major_formatter(lambda t, _: f"{int(t) // 60}:{t % 60:02.0f}")

    def scale(self, image: Any, axes: Any) -> None:
        """The scale of a spectrogram's colours, beside it."""
        box = axes.get_position()
        beside = self.figure.add_axes((box.x1 + 0.008, box.y0, 0.01, box.height))
        bar = self.figure.colorbar(image, cax=beside, ticks=range(-100, 0, 20))
        bar.outline.set_visible(False)
        beside.tick_params(colors=INK, labelsize=8, length=2)
        beside.set_yticklabels([f"\N{MINUS SIGN}{n}" for n in (100, 80, 60, 40, 20)])
        beside.set_title("dBFS", fontsize=8, color=INK, loc="left", pad=4)

    def save(self, path: Path) -> None:
        """Write the PNG, in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        try:
            self.figure.savefig(new, format="png")
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)


def style(axes: Any) -> None:
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def envelope(samples: NDArray[Any], rate: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Time, lowest and highest value (of 1) of each of at most _COLUMNS columns of the picture."""
    step = max(1, math.ceil(len(samples) / _COLUMNS))
    whole = np.zeros(math.ceil(len(samples) / step) * step, np.float64)
    whole[: len(samples)] = samples
    columns = whole.reshape(-1, step) / 32768
    return (np.arange(len(columns)) + 0.5) * step / rate, columns.min(axis=1), columns.max(axis=1)


def waveform(axes: Any, samples: NDArray[Any], rate: int, colour: str, limit: float) -> None:
    """The samples, from -`limit` to `limit` of full scale."""
    from matplotlib.ticker import MaxNLocator

    t, low, high = envelope(samples, rate)
    axes.fill_between(t, low, high, color=colour, linewidth=0.4)
    axes.plot((0, len(samples) / rate), (0, 0), color=colour, linewidth=0.5)
    axes.set_ylim(-limit, limit)
    axes.grid(axis="x", color="#d9dee3", linewidth=0.6)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, symmetric=True))


def spectrum(axes: Any, samples: NDArray[Any], rate: int) -> Any:
    """The spectrogram; returns the image, for its scale."""
    levels, column_s, top = spectrogram(samples, rate)
    image = axes.imshow(
        levels,
        origin="lower",
        aspect="auto",
        extent=(0, levels.shape[1] * column_s, 0, top / 1000),
        cmap="magma",
        vmin=_FLOOR_DB,
        vmax=_CEILING_DB,
        interpolation="nearest",
    )
    axes.set_ylim(0, top / 1000)
    axes.set_yticks([k for k in (0, 2, 4, 6, 8) if k <= top / 1000])
    axes.set_ylabel("kHz", color=INK, fontsize=9)
    axes.set_facecolor(PAPER)  # where nothing is; silence is black
    return image


def label(axes: Any, text: str, colour: str, right: str = "") -> None:
    """Words in the upper left corner of a panel, and less prominent ones in the `right` one."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
    axes.text(
        0.006,
        0.93,
        text,
        transform=axes.transAxes,
        va="top",
        color=colour,
        fontsize=10.5,
        fontweight="bold",
        bbox=box,
    )
    how = {"va": "top", "ha": "right", "color": INK, "fontsize": 9, "bbox": box}
    axes.text(0.997, 0.93, right, transform=axes.transAxes, **how)


# --- recordings -----------------------------------------------------------------------------------------

_HEAD, _WAVE, _VOICE, _SPECTRUM, _BETWEEN = 0.34, 0.95, 0.1, 1.55, 0.06
_TITLE = 40


def draw(path: Path, tracks: Sequence[Track]) -> None:
    """Write a PNG of recordings, each with its waveform, where somebody spoke, and its spectrogram."""
    rows: list[float] = []
    above: list[float] = []
    for k in range(len(tracks)):
        rows += [_WAVE, _VOICE, _SPECTRUM]
        above += [_HEAD + (0.12 if k else 0.05), _BETWEEN, _BETWEEN]
    sheet = Sheet(rows, above)
    seconds = max(track.seconds for track in tracks)
    loudest = max(0.03, *(_most(track.pcm) for track in tracks))
    for k, track in enumerate(tracks):
        wave, voice, below = sheet.axes[3 * k : 3 * k + 3]
        sheet.text(wave, 0.1, _short(track.title), fontsize=10.5, fontweight="bold")
        sheet.text(wave, 0.1, _detail(track), ha="right", fontsize=9)
        waveform(wave, track.pcm, track.rate, track.colour, min(1.0, loudest * 1.1))
        sheet.scale(spectrum(below, track.pcm, track.rate), below)
        for begin, end in track.gaps:
            for axes in (wave, below):
                axes.axvspan(
                    begin, end, facecolor="#d9dee3", edgecolor=RED, hatch="////", linewidth=0, alpha=0.75
                )
        _bar(voice, track)
    sheet.time_axis(seconds, "minutes : seconds" if seconds > _LONG_S else "seconds")
    sheet.save(path)


def _most(pcm: Pcm) -> float:
    return float(np.max(np.abs(pcm.astype(np.int32)), initial=0)) / 32768


def _short(title: str) -> str:
    """So that there is room for the detail."""
    return (
        title
        if len(title) <= _TITLE
        else f"{title[: _TITLE // 2]}\N{HORIZONTAL ELLIPSIS}{title[-_TITLE // 2 :]}"
    )


def _detail(track: Track) -> str:
    parts = [track.detail, f"{track.seconds:.2f} s", str(Level.of(track.pcm))]
    if track.gaps:
        missed = sum(end - begin for begin, end in track.gaps)
        parts.append(f"{len(track.gaps)} gap{'s' if len(track.gaps) > 1 else ''} of {missed:.2f} s")
    return "   \N{MIDDLE DOT}   ".join(part for part in parts if part)


def _bar(axes: Any, track: Track) -> None:
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(bottom=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    if track.voice is None:
        return
    axes.set_ylabel("voice", rotation=0, ha="right", va="center", fontsize=8, color=INK)
    axes.axvspan(0, track.seconds, facecolor=PAPER, linewidth=0)
    for begin, end in track.voice:
        axes.axvspan(begin, end, facecolor=YELLOW, linewidth=0)
