"""`lunette energy`: how long the glasses last, by the board's table of currents."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lunette import boards
from lunette.commands import common, options

if TYPE_CHECKING:
    from lunette.energy.curve import Curve
    from lunette.energy.run import DayResult
    from lunette.energy.workers import Job

_MOST_DAYS = 2
_STATES = ("active", "listening", "connected", "standby", "sleep", "off", "usb", "dark")


def energy(
    day: Annotated[
        list[str] | None,
        typer.Option(
            help="light, heavy, listening or a file (TOML); give two to compare them. [default: light]"
        ),
    ] = None,
    board: Annotated[
        list[str] | None,
        typer.Option(
            help="The board: one for days, any number for curves. [default: the XIAO; all for --curve]"
        ),
    ] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Average current against reachability.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the picture and the report.")] = Path("out/energy"),
    as_json: options.Json = False,
) -> None:
    """Play a day with the real firmware in virtual time, and draw where the battery's charge went.

    With --curve: what it costs asleep to be found within 2 to 60 seconds, and to listen for a wake word.
    All figures are modelled, from the board's table of currents, not measured.
    """
    if curve and day:
        raise typer.BadParameter("--curve and --day do not go together")
    folder = common.folder(out)
    board = [boards.where(name) for name in board] if board is not None else None
    if curve:
        _curves(board or _with_currents(), folder, as_json)
    else:
        if board is not None and len(board) > 1:
            raise typer.BadParameter("a day is played on one --board; --curve takes several")
        _days(day or ["light"], board[0] if board else "xiao_esp32s3_sense", folder, as_json)


def _with_currents() -> list[str]:
    return [name for name in boards.names() if name != "virtual" and boards.load(name).currents is not None]


def _checked(names: Sequence[str]) -> None:
    for name in names:
        boards.load_measured(name)


def _report(picture: Path, results: Sequence[Curve | DayResult], as_json: bool) -> Path:
    """Keep the figures beside the picture; print them too, one JSON object a line, if asked to."""
    figures = [result.as_dict() for result in results]
    report = picture.with_suffix(".json")
    common.write_file(report, json.dumps(figures, indent=1) + "\n")
    if as_json:
        for one in figures:
            print(json.dumps(one))
    return report


# --- days -------------------------------------------------------------------------------------------------


def _days(names: Sequence[str], board: str, folder: Path, as_json: bool) -> None:
    from lunette.energy import day as days
    from lunette.energy import plot
    from lunette.energy.run import play_job
    from lunette.energy.workers import Job

    if len(names) > _MOST_DAYS:
        raise typer.BadParameter(f"{len(names)} days: no more than {_MOST_DAYS} stand side by side")
    _checked([board])
    loaded = [days.load(name) for name in names]
    began = time.monotonic()
    jobs = [Job(play_job, (day, board)) for day in loaded]
    results: list[DayResult] = _run(jobs, [day.name for day in loaded], [day.seconds for day in loaded])
    took = time.monotonic() - began
    picture = folder / ("-".join(dict.fromkeys(day.name for day in loaded)) + ".png")
    plot.draw_days(picture, results)
    report = _report(picture, results, as_json)
    if as_json:
        return
    for line in day_lines(results):
        print(line)
    print(f"\nplayed in {took:.0f} s; {picture}, {report}")


def day_lines(results: Sequence[DayResult]) -> list[str]:
    """The figures of one day, or of two in columns, for a person."""
    from lunette.energy import plot
    from lunette.energy.run import when

    rows: list[tuple[str, list[str]]] = [("", [result.day for result in results])]

    def row(name: str, *values: str) -> None:
        rows.append((name, list(values)))

    def each(name: str, value: Any) -> None:
        row(name, *(value(result) for result in results))

    each("board", lambda r: r.board)
    each("battery", lambda r: "none" if r.battery_mah is None else f"{r.battery_mah:g} mAh")
    each("drawn from it", lambda r: f"{r.mah:.1f} mAh")
    if any(result.usb_mah for result in results):
        each("by cable", lambda r: f"{r.usb_mah:.1f} mAh")
    if any(result.percent_end is not None for result in results):
        each("charge", lambda r: _charge(r))
        each(
            "empty",
            lambda r: "no" if r.empty_at_s is None else f"at {when(r, r.empty_at_s)}, off from then on",
        )
        each("use", lambda r: _lasts(r.hours_of_use, "h"))
        each("speech", lambda r: _lasts(r.hours_of_speech, "h"))
        if any(result.hours_of_listening is not None for result in results):
            each("listening", lambda r: _lasts(r.hours_of_listening, "h"))
        each("standby", lambda r: _lasts(r.days_of_standby, "days"))
        each("such days", lambda r: _lasts(r.days_like_this, "days"))
    each("spoken", lambda r: f"{_span(r.talks[1])} in {r.talks[0]}")
    each("received", lambda r: f"{_span(r.received[1])} in {r.received[0]}, {r.lost_frames} frames lost")
    each("woken", lambda r: f"{r.wakes} times, {r.beacons} beacons, {r.connections} connections")
    row("")
    consumers = dict.fromkeys(name for result in results for name in result.consumers)
    for name in consumers:
        each(name, lambda r, name=name: _share(r.consumers.get(name, 0.0), r.mah))
    row("")
    for state in _STATES:
        if any(result.seconds.get(state) for result in results):
            each(state, lambda r, state=state: _state(r, state))
    widths = [max(len(values[i]) for _, values in rows if i < len(values)) for i in range(len(results))]
    lines = [
        f"{name:<14}" + "   ".join(f"{value:<{width}}" for value, width in zip(values, widths, strict=False))
        for name, values in rows
    ]
    problems = [f"{r.day}: the firmware said: {line}" for r in results for line in r.problems[:5]]
    return [line.rstrip() for line in [*lines, "", *problems, plot.NOTE]]


def _charge(result: DayResult) -> str:
    if result.percent_end is None:
        return "-"
    lowest = min(point[2] or 0.0 for point in result.curve)
    return f"{result.percent_start:.0f} % to {result.percent_end:.0f} %, {lowest:.0f} % at least"


def _lasts(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.1f} {unit} on a full battery"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _share(mah: float, total: float) -> str:
    return f"{mah:8.2f} mAh {100 * mah / total if total else 0.0:5.1f} %"


def _state(result: DayResult, state: str) -> str:
    mah = result.usb_mah if state == "usb" else sum(result.energy.get(state, {}).values())
    return f"{mah:8.2f} mAh in {result.seconds.get(state, 0.0) / 60:7.1f} min"


# --- curves -----------------------------------------------------------------------------------------------


def _curves(names: Sequence[str], folder: Path, as_json: bool) -> None:
    from lunette.energy import curve, plot
    from lunette.energy.workers import Job

    _checked(names)
    jobs: list[Job] = []
    titles: list[str] = []
    totals: list[float] = []
    for name in names:
        for modes in ((mode,) for mode in curve.modes(name)):
            jobs.append(Job(curve.measure, (name, modes, curve.REACH_S)))
            titles.append(f"{name}, {modes[0]} sleep")
        jobs.append(Job(curve.measure_rest, (name,)))
        titles.append(f"{name}, the rest")
        totals += [1.0] * (len(curve.modes(name)) + 1)
    found = iter(_run(jobs, titles, totals))
    curves = [curve.assemble(name, found) for name in names]
    picture = folder / "curve.png"
    plot.draw_curves(picture, curves)
    report = _report(picture, curves, as_json)
    if as_json:
        return
    for one in curves:
        for line in curve_lines(one):
            print(line)
        print()
    print(plot.NOTE)
    print(f"{picture}, {report}")


def curve_lines(curve: Curve) -> list[str]:
    """The table of one board, for a person."""
    from lunette.wakeword import packaged

    battery = "no battery" if curve.battery_mah is None else f"{curve.battery_mah:g} mAh"
    lines = [
        f"{curve.board} ({battery}), mA on average",
        "  found within     deep    light   what costs less",
    ]
    for i, reach in enumerate(curve.reach_s):
        kind, ma = curve.best(i)
        light = "     -  " if curve.light is None else f"{curve.light[i]:8.3f}"
        lines.append(f"  {reach:8d} s   {curve.deep[i]:8.3f} {light}   {kind:<6}{_days_at(curve, ma)}")
    others: tuple[tuple[str, float | None], ...] = (
        ("never: in a drawer", curve.drawer),
        (f"awake, {curve.mhz} MHz, advertising", curve.standby),
        (f"connected, {curve.mhz} MHz, idle", curve.connected),
        ("listening for a wake word", curve.listening),
        ("listening, a host connected", curve.listening_connected),
    )
    lines += [f"  {name:<30}{ma:8.3f}{_days_at(curve, ma)}" for name, ma in others if ma is not None]
    if curve.listening is None:
        lines.append(f"  listening for a wake word: not known without a model ({packaged.INSTALL})")
    return lines


def _days_at(curve: Curve, ma: float) -> str:
    days = curve.days(ma)
    if days is None:
        return ""
    return f"   {days:6.1f} days" if days >= 1 else f"   {days * 24:6.1f} hours"


# --- while it runs ----------------------------------------------------------------------------------------


def _run(jobs: Sequence[Job], titles: Sequence[str], totals: Sequence[float]) -> list[Any]:
    """The jobs' results, with a bar for each on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from lunette.energy.workers import run_all

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = [bars.add_task(title, total=total) for title, total in zip(titles, totals, strict=True)]
        return run_all(jobs, lambda i, done: bars.update(tasks[i], completed=done))
