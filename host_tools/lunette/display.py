"""What a person, or a program, sees of glasses at work: a live line, plain lines, or JSON lines.

Every view is fed by ``observe(what, detail)``, the observations of `lunette.listen.Listener` and of
virtual glasses, and is an async context manager for as long as it is on screen.
"""

from __future__ import annotations

import asyncio
import json
import math
import select
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lunette.codecs import decode, gap_samples
from lunette.errors import UnknownCodec
from lunette.store import Recording

FLOOR_DBFS = -60.0
_SILENCE_DBFS = -96.0
_REDRAW_S = 1 / 12
_RATE_WINDOW_S = 1.0
# A meter rises at once and falls like a peak programme meter (IEC 60268-10, type I: 20 dB in 1.7 s);
# the bare level of single frames flickers through every pause between two words.
_FALL_DB_S = 20 / 1.7
_LEVEL_EVERY_S = {"plain": 1.0, "json": 0.25}
# Control characters of a firmware's output must not reach somebody's terminal or log.
_CONTROL = {code: None for code in [*range(0x20), *range(0x7F, 0xA0)] if code != 0x09}


def clean(text: str) -> str:
    """`text` without control characters (tabs stay)."""
    return text.translate(_CONTROL)


def level_dbfs(samples: np.ndarray[Any, np.dtype[np.int16]]) -> float:
    """RMS of int16 samples relative to 32768, in dB; -96 for silence."""
    if not len(samples):
        return _SILENCE_DBFS
    power = float(np.mean(samples.astype(np.float64) ** 2)) / 32768.0**2
    return max(_SILENCE_DBFS, 10 * math.log10(power)) if power > 0 else _SILENCE_DBFS


def bar(dbfs: float, width: int, full: str = "█", empty: str = "·") -> str:
    """A meter of `width` characters, from -60 dBFS (nothing) to 0 (full)."""
    filled = round(width * min(1.0, max(0.0, 1 - dbfs / FLOOR_DBFS)))
    return full * filled + empty * (width - filled)


class Monitor:
    """What is known right now. None stands for what nobody has told.

    `clock` gives seconds, `client` the connection (for its MTU), if there is one. `level` is that of
    the speech in dBFS (RMS of a frame), and falls slowly. `host_state` tells the host's state where no
    listener does.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        client: Callable[[], Any] = lambda: None,
        show_paths: bool = True,
        host_state: Callable[[], str] | None = None,
    ):
        self.clock = clock
        self._client = client
        self.show_paths = show_paths
        self._host_state = host_state
        self.host = "starting"
        self.name: str | None = None
        self.power: bool | None = None
        self.light: bool | None = None
        self.pressed: bool | None = None
        self.volts: float | None = None
        self.recording: Recording | None = None
        self.level = _SILENCE_DBFS
        self.finished = 0
        self._arrived: deque[tuple[float, int]] = deque()

    def observe(self, what: str, detail: Any) -> bool:
        """Take note of one observation. False if it is no news: an attempt to connect that failed ends
        in "disconnected" too."""
        news = what != "disconnected" or self.host == "connected"
        if what == "searching":
            self.host = "searching"
        elif what == "connected":
            self.host = "connected"
            self.name = detail.get("name")
        elif what == "resting":
            self.host = "resting"
        elif what == "disconnected":
            if self.host == "connected":
                self.host = "disconnected"
            self._arrived.clear()
        elif what == "recording":
            self.recording = detail
        elif what == "frame":
            recording, index = detail
            self.recording = recording
            frame = recording.frames[index]
            self._arrived.append((self.clock(), len(frame)))
            if recording.kind == "speech":
                self._meter(recording, frame)
        elif what == "recorded":
            if detail.kind != "event":
                self.finished += 1
            if self.recording is detail:
                self.recording = None
                self.level = _SILENCE_DBFS
        elif what == "power":
            self.power = detail
        elif what == "light":
            self.light = detail
        elif what == "action":
            if detail.do in ("press", "release"):
                self.pressed = detail.do == "press"
            elif detail.do == "battery":
                self.volts = float(detail.values["volts"])
        return news

    def _meter(self, recording: Recording, frame: bytes) -> None:
        if gap_samples(frame) is not None:
            return
        try:
            samples = decode(recording.codec, frame)
        except (ValueError, UnknownCodec):  # not a frame that this host can decode
            return
        fallen = self.level - _FALL_DB_S * len(samples) / recording.rate
        self.level = max(level_dbfs(samples), fallen)

    @property
    def state(self) -> str:
        """One word for the whole: recording, connected, searching, ..."""
        if self.power is False:
            return "no power"
        if self.host == "connected" and self.recording is not None and self.recording.kind == "speech":
            return "recording"
        return self._host_state() if self._host_state is not None else self.host

    @property
    def mtu(self) -> int | None:
        client = self._client()
        return client.mtu if client is not None and client.is_connected else None

    @property
    def kbps(self) -> float:
        """Coded frames received over the last second, in kbit/s."""
        now = self.clock()
        while self._arrived and self._arrived[0][0] < now - _RATE_WINDOW_S:
            self._arrived.popleft()
        return sum(size for _, size in self._arrived) * 8 / _RATE_WINDOW_S / 1000


def _about(recording: Recording) -> dict[str, Any]:
    found = {"id": recording.number, "kind": recording.kind, "cause": recording.cause}
    return found | {"wake": recording.meta["wake"]} if recording.wake_word else found


def as_json(what: str, detail: Any, monitor: Monitor) -> dict[str, Any] | None:
    """An observation as a JSON object; None for what is no news to a program."""
    if what in ("searching", "disconnected"):
        return {"event": what}
    if what == "connected":
        keys = ("name", "board", "firmware", "recordings")
        return {"event": what, "mtu": monitor.mtu, **{key: detail.get(key) for key in keys}}
    if what == "recording":
        return {"event": what, **_about(detail)}
    if what == "recorded":
        return {
            "event": what,
            **_about(detail),
            "duration_s": round(detail.seconds, 4),
            "frames": len(detail.frames),
            "lost": detail.lost,
            "gaps": detail.gaps_s,
            "crc_ok": detail.crc_ok,
            "path": str(detail.path.absolute()) if detail.path else None,
        }
    if what == "problem":
        return {"event": what, "text": str(detail)}
    return None


def as_text(what: str, detail: Any, monitor: Monitor) -> str | None:
    """An observation as a line for a person; None for what only a live line shows."""
    if what == "searching":
        return "searching for glasses"
    if what == "connected":
        where = f"board {detail.get('board')}, firmware {detail.get('firmware')}"
        mtu = f", MTU {monitor.mtu}" if monitor.mtu else ""
        return f"connected to {detail.get('name')} ({where}{mtu})"
    if what == "disconnected":
        return "disconnected"
    if what == "recording":
        cause = f" ({detail.wake_word or detail.cause})" if detail.cause else ""
        return f"recording {detail.number}: {detail.kind}{cause}"
    if what == "recorded":
        return _recorded(detail, monitor.show_paths)
    if what == "problem":
        return f"problem: {detail}"
    if what in ("light", "power"):
        return f"{what} {'on' if detail else 'off'}"
    if what == "action":
        return _action(detail.do, detail.values)
    if what == "reset":
        return f"reset ({detail})"
    if what == "sleep":
        return "asleep" if detail is None else f"asleep for {detail} ms"
    if what == "wake":
        return f"awake ({detail})"
    if what == "line":
        return f"| {detail}"
    return None


def _recorded(recording: Recording, paths: bool) -> str:
    if recording.kind == "event":
        return f"event: {recording.payload().decode(errors='replace')}"
    crc = "CRC ok" if recording.crc_ok else "CRC WRONG"
    length = f"{recording.seconds:.2f} s, " if recording.kind == "speech" else ""
    where = f": {recording.path}" if paths else ""
    frames = f"{len(recording.frames)} frames, {recording.lost} lost"
    if recording.gaps:
        frames += f", {sum(duration for _, duration in recording.gaps_s):.2f} s not captured"
    return f"recorded {recording.number}: {length}{frames}, {crc}{where}"


def _action(do: str, values: dict[str, Any]) -> str:
    if do in ("press", "release"):
        return f"button {values.get('button', '')} {do}{'ed' if do == 'press' else 'd'}"
    told = " ".join(f"{key}={value}" for key, value in values.items())
    return f"{do} {told}".rstrip()


class View:
    """Base of the views: keeps the monitor, draws nothing."""

    def __init__(self, monitor: Monitor):
        self.monitor = monitor

    def observe(self, what: str, detail: Any) -> None:
        """Show an observation."""
        if self.monitor.observe(what, detail):
            self.show(what, detail)

    def show(self, what: str, detail: Any) -> None:
        """Show what is news."""

    def say(self, text: str) -> None:
        """Show a line that is no observation."""

    async def __aenter__(self) -> View:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class PlainView(View):
    """A line for each event, one a second for the level; no control characters."""

    def __init__(self, monitor: Monitor, out: TextIO, *, times: bool = False):
        super().__init__(monitor)
        self._out = out
        self._times = times
        self._next_level = -math.inf

    def show(self, what: str, detail: Any) -> None:
        if what == "frame":
            self._level()
            return
        text = as_text(what, detail, self.monitor)
        if text is not None:
            self.say(text)

    def _level(self) -> None:
        monitor, now = self.monitor, self.monitor.clock()
        recording = monitor.recording
        if now < self._next_level or recording is None or recording.kind != "speech":
            return
        self._next_level = now + _LEVEL_EVERY_S["plain"]
        meter = bar(monitor.level, 20, "#", "-")
        self.say(
            f"level {meter} {monitor.level:5.1f} dBFS, {recording.seconds:.1f} s, {monitor.kbps:.0f} kbit/s"
        )

    def say(self, text: str) -> None:
        stamp = f"{self.monitor.clock():7.2f} s  " if self._times else ""
        print(stamp + clean(text), file=self._out, flush=True)


class JsonView(View):
    """One JSON object a line for each event, and four a second for the level."""

    def __init__(self, monitor: Monitor, out: TextIO):
        super().__init__(monitor)
        self._out = out
        self._next_level = -math.inf

    def show(self, what: str, detail: Any) -> None:
        monitor = self.monitor
        document = as_json(what, detail, monitor)
        now = monitor.clock()
        if what == "frame" and monitor.recording is not None and now >= self._next_level:
            if monitor.recording.kind != "speech":
                return
            self._next_level = now + _LEVEL_EVERY_S["json"]
            document = {
                "event": "level",
                "id": monitor.recording.number,
                "dbfs": round(monitor.level, 1),
                "duration_s": round(monitor.recording.seconds, 2),
                "kbps": round(monitor.kbps, 1),
            }
        if document is not None:
            print(json.dumps(document), file=self._out, flush=True)


_STATE_STYLE = {"recording": "bold red", "connected": "green", "searching": "yellow", "starting": "yellow"}


def live_lines(monitor: Monitor, width: int, unicode: bool = True) -> list[Text]:
    """The live picture of `monitor`: a line of the glasses if anything is known of them, and one of
    the host; each at most `width` columns."""
    lit, unlit = ("●", "○") if unicode else ("*", "o")
    full, empty = ("█", "·") if unicode else ("#", "-")
    lines = []
    if monitor.power is not None or monitor.pressed is not None or monitor.light is not None:
        line = Text("glasses  ", style="dim")
        line.append(f"{lit if monitor.power else unlit} power", "green" if monitor.power else "dim")
        line.append(
            f"   {lit if monitor.pressed else unlit} button", "bold cyan" if monitor.pressed else "dim"
        )
        line.append(f"   {lit if monitor.light else unlit} light", "bold red" if monitor.light else "dim")
        if monitor.volts is not None:
            line.append(f"   battery {monitor.volts:.2f} V", "dim")
        line.append(f"   {max(0.0, monitor.clock()):6.1f} s", "dim")
        lines.append(line)
    state = monitor.state
    line = Text("host     ", style="dim")
    line.append(f"{state:<12}", _STATE_STYLE.get(state, "yellow"))
    tail = ""
    if monitor.mtu:
        tail = f"  MTU {monitor.mtu}  {monitor.kbps:4.0f} kbit/s"
    if monitor.recording is not None and monitor.recording.kind == "speech":
        meter = max(6, min(30, width - 9 - 12 - 13 - 9 - len(tail) - 1))
        style = "red" if monitor.level > -6 else "yellow" if monitor.level > -15 else "green"
        line.append(bar(monitor.level, meter, full, empty), style)
        line.append(f" {monitor.level:5.1f} dBFS", "default")
        line.append(f"  {monitor.recording.seconds:5.1f} s", "default")
    elif monitor.finished:
        line.append(f"{monitor.finished} recorded", "default")
    line.append(tail, "dim")
    lines.append(line)
    for each in lines:
        each.truncate(width, overflow="ellipsis" if unicode else "crop")
    return lines


class LiveView(View):
    """A picture at the bottom of the terminal that moves, with the events scrolling above it."""

    def __init__(self, monitor: Monitor, out: TextIO, *, help_line: str = ""):
        super().__init__(monitor)
        self._console = Console(file=out, highlight=False)
        self._unicode = self._console.encoding.lower().startswith("utf")
        self._help = help_line
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._redrawing: asyncio.Task[None] | None = None

    def show(self, what: str, detail: Any) -> None:
        # Buttons and lights are in the picture; the listener retries by itself.
        if what in ("light", "searching") or (what == "action" and detail.do in ("press", "release")):
            return
        text = as_text(what, detail, self.monitor)
        if text is not None:
            self.say(text)

    def say(self, text: str) -> None:
        style = "dim" if text.startswith("| ") else "default"
        self._console.print(Text(clean(text), style), soft_wrap=True)

    def _draw(self) -> None:
        # A terminal that takes nothing (Ctrl-S) must not stop the program: this can wait.
        if not select.select([], [self._console.file], [], 0)[1]:
            return
        lines = live_lines(self.monitor, self._console.width, self._unicode)
        if self._help:
            lines.append(Text(self._help[: self._console.width], "dim"))
        self._live.update(Group(*lines), refresh=True)

    async def _redraw(self) -> None:
        while True:
            self._draw()
            await asyncio.sleep(_REDRAW_S)

    async def __aenter__(self) -> View:
        self._live.start()
        self._redrawing = asyncio.ensure_future(self._redraw())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._redrawing is not None:
            self._redrawing.cancel()
            await asyncio.gather(self._redrawing, return_exceptions=True)
        self._live.stop()


def choose(
    monitor: Monitor, out: TextIO, *, as_json: bool = False, times: bool = False, help_line: str = ""
) -> View:
    """The view that suits `out`: JSON if asked for, live on a terminal, else plain lines."""
    if as_json:
        return JsonView(monitor, out)
    if out.isatty():
        return LiveView(monitor, out, help_line=help_line)
    return PlainView(monitor, out, times=times)
