"""Whose turn it is: the recording that the pump takes its next message from.

Order: events, then the recording that is being made, then the backlog, oldest first, speech before
pictures before logs. While speech is live the backlog goes at the pace that `glasses.pace` allows.

Nobody waits for ever. A flood of events lets a live message through after eight; live speech that the
link cannot keep up with lets one of the backlog through after sixteen; among the backlog one message in
eight is a picture's and one in sixty-four a log's.
"""

from glasses.recording import NONE

_IN_A_ROW = 8  # events and replies, while a live frame waits
_LIVE_IN_A_ROW = 16  # while the backlog waits

# Lanes, most urgent first.
_EVENT = 0
_LIVE = 1
_SPEECH = 2
_PHOTO = 3
_LOG = 4
_LANES = {"event": _EVENT, "speech": _SPEECH, "photo": _PHOTO, "log": _LOG}

# How soon a packet that has room left must go: when there is credit, when the stack's buffers are not
# all too full, at once.
CAN_WAIT = 0
SOON = 1
NOW = 2


def waits(recording):
    """Whether there is a message of it that may be sent."""
    if recording.draft:
        return False
    if not recording.open_sent or recording.cursor != NONE:
        return True
    return recording.closed and not recording.close_sent


class Turns:
    """Nothing but the pump may change the journal between `sort` and the last `choose` after it."""

    def __init__(self, journal, pace):
        self._journal = journal
        self._pace = pace
        self._lanes = [None] * 5  # the recording that is next in each
        self.speaking = False  # speech is live, or there is a draft that may become it
        self.held = False  # since `sort`: something had to wait for credit
        self.hurry = CAN_WAIT  # of what was chosen last
        self.begin()

    def begin(self):
        """A host is there, or gone."""
        self._urgent = 0  # messages in a row that were events and replies
        self._live = 0  # that were live
        self._turn = 0  # of the backlog

    def sort(self):
        """Find who is next in each lane."""
        self.held = False
        self._sort()

    def _sort(self):
        lanes = self._lanes
        for i in range(len(lanes)):
            lanes[i] = None
        self.speaking = False
        for recording in self._journal.recordings:
            lane = _LANES[recording.kind]
            if lane == _SPEECH and not recording.closed:
                self.speaking = True
                lane = _LIVE
            if lanes[lane] is None and waits(recording):
                lanes[lane] = recording

    def _next(self, lane):
        recording = self._lanes[lane]
        if recording is None or waits(recording):
            return recording
        if lane == _LIVE:  # nothing is recorded while the pump runs, and there is one microphone
            self._lanes[lane] = None
        else:
            self._sort()
        return self._lanes[lane]

    def urgent(self):
        """Whether a reply or an event may go now: it counts as one that does."""
        if self._urgent >= _IN_A_ROW and self._next(_LIVE) is not None:
            return False
        self._urgent += 1
        return True

    def choose(self):
        """The recording of the next message. None: there is none, or it waits for credit (`held`)."""
        recording = self._next(_EVENT)
        if recording is not None and self.urgent():
            self.hurry = NOW
            return recording
        live = self._next(_LIVE)
        waiting = self._backlog()
        if live is not None and (waiting is None or self._live < _LIVE_IN_A_ROW):
            self._urgent = 0
            self._live += 1
            self.hurry = SOON
            return live
        if waiting is None:
            return None
        if self.speaking and self._live < _LIVE_IN_A_ROW and not self._pace.allows():
            self.held = True
            return None
        self._live = 0
        self._turn = (self._turn + 1) & 63
        self.hurry = CAN_WAIT
        return waiting

    def _backlog(self):
        if self._turn == 63 and self._next(_LOG) is not None:
            return self._lanes[_LOG]
        if self._turn & 7 == 7 and self._next(_PHOTO) is not None:
            return self._lanes[_PHOTO]
        for lane in range(_SPEECH, _LOG + 1):
            if self._next(lane) is not None:
                return self._lanes[lane]
        return None
