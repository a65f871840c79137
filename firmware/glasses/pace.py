"""How much may be sent without making live speech wait: the link's rate, and what is queued in it.

The stack takes notifications until its buffers are full and never says when one has left. A backlog
that fills them stands in front of every live frame for as many connection events as it takes to empty
them. So while speech is live the backlog gets credit at a little less than the rate at which the link
empties, and the buffers hold about what the next connection event carries.

All there is to measure with is the clock and the refusal of a full stack. Between two refusals as many
fragments left as were accepted. The interval need not be known: the stack's central does not say it
until it changes. Pure arithmetic in small integers; nothing here allocates.
"""

_ONE = 1 << 16  # a fragment; rates are in these a millisecond
_POOL = 24  # fragments that the stack holds (S3 and C3 images)
_ACL = 251  # octets of a fragment, the first of a notification has 7 of headers
_HEADERS = 7
# Without a measurement: half more than speech needs when its packets are full (167 bytes in 20 ms).
_SPEECH_BYTES = 25  # in 2 ms
_LIVE_SHARE = 7  # eighths of the rate that all traffic may have while speech is live
_BURST_MS = 8  # credit that is kept when nobody was there to use it
_BEHIND = 5 * _ONE
_LONGEST_MS = 1000  # of the clock at once
_MEASURE_EVERY_MS = 30000
# A measurement is this long at least, and has seen so many fragments leave.
_WINDOW_MS = 40
_WINDOW_FRAGMENTS = 6
_LONG_WINDOW = 24
_SOONEST_MS = 4
_LATEST_MS = 100

_NOT_FULL = 0  # states of the measurement
_FULL = 1
_OPEN = 2
_ALIGNED = 3


def fragments(size):
    """ACL fragments of a notification of `size` bytes."""
    return (size + _HEADERS + _ACL - 1) // _ACL


def best_size(room):
    """The notification of at most `room` bytes (20..524) that carries most bytes a fragment.

    517 - 3 bytes take three fragments, the last of 19 octets; the 495 that fill two arrive sooner.
    """
    whole = (room + _HEADERS) // _ACL * _ACL - _HEADERS
    if whole > 0 and whole * fragments(room) > room * fragments(whole):
        return whole
    return room


class Pace:
    """Of one connection. Times are ticks_ms, `diff` is ticks_diff."""

    def __init__(self, diff):
        self._diff = diff
        self.measured = 0
        self.use(20)
        self.begin(0)

    def begin(self, now):
        """A connection begins: nothing is known of it."""
        self.rate = 0  # 1/65536 fragments a millisecond; 0 is not measured
        self.credit = 0  # 1/65536 fragments; what is negative is taken to be queued
        self.retry_ms = 2 * _SOONEST_MS
        self.measuring = False
        self.may_measure = True
        self._now = now
        self._measured_at = now
        self._state = _NOT_FULL
        self._since = 0  # fragments accepted since the last refusal
        self._opened = 0
        self._last = 0  # when fragments were last accepted before a refusal
        self._left = 0  # fragments accepted since the measurement was opened

    def use(self, size):
        """Packets are of `size` bytes from now on."""
        self._prior = _ONE * _SPEECH_BYTES // (2 * size) * fragments(size)

    def at(self, now):
        """It is `now`: credit has grown."""
        gone = self._diff(now, self._now)
        self._now = now
        if gone <= 0:
            return
        rate = self._share()
        credit = self.credit + rate * min(gone, _LONGEST_MS)
        most = rate * _BURST_MS
        self.credit = most if credit > most else credit
        if self.rate and self._diff(now, self._measured_at) > _MEASURE_EVERY_MS:
            self.may_measure = True

    def _share(self):
        return (self.rate * _LIVE_SHARE >> 3) or self._prior

    def changed(self):
        """The link is another from now on (its interval, say). For the Bluetooth interrupt."""
        self.may_measure = True

    # --- what the pump tells --------------------------------------------------------------------

    def sent(self, size):
        n = fragments(size)
        self._since += n
        self.credit -= n * _ONE
        if self.credit < -_POOL * _ONE:
            self.credit = -_POOL * _ONE

    def full(self):
        """The stack refused a notification."""
        n = self._since
        self._since = 0
        if self.measuring:
            self.retry_ms = _SOONEST_MS
        elif n == 0:
            self.retry_ms = min(self.retry_ms * 2, _LATEST_MS)
        elif n > _POOL // 3:
            self.retry_ms = max(self.retry_ms // 2, _SOONEST_MS)
        if self._state == _NOT_FULL:
            self._state = _FULL
            if self.credit > -_POOL // 2 * _ONE and not self.measuring:
                # More is queued than was thought.
                self.rate -= self.rate >> 3
                self._prior -= self._prior >> 3
        elif self._state == _FULL:
            if n:
                self._open(_OPEN, self._now)
        else:
            self._watch(n)
        self.credit = -_POOL * _ONE

    def not_full(self):
        """All was accepted that was there, or that there is credit for."""
        self._state = _NOT_FULL

    def nothing_left(self):
        self._state = _NOT_FULL
        if self.measuring:
            self._done()

    # --- measuring ------------------------------------------------------------------------------

    def _open(self, state, t):
        self._state = state
        self._opened = self._last = t
        self._left = 0

    def _watch(self, n):
        # Fragments leave in bursts, one a connection event. From the end of a burst to the end of
        # another it is a whole number of intervals, although nobody has told us how long one is.
        if n:
            self._left += n
            self._last = self._now
            if self._left >= _LONG_WINDOW:
                self._close()
        elif self._state == _OPEN:
            self._open(_ALIGNED, self._last)
        elif self._left >= _WINDOW_FRAGMENTS:
            self._close()

    def _close(self):
        took = self._diff(self._last, self._opened)
        if took < _WINDOW_MS:
            return
        if took <= 16 * _LONGEST_MS:
            rate = max(self._left * _ONE // took, 1)
            if self.rate and not self.may_measure and not self.measuring:
                rate = self.rate + (rate - self.rate) // 4
            self.rate = rate
            self.measured += 1
            self._done()
        self._open(self._state, self._last)

    def _done(self):
        self.measuring = self.may_measure = False
        self._measured_at = self._now

    # --- what the pump asks ---------------------------------------------------------------------

    def allows(self):
        """Whether something that can wait may go while speech is live."""
        if self.credit > 0 or self.measuring:
            return True
        if self.may_measure:
            # For once the stack is filled up; a few live frames wait for that.
            self.measuring = True
            return True
        return False

    def behind(self):
        """More is queued than the next connection event is likely to carry."""
        return self.credit < -_BEHIND and not self.measuring

    def due_ms(self):
        """Milliseconds until there is credit."""
        return self._until(0)

    def behind_ms(self):
        """Milliseconds until `behind` is over."""
        return self._until(-_BEHIND)

    def _until(self, credit):
        wait = (credit - self.credit) // self._share() + 1
        return min(max(wait, _SOONEST_MS), _LATEST_MS)
