"""The pump: decides what goes to the host next and fills packets with it.

Order: replies to requests, then events, then the recording that is being made, then the backlog,
oldest first, audio before pictures. A packet is filled to the live MTU as long as anything is
waiting, and sent at once when nothing is. Nothing here allocates per frame.
"""

import struct

from glasses import protocol
from glasses.dsp import pcm
from glasses.recording import NONE

_ENOMEM = 12
_ENOTCONN = 128
_MAX_CONTROL = 8
_LONGEST = 527 - 3
# Pictures and logs wait for speech.
_RANK = {"event": 0, "speech": 2, "photo": 3, "log": 4}
_SPEECH = 2
_LIVE = 1


class Pump:
    """Carries `journal` through ``notify(buffer)``, which raises OSError like gatts_notify."""

    def __init__(self, journal, notify):
        self._journal = journal
        self._notify = notify
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
        self.notifications = 0
        self.bytes = 0
        self.frames = 0
        self.resent = 0
        self.enomem = 0
        self.failed = 0  # the stack refused for a reason of its own
        self.dropped_control = 0

    # --- life of a connection ----------------------------------------------------------------

    def connect(self, host):
        """A new connection of `host` (its identity, bytes): until it says otherwise, everything that it
        has not acknowledged is sent again."""
        self.stop()
        self._seq = 0
        self._journal.connect(host)

    def start(self, mtu):
        """A host is ready: send what it has not acknowledged, in packets of `mtu` - 3 bytes.

        `connect` and the host's RESUMEs have set the cursors; a host that says READY twice on one
        connection starts over.
        """
        if self.running:
            seq = self._seq
            self.connect(self._journal.host)
            self._seq = seq  # the host would take a jump for a gap, and start over again
        self.resize(mtu)
        self.running = True

    def resize(self, mtu):
        self._limit = min(max(mtu - 3, 20), _LONGEST)

    def stop(self):
        """The host is gone. What was half sent will be sent again."""
        self.running = False
        self._fill = protocol.PACKET_HEADER
        self._length = self._at = 0
        self._control = []
        self._last = None

    def resume(self, recording, next_index):
        """Go back (or on) to a frame of a recording."""
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
        """Send until nothing is left (returns True) or the stack has no room (returns False)."""
        if not self.running or self._busy:
            return True
        self._busy = True
        try:
            return self._run()
        finally:
            self._busy = False

    def _run(self):
        header = protocol.PACKET_HEADER
        while True:
            self._top_up()
            if self._fill == header:
                return True
            self._packet[0] = self._seq
            try:
                self._notify(self._view(self._fill))
            except OSError as error:
                if error.args[0] == _ENOMEM:
                    self.enomem += 1
                    return False
                if error.args[0] != _ENOTCONN:
                    self.failed += 1
                self.running = False  # until the host says READY again
                return True
            self.notifications += 1
            self.bytes += self._fill
            self._seq = (self._seq + 1) & 0xFF
            self._fill = header

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

    def _next(self):
        """Put the next message into `_body`; False when there is none."""
        if self._control:
            kind, body = self._control.pop(0)
            self._load(kind, body)
            return True
        recording = self._choose()
        if recording is None:
            return False
        if not recording.open_sent:
            recording.open_sent = True
            self._load(protocol.OPEN, protocol.open_body(recording.number, recording.kind, recording.meta))
        elif recording.cursor != NONE:
            # What flash does not give is gone: a message about that waits now.
            return self._load_frame(recording) or self._next()
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

    def _choose(self):
        best = None
        best_rank = 99
        for recording in self._journal.recordings:
            if recording.draft:
                continue
            nothing_held = recording.open_sent and recording.cursor == NONE
            if nothing_held and (recording.close_sent or not recording.closed):
                continue
            rank = _RANK[recording.kind]
            if rank == _SPEECH and not recording.closed:
                rank = _LIVE
            if rank < best_rank:
                best = recording
                best_rank = rank
        return best

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
        if not journal.load(recording):
            return False
        size = journal.frame_size
        index = journal.frame_index
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
        pcm.copy(body, at, journal.frame_data, journal.frame_at, size)
        self._length = at + size
        self._at = 0
        self._last = recording
        self._last_index = index
        self.frames += 1
        if index < recording.sent:
            self.resent += 1
        else:
            recording.sent = index + 1
        return True

    def counters(self):
        return {
            "pump.notifications": self.notifications,
            "pump.bytes": self.bytes,
            "pump.frames": self.frames,
            "pump.resent": self.resent,
            "pump.enomem": self.enomem,
            "pump.failed": self.failed,
            "pump.dropped_control": self.dropped_control,
        }
