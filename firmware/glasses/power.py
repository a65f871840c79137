"""The governor: the one place that decides the power state.

A wake lock is a counted reason, with an owner, not to go deeper than a state. The most awake state that a
lock asks for is the one the glasses are in; without any lock they are `drowsy`, in standby, and
`standby.py` takes them to deep sleep in good order. `states.py` has the table of what leads where.
"""

import sys
import time

import machine

from glasses.states import KINDS, ORDER, TABLE, allowed, path

LISTENER = "wakeword"
"""Owner of the lock of who listens for a wake word."""

_DEEPEST = ORDER.index("standby")  # of what locks can ask for


class _Part:
    def __init__(self, name, kind, suspend, resume):
        self.name = name
        self.kind = kind
        self.suspend = suspend
        self.resume = resume
        self.on = True


class Governor:
    """`crashes` (``doing(text)``, ``done()``) learns which part is being suspended, so that one that hangs
    until the watchdog bites is known by name; it is then left alone (`hung`, a list of names)."""

    def __init__(self, log, crashes=None, hung=(), spent_ms=None):
        self._log = log
        self._crashes = crashes
        self._hung = hung
        self._locks = {}  # owner: [index of its state, count]
        self._parts = []
        self._state = "standby"
        self._since = time.ticks_ms()
        self._spent_ms = {}
        for state in ORDER:
            self._spent_ms[state] = (spent_ms or {}).get(state, 0)
        self._watchers = []
        self.refused = 0  # transitions that the table or a lock forbade
        self.part_failures = 0

    @property
    def state(self):
        return self._state

    @property
    def drowsy(self):
        """No lock is held: nobody needs the glasses awake."""
        return not self._locks

    @property
    def only_listening(self):
        """No lock is held but that of who listens for a wake word: the radio is not needed."""
        return len(self._locks) == 1 and LISTENER in self._locks

    def watch(self, watcher):
        """Have ``watcher(old, new)`` called just before the state changes."""
        self._watchers.append(watcher)

    # --- wake locks -------------------------------------------------------------------------------

    def hold(self, state, owner):
        """Not deeper than `state` ("active", "connected", "standby") until `owner` releases as often as it
        held. Raises ValueError for other states: they are nothing to be kept in."""
        level = ORDER.index(state)
        if level > _DEEPEST:
            raise ValueError("a wake lock keeps awake, and %s is not" % state)
        lock = self._locks.get(owner)
        if lock is None:
            self._locks[owner] = [level, 1]
        else:
            lock[0] = min(lock[0], level)
            lock[1] += 1
        self._decide()

    def release(self, owner):
        """Undo one `hold`. Raises ValueError if `owner` holds nothing: a leak the other way."""
        lock = self._locks.get(owner)
        if lock is None:
            raise ValueError("%s holds no wake lock" % owner)
        lock[1] -= 1
        if not lock[1]:
            del self._locks[owner]
        self._decide()

    def holds(self, owner):
        return owner in self._locks

    def keep(self, state, owner, on):
        """Have `owner` hold one lock, or none: for conditions that are looked at again and again."""
        if on and owner not in self._locks:
            self.hold(state, owner)
        elif not on and owner in self._locks:
            self.release(owner)

    def locks(self):
        """{owner: (state, count)}"""
        return {owner: (ORDER[lock[0]], lock[1]) for owner, lock in self._locks.items()}

    def _decide(self):
        level = _DEEPEST
        for lock in self._locks.values():
            level = min(level, lock[0])
        if ORDER[level] != self._state:
            self.enter(ORDER[level])

    # --- states -----------------------------------------------------------------------------------

    def enter(self, state, force=False, quiet=False):
        """Go to `state`, through another if need be. False, logged and counted, if the table has no way or
        a lock forbids it. `force` overrules locks: an empty battery, or the wearer says off. `quiet`: not
        worth a line in the log."""
        if state == self._state:
            return True
        if not force and self._forbidden(state):
            return self._refuse(state, "held by %s" % ", ".join(sorted(self._locks)))
        steps = path(self._state, state)
        if steps is None:
            return self._refuse(state, "there is no way")
        for step in steps:
            self._step(step, quiet)
        return True

    def _forbidden(self, state):
        level = ORDER.index(state)
        return any(level > lock[0] for lock in self._locks.values())

    def _refuse(self, state, why):
        self.refused += 1
        self._log.warning("power", "not from %s to %s: %s" % (self._state, state, why))
        return False

    def _step(self, state, quiet):
        old = self._state
        if not allowed(old, state):  # a table that was edited: `path` and it must agree
            raise ValueError("%s does not lead to %s" % (old, state))
        self.account()
        for watcher in self._watchers:
            watcher(old, state)
        self._suspend(TABLE[state].kinds)
        self._state = state
        if not quiet:
            self._log.debug("power", state)
        mhz = TABLE[state].mhz
        if mhz and mhz != TABLE[old].mhz:
            self.set_clock(mhz)
        self._resume(TABLE[state].kinds)

    def set_clock(self, mhz):
        try:
            machine.freq(mhz * 1000000)
        except (OSError, ValueError) as error:
            self._log.warning("power", "the clock stays: %s" % error)

    # --- parts ------------------------------------------------------------------------------------

    def manage(self, name, kind, suspend, resume):
        """Have ``suspend()`` and ``resume()`` of a part called as states change; `kind` is of `states.KINDS`.
        Raises ValueError for an unknown kind."""
        if kind not in KINDS:
            raise ValueError("no kind of part %s; there are: %s" % (kind, ", ".join(KINDS)))
        part = _Part(name, kind, suspend, resume)
        self._parts.append(part)
        if kind not in TABLE[self._state].kinds:
            self._switch(part, False)

    def _suspend(self, kinds):
        for kind in KINDS:
            if kind not in kinds:
                for part in self._parts:
                    if part.kind == kind and part.on:
                        self._switch(part, False)

    def _resume(self, kinds):
        for kind in reversed(KINDS):
            if kind in kinds:
                for part in self._parts:
                    if part.kind == kind and not part.on:
                        self._switch(part, True)

    def _switch(self, part, on):
        part.on = on
        if part.name in self._hung:
            return  # it took the glasses with it once
        verb = "resume" if on else "suspend"
        if self._crashes is not None:
            self._crashes.doing("%s %s" % (verb, part.name))
        try:
            (part.resume if on else part.suspend)()
        except Exception as error:
            self.part_failures += 1
            sys.print_exception(error)
            self._log.error("power", "%s: %s fails: %s" % (part.name, verb, error))
        if self._crashes is not None:
            self._crashes.done()

    # --- time -------------------------------------------------------------------------------------

    def account(self):
        """Add up the time so far. To be called every few days at least: ticks wrap."""
        now = time.ticks_ms()
        self._spent_ms[self._state] += time.ticks_diff(now, self._since)
        self._since = now

    def spent_ms(self):
        """{state: ms} since power-on, with what went before the last deep sleep, and that itself."""
        self.account()
        return dict(self._spent_ms)

    def seconds(self):
        """The same in seconds."""
        spent = self.spent_ms()
        return {state: spent[state] / 1000 for state in ORDER}

    def counters(self):
        return {"power.refused": self.refused, "power.part_failures": self.part_failures}
