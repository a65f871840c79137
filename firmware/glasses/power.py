"""Power states and the wake locks that decide them.

States, most awake first: `active` (capturing), `connected` (a host is there), `standby`
(advertising), `sleep`, `off`. A wake lock is a counted reason, with an owner, not to go deeper
than a state; the deepest state that every lock allows is the one the glasses are in.
"""

import time

STATES = ("active", "connected", "standby", "sleep", "off")


class Power:
    """`idle` is the state without any lock."""

    def __init__(self, log, idle="standby"):
        self._log = log
        self._idle = STATES.index(idle)
        self._locks = {}  # owner: [state index, count]
        self._spent_ms = [0] * len(STATES)
        self._state = self._idle
        self._since = time.ticks_ms()

    @property
    def state(self):
        return STATES[self._state]

    def hold(self, state, owner):
        """Not deeper than `state` until `owner` releases as often as it held."""
        level = STATES.index(state)
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

    def locks(self):
        """{owner: (state, count)}"""
        return {owner: (STATES[lock[0]], lock[1]) for owner, lock in self._locks.items()}

    def _decide(self):
        state = self._idle
        for lock in self._locks.values():
            state = min(state, lock[0])
        if state != self._state:
            self.account()
            self._state = state
            self._log.debug("power", STATES[state])

    def account(self):
        """Add up the time so far. To be called every few days at least: ticks wrap."""
        now = time.ticks_ms()
        self._spent_ms[self._state] += time.ticks_diff(now, self._since)
        self._since = now

    def seconds(self):
        """Seconds spent in each power state since the start."""
        self.account()
        return {STATES[i]: self._spent_ms[i] / 1000 for i in range(len(STATES))}
