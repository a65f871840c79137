"""Days: what somebody does with the glasses within 24 hours, as TOML that a maker can write.

    start = "7:00"              # the day begins then, and lasts 24 hours unless `hours` says otherwise
    battery = 100               # percent, when it begins

    [settings]                  # of the firmware, as in /settings.json
    [link]                      # of the air, as in scenes

    [phone]
    near = ["7:00-12:00", "13:00-23:00"]    # else it is out of range; without [phone] it is always near

    [[talk]]                    # hold the button and speak
    every = "15 min"
    from = "9:00"
    to = "12:00"
    for = "20 s"

    [[talk]]
    at = ["12:30", "18:05:30"]  # or one time of day
    for = "1 min"

    [[tap]]                     # a short press; `at`, or `every`, `from` and `to`
    at = "8:00"

    [[usb]]                     # on the cable
    from = "22:00"
    to = "6:30"

Times of day are of the 24 hours that begin at `start`: with 7:00, "6:30" is the next morning.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lunette import firmware, paths
from lunette.errors import LunetteError
from lunette.virtual.link_model import LinkModel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DAYS = paths.DATA / "days"
DAY_S = 86400.0
TAP_S = 0.08
_TOP = ("about", "start", "hours", "battery", "settings", "link", "phone", "talk", "tap", "usb")
_LINK = ("interval_ms", "phy", "loss", "jitter_ms", "mtu")
_WHEN = ("at", "every", "from", "to")
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_LONGEST_TALK_S = 3600.0
_MOST = 5000  # presses in a day

Span = tuple[float, float]


@dataclass(frozen=True)
class Press:
    """The button is down from `at_s` (seconds since the day's start) for `seconds`; `talk`: with speech."""

    at_s: float
    seconds: float
    talk: bool


@dataclass
class Day:
    """See the module's text. Times are seconds since the start, which is `start_s` after midnight."""

    name: str
    about: str = ""
    start_s: float = 7 * 3600.0
    seconds: float = DAY_S
    percent: float = 100.0
    settings: dict[str, Any] = field(default_factory=dict)
    link: LinkModel = field(default_factory=LinkModel)
    near: list[Span] = field(default_factory=lambda: [(0.0, DAY_S)])
    usb: list[Span] = field(default_factory=list)
    presses: list[Press] = field(default_factory=list)

    @property
    def speech_s(self) -> float:
        return sum(press.seconds for press in self.presses if press.talk)


def names() -> list[str]:
    """The days that come with Lunette, sorted."""
    return sorted(path.stem for path in DAYS.glob("*.toml"))


def load(name: str) -> Day:
    """A day that comes with Lunette, by its name, or a file. Raises LunetteError that says what is wrong."""
    path = DAYS / f"{name}.toml"
    if name not in names():
        path = Path(name)
        if not path.is_file():
            raise LunetteError(f"no day {name!r}: a file, or one of {', '.join(names())}")
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LunetteError(f"{path} is not readable: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise LunetteError(f"{path} is not TOML: {error}") from None
    return parse(data, path.stem)


def parse(data: dict[str, Any], name: str = "day") -> Day:
    """A day from its TOML tables. Raises LunetteError that names the key."""
    _known(data, _TOP, name)
    about = data.get("about", "")
    if not isinstance(about, str):
        raise LunetteError(f"{name}: about = {about!r} is not a text")
    start_s = _time(data.get("start", "7:00"), f"{name}: start")
    seconds = 3600 * _number(data, "hours", 24, 0.01, 24, name)
    clock = _Clock(start_s, seconds)
    day = Day(name, about, start_s, seconds, _number(data, "battery", 100, 1, 100, name))
    day.settings = _settings(_table(data, "settings", name), f"{name} [settings]")
    day.link = _link(_table(data, "link", name), f"{name} [link]")
    phone = _table(data, "phone", name)
    _known(phone, ("near",), f"{name} [phone]")
    if "near" in phone:
        day.near = _near(phone["near"], clock, f"{name} [phone]: near")
    for number, entry in enumerate(_tables(data, "usb", name), 1):
        day.usb += _usb(entry, clock, f"{name} [[usb]] {number}")
    for kind in ("talk", "tap"):
        for number, entry in enumerate(_tables(data, kind, name), 1):
            day.presses += _presses(kind, entry, clock, f"{name} [[{kind}]] {number}")
    day.presses.sort(key=lambda press: press.at_s)
    _check_presses(day, clock)
    return day


def clock_text(start_s: float, at_s: float) -> str:
    """The time of day, "9:05"."""
    minutes = int(start_s + at_s + 1e-6) // 60
    return f"{minutes // 60 % 24}:{minutes % 60:02d}"


class _Clock:
    """Times of day as seconds since the day's start."""

    def __init__(self, start_s: float, seconds: float):
        self.start_s = start_s
        self.seconds = seconds

    def at(self, value: Any, where: str) -> float:
        """Raises LunetteError for what is no time, or is after the day's end."""
        at_s = (_time(value, where) - self.start_s) % DAY_S
        if at_s >= self.seconds:
            raise LunetteError(f"{where} = {value!r} is after the day's end")
        return at_s

    def spans(self, begin: Any, end: Any, where: str) -> list[Span]:
        """From a time of day to another, in two pieces if the day's start lies between."""
        first = (_time(begin, f"{where} from") - self.start_s) % DAY_S
        last = (_time(end, f"{where} to") - self.start_s) % DAY_S
        if first == last:
            raise LunetteError(f"{where}: from {begin!r} to {end!r} is no time at all")
        pieces = [(first, last)] if last > first else [(0.0, last), (first, DAY_S)]
        return [(a, min(b, self.seconds)) for a, b in pieces if b > a and a < self.seconds]


def _time(value: Any, where: str) -> float:
    match = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d))?", value) if isinstance(value, str) else None
    if match:
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        if minutes < 60 and seconds < 60 and (hours < 24 or (hours, minutes, seconds) == (24, 0, 0)):
            return hours * 3600.0 + minutes * 60 + seconds
    raise LunetteError(f'{where} = {value!r} is no time of day, such as "9:05"')


def _duration(value: Any, where: str, longest: float) -> float:
    seconds = -1.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?) *(s|min|h)", value.strip())):
        seconds = float(match[1]) * _UNITS[match[2]]
    if not 0 < seconds < math.inf:
        raise LunetteError(f'{where} = {value!r} is no duration, such as "20 s" or "15 min"')
    if seconds > longest:
        raise LunetteError(f"{where} = {value!r} is longer than {longest:g} s")
    return seconds


def _number(data: dict[str, Any], key: str, default: float, low: float, high: float, where: str) -> float:
    value = data.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise LunetteError(f"{where}: {key} = {value!r} is not a number from {low:g} to {high:g}")
    return float(value)


def _table(data: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise LunetteError(f"{where}: [{key}] must be a table")
    return value


def _tables(data: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise LunetteError(f"{where}: write [[{key}]], with two brackets")
    return value


def _known(table: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise LunetteError(f"{where}: unknown key {', '.join(unknown)} (there are: {', '.join(keys)})")


def _settings(settings: dict[str, Any], where: str) -> dict[str, Any]:
    check = firmware.load("settings").check
    for name, value in settings.items():
        try:
            check(name, value)
        except ValueError as error:
            raise LunetteError(f"{where}: {error}") from None
    return dict(settings)


def _link(values: dict[str, Any], where: str) -> LinkModel:
    _known(values, _LINK, where)
    try:
        return LinkModel(**values)
    except (ValueError, TypeError) as error:
        raise LunetteError(f"{where}: {error}") from None


def _near(value: Any, clock: _Clock, where: str) -> list[Span]:
    if not isinstance(value, list):
        raise LunetteError(f'{where} must be a list of times such as "9:00-12:30"')
    spans: list[Span] = []
    for entry in value:
        begin, dash, end = entry.partition("-") if isinstance(entry, str) else ("", "", "")
        if not dash:
            raise LunetteError(f'{where}: {entry!r} is not of the form "9:00-12:30"')
        spans += clock.spans(begin.strip(), end.strip(), f"{where}: {entry}")
    return join(spans)


def join(spans: list[Span]) -> list[Span]:
    """Sorted, and those that touch as one."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _usb(entry: dict[str, Any], clock: _Clock, where: str) -> list[Span]:
    _known(entry, ("from", "to"), where)
    for key in ("from", "to"):
        if key not in entry:
            raise LunetteError(f"{where}: {key} is missing")
    return clock.spans(entry["from"], entry["to"], where)


def _presses(kind: str, entry: dict[str, Any], clock: _Clock, where: str) -> list[Press]:
    talk = kind == "talk"
    _known(entry, (*_WHEN, "for") if talk else _WHEN, where)
    seconds = TAP_S
    if talk:
        if "for" not in entry:
            raise LunetteError(f"{where}: for is missing: how long to speak")
        seconds = _duration(entry["for"], f"{where}: for", _LONGEST_TALK_S)
    return [Press(at_s, seconds, talk) for at_s in _times(entry, clock, where)]


def _times(entry: dict[str, Any], clock: _Clock, where: str) -> list[float]:
    if "at" in entry:
        for key in ("every", "from", "to"):
            if key in entry:
                raise LunetteError(f"{where}: {key} does not go with at")
        times = entry["at"] if isinstance(entry["at"], list) else [entry["at"]]
        return [clock.at(value, f"{where}: at") for value in times]
    for key in ("every", "from", "to"):
        if key not in entry:
            raise LunetteError(f"{where}: {key} is missing (or say at)")
    every = _duration(entry["every"], f"{where}: every", DAY_S)
    if every < 1:
        raise LunetteError(f"{where}: every = {entry['every']!r} is less than a second")
    found: list[float] = []
    for begin, end in clock.spans(entry["from"], entry["to"], where):
        count = math.ceil((end - begin) / every - 1e-9)
        if count > _MOST:
            raise LunetteError(f"{where}: every = {entry['every']!r} is {count} times")
        found += [begin + i * every for i in range(count)]
    return found


def _check_presses(day: Day, clock: _Clock) -> None:
    if len(day.presses) > _MOST:
        raise LunetteError(f"{day.name}: the button is pressed {len(day.presses)} times, more than {_MOST}")
    for press, after in zip(day.presses, day.presses[1:], strict=False):
        if press.at_s + press.seconds >= after.at_s:
            first, second = (clock_text(day.start_s, p.at_s) for p in (press, after))
            raise LunetteError(f"{day.name}: the press at {second} begins before that at {first} is over")
    if day.presses and day.presses[-1].at_s + day.presses[-1].seconds > clock.seconds:
        text = clock_text(day.start_s, day.presses[-1].at_s)
        raise LunetteError(f"{day.name}: the press at {text} ends after the day")
