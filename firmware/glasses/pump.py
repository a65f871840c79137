"""The pump: decides what goes to the host next and fills packets with it.

Order: replies to requests and events, then the recording that is being made, then the backlog, oldest
first, audio before pictures before logs. A packet is filled as long as anything is waiting, and sent at
once when nothing is. While speech is live the backlog goes at the pace that `glasses.pace` allows, so
that live frames find the stack's buffers all but empty.

Nobody waits for ever: a flood of events lets a live message through after eight, live speech that
never comes to an end lets one of the backlog through after sixteen, and among the backlog one
message in eight is a picture's, one in sixty-four a log's. Nothing here allocates per frame.
"""

import struct
import time

from glasses import pace, protocol
from glasses.dsp import pcm
from glasses.journal import NONE
from glasses.journal import SLOT as _SLOT

_ENOMEM = 12
_ENOTCONN = 128
_MAX_CONTROL = 8
_LONGEST = 527 - 3
_IN_A_ROW = 8  # events and replies, while a live frame waits
_LIVE_IN_A_ROW = 16  # while the backlog waits

# Lanes. Only the first two are for what is urgent.
_EVENT = 0
_LIVE = 1
_SPEECH = 2
_PHOTO = 3
_LOG = 4
_LANES = {"event": _EVENT, "speech": _SPEECH, "photo": _PHOTO, "log": _LOG}

# How soon a packet that has room left must go: when there is credit, when the buffers are not all too
# full, at once.
_CAN_WAIT = 0
_SOON = 1
_NOW = 2


def _waits(recording):
    """Whether there is a message of it that can be sent."""
    if recording.draft:
        return False
    if not recording.open_sent or recording.cursor != NONE:
        return True
    return recording.closed and not recording.close_sent


class Pump:
    """Carries `journal` through ``notify(buffer)``, which raises OSError like gatts_notify."""

    def __init__(self, journal, notify):
        self._journal = journal
        self._notify = notify
        self.pace = pace.Pace(time.ticks_diff)
        self._lanes = [None] * 5  # the recording that is next in each
        self._speaking = False  # speech is live, or a draft may become it
        self._held = False  # something waits for credit
        self._urgent = 0  # messages in a row that were events and replies
        self._live = 0  # that were live
        self._turn = 0  # of the backlog
        self._hurry = _CAN_WAIT  # of the packet
        self._hurry_body = _CAN_WAIT  # of the message
        self._packet = bytearray(_LONGEST)
        self._whole = memoryview(self._packet)
        self._views = {}
        self._seq = 0
        self._limit = 20
        self._control = []  # messages that are not frames
        self._body = bytearray(512)  # the message being cut into packets
        self._length = 0
        self._at = 0
        self._fill = protocol.PACKET_HEADER
        self._last = None  # recording and index of the last DATA or MORE
        self._last_index = -1
        self._busy = False
        self.running = False  # a host said READY
        self.wait_ms = 0  # after `pump` returned False: when to call it again
        self.notifications = 0
        self.bytes = 0
        self.frames = 0
        self.resent = 0
        self.enomem = 0
        self.failed = 0  # the stack refused for a reason of its own
        self.dropped_control = 0
        self.starts = 0  # READYs
        self.resumes = 0
        self.paced = 0  # times the backlog had to wait for credit

    # --- life of a connection ----------------------------------------------------------------

    def connect(self):
        """A new connection: until the host says otherwise, everything is sent again."""
        self.stop()
        self._seq = 0
        self.pace.begin(time.ticks_ms())
        self._journal.rewind_all()

    def start(self, mtu):
        """A host is ready: send what it has not acknowledged, in packets of `mtu` - 3 bytes.

        `connect` and the host's RESUMEs have set the cursors; a host that says READY twice on one
        connection starts over.
        """
        self.starts += 1
        if self.running:
            self.stop()  # `_seq` goes on: the host would take a jump for a gap, and start over again
            self._journal.rewind_all()
        self.resize(mtu)
        self.running = True

    def resize(self, mtu):
        """The MTU is another. Bluetooth interrupts call this, also in the middle of a packet."""
        self._limit = pace.best_size(min(max(mtu - 3, 20), _LONGEST))

    def stop(self):
        """The host is gone. What was half sent will be sent again."""
        self.running = False
        self._fill = protocol.PACKET_HEADER
        self._length = self._at = 0
        self._control = []
        self._last = None
        self._hurry = _CAN_WAIT
        self._urgent = self._live = 0

    def resume(self, recording, next_index):
        """Go back (or on) to a frame of a recording."""
        self.resumes += 1
        self._journal.rewind(recording, next_index)
        recording.close_sent = False
        if self._last is recording:
            self._last = None

    def control(self, kind, body):
        """Queue a message ahead of all frames; False (and counted) when too many wait."""
        if len(self._control) >= _MAX_CONTROL or len(body) > protocol.MAX_MESSAGE:
            self.dropped_control += 1
            return False
        self._control.append((kind, body))
        return True

    def gone(self, recording):
        """A recording left the journal: a host that knows of it is told not to wait for the rest.
        (One that is told nothing, because too much is queued, hears it when it next resumes.)"""
        if self.running and recording.open_sent:
            self.control(protocol.GONE, protocol.gone_body(recording.number))

    # --- sending -----------------------------------------------------------------------------

    def pump(self):
        """Send what may be sent now. False: call again in `wait_ms`, because the stack has no room or
        what is left waits for credit. True: there is nothing left to send."""
        if not self.running or self._busy:
            return True
        self._busy = True
        try:
            return self._run()
        finally:
            self._busy = False

    def _run(self):
        header = protocol.PACKET_HEADER
        self.pace.at(time.ticks_ms())
        self._sort()
        self._held = False
        while True:
            self._top_up()
            if self._fill == header or (self._fill < self._limit and self._may_wait()):
                return self._rest()
            size = min(self._fill, self._limit)  # the MTU may have shrunk since it was filled
            self._packet[0] = self._seq
            try:
                self._notify(self._view(size))
            except OSError as error:
                if error.args[0] == _ENOMEM:
                    self.enomem += 1
                    self.pace.full()
                    self.wait_ms = self.pace.retry_ms
                    return False
                if error.args[0] != _ENOTCONN:
                    self.failed += 1
                self.running = False  # until the host says READY again
                return True
            self.pace.sent(size)
            self.notifications += 1
            self.bytes += size
            self._seq = (self._seq + 1) & 0xFF
            if size == self._fill:
                self._fill = header
                self._hurry = _CAN_WAIT
            else:
                self._keep_rest(size)

    def _may_wait(self):
        """Whether a packet with room left is better kept until it is full."""
        if self._hurry == _SOON:
            return self._speaking and self.pace.behind()
        return self._hurry == _CAN_WAIT and self._held

    def _rest(self):
        """Nothing more may be sent now."""
        if self._held:
            self.paced += 1
            self.pace.not_full()
            self.wait_ms = self.pace.due_ms()
            return False
        if self._fill != protocol.PACKET_HEADER:
            self.pace.not_full()
            self.wait_ms = self.pace.behind_ms()
            return False
        self.pace.nothing_left()
        return True

    def _keep_rest(self, size):
        """What did not fit into a packet of `size` bytes becomes the next one."""
        header = protocol.PACKET_HEADER
        n = self._fill - size
        first = self._packet[1]
        pcm.copy(self._packet, header, self._packet, size, n)
        # Where a second message began is not known any more: only a host with a gap would ask.
        cut = size - header
        self._packet[1] = first - cut if cut <= first < protocol.NO_START else protocol.NO_START
        self._fill = header + n

    def _view(self, size):
        view = self._views.get(size)
        if view is None:  # a packet size is met for the first time
            view = self._views[size] = self._whole[:size]
        return view

    def _top_up(self):
        if self._fill == protocol.PACKET_HEADER:
            self._packet[1] = protocol.NO_START
        while self._fill < self._limit:
            if self._at == self._length:
                if not self._next():
                    return
                if self._packet[1] == protocol.NO_START and self._fill - protocol.PACKET_HEADER < 255:
                    self._packet[1] = self._fill - protocol.PACKET_HEADER
            n = self._length - self._at
            room = self._limit - self._fill
            if n > room:
                n = room
            pcm.copy(self._packet, self._fill, self._body, self._at, n)
            self._fill += n
            self._at += n
            if self._hurry_body > self._hurry:
                self._hurry = self._hurry_body

    # --- what is next ------------------------------------------------------------------------

    def _next(self):
        """Put the next message into `_body`; False when there is none, or it has to wait."""
        if self._control and self._urgent_may_go():
            kind, body = self._control.pop(0)
            self._hurry_body = _NOW
            self._load(kind, body)
            return True
        recording = self._choose()
        if recording is None:
            return False
        if not recording.open_sent:
            recording.open_sent = True
            self._load(protocol.OPEN, protocol.open_body(recording.number, recording.kind, recording.meta))
        elif recording.cursor != NONE:
            self._load_frame(recording)
        else:
            recording.close_sent = True
            recording.sent = recording.count + 1
            self._load(
                protocol.CLOSE,
                struct.pack("<II", recording.number, recording.count)
                + bytes(recording.crc)
                + protocol.dumps(recording.end),
            )
        return True

    def _sort(self):
        """Find who is next in each lane."""
        lanes = self._lanes
        for i in range(len(lanes)):
            lanes[i] = None
        self._speaking = False
        for recording in self._journal.recordings:
            lane = _LANES[recording.kind]
            if lane == _SPEECH and not recording.closed:
                self._speaking = True
                lane = _LIVE
            if lanes[lane] is None and _waits(recording):
                lanes[lane] = recording

    def _lane(self, lane):
        """The recording that is next in a lane, or None."""
        recording = self._lanes[lane]
        if recording is None or _waits(recording):
            return recording
        if lane == _LIVE:  # nothing is recorded while the pump runs, and there is one microphone
            self._lanes[lane] = None
        else:
            self._sort()
        return self._lanes[lane]

    def _urgent_may_go(self):
        if self._urgent >= _IN_A_ROW and self._lane(_LIVE) is not None:
            return False
        self._urgent += 1
        return True

    def _choose(self):
        """The recording of the next message. None: there is none, or it waits for credit (`_held`)."""
        recording = self._lane(_EVENT)
        if recording is not None and self._urgent_may_go():
            self._hurry_body = _NOW
            return recording
        live = self._lane(_LIVE)
        waiting = self._backlog()
        if live is not None and (waiting is None or self._live < _LIVE_IN_A_ROW):
            self._urgent = 0
            self._live += 1
            self._hurry_body = _SOON
            return live
        if waiting is None:
            return None
        if self._speaking and self._live < _LIVE_IN_A_ROW and not self.pace.allows():
            self._held = True
            return None
        self._live = 0
        self._turn = (self._turn + 1) & 63
        self._hurry_body = _CAN_WAIT
        return waiting

    def _backlog(self):
        """Which of the backlog has its turn, or None."""
        if self._turn == 63 and self._lane(_LOG) is not None:
            return self._lanes[_LOG]
        if self._turn & 7 == 7 and self._lane(_PHOTO) is not None:
            return self._lanes[_PHOTO]
        for lane in (_SPEECH, _PHOTO, _LOG):
            if self._lane(lane) is not None:
                return self._lanes[lane]
        return None

    def _load(self, kind, body):
        n = len(body)
        if protocol.MESSAGE_HEADER + n > len(self._body):
            self._body = bytearray(protocol.MESSAGE_HEADER + n)
        struct.pack_into("<BH", self._body, 0, kind, n)
        self._body[protocol.MESSAGE_HEADER : protocol.MESSAGE_HEADER + n] = body
        self._length = protocol.MESSAGE_HEADER + n
        self._at = 0

    def _load_frame(self, recording):
        journal = self._journal
        slot = recording.cursor
        size = journal.size_of(slot)
        index = journal.index_of(slot)
        body = self._body
        at = protocol.MESSAGE_HEADER
        if self._last is recording and index == self._last_index + 1:
            body[0] = protocol.MORE
            length = size
        else:
            body[0] = protocol.DATA
            length = size + 8
            # Not struct.pack_into: integers above 2**30 live on the heap of a 32-bit chip.
            number = recording.number
            for i in range(4):
                body[at + i] = (number >> (8 * i)) & 0xFF
                body[at + 4 + i] = (index >> (8 * i)) & 0xFF
            at += 8
        body[1] = length & 0xFF
        body[2] = length >> 8
        pcm.copy(body, at, journal.data, slot * _SLOT, size)
        self._length = at + size
        self._at = 0
        self._last = recording
        self._last_index = index
        recording.cursor = journal.after(slot)
        self.frames += 1
        if index < recording.sent:
            self.resent += 1
        else:
            recording.sent = index + 1

    def counters(self):
        return {
            "pump.notifications": self.notifications,
            "pump.bytes": self.bytes,
            "pump.frames": self.frames,
            "pump.resent": self.resent,
            "pump.enomem": self.enomem,
            "pump.failed": self.failed,
            "pump.dropped_control": self.dropped_control,
            "pump.starts": self.starts,
            "pump.resumes": self.resumes,
            "pump.paced": self.paced,
        }
