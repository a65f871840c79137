"""Omi's GATT services, so that its phone app and SDK take the glasses for one of theirs.

Off unless the setting `omi` is on: Omi has no pairing, so whoever is in range can listen. Live speech
only: it is decoded from the journal, where it stays for a Lunette host; while one is streaming
Omi hears nothing. docs/compat_omi.md has the bytes.
"""

import struct
from collections import deque

from glasses import clock
from glasses.dsp import halfband, pcm
from glasses.journal import SLOT
from glasses.recording import NONE
from glasses.services import NOTIFY, READ, WRITE, Service

_TAIL = "-e8f2-537e-4f6c-d104768a1214"
MAIN = "19b10000" + _TAIL
AUDIO = "19b10001" + _TAIL
CODEC = "19b10002" + _TAIL
FEATURES = "19b10020" + _TAIL
FEATURES_VALUE = "19b10021" + _TAIL
TIME = "19b10030" + _TAIL
TIME_VALUE = "19b10031" + _TAIL
BUTTON = "23ba7924-0000-1000-7450-346eac492e92"
BUTTON_VALUE = "23ba7925-0000-1000-7450-346eac492e92"

PCM16_8KHZ = 1  # the one uncompressed codec that the app plays
HEADER = 3  # id u16, index u8
_LONGEST = 320  # samples of a coded frame at 16 kHz, and bytes of it at 8 kHz
_RATE = 16000
_GAP = 3  # bytes of a frame that stands for what was not captured
# Sound that is later than the microphone by a second is skipped, being live no more.
_EVENTS = 8

_GESTURES = {"tap": 1, "double": 2, "hold": 3, "press": 4, "release": 5, "triple": 6}
_FEATURE_BUTTON = 1 << 2
_FEATURE_BATTERY = 1 << 3


class Audio(Service):
    """Speech while it is recorded: 8 kHz PCM, frame by frame of the recording. Sending allocates nothing.

    `link` tells the MTU and whether a Lunette host is streaming.
    """

    UUID = MAIN
    CHARACTERISTICS = ((AUDIO, READ | NOTIFY), (CODEC, READ))
    ADVERTISED = MAIN

    def __init__(self, link, journal, bus):
        Service.__init__(self)
        self._link = link
        self._journal = journal
        self._recording = None
        self._slot = NONE  # of the frame that was sent last,
        self._index = -1  # and its index
        self._id = 0
        self._codec = ""  # of the recording
        self._samples = _LONGEST  # of its frames
        self._decode = None
        self._wide = bytearray(2 * (halfband.HISTORY + _LONGEST))
        self._coded = bytearray(_LONGEST)
        self._size = 0  # bytes that are in there,
        self._at = 0  # and of them sent
        self._fragment = 0
        self._packet = bytearray(HEADER + _LONGEST)
        self._whole = memoryview(self._packet)
        self._views = {}
        self.sent = 0  # notifications
        self.skipped = 0  # frames that came too late to be live
        bus.now("recording", self._on_recording)
        bus.now("recorded", self._on_recorded)

    def refresh(self):
        self._ble.gatts_write(self.handles[1], bytes((PCM16_8KHZ,)))

    def connected(self, conn):
        Service.connected(self, conn)
        self._at = self._size
        # Only what is said from now on.
        if self._recording is not None:
            self._seek(self._recording.last)

    def _on_recording(self, name, t, number):
        recording = self._journal.find(number)
        if recording is None or recording.kind != "speech":
            return
        self._load(recording.meta["codec"])
        self._samples = recording.meta["frame"]
        self._recording = recording
        self._slot = NONE
        self._index = -1
        for i in range(2 * halfband.HISTORY):
            self._wide[i] = 0

    def _load(self, codec):
        self._codec = codec
        if codec == "dvi4":
            from glasses.dsp import adpcm

            self._decode = adpcm.decode
        elif codec == "mulaw":
            from glasses.dsp import mulaw

            self._decode = mulaw.decode

    def _on_recorded(self, name, t, number):
        if self._conn < 0:  # else `send` finds the end, after the last frames
            self._recording = None

    def _seek(self, slot):
        self._slot = slot
        if slot != NONE:
            self._index = self._journal.index_of(slot)

    def send(self):
        if self._recording is None and self._at == self._size:
            return True
        while self._conn >= 0 and not self._link.streaming:
            if self._at == self._size and not self._next():
                return True
            room = (self._link.mtu - 3 - HEADER) & ~1  # whole samples
            size = self._size - self._at
            if size > room:
                size = room
            packet = self._packet
            packet[0] = self._id & 0xFF
            packet[1] = self._id >> 8
            packet[2] = self._fragment
            pcm.copy(packet, HEADER, self._coded, self._at, size)
            if not self.notify(self.handles[0], self._view(HEADER + size)):
                return False
            self.sent += 1
            self._id = (self._id + 1) & 0xFFFF
            self._fragment += 1
            self._at += size
        # Nobody listens here (any more): what comes is followed, so that a host finds it live.
        self._at = self._size
        if self._recording is not None and self._recording.closed:
            self._recording = None
        return True

    def _view(self, size):
        view = self._views.get(size)
        if view is None:  # a size is met for the first time
            view = self._views[size] = self._whole[:size]
        return view

    def _next(self):
        """Put the next frame into `_coded`; False when there is none (yet)."""
        recording = self._recording
        if recording is None:
            return False
        journal = self._journal
        size = _GAP
        while size == _GAP:  # live sound goes on right after what is missing
            slot = self._following(recording)
            if slot == NONE:
                if recording.closed:
                    self._recording = None
                return False
            self._slot = slot
            self._index = journal.index_of(slot)
            size = journal.size_of(slot)
        samples = self._samples
        wide = self._wide
        if self._codec == "pcm":
            pcm.copy(wide, 2 * halfband.HISTORY, journal.data, slot * SLOT, size)
        else:
            self._decode(journal.data, slot * SLOT, size, wide, halfband.HISTORY)
        halfband.decimate(wide, self._coded, samples // 2)
        pcm.copy(wide, 0, wide, 2 * samples, 2 * halfband.HISTORY)
        self._size = samples  # bytes now: half as many, of two
        self._at = 0
        self._fragment = 0
        return True

    def _following(self, recording):
        first = recording.first
        if first == NONE or self._index < 0:
            return first
        # A slot that was reclaimed may hold anything by now, and so may what follows it.
        if self._index < recording.base:
            return first
        if (recording.count - self._index) * self._samples > _RATE:
            last = recording.last
            skipped = self._journal.index_of(last) - self._index - 1
            if skipped > 0:
                self.skipped += skipped
                return last
        return self._journal.after(self._slot)


class Button(Service):
    """What the finger did on the button "talk": event and 0, both int32."""

    UUID = BUTTON
    CHARACTERISTICS = ((BUTTON_VALUE, READ | NOTIFY),)

    def __init__(self, link, bus):
        Service.__init__(self)
        self._link = link
        self._waiting = deque((), _EVENTS)  # type: deque[bytes]
        self._event = None  # taken from there, not yet sent
        self.dropped = 0
        for name in _GESTURES:
            bus.now(name, self._on_gesture)

    def refresh(self):
        self._ble.gatts_write(self.handles[0], bytes(8))

    def disconnected(self):
        Service.disconnected(self)
        self._event = None
        while self._waiting:
            self._waiting.popleft()

    def _on_gesture(self, name, t, value):
        if self._conn < 0 or self._link.streaming:
            return
        if len(self._waiting) >= _EVENTS:
            self.dropped += 1
            return
        self._waiting.append(struct.pack("<ii", _GESTURES[name], 0))
        self._link.kick()

    def send(self):
        while self._event is not None or self._waiting:
            if self._event is None:
                self._event = self._waiting.popleft()
            if self._conn >= 0 and not self.notify(self.handles[0], self._event):
                return False
            self._event = None
        return True


class Features(Service):
    """Which of Omi's features are there: u32 of bits."""

    UUID = FEATURES
    CHARACTERISTICS = ((FEATURES_VALUE, READ),)

    def __init__(self, parts):
        Service.__init__(self)
        self._bits = 0
        if parts.buttons:
            self._bits |= _FEATURE_BUTTON
        if parts.battery is not None:
            self._bits |= _FEATURE_BATTERY

    def refresh(self):
        self._ble.gatts_write(self.handles[0], struct.pack("<I", self._bits))


class Time(Service):
    """Sets the clock: u32 of seconds since 1970."""

    UUID = TIME
    CHARACTERISTICS = ((TIME_VALUE, WRITE),)

    def written(self, handle, value):
        if len(value) != 4:
            raise ValueError("a time has 4 bytes, not %d" % len(value))
        clock.set_epoch(struct.unpack("<I", value)[0])


def services(link, journal, bus, parts):
    """All of them, button first: its events go ahead of the audio."""
    return [Button(link, bus), Audio(link, journal, bus), Features(parts), Time()]
