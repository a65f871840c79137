"""Why the glasses started, what ended the run before, and whether it is time for safe mode.

A run is marked in retained memory from `begin` to `ended`. Whoever finds the mark at its own start follows a
crash, which goes into a log of the last five, with what was known of its reason. This is a crash:

    watchdog               always, except at the prompt, where the developer may have one of their own
    hard reset or panic    if the mark is there, or instead of waking from sleep
    soft reset, or from    if the mark is there and a reason was noted; otherwise somebody interrupted the
    USB (cause 0)          program before it could say so
    deep sleep             never: only a program goes there, such as an app by itself
    power on               never; a brown-out cannot be told from it

Three crashes in a row make the next start a safe one. A run breaks the row by lasting for a minute
(`healthy`) or by ending in order. In safe mode neither counts, because no app runs in it, and asleep or awake
the glasses stay in it. A person ends it: with power, by switching off, by a restart from the host, by Ctrl-C
and Ctrl-D, or by a reset over USB. The app then has three chances again.
"""

import sys
import time

import machine

SHARE = 900  # bytes of retained memory that all of this takes at most: 5 entries are 660, the rest 200
LIMIT = 3  # crashes in a row
_KEEP = 5
_TEXT = 100  # bytes of the reason, printable ASCII
_DOING = 32
_MOST = 999999
_UNKNOWN_RESET = 0
_NEW = {"end": "", "up": 0, "row": 0, "total": 0, "why": "", "doing": "", "log": []}  # type: dict
_ENDS = ("sleep", "off", "reboot", "prompt")
_BY_A_PERSON = ("off", "reboot", "prompt")


def _plain(text, limit):
    """`text` as printable ASCII without what JSON would escape, so that a character is a byte."""
    kept = ""
    for c in text[:limit]:
        if c == '"':
            c = "'"
        elif c == "\\":
            c = "/"
        elif not " " <= c <= "~":
            c = " " if c in "\r\n\t" else "?"
        kept += c
    return kept


def _describe(error):
    """``ValueError: message @ voice.py:12 < main.py:3``: where it was raised, and the caller."""
    import io

    try:
        message = str(error)
    except Exception:
        message = ""
    text = type(error).__name__ + (": " + message[:40] if message else "")
    printed = io.StringIO()
    sys.print_exception(error, printed)
    places = []
    for line in printed.getvalue().split("\n"):
        line = line.strip()
        if line.startswith('File "'):
            name, _, rest = line[6:].partition('", line ')
            places.append(name.split("/")[-1][-24:] + ":" + rest.split(",")[0][:6])
    if places:
        text += " @ " + " < ".join(reversed(places[-2:]))
    return text


def _whole(value, most):
    return min(value, most) if isinstance(value, int) and value > 0 else 0


class Crashes:
    """`cause` is why this start happened, `crashed` the log's entry if the run before crashed, or None;
    `safe` says that this start is to run without the app. All three are set by `begin`,
    `safe` by held.py, too.

    `retained` is glasses.retained's instance, or has its `get` and `put`.
    """

    def __init__(self, retained):
        self._retained = retained
        self._state = dict(_NEW, log=[])
        self._up_ms = 0
        self._last = time.ticks_ms()
        self.cause = None
        self.crashed = None
        self.safe = False

    def _read(self):
        # The checksum was right, so this is ours, but another version's must not keep us from starting.
        found = self._retained.get("crash")
        if not isinstance(found, dict):
            return
        state = self._state
        for key in ("end", "why", "doing"):
            if isinstance(found.get(key), str):
                state[key] = _plain(found[key], _DOING if key == "doing" else _TEXT)
        for key, most in (("up", _MOST * 10), ("row", 99), ("total", _MOST)):
            state[key] = _whole(found.get(key), most)
        log = found.get("log")
        for entry in log[-_KEEP:] if isinstance(log, list) else ():
            if isinstance(entry, list) and len(entry) == 4:
                boot, cause, up, text = entry
                if isinstance(text, str):
                    self._add(_whole(boot, 0x3FFF), _whole(cause, 9), _whole(up, _MOST * 10), text)

    def _add(self, boot, cause, up, text):
        log = self._state["log"]
        log.append([boot, cause, up, _plain(text, _TEXT)])
        del log[:-_KEEP]
        return log[-1]

    def _store(self):
        # Where others fill the memory, the mark goes before old entries.
        try:
            while not self._retained.put("crash", self._state):
                if not self._state["log"]:
                    return False
                self._state["log"].pop(0)
            return True
        except MemoryError:
            return False

    def begin(self):
        """Look what ended the run before, and mark this one: as early as possible, and once."""
        if self.cause is not None:
            return
        self._read()
        state = self._state
        cause = self.cause = machine.reset_cause()
        end = state["end"]
        if cause == machine.WDT_RESET:
            crashed = end != "prompt"
        elif cause == machine.HARD_RESET:
            crashed = end in ("run", "sleep", "off")
        else:
            by_hand = cause in (machine.SOFT_RESET, _UNKNOWN_RESET)
            crashed = by_hand and end == "run" and state["why"] != ""
        self.crashed = None
        if cause == machine.PWRON_RESET:
            state["row"] = 0
        elif crashed:
            state["row"] = min(state["row"] + 1, 99)
            state["total"] = min(state["total"] + 1, _MOST)
            self.crashed = self._add(
                _whole(self._retained.get("boot"), 0x3FFF), cause, state["up"], self._reason(end)
            )
        elif state["row"] < LIMIT:
            if end in _ENDS:
                state["row"] = 0
        elif end in _BY_A_PERSON or cause in (machine.SOFT_RESET, _UNKNOWN_RESET):
            state["row"] = 0
        self.safe = state["row"] >= LIMIT
        state["end"] = "run"
        state["why"] = state["doing"] = ""
        state["up"] = 0
        self._store()

    def _reason(self, end):
        state = self._state
        text = state["why"] or "no reason known"
        if state["doing"]:
            text = text[: _TEXT - len(state["doing"]) - 2] + ", " + state["doing"]
        elif end in _ENDS:
            text = text[: _TEXT - 14] + ", after " + end
        return text

    # --- during a run -------------------------------------------------------------------------

    def doing(self, what):
        """Note that something is under way (32 bytes), such as "suspend mic", until `done`."""
        self._state["doing"] = _plain(what, _DOING)
        return self._store()

    def done(self):
        self._state["doing"] = ""
        return self._store()

    def note(self, error):
        """Keep an exception or a text as the reason, if this run should come to crash."""
        try:
            text = _plain(error if isinstance(error, str) else _describe(error), _TEXT)
        except Exception:  # no memory left, above all
            text = type(error).__name__
        state = self._state
        if text in state["why"]:
            return
        # The newest first: what stopped the feeding, then the exception that led to it.
        state["why"] = (text + "; " + state["why"])[:_TEXT] if state["why"] else text
        state["up"] = self.up_s()
        self._store()

    def forget(self):
        """The run goes well after all: what was noted is no reason any more."""
        if self._state["why"]:
            self._state["why"] = ""
            self._store()

    def up_s(self):
        """Seconds since the start. To be called every few days at least: ticks wrap."""
        now = time.ticks_ms()
        self._up_ms += time.ticks_diff(now, self._last)
        self._last = now
        return self._up_ms // 1000

    def alive(self):
        """Called often: keeps how long this run has lasted, after 2, 4, 8, ... seconds."""
        up = self.up_s()
        if up >= 2 * max(self._state["up"], 1):
            self._state["up"] = min(up, _MOST * 10)
            self._store()

    def healthy(self):
        """This run has lasted for a minute: the crashes before it were no row."""
        state = self._state
        if not self.safe and (state["row"] or state["why"]):
            state["row"] = 0
            state["why"] = ""
            self._store()

    def ended(self, how):
        """The run ends in order: "sleep", "off", "reboot" or, for a developer, "prompt"."""
        if how not in _ENDS:
            raise ValueError(how)
        state = self._state
        state["end"] = how
        state["why"] = state["doing"] = ""
        return self._store()

    def resumed(self):
        """It did not end: somebody goes on from the prompt, or the sleep did not come about."""
        self._state["end"] = "run"
        return self._store()

    # --- looking ------------------------------------------------------------------------------

    def status(self):
        """JSON values: `log` holds [boot, reset cause, seconds that the run is known to have lasted, reason],
        oldest first; `total` counts all since power-on, `row` those in a row."""
        state = self._state
        return {
            "safe": self.safe,
            "total": state["total"],
            "row": state["row"],
            "log": [list(entry) for entry in state["log"]],
        }
