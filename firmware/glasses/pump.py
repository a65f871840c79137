"""The pump: fills packets with what has its turn, and hands them to the stack.

A packet is filled as long as anything may be sent, and goes at once when nothing is left. What goes first
is for `glasses.turns` to say, how much of it beside live speech for `glasses.pace`. Nothing here
allocates per frame.
"""

import struct
import time

from glasses import pace, protocol
from glasses.dsp import pcm
from glasses.recording import NONE
from glasses.turns import CAN_WAIT, NOW, SOON, Turns

_ENOMEM = 12
_ENOTCONN = 128
_MAX_CONTROL = 8
_LONGEST = 527 - 3
_NOWHERE = 1000


class Pump:
    """Carries `journal` through ``notify(buffer)``, which raises OSError like gatts_notify."""

    def __init__(self, journal, notify):
        self._journal = journal
        self._notify = notify
        self.pace = pace.Pace(time.ticks_diff)
        self._turns = Turns(journal, self.pace)
        self._hurry = CAN_WAIT  # of the packet
        self._hurry_body = CAN_WAIT  # of the message
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
        self._start = _NOWHERE  # where in the packet the first message begins, after the header
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

    def connect(self, host):
        """A new connection of `host` (its identity, bytes): until it says otherwise, everything that it
        has not acknowledged is sent again."""
        self.stop()
        self._seq = 0
        self.pace.begin(time.ticks_ms())
        self._journal.connect(host)

    def start(self, mtu):
        """A host is ready: send what it has not acknowledged, in packets of `mtu` - 3 bytes.

        `connect` and the host's RESUMEs have set the cursors; a host that says READY twice on one
        connection starts over.
        """
        self.starts += 1
        if self.running:
            # Packet numbers go on and the message that is being cut is sent to its end: the host would
            # take anything else for a gap, and start over again.
            self._last = None
            self._turns.begin()
            self._journal.connect(self._journal.host)
        self.resize(mtu)
        self.running = True

    def resize(self, mtu):
        """The MTU is another. Bluetooth interrupts call this, also in the middle of a packet."""
        self._limit = pace.best_size(min(max(mtu - 3, 20), _LONGEST))
        self.pace.use(self._limit)

    def stop(self):
        """The host is gone. What was half sent will be sent again."""
        self.running = False
        self._fill = protocol.PACKET_HEADER
        self._length = self._at = 0
        self._control = []
        self._last = None
        self._hurry = CAN_WAIT
        self._turns.begin()

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
        self._turns.sort()
        while True:
            self._top_up()
            limit = self._limit
            if self._fill == header or (self._fill < limit and self._may_wait()):
                return self._rest()
            size = min(self._fill, limit)  # the MTU may have shrunk since it was filled
            self._packet[0] = self._seq
            begins = self._start < min(size - header, protocol.NO_START)
            self._packet[1] = self._start if begins else protocol.NO_START
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
                self._hurry = CAN_WAIT
            else:
                self._keep_rest(size)

    def _may_wait(self):
        """Whether a packet with room left is better kept until it is full."""
        if self._hurry == SOON:
            return self._turns.speaking and self.pace.behind()
        return self._hurry == CAN_WAIT and self._turns.held

    def _rest(self):
        """Nothing more may be sent now."""
        part = self._fill != protocol.PACKET_HEADER
        if not part and not self._turns.held:
            self.pace.nothing_left()
            return True
        self.pace.not_full()
        if self._turns.held:
            self.paced += 1
        self.wait_ms = self.pace.behind_ms() if part and self._hurry == SOON else self.pace.due_ms()
        return False

    def _keep_rest(self, size):
        """What did not fit into a packet of `size` bytes becomes the next one."""
        header = protocol.PACKET_HEADER
        packet = self._packet
        cut = size - header
        held = self._fill - header
        start = self._start
        while start < cut:
            if start + protocol.MESSAGE_HEADER > held:
                start = _NOWHERE
            else:
                length = packet[header + start + 1] | packet[header + start + 2] << 8
                start += protocol.MESSAGE_HEADER + length
        self._start = start - cut if start < held else _NOWHERE
        pcm.copy(packet, header, packet, size, held - cut)
        self._fill = header + held - cut

    def _view(self, size):
        view = self._views.get(size)
        if view is None:  # a packet size is met for the first time
            view = self._views[size] = self._whole[:size]
        return view

    def _top_up(self):
        if self._fill == protocol.PACKET_HEADER:
            self._start = _NOWHERE
        limit = self._limit  # Bluetooth interrupts change it
        while self._fill < limit:
            if self._at == self._length:
                if not self._next():
                    return
                if self._start == _NOWHERE:
                    self._start = self._fill - protocol.PACKET_HEADER
            n = self._length - self._at
            room = limit - self._fill
            if n > room:
                n = room
            pcm.copy(self._packet, self._fill, self._body, self._at, n)
            self._fill += n
            self._at += n
            if self._hurry_body > self._hurry:
                self._hurry = self._hurry_body

    def _next(self):
        """Put the next message into `_body`; False when there is none, or it has to wait."""
        if self._control and self._turns.urgent():
            kind, body = self._control.pop(0)
            self._hurry_body = NOW
            self._load(kind, body)
            return True
        recording = self._turns.choose()
        if recording is None:
            return False
        self._hurry_body = self._turns.hurry
        if not recording.open_sent:
            recording.open_sent = True
            self._load(protocol.OPEN, protocol.open_body(recording.number, recording.kind, recording.meta))
        elif recording.cursor != NONE:
            if not self._load_frame(recording):
                # What flash does not give is gone: a message about that waits now.
                self._turns.sort()
                return self._next()
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
            "pump.starts": self.starts,
            "pump.resumes": self.resumes,
            "pump.paced": self.paced,
        }
