"""What a host does with the messages of the glasses, without doing it: no sockets, no threads, no clock.

`Receiver` is told what comes (`connect`, `message`, `gap`, `taken`) and answers with steps, to be carried
out in order, each to its end before the next one is asked for:

    for step in receiver.message(message):
        if isinstance(step, Work):
            step.run()                        # touches the disk; OSError
        elif isinstance(step, Write):
            control.write(step.data)          # to the glasses
        elif isinstance(step, Tell):
            observe(step.what, step.detail)

That order is the promise that nothing is acknowledged which is not stored. When a step fails the rest is
left out; then the connection has to be made anew, and `connect` goes on from what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from lunette.errors import UnknownCodec
from lunette.protocol import wire
from lunette.recording import MOST_FRAMES, Recording
from lunette.store import Store

ACK_EVERY = 25  # frames: half a second of speech
# A backlog comes many times faster, and each ACK takes air from it: then not before so much time has
# passed, or so many frames have come.
_ACK_PAUSE_S = 0.25
ACK_LATEST = 100
# The glasses queue few answers, and one of them must be the HELLO.
_RESUMES_BEFORE_READY = 6
_MOST_HELD = 256  # recordings that wait to be taken, and their frames (40 MB of speech)
_MOST_HELD_FRAMES = 1 << 18
_MOST_OPEN = 1024  # the glasses hold fewer: more are nonsense, and would fill the memory


@dataclass(frozen=True)
class Write:
    """Write `data` to CONTROL. `sure`: go on when the glasses have it (a write with response)."""

    data: bytes
    sure: bool = True


@dataclass(frozen=True)
class Work:
    """Call `run`, which touches the disk and may take its time."""

    run: Callable[[], Any]


@dataclass(frozen=True)
class Tell:
    """An observation: "recording" (begins), "frame" (Recording, index), "recorded" (is complete),
    "acknowledged" (the glasses may forget it), "problem" (text)."""

    what: str
    detail: Any


Step = Write | Work | Tell
Steps = Iterator[Step]


class Receiver:
    """Puts recordings into `store`.

    `hold`: nothing is acknowledged before the host's program has `taken` a whole recording; for a store
    that keeps nothing on disk.
    """

    def __init__(self, store: Store, *, hold: bool = False):
        self.store = store
        self.hold = hold
        self.ignored = 0  # what is beyond all limits
        self._current: Recording | None = None  # of the last DATA or MORE
        self._index = -1
        self._out_of_step = False  # wait for the HELLO after which all is sent (again)
        self._now: float | None = None  # of the message at hand
        self._acked_at = -1e9
        self._retried: set[int] = set()  # recordings that were asked for again on this connection
        self._later: list[Recording] = []  # to be resumed after the HELLO
        self._left_out = False  # of what is held there is enough: the rest has to be asked for later

    def connect(self) -> Steps:
        """A connection is made: say where to go on, then READY. May be asked again on one connection."""
        self._current, self._index = None, -1
        self._out_of_step = True
        self._retried.clear()
        unfinished = [r for r in self.store.recordings.values() if not r.complete]
        self._later = unfinished[_RESUMES_BEFORE_READY:]
        for recording in unfinished[:_RESUMES_BEFORE_READY]:
            yield _resume(recording)
        yield Write(wire.ready())

    def gap(self) -> Steps:
        """Packets went missing between the adapter and us: have everything sent again that is not
        acknowledged. Frames that come before the glasses know of it have a hole before them."""
        self._current = None
        self._out_of_step = True
        yield Write(wire.ready())

    def message(self, message: tuple[Any, ...], now: float | None = None) -> Steps:
        """A message as `wire.parse_message` gives it; `now` in seconds, if there is a clock."""
        kind = message[0]
        self._now = now
        if kind == wire.HELLO:
            self._out_of_step = False
            later, self._later = self._later, []
            for recording in later:
                if not recording.complete:
                    yield _resume(recording)
        elif kind == wire.GONE:
            yield from self._gone(message[1])
        elif self._out_of_step:
            return
        elif kind == wire.OPEN:
            yield from self._open(message[1], message[2], message[3], now or 0.0)
        elif kind == wire.DATA:
            self._current = self.store.recordings.get(message[1])
            self._index = message[2]
            yield from self._frame(message[3])
        elif kind == wire.MORE:
            self._index += 1
            yield from self._frame(message[1])
        elif kind == wire.CLOSE:
            _, number, count, crc, end = message
            closing = self.store.recordings.get(number)
            if count >= MOST_FRAMES:
                self.ignored += 1
            elif closing is not None:
                yield from self._close(closing, count, crc, end)

    def taken(self, recording: Recording) -> Steps:
        """The program has what it wanted of a finished recording (only with `hold`)."""
        recording.taken = True
        if recording.truncated:
            self.store.release(recording)
        else:
            yield from self._acknowledge(recording, recording.next_index)
        if self._left_out and not self._holds_enough():
            self._left_out = False
            yield from self.gap()

    def _open(self, number: int, kind: str, meta: dict[str, Any], now: float) -> Steps:
        store = self.store
        known = store.recordings.get(number)
        if store.is_other(number, kind, meta):
            yield from self._gone(number)  # keep what there is of the old one
        if number not in store.recordings and self._open_count() >= _MOST_OPEN:
            self.ignored += 1
            return
        if number not in store.recordings and self.hold and self._holds_enough():
            self._left_out = True  # the glasses keep it, as long as they can
            return
        recording = store.open(number, kind, meta, now)
        if recording.complete:
            if recording.taken:
                yield from self._acknowledge(recording, recording.next_index)
        elif recording is not known:
            recording.taken = not self.hold
            yield Tell("recording", recording)
            if known is not None:  # we asked to resume the other one
                yield Write(wire.resume(number, 0))

    def _open_count(self) -> int:
        if len(self.store.recordings) < _MOST_OPEN:
            return 0
        return sum(not r.complete for r in self.store.recordings.values())

    def _holds_enough(self) -> bool:
        held = [r for r in self.store.recordings.values() if not r.taken]
        return len(held) >= _MOST_HELD or sum(len(r.frames) for r in held) >= _MOST_HELD_FRAMES

    def _frame(self, frame: bytes) -> Steps:
        recording, index = self._current, self._index
        if recording is None or not self.store.add(recording, index, frame):
            return
        yield Tell("frame", (recording, index))
        recording.since_ack += 1
        if not self._ack_is_due(recording.since_ack) or self.hold:
            return
        # Acknowledge what is on disk when the disk says so; frames may go on arriving meanwhile.
        recording.since_ack = 0
        stored = recording.next_index
        yield Work(partial(self.store.flush, recording))
        # Without response: the answer would wait behind a full queue of notifications, and take
        # a packet from each connection event. ACKs are cumulative, so a lost one costs nothing.
        yield Write(wire.ack(recording.number, stored), sure=False)

    def _ack_is_due(self, frames: int) -> bool:
        if frames < ACK_EVERY:
            return False
        if self._now is None:
            return True
        if frames < ACK_LATEST and self._now - self._acked_at < _ACK_PAUSE_S:
            return False
        self._acked_at = self._now
        return True

    def _close(self, recording: Recording, count: int, crc: int, end: dict[str, Any]) -> Steps:
        number = recording.number
        if not recording.complete:
            missing = recording.crc != crc and recording.next_index < count and not end.get("lost")
            if missing and number not in self._retried:
                self._retried.add(number)  # once: another host may have taken what is missing
                yield _resume(recording)
                return
            yield Work(partial(self.store.finish, recording, count, crc, end))
            yield from self._recorded(recording)
        if recording.taken:
            yield from self._acknowledge(recording, count)

    def _recorded(self, recording: Recording) -> Steps:
        yield Tell("recorded", recording)
        if not recording.decodable:
            kept = f"in {recording.path}" if recording.path is not None else "by payload()"
            yield Tell(
                "problem",
                f"recording {recording.number}: {UnknownCodec(recording.codec)}; "
                f"its frames are {kept}, as they came",
            )

    def _acknowledge(self, recording: Recording, count: int) -> Steps:
        yield Write(wire.ack(recording.number, count + 1))
        recording.acknowledged = True
        yield Tell("acknowledged", recording)
        self.store.release(recording)

    def _gone(self, number: int) -> Steps:
        recording = self.store.recordings.get(number)
        if recording is not None and not recording.complete:
            yield Work(partial(self.store.forget, number))
            yield from self._recorded(recording)
            if recording.taken:
                self.store.release(recording)


def _resume(recording: Recording) -> Write:
    return Write(wire.resume(recording.number, recording.next_index))
