"""What a person asks for at the prompt: `glasses.parts()`, `power()`, `journal()`, `listen()`, `log()`, and
where nothing runs `status()`. tables.py prints what they give.

It is loaded when one of them is called and forgotten afterwards: running glasses have no room for it.
"""

import time

import glasses
from glasses import wake

_LEVELS = ("debug", "info", "warning", "error")  # of log.py, which need not be loaded
_LISTED = 40  # recordings that a journal's table has room for
_TURN_FRAMES = 10  # of 20 ms: a line of the level meter
_LONGEST_S = 60
_SILENT_MS = 500
_QUIET_DBFS = -90.0  # of nothing at all
_BAR = 24
_BAR_DBFS = -60.0  # where the bar is empty


def _table(about, values):
    table = glasses.Table(values)
    table.about = about
    return table


def _problem(about, text):
    return _table(about, {"problem": text})


def _idle_problem(start):
    """What to do where nothing runs."""
    if start.board is None:
        return "no board.py on the glasses: deploy them with `lunette deploy --board NAME`"
    return "nothing runs: glasses.run() runs the glasses, Ctrl-D starts everything anew"


def _running():
    """(the runtime, None) or (None, what to do)."""
    if glasses._instance is not None:
        return glasses._instance, None
    return None, _idle_problem(wake.start())


# --- where nothing runs -----------------------------------------------------------------------


def status():
    """What is known while nothing runs. It makes no runtime: that would switch the radio on."""
    start = wake.start()
    start.look_back()
    return _table(
        "status",
        {
            "running": False,
            "problem": _idle_problem(start),
            "board": None if start.board is None else start.board.NAME,
            "cause": start.cause,
            "safe": start.crashes.safe,
            "up_s": time.ticks_diff(time.ticks_ms(), start.began_ms) // 1000,
            "crashes": start.crashes.status(),
        },
    )


# --- looking ----------------------------------------------------------------------------------


def _pins(data):
    """{what: pin} of a part."""
    return {key: data[key] for key in ("pin", "sck", "ws", "sd") if key in data}


def parts():
    """{part: {"driver", "pins": {what: number}, "there": is it (None: not tried), "now": in words}}"""
    running, problem = _running()
    board = wake.start().board if running is None else running.board
    if board is None:
        return _problem("parts", problem)
    found = {}
    for name in board.PARTS:
        data = board.PARTS[name]
        found[name] = {
            "driver": data.get("driver"),
            "pins": _pins(data),
            "there": None if running is None else False,
            "now": "not started" if running is None else "missing: no driver for it",
        }
    if running is not None:
        _look(running, found)
    return _table("parts", found)


def _look(running, found):
    parts = running.parts
    for problem in parts.problems:
        name, _, why = problem.partition(": ")
        if name in found:
            found[name]["now"] = "missing: " + why
    there = parts.names()
    for name in found:
        if there.get(name):
            found[name]["there"] = True
            try:
                found[name]["now"] = _now(running, name)
            except Exception as error:  # a part that fails is what one looks for here
                found[name]["now"] = "fails: %s" % error


def _now(running, name):
    parts = running.parts
    if name in parts.buttons:
        return "down" if parts.buttons[name].pressed else "up"
    if name == "light":
        return "lit" if parts.light.lit else "dark"
    if name == "cue":
        return "lit" if parts.cue.lit else "dark"
    if name == "worn":
        return "worn" if parts.worn.present else "not worn"
    if name == "usb":
        return "power" if parts.usb.present else "no power"
    if name == "charger":
        return "charging" if parts.charger.charging else "not charging"
    if name == "battery":
        known = running.battery.status()
        if known["battery_v"] is None:
            return "cannot be read"
        return "%.2f V, %d %%" % (known["battery_v"], known["battery_percent"])
    if name in ("speaker", "buzzer"):
        if not running.settings.earcons:
            return "silenced by the setting earcons"
        return "sounds" if running.earcons.playing else "silent"
    microphone = parts.microphone
    now = "on" if microphone.capturing else "muted" if running.voice.muted else "off"
    return "%s; starts %d, overruns %d" % (now, microphone.starts, microphone.overruns)


def power():
    """What keeps the glasses awake, what they have used, and their crashes: `Glasses.report_power`. Where
    nothing runs, `cause` and `crashes`."""
    running, problem = _running()
    if running is not None:
        return _table("power", running.report_power())
    start = wake.start()
    start.look_back()
    return _table("power", {"problem": problem, "cause": start.cause, "crashes": start.crashes.status()})


def journal():
    """{"waiting": recordings, "saved": of these in flash, "saved_bytes", "free": frames that fit, "counters",
    "recordings": the oldest of them, [id, kind, frames, complete, in flash, acknowledged by the host]}"""
    running, problem = _running()
    if running is None:
        return _problem("journal", problem)
    store = running.journal
    listed = []  # type: list[list]
    waiting = 0
    for recording in store.recordings:
        if recording.draft:
            continue
        waiting += 1
        if len(listed) < _LISTED:
            listed.append(
                [
                    recording.number,
                    recording.kind,
                    recording.count,
                    recording.closed,
                    recording.file is not None,
                    min(recording.acked, recording.count),
                ]
            )
    return _table(
        "journal",
        {
            "waiting": waiting,
            "saved": store.saved,
            "saved_bytes": running.spool.bytes,
            "free": store.free,
            "counters": store.counters(),
            "recordings": listed,
        },
    )


def log(level="info"):
    """{"lines": [[number, ms since the start, level, area, text]], "total": lines since the start, "kept": of
    these in the ring, "crashes": before this start}. `level` is the lowest to be shown."""
    running, problem = _running()
    if level not in _LEVELS:
        problem = "no level %s: there are %s" % (level, ", ".join(_LEVELS))
    if problem is not None:
        return _problem("log", problem)
    ring = running.log
    lowest = _LEVELS.index(level)
    kept = list(ring.lines)
    first = ring.total - len(kept)
    lines = []
    for number, line in enumerate(kept):
        if line[1] >= lowest:
            lines.append([first + number] + list(line))
    crashes = running.crashes.status()["total"]
    return _table("log", {"lines": lines, "total": ring.total, "kept": len(kept), "crashes": crashes})


# --- listening --------------------------------------------------------------------------------


def dbfs(amplitude):
    """Amplitude (0..32767) in dB below full scale."""
    import math

    return round(20 * math.log10(amplitude / 32768), 1) if amplitude > 0 else _QUIET_DBFS


def _meter(at_ms, level, peak):
    filled = int(_BAR * min(1.0, max(0.0, 1 - level / _BAR_DBFS)) + 0.5)
    bar = "#" * filled + "-" * (_BAR - filled)
    print("%5.1f s  %s  %5.1f dBFS, peak %5.1f" % (at_ms / 1000, bar, level, peak))


def _why_deaf(running, seconds):
    """Why there is nothing to be heard, and what to do; or None."""
    microphone = running.parts.microphone
    if not 0 < seconds <= _LONGEST_S:
        return "seconds: more than 0, and %d at most" % _LONGEST_S
    if microphone is None:
        for problem in running.parts.problems:
            if problem.startswith("mic: "):
                return "no microphone: %s; glasses.parts() has its pins" % problem[5:]
        return "this board has no microphone"
    if running.voice.muted:
        return "the microphone is muted: `lunette mute off` ends that"
    if running.recording():
        return "the microphone is busy with a recording: try again when that has ended"
    if running.battery is not None and running.battery.may_capture():
        return running.battery.may_capture()
    return None


def listen(seconds=3, keep=False):
    """Listen, with the light on, and print the level five times a second. Nothing is kept, unless `keep`:
    then it becomes a recording for the host.

    {"seconds", "frames": of 20 ms, "overruns", "dbfs": [level (RMS) of each line], "peak": dBFS, "recording":
    its id or None}, or {"problem": ...}."""
    running, problem = _running()
    if problem is None and keep and not running.running:
        problem = _idle_problem(running.start)
    if problem is None:
        problem = _why_deaf(running, seconds)
    if problem is not None:
        return _problem("listen", problem)
    wanted = max(1, int(seconds * 50 + 0.5))
    try:
        heard = (_record if keep else _hear)(running, wanted)
    except (OSError, RuntimeError) as error:
        return _problem("listen", "the microphone does not start: %s; glasses.parts() has its pins" % error)
    return _table("listen", heard)


class _Levels:
    """Lines of the meter out of levels of frames."""

    def __init__(self):
        self.frames = 0
        self.peak = 0
        self.dbfs = []
        self._sum = 0
        self._count = 0
        self._peak = 0

    def add(self, frames, square, peak):
        """The mean square and the peak of `frames` more frames."""
        self.frames += frames
        self._sum += square
        self._count += 1
        self._peak = max(self._peak, peak)
        self.peak = max(self.peak, peak)
        if self.frames // _TURN_FRAMES > len(self.dbfs):
            self.line()

    def line(self):
        if self._count:
            level = dbfs((self._sum / self._count) ** 0.5)
            self.dbfs.append(level)
            _meter(self.frames * 20, level, dbfs(self._peak))
            self._sum = self._count = self._peak = 0

    def result(self, overruns, recording):
        self.line()
        return {
            "seconds": self.frames / 50,
            "frames": self.frames,
            "overruns": overruns,
            "dbfs": self.dbfs,
            "peak": dbfs(self.peak),
            "recording": recording,
        }


def _hear(running, wanted):
    """Straight from the microphone: the journal never has it."""
    from glasses.dsp import pcm
    from glasses.front_end import FrontEnd

    microphone = running.parts.microphone
    front = FrontEnd(microphone)
    levels = _Levels()
    running.power.keep("active", "listen", True)
    try:
        microphone.start()
        try:
            while levels.frames < wanted and microphone.silent_ms() < _SILENT_MS:
                if not microphone.ready():
                    time.sleep_ms(4)
                    continue
                front.take()
                count = len(front.pcm) // 2
                levels.add(1, pcm.mean_square(front.pcm, count), pcm.peak(front.pcm, count))
            overruns = microphone.take_overruns
        finally:
            microphone.stop()
    finally:
        running.power.keep("active", "listen", False)
    return levels.result(overruns, None)


def _record(running, wanted):
    """The voice records; what it says of the last frame is looked at as often as a frame comes."""
    voice = running.voice
    levels = _Levels()
    recording = voice.record("prompt")
    if recording is None:
        raise OSError("refused")
    try:
        seen = 0
        began = time.ticks_ms()
        while voice.capturing and recording.count < wanted:
            if recording.count > seen:
                levels.add(recording.count - seen, voice.level * voice.level / 2, voice.level)
                seen = recording.count
            elif time.ticks_diff(time.ticks_ms(), began) > wanted * 20 + 4 * _SILENT_MS:
                break
            time.sleep_ms(4)
    finally:
        voice.stop()
    stopped = time.ticks_ms()
    while voice.capturing and time.ticks_diff(time.ticks_ms(), stopped) < _SILENT_MS:
        time.sleep_ms(4)
    return levels.result(running.parts.microphone.take_overruns, recording.number)
