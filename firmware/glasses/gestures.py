"""What a finger did: (time, level) in, gestures out.

Pure: no clock, no pin, no imports. Times are ``ticks_ms`` values, 0..2**30-1, which wrap every 12.4
days; nothing here may last half of that. All arithmetic stays within small integers, so an edge does
not allocate.

Events, in the order in which they are emitted (``value`` is None where none is named):

========  ==========================================================================================
press     the finger came down
release   the finger left; value: how long it was down, ms
tap       one press shorter than ``hold_ms``, then ``gap_ms`` of nothing
double    two such presses
triple    three such presses; emitted with the third release, there is nothing to wait for
hold      down for ``hold_ms``; t is the time of the *press*, so that what was said since belongs to it
hold_end  the release after a hold; value: how long it was down, ms
ladder    the ladder begins (after one tap, then holding for ``hold_ms``); t is the time of the *press*
rung      a step of the ladder was reached (after one tap, then holding); value: its name
long      released from the ladder; value: the highest rung's name
cancel    released from the ladder before its first rung
========  ==========================================================================================

Two taps and then a hold are ``double``, then ``hold``.
"""

_MASK = 0x3FFFFFFF
_HALF = 0x20000000

# An edge that is older than what was already processed by at most this much was merely delivered
# late. An edge that seems older still came after days of silence, half a period or more.
_LATE_MS = 10000

_UP = 0  # nobody presses; taps may be pending
_DOWN = 1  # pressed, too short to tell
_HOLD = 2
_LADDER = 3

_TAPS = (None, "tap", "double")


def ticks_diff(end, start):
    """``end - start`` in ms, -2**29..2**29-1, without leaving small integers."""
    d = (end - start) & _MASK
    return d - _HALF - _HALF if d >= _HALF else d


def ticks_add(ticks, ms):
    """``ticks + ms`` for ``ms`` 0..2**29, without leaving small integers."""
    return (ticks - (_MASK - ms) - 1) & _MASK


class Gestures:
    """Turns the edges of one button into gestures.

    Args:
        emit: called as ``emit(name, t_ms, value)``. The times never decrease.
        debounce_ms: the first edge of a change counts at once; then the level is ignored for so long.
        hold_ms: a press shorter than this is a tap.
        gap_ms: a press later than this after a tap starts a new sequence.
        ladder: ``(ms since the press, name)`` of each rung, ascending, all above ``hold_ms``.

    Raises:
        ValueError: a duration is not positive, or the ladder does not ascend.
    """

    def __init__(
        self,
        emit,
        *,
        debounce_ms=8,
        hold_ms=300,
        gap_ms=250,
        ladder=((3000, "pair"), (8000, "forget"), (12000, "off")),
    ):
        below = hold_ms
        for ms, _ in ladder:
            if not below < ms < _HALF:
                raise ValueError("ladder must ascend, above hold_ms")
            below = ms
        if debounce_ms < 0 or hold_ms <= 0 or gap_ms <= 0:
            raise ValueError("durations must be positive")
        self._emit = emit
        self._debounce = debounce_ms
        self._hold = hold_ms
        self._gap = gap_ms
        self._ladder = ladder
        self._reset()

    def _reset(self):
        self._seen = False  # the level of the last edge
        self._level = False  # the level that counts
        self._state = _UP
        self._taps = 0
        self._rung = 0
        self._pressed_at = 0
        self._now = None  # time of the last edge or deadline that was processed
        self._lock = None  # until when the level is ignored
        self._timer = None  # when the gesture at hand moves on by itself

    @property
    def deadline(self):
        """When `tick` is needed next (ticks, maybe in the past), or None."""
        if self._lock is None:
            return self._timer
        if self._timer is None or ticks_diff(self._lock, self._timer) < 0:
            return self._lock
        return self._timer

    @property
    def busy(self):
        """Whether a finger is down or a sequence is not decided yet."""
        return self._level or self._lock is not None or self._timer is not None

    @property
    def down(self):
        """Whether a finger is down."""
        return self._level

    def start(self, t_ms, pressed):
        """Forget everything; the button's level at ``t_ms`` is ``pressed``.

        A finger that is down already (it woke the glasses) counts as a press at ``t_ms``.
        """
        self._reset()
        self._now = t_ms
        self._seen = pressed = bool(pressed)
        if pressed:
            self._accept(t_ms, True)

    def edge(self, t_ms, pressed):
        """The button's level became (or still is) ``pressed`` at ``t_ms``.

        Edges may bounce, repeat and come late, but in the order of their times: hand over all that
        are queued before calling `tick`. An edge older than what is already decided counts as new.
        """
        t_ms = self._process(t_ms)
        pressed = bool(pressed)
        self._seen = pressed
        if self._lock is None and pressed != self._level:
            self._accept(t_ms, pressed)

    def tick(self, t_ms):
        """Time has come to ``t_ms``: emit what was due by then, each with its own time."""
        self._process(t_ms)

    def _process(self, t_ms):
        """Handle all deadlines up to ``t_ms``; returns ``t_ms``, but not before what was processed."""
        if self._now is not None:
            late = ticks_diff(self._now, t_ms)
            if late > 0 and (late <= _LATE_MS or self.deadline is not None):
                t_ms = self._now
        deadline = self.deadline
        while deadline is not None and ticks_diff(t_ms, deadline) >= 0:
            self._now = deadline
            # At the same instant the gesture goes first: it was complete before the level changed.
            if deadline == self._timer:
                self._timer = None
                self._advance(deadline)
            else:
                self._lock = None
                if self._seen != self._level:
                    self._accept(deadline, self._seen)
            deadline = self.deadline
        self._now = t_ms
        return t_ms

    def _accept(self, t_ms, pressed):
        """The level really changed."""
        self._level = pressed
        if self._debounce:
            # Its end is a deadline even if nothing bounced: a lock left standing would, days later,
            # seem to lie in the future and swallow a press.
            self._lock = ticks_add(t_ms, self._debounce)
        if pressed:
            self._press(t_ms)
        else:
            self._release(t_ms)

    def _press(self, t_ms):
        self._state = _DOWN
        self._pressed_at = t_ms
        self._timer = ticks_add(t_ms, self._hold)
        self._emit("press", t_ms, None)

    def _release(self, t_ms):
        state = self._state
        self._state = _UP
        self._timer = None
        held = ticks_diff(t_ms, self._pressed_at)
        if held < 0:  # a button that was stuck for days
            held = _HALF - 1
        self._emit("release", t_ms, held)
        if state == _HOLD:
            self._emit("hold_end", t_ms, held)
        elif state == _LADDER:
            if self._rung:
                self._emit("long", t_ms, self._ladder[self._rung - 1][1])
            else:
                self._emit("cancel", t_ms, None)
        elif self._taps == 2:
            self._taps = 0
            self._emit("triple", t_ms, None)
        else:
            self._taps += 1
            self._timer = ticks_add(t_ms, self._gap)

    def _advance(self, t_ms):
        """The gesture's timer ran out at ``t_ms``."""
        taps = self._taps
        if self._state == _UP:
            self._taps = 0
            self._emit(_TAPS[taps], t_ms, None)
        elif self._state == _LADDER:
            name = self._ladder[self._rung][1]
            self._rung += 1
            self._arm_rung()
            self._emit("rung", t_ms, name)
        elif taps == 1:
            self._state = _LADDER
            self._taps = 0
            self._rung = 0
            self._arm_rung()
            self._emit("ladder", self._pressed_at, None)
        else:
            self._state = _HOLD
            self._taps = 0
            if taps:
                self._emit("double", self._pressed_at, None)
            self._emit("hold", self._pressed_at, None)

    def _arm_rung(self):
        if self._rung < len(self._ladder):
            self._timer = ticks_add(self._pressed_at, self._ladder[self._rung][0])
