"""Settings: declared here once, validated, kept in /settings.json.

The file is replaced by write-new, then rename, so a power cut leaves the old or the new one.
"""

import json
import os

PATH = "settings.json"

# name: (default, kind, lowest, highest) for numbers; (default, kind, choices) for words.
DECLARED = {
    "name": ("Lunette", "text", 1, 20),
    "security": ("paired", "choice", ("paired", "open")),  # open: whoever is in range can listen
    "private_address": (False, "bool"),  # one that only paired hosts recognise
    "mtu": (512, "int", 23, 527),
    "hold_ms": (300, "int", 150, 1000),
    "gap_ms": (250, "int", 100, 800),
    "debounce_ms": (8, "int", 1, 50),
    "adv_ms": (100, "int", 20, 5000),
    "sleep": ("auto", "choice", ("auto", "deep", "light", "never")),  # when nobody needs them
    "reach_s": (10, "int", 0, 3600),  # asleep: a host finds them within so long; 0: only the button wakes
    "awake_s": (30, "int", 5, 3600),  # after use, before they sleep
    "linger_s": (60, "int", 0, 36000),  # how long a host that wants nothing may stay; 0: for ever
    "grace_s": (60, "int", 10, 3600),  # awake after power-on or a reset, to be reached by cable
    "longest_s": (600, "int", 5, 36000),  # a button that is stuck must not record for ever
    "codec": ("dvi4", "choice", ("dvi4", "mulaw", "pcm")),  # 66, 128, 256 kbit/s
    "cleaning": ("auto", "choice", ("auto", "off", "light", "full")),  # light: without noise suppression
    "gain_db": (0, "int", 0, 30),  # of the microphone, in steps of 6; on top of the board's
    "silence_ms": (1200, "int", 200, 30000),  # that ends a hands-free recording
    "lead_ms": (400, "int", 20, 2000),  # before the first voice, which belong to it
    "wakeword": ("", "text", 0, 100),  # models in /wakeword, by commas; "": none is listened for
    "sensitivity": ("normal", "choice", ("low", "normal", "high")),  # normal: the model's own cutoff
    "wake_gate": (False, "bool"),  # a word counts only where somebody speaks
    "on_wake": ("record", "choice", ("record", "event")),  # event: the app is told, and no more
    "listen_when": ("always", "choice", ("always", "worn", "charging", "used")),
    "listen_min": (10, "int", 1, 600),  # after use, for "used"
    "earcons": (True, "bool"),  # short sounds, where there is a speaker or a buzzer
    "log_level": ("info", "choice", ("debug", "info", "warning", "error")),
    "omi": (False, "bool"),  # the Omi app's services; they need security "open"
    "probe_heap": (False, "bool"),
}  # type: dict[str, tuple]


class SettingsError(ValueError):
    """A name or value that is not allowed; the message says what is."""


def check(name, value):
    """`value` if it is allowed for `name`. Raises SettingsError."""
    if not isinstance(name, str) or name not in DECLARED:
        raise SettingsError("no setting %s; there are: %s" % (name, ", ".join(sorted(DECLARED))))
    rule = DECLARED[name]
    kind = rule[1]
    if kind == "bool":
        if not isinstance(value, bool):
            raise SettingsError("%s must be true or false" % name)
    elif kind == "int":
        if isinstance(value, bool) or not isinstance(value, int) or not rule[2] <= value <= rule[3]:
            raise SettingsError("%s must be a whole number from %d to %d" % (name, rule[2], rule[3]))
    elif kind == "text":
        if not isinstance(value, str) or not rule[2] <= len(value.encode()) <= rule[3]:
            raise SettingsError("%s must be text of %d to %d bytes" % (name, rule[2], rule[3]))
    elif value not in rule[2]:
        raise SettingsError("%s must be one of: %s" % (name, ", ".join(rule[2])))
    return value


class Settings:
    """`settings.hold_ms` reads; `settings.set("hold_ms", 400)` validates and saves."""

    def __init__(self, path=PATH):
        self._path = path
        self.problems = []  # what was wrong with the file
        self._values = {}
        for name in DECLARED:
            self._values[name] = DECLARED[name][0]
        try:
            with open(path) as file:
                stored = json.load(file)
            if not isinstance(stored, dict):
                raise ValueError("not an object")
        except OSError:
            stored = {}
        except (ValueError, RuntimeError) as error:  # RuntimeError: nested too deep
            self.problems.append("%s is not readable, defaults are used: %s" % (path, error))
            stored = {}
        for name in stored:
            try:
                self._values[name] = check(name, stored[name])
            except ValueError as error:
                self.problems.append(str(error))

    def __getattr__(self, name):
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None

    def all(self):
        return dict(self._values)

    def set(self, name, value):
        """Change one setting and save. Must not run while the microphone does: it writes flash."""
        value = check(name, value)
        before = self._values[name]
        self._values[name] = value
        try:
            self.save()
        except OSError:
            self._values[name] = before
            raise

    def save(self):
        changed = {}
        for name in DECLARED:
            if self._values[name] != DECLARED[name][0]:
                changed[name] = self._values[name]
        with open(self._path + ".new", "w") as file:
            json.dump(changed, file)
        os.rename(self._path + ".new", self._path)
