"""Scenes: timed scripts, in TOML, of what happens to virtual glasses. docs/virtual_glasses.md."""

from __future__ import annotations

import math
import runpy
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from lunette import paths
from lunette.acoustics import Point, toward
from lunette.errors import LunetteError
from lunette.virtual import spoken
from lunette.virtual.chip.microphones import BITS, FAULTS, SIDES
from lunette.virtual.chip.noises import NOISES
from lunette.virtual.link_model import LinkModel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TAP_S = 0.08
BETWEEN_S = 0.12
PAIR_S = 3.2  # the ladder's rung "pair" is at 3 s

_NUMBER = (int, float)
TRIES = ("subscribe", "read", "ready", "command", "pair")  # of a stranger
_LINK: dict[str, Any] = {
    "interval_ms": _NUMBER,
    "phy": str,
    "loss": _NUMBER,
    "jitter_ms": _NUMBER,
    "mtu": int,
}
_PLACE: dict[str, tuple[Any, Any]] = {"azimuth": (_NUMBER, None), "distance": (_NUMBER, None)}
# What each action takes: key to (types, default); a default of ... means that it must be given, None that
# it is left out if it is not.
ACTIONS: dict[str, dict[str, tuple[Any, Any]]] = {
    "press": {"button": (str, "talk")},
    "release": {"button": (str, "talk")},
    "tap": {"button": (str, "talk")},
    "double": {"button": (str, "talk")},
    "triple": {"button": (str, "talk")},
    "hold": {"button": (str, "talk"), "seconds": (_NUMBER, ...)},
    "pair": {"button": (str, "talk")},
    "say": {
        "wav": (str, None),
        "text": (str, None),
        "voice": (str, None),
        "rate": (int, None),
        "gain_db": (_NUMBER, 0.0),
        **_PLACE,
    },
    "noise": {"kind": (str, "white"), "level_dbfs": (_NUMBER, -50.0), "seconds": (_NUMBER, 0.0), **_PLACE},
    "mic": {
        "channel": (str, "left"),
        "fault": (str, None),
        "value": (int, None),
        "bit": (int, None),
        "noise_dbfs": (_NUMBER, None),
    },
    "stall": {"seconds": (_NUMBER, ...)},
    "drop": {},
    "host_leave": {},
    "host_return": {},
    "host_crash": {},
    "host_stall": {"seconds": (_NUMBER, ...)},
    "host_pair": {},
    "stranger": {"tries": (list, list(TRIES)), "seconds": (_NUMBER, 0.0)},
    "set_link": {key: (types, None) for key, types in _LINK.items()},
    "power_cut": {"written": (str, "")},
    "power_on": {},
    "battery": {"volts": (_NUMBER, ...)},
    "usb": {"plugged": (bool, ...)},
    "worn": {"on": (bool, ...)},
    "write": {"characteristic": (str, ...), "hex": (str, ...)},
    "mpremote": {"args": (list, ...)},
}
_TOP = {"duration_s", "models", "board", "host", "link", "settings", "at"}


@dataclass
class Action:
    t: float
    do: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Scene:
    """`duration_s` seconds after the glasses are up; `actions` in the order of their times. `paired`: the
    host was paired with the glasses before. `journal_kb` replaces what the board says. `models` are the wake
    words on their flash: files, or names of the package pymicro-wakeword."""

    duration_s: float
    board: str = "virtual"
    link: LinkModel = field(default_factory=LinkModel)
    settings: dict[str, Any] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    folder: Path = field(default_factory=Path)
    paired: bool = True
    journal_kb: int | None = None
    models: tuple[str, ...] = ()


def load(path: Path) -> Scene:
    """Read a scene file. Raises LunetteError that names what is wrong and where."""
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise LunetteError(f"no scene file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LunetteError(f"{path} is not readable: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise LunetteError(f"{path} is not TOML: {error}") from None
    return parse(data, str(path), path.parent)


def parse(data: dict[str, Any], where: str = "scene", folder: Path | None = None) -> Scene:
    """A scene from its TOML tables."""
    _known(data, _TOP, where)
    duration = data.get("duration_s")
    if not _is_number(duration) or not 0 < duration <= 86400:
        raise LunetteError(f"{where}: duration_s must be a number of seconds above 0")
    board = data.get("board", {})
    if not isinstance(board, dict):
        raise LunetteError(f"{where}: [board] must be a table with a name")
    _known(board, {"name", "journal_kb"}, f"{where} [board]")
    journal_kb = board.get("journal_kb")
    if journal_kb is not None and (not _is_number(journal_kb) or not 4 <= journal_kb <= 4096):
        raise LunetteError(f"{where} [board]: journal_kb must be a number from 4 to 4096")
    host = data.get("host", {})
    if not isinstance(host, dict) or not isinstance(host.get("paired", True), bool):
        raise LunetteError(f"{where}: [host] must be a table with paired = true or false")
    _known(host, {"paired"}, f"{where} [host]")
    link = data.get("link", {})
    if not isinstance(link, dict):
        raise LunetteError(f"{where}: [link] must be a table")
    _known(link, set(_LINK), f"{where} [link]")
    try:
        model = LinkModel(**link)
    except (ValueError, TypeError) as error:
        raise LunetteError(f"{where} [link]: {error}") from None
    models = data.get("models", [])
    if not isinstance(models, list) or not all(isinstance(model, str) and model for model in models):
        raise LunetteError(f"{where}: models must be a list of names or files")
    settings = data.get("settings", {})
    if not isinstance(settings, dict):
        raise LunetteError(f"{where}: [settings] must be a table")
    _check_settings(settings, f"{where} [settings]")
    actions: list[Action] = []
    entries = data.get("at", [])
    if not isinstance(entries, list):
        raise LunetteError(f"{where}: write [[at]], with two brackets")
    for number, entry in enumerate(entries, 1):
        actions += expand(check(entry, f"{where} [[at]] {number}"))
    actions.sort(key=lambda action: action.t)
    late = [a for a in actions if a.t > duration]
    if late:
        raise LunetteError(f"{where}: {late[0].do} at {late[0].t:g} s is after the end at {duration:g} s")
    return Scene(
        float(duration),
        str(board.get("name", "virtual")),
        model,
        dict(settings),
        actions,
        folder or Path(),
        host.get("paired", True),
        None if journal_kb is None else int(journal_kb),
        tuple(models),
    )


def check(entry: dict[str, Any], where: str) -> Action:
    """One [[at]] table as an Action with every value filled in."""
    if not isinstance(entry, dict):
        raise LunetteError(f"{where}: must be a table, not {entry!r}")
    t = entry.get("t")
    if not _is_number(t) or t < 0:
        raise LunetteError(f"{where}: t must be a number of seconds from 0 up")
    do = entry.get("do")
    if not isinstance(do, str) or do not in ACTIONS:
        raise LunetteError(f"{where}: do = {do!r} is none of: {', '.join(ACTIONS)}")
    return Action(
        float(t), do, arguments(do, {k: v for k, v in entry.items() if k not in ("t", "do")}, where)
    )


def arguments(do: str, given: dict[str, Any], where: str) -> dict[str, Any]:
    """The arguments of an action: validated, with defaults. Raises LunetteError."""
    takes = ACTIONS[do]
    _known(given, set(takes), f"{where} ({do})")
    values: dict[str, Any] = {}
    for key, (types, default) in takes.items():
        value = given.get(key, default)
        if value is None:
            continue
        if value is ...:
            raise LunetteError(f"{where} ({do}): {key} is missing")
        if not isinstance(value, types) or isinstance(value, bool) != (types is bool):
            raise LunetteError(f"{where} ({do}): {key} = {value!r} is of the wrong type")
        if types is _NUMBER and not math.isfinite(value):
            raise LunetteError(f"{where} ({do}): {key} = {value!r} is not a finite number")
        values[key] = value
    if do in ("say", "noise"):
        if values.get("distance", 1) <= 0:
            raise LunetteError(f"{where} ({do}): distance must be above 0")
        if do == "noise":
            _one_of(values, "kind", NOISES, f"{where} ({do})")
    if do == "say":
        _check_said(values, f"{where} ({do})")
    if do == "mic":
        _check_microphone(values, f"{where} ({do})")
    if do in ("hold", "host_stall", "stall") and not values["seconds"] > 0:
        raise LunetteError(f"{where} ({do}): seconds must be above 0")
    if do == "stranger":
        for what in values["tries"]:
            if what not in TRIES:
                raise LunetteError(
                    f"{where} (stranger): tries {what!r}, which is none of: {', '.join(TRIES)}"
                )
    if do == "set_link":
        if not values:
            raise LunetteError(f"{where} (set_link): one at least of: {', '.join(_LINK)}")
        try:
            LinkModel(**values)
        except ValueError as error:
            raise LunetteError(f"{where} (set_link): {error}") from None
    if do == "write":
        try:
            bytes.fromhex(values["hex"])
        except ValueError:
            raise LunetteError(f"{where} (write): hex = {values['hex']!r} is not hexadecimal") from None
        if not _is_uuid(values["characteristic"]):
            raise LunetteError(f"{where} (write): characteristic = {values['characteristic']!r} is no UUID")
    if do == "mpremote" and not (values["args"] and all(isinstance(arg, str) for arg in values["args"])):
        raise LunetteError(f"{where} (mpremote): args must be a list of words, with at least one")
    return values


def expand(action: Action) -> list[Action]:
    """Finger movements as presses and releases; other actions as they are."""
    presses = {"tap": 1, "double": 2, "triple": 3}
    if action.do == "hold":
        seconds = float(action.values["seconds"])
        button = {"button": action.values["button"]}
        return [Action(action.t, "press", button), Action(action.t + seconds, "release", button)]
    if action.do == "pair":  # a tap, then a long hold
        button = {"button": action.values["button"]}
        second = action.t + TAP_S + BETWEEN_S
        return [
            *expand(Action(action.t, "tap", button)),
            Action(second, "press", button),
            Action(second + PAIR_S, "release", button),
        ]
    if action.do not in presses:
        return [action]
    found = []
    for i in range(presses[action.do]):
        start = action.t + i * (TAP_S + BETWEEN_S)
        found.append(Action(start, "press", dict(action.values)))
        found.append(Action(start + TAP_S, "release", dict(action.values)))
    return found


def _one_of(values: dict[str, Any], key: str, fit: tuple[str, ...], where: str) -> None:
    if values[key] not in fit:
        raise LunetteError(f"{where}: {key} = {values[key]!r} is none of: {', '.join(fit)}")


def _check_microphone(values: dict[str, Any], where: str) -> None:
    _one_of(values, "channel", SIDES, where)
    if "fault" in values:
        _one_of(values, "fault", FAULTS, where)
    elif "noise_dbfs" not in values:
        raise LunetteError(f"{where}: one at least of: fault, noise_dbfs")
    if ("value" in values or "bit" in values) and values.get("fault") != "stuck":
        raise LunetteError(f'{where}: value and bit are for fault = "stuck"')
    if not 0 <= values.get("bit", 0) < BITS or not -(1 << BITS - 1) <= values.get("value", 0) < 1 << BITS - 1:
        raise LunetteError(f"{where}: a sample has bits 0 to {BITS - 1}, with a sign")
    if values.get("noise_dbfs", -1) > 0:
        raise LunetteError(f"{where}: noise_dbfs cannot be above 0")


def _check_said(values: dict[str, Any], where: str) -> None:
    if ("wav" in values) == ("text" in values):
        raise LunetteError(f"{where}: one of: wav, text")
    if "text" not in values:
        if "voice" in values or "rate" in values:
            raise LunetteError(f"{where}: voice and rate are for text")
        return
    if not values["text"].strip():
        raise LunetteError(f"{where}: text has no words")
    rate = values.setdefault("rate", spoken.RATE)
    if rate not in spoken.RATES:
        first, last = spoken.RATES[0], spoken.RATES[-1]
        raise LunetteError(f"{where}: rate = {rate} is not from {first} to {last} words a minute")
    values.setdefault("voice", spoken.VOICE)
    if spoken.installed():  # else that is what whoever plays it is told
        try:
            spoken.check(values["voice"])
        except LunetteError as error:
            raise LunetteError(f"{where}: {error}") from None


def place(values: dict[str, Any]) -> Point | None:
    """Where the sound of a `say` or `noise` is to come from; None if its action does not say."""
    if "azimuth" not in values and "distance" not in values:
        return None
    return toward(float(values.get("azimuth", 0)), float(values.get("distance", 1)))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, _NUMBER) and not isinstance(value, bool) and math.isfinite(value)


def _is_uuid(text: str) -> bool:
    """A UUID in full, or the 4 hexadecimal digits of an assigned one."""
    try:
        uuid.UUID(f"0000{text}-0000-1000-8000-00805f9b34fb" if len(text) == 4 else text)
    except ValueError:
        return False
    return True


def _check_settings(settings: dict[str, Any], where: str) -> None:
    """Refuse what the firmware would ignore, by the firmware's own rules: a scene must not run with
    other settings than it says."""
    check_setting = runpy.run_path(str(paths.FIRMWARE / "glasses" / "settings.py"))["check"]
    for name, value in settings.items():
        try:
            check_setting(name, value)
        except ValueError as error:
            raise LunetteError(f"{where}: {error}") from None


def _known(table: dict[str, Any], keys: set[str], where: str) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise LunetteError(
            f"{where}: unknown key{'s' if len(unknown) > 1 else ''} {', '.join(unknown)} "
            f"(there are: {', '.join(sorted(keys)) or 'none'})"
        )
