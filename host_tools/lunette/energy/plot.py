"""Pictures of days and of curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lunette.energy.curve import Curve
from lunette.energy.day import clock_text
from lunette.energy.run import DayResult

NOTE = "Modelled, not measured: the sum of the board's table CURRENTS (boards/*/board.py, docs/power.md)"

_INK, _GRID, _LINE = "#22303c", "#d9dee3", "#2a78b5"
_KINDS = {
    "active": ("#c2543d", "capturing"),
    "listening": ("#c9a3d4", "listening"),
    "connected": ("#7fb2d9", "connected"),
    "standby": ("#f0c36d", "awake"),
    "asleep": ("#eef1f4", "asleep, calling hosts"),
    "usb": ("#9fd3ac", "on the cable"),
    "off": ("#9aa5af", "off"),
    "dark": ("#4a5560", "without power"),
}
_CURVES = ("#2a78b5", "#c2543d", "#1f9e77", "#8a5fb0", "#b8860b", "#555555")


def draw_days(path: Path, results: Sequence[DayResult]) -> None:
    """A PNG: for each day the charge over its hours, and what it went to. Days stand side by side, on one
    scale."""
    figure = _figure(7.2 * len(results), 7.4)
    panels = figure.subplots(2, len(results), squeeze=False, gridspec_kw={"height_ratios": [3, 2]})
    most = max(max(result.consumers.values(), default=0.0) for result in results)
    highest = max(point[1] for result in results for point in result.curve)
    for i, result in enumerate(results):
        _draw_charge(panels[0][i], result, highest)
        _draw_consumers(panels[1][i], result, most)
    kinds = [kind for kind in _KINDS if any(s.kind == kind for r in results for s in r.segments)]
    _legend(figure, kinds)
    boards = " / ".join(dict.fromkeys(result.board for result in results))
    _finish(figure, path, f"A day on {boards}")


def draw_curves(path: Path, curves: Sequence[Curve]) -> None:
    """A PNG: the average current asleep against reachability, of each board; a dotted line is the drawer, a
    dashed one listening for a wake word."""
    figure = _figure(10.5, 6.6)
    axes = figure.subplots()
    for colour, curve in zip(_CURVES * len(curves), curves, strict=False):
        best = [curve.best(i)[1] for i in range(len(curve.reach_s))]
        axes.plot(curve.reach_s, best, color=colour, linewidth=2.4, label=curve.board)
        axes.plot(curve.reach_s, curve.deep, color=colour, linewidth=1, marker="o", markersize=3.5)
        if curve.light is not None:
            axes.plot(curve.reach_s, curve.light, color=colour, linewidth=1, marker="s", markersize=3.5)
        axes.axhline(curve.drawer, color=colour, linewidth=1, linestyle=":")
        if curve.listening is not None:
            axes.axhline(curve.listening, color=colour, linewidth=1, linestyle="--")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(curves[0].reach_s, [str(reach) for reach in curves[0].reach_s])
    axes.minorticks_off()
    _ticks_y(axes)
    axes.set_xlabel(
        "seconds until a host that looks for the glasses finds them (setting reach_s)", color=_INK
    )
    axes.set_ylabel("mA, average", color=_INK)
    _style(axes)
    axes.grid(axis="y", color=_GRID, linewidth=0.6)
    title = "circles: deep sleep, squares: light, dotted: drawer"
    if any(curve.listening is not None for curve in curves):
        title += ", dashed: listening"
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.005, 0.07), title=title)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.91, bottom=0.14)
    _finish(figure, path, "Standby against reachability")


def _figure(width: float, height: float) -> Any:
    # No display is there, and none is wanted.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(width, 9.0), height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _draw_charge(axes: Any, result: DayResult, highest: float) -> None:
    for segment in result.segments:
        colour = _KINDS[segment.kind][0]
        axes.axvspan(segment.begin_s / 3600, segment.end_s / 3600, color=colour, linewidth=0)
    hours = [point[0] / 3600 for point in result.curve]
    if result.battery_mah is not None:
        axes.plot(hours, [point[2] for point in result.curve], color=_INK, linewidth=2)
        axes.set_ylim(0, 102)
        axes.set_ylabel("battery, %", color=_INK)
    else:
        axes.plot(hours, [point[1] for point in result.curve], color=_INK, linewidth=2)
        axes.set_ylim(0, highest * 1.05 or 1)
        axes.set_ylabel("mAh drawn", color=_INK)
    if result.empty_at_s is not None:
        text = f"empty at {clock_text(result.start_s, result.empty_at_s)}"
        at = result.empty_at_s / 3600
        axes.annotate(text, (at, 3), (at, 22), arrowprops={"arrowstyle": "->", "color": _INK}, ha="center")
    whole = result.seconds_total / 3600
    step = next(step for step in (0.25, 0.5, 1, 2, 4) if whole / step <= 9 or step == 4)
    ticks = [i * step for i in range(int(whole / step + 1e-9) + 1)]
    axes.set_xticks(ticks, [clock_text(result.start_s, tick * 3600) for tick in ticks])
    axes.set_xlim(0, whole)
    axes.set_title(f"{result.day}: {_figures(result)}", fontsize=10.5, color=_INK, loc="left")
    _style(axes)


def _figures(result: DayResult) -> str:
    said = [f"{result.mah:.0f} mAh"]
    if result.hours_of_use is not None:
        said.append(f"{result.hours_of_use:.1f} h of use")
    if result.hours_of_listening is not None:
        said.append(f"{result.hours_of_listening:.1f} h of listening")
    if result.days_of_standby is not None:
        said.append(f"{result.days_of_standby:.1f} days of standby")
    if result.battery_mah is not None:
        said.append(f"of {result.battery_mah:g} mAh")
    return ", ".join(said)


def _draw_consumers(axes: Any, result: DayResult, most: float) -> None:
    consumers = {name: mah for name, mah in result.consumers.items() if mah > 0}
    names = list(consumers)[::-1]
    axes.barh(names, [consumers[name] for name in names], color=_LINE, height=0.62)
    for row, name in enumerate(names):
        share = 100 * consumers[name] / result.mah if result.mah else 0.0
        axes.text(consumers[name] + most * 0.012, row, f"{consumers[name]:.2f}  ({share:.1f} %)", va="center")
    axes.set_xlim(0, most * 1.28 or 1)
    axes.set_xlabel("mAh", color=_INK)
    _style(axes)


def _style(axes: Any) -> None:
    axes.grid(axis="x", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9aa5af")


def _ticks_y(axes: Any) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter

    axes.yaxis.set_major_locator(FixedLocator([base * 10.0**n for n in range(-3, 4) for base in (1, 2, 5)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend(figure: Any, kinds: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=_KINDS[k][0], edgecolor="#9aa5af", label=_KINDS[k][1]) for k in kinds]
    figure.legend(
        handles=patches,
        loc="upper right",
        ncols=len(patches),
        frameon=False,
        bbox_to_anchor=(0.985, 0.938),
        fontsize=9,
        columnspacing=1.4,
    )
    figure.subplots_adjust(left=0.11, right=0.98, top=0.86, bottom=0.12, hspace=0.3, wspace=0.2)


def _finish(figure: Any, path: Path, title: str) -> None:
    """The file appears in one step."""
    figure.text(0.06, 0.945, title, fontsize=15, fontweight="bold", color=_INK)
    figure.text(0.06, 0.02, NOTE, fontsize=8.5, color=_INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    figure.savefig(new, format="png")
    os.replace(new, path)
