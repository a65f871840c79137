"""The pump against a host that keeps what it gets, over a connection that breaks at any moment."""

from __future__ import annotations

import binascii
import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.protocol import wire

ENOMEM = 12
ENOTCONN = 128


class Host:
    """Stores frames like `lunette.store`, by the rules of docs/protocol.md; nothing of the firmware."""

    ordered = False  # check that no frame is left out, also of those that come again

    def __init__(self) -> None:
        self.stored: dict[int, list[tuple[int, bytes]]] = {}
        self.done: dict[int, tuple[int, int]] = {}  # number: count, crc
        self.order: list[str] = []
        self.duplicates = 0
        self.places: dict[int, set[int]] = {}  # by recording: indices that may come next
        self.connect()

    def connect(self) -> None:
        self.unpacker = wire.Unpacker()
        self.current, self.index = -1, -1
        self.places.clear()

    def asks(self, number: int, index: int) -> None:
        """The glasses were told to go on at that index: soon, or when what is under way is through."""
        self.places.setdefault(number, {0}).add(index)

    def next(self, number: int) -> int:
        frames = self.stored.get(number)
        return frames[-1][0] + 1 if frames else 0

    def feed(self, packet: bytes) -> None:
        for kind, body in self.unpacker.feed(packet):
            self.take(wire.parse_message(kind, body))
        assert (self.unpacker.gaps, self.unpacker.errors) == (0, 0)

    def take(self, message: tuple[Any, ...]) -> None:
        kind = message[0]
        self.order.append({wire.DATA: "data", wire.MORE: "data"}.get(kind, str(kind)))
        if kind == wire.OPEN:
            self.stored.setdefault(message[1], [])
        elif kind == wire.DATA:
            self.current, self.index = message[1], message[2]
            self.add(message[3])
        elif kind == wire.MORE:
            self.index += 1
            self.add(message[1])
        elif kind == wire.CLOSE:
            self.done[message[1]] = (message[2], message[3])

    def add(self, frame: bytes) -> None:
        assert self.current in self.stored, "a frame before its OPEN"
        if self.ordered:
            assert self.index in self.places.get(self.current, {0}), "a frame out of its order"
            self.places.setdefault(self.current, set()).add(self.index + 1)
        if self.index < self.next(self.current):
            self.duplicates += 1
        else:
            self.stored[self.current].append((self.index, frame))


class Bench:
    """Journal, pump and host; `notify` may be told to fail."""

    def __init__(self, slots: int = 64):
        from glasses.journal import SLOT, Journal
        from glasses.pump import Pump

        self.journal = Journal(slots * SLOT)
        self.host = Host()
        self.failures: list[int] = []  # errno of coming notifications, 0 = none
        self.limit = 20
        self.attempts = 0
        self.packets: list[bytes] = []
        self.pump = Pump(self.journal, self.notify)

    def notify(self, buffer: Any) -> None:
        self.attempts += 1
        failure = self.failures.pop(0) if self.failures else 0
        if failure:
            raise OSError(failure)
        assert len(buffer) <= self.limit, "gatts_notify would cut it silently"
        self.packets.append(bytes(buffer))
        self.host.feed(bytes(buffer))

    def connect(self, mtu: int, resume: bool = True) -> None:
        self.limit = mtu - 3
        self.host.connect()
        self.pump.connect(b"host")
        for recording in self.journal.recordings:
            self.host.asks(recording.number, recording.acked)
        for number in self.host.stored:
            recording = self.journal.find(number)
            if resume and recording is not None and number not in self.host.done:
                self.resume(recording, self.host.next(number))
        self.pump.start(mtu)

    def resume(self, recording: Any, index: int) -> None:
        self.host.asks(recording.number, max(index, recording.acked))
        self.pump.resume(recording, index)

    def again(self, mtu: int) -> None:
        for recording in self.journal.recordings:
            self.host.asks(recording.number, recording.acked)
        self.pump.start(mtu)

    def mtu(self, mtu: int) -> None:
        self.limit = mtu - 3
        self.pump.resize(mtu)

    def record(self, kind: str, frames: list[bytes], close: bool = True) -> Any:
        recording = self.journal.open(kind, {"n": len(frames)})
        for frame in frames:
            assert self.journal.write(recording, frame)
        if close:
            self.journal.close(recording, {"lost": 0})
        return recording

    def acknowledge(self) -> None:
        for number in list(self.host.stored):
            if number in self.host.done:
                self.journal.ack(number, self.host.done[number][0] + 1)
            elif self.journal.find(number) is not None and self.host.next(number):
                assert self.journal.ack(number, self.host.next(number))


def frames(seed: int, n: int, size: int = 0) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(size or rng.randint(1, 40)) for _ in range(n)]


@pytest.fixture
def bench(micropython: Any) -> Bench:
    return Bench()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(0, 6)),
        st.tuples(st.just("grow"), st.integers(1, 4)),
        st.tuples(st.just("close"), st.just(0)),
        st.tuples(st.just("pump"), st.lists(st.sampled_from((0, 0, 0, ENOMEM)), max_size=4)),
        st.tuples(st.just("wait"), st.integers(0, 400)),
        st.tuples(st.just("drop"), st.sampled_from((0, ENOTCONN))),
        st.tuples(st.just("connect"), st.integers(23, 300)),
        st.tuples(st.just("mtu"), st.integers(23, 300)),
        st.tuples(st.just("ack"), st.just(0)),
        st.tuples(st.just("again"), st.just(0)),
        st.tuples(st.just("resume"), st.integers(0, 5)),
        st.tuples(st.just("restart"), st.integers(0, 5)),
        st.tuples(st.just("control"), st.integers(0, 60)),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(ACTIONS)
def test_every_byte_arrives_exactly_once_and_in_order(
    micropython: Any, actions: list[tuple[str, Any]]
) -> None:
    bench = Bench(slots=400)
    bench.host.ordered = True
    sent: dict[int, list[tuple[int, bytes]]] = {}
    crcs: dict[int, int] = {}
    open_ones: list[Any] = []
    connected = False
    controls = 0

    def grow(recording: Any, n: int) -> None:
        for frame in frames(recording.number * 31 + recording.count, n):
            sent[recording.number].append((recording.count, frame))
            crcs[recording.number] = binascii.crc32(frame, crcs[recording.number])
            assert bench.journal.write(recording, frame)

    for what, value in actions:
        if what == "record" and len(open_ones) < 3:
            kind = ("speech", "photo", "event", "log")[value % 4]
            recording = bench.journal.open(kind, {"k": "v" * value})
            sent[recording.number], crcs[recording.number] = [], 0
            grow(recording, value)
            open_ones.append(recording)
        elif what == "grow" and open_ones:
            grow(open_ones[-1], value)
        elif what == "close" and open_ones:
            bench.journal.close(open_ones.pop(0))
        elif what == "pump":
            bench.failures = list(value)
            bench.pump.pump()
            bench.failures = []
        elif what == "drop":
            if value and connected:  # noticed by the pump itself first
                bench.failures = [value]
                bench.pump.pump()
                bench.failures = []
            bench.pump.running = False
            connected = False
        elif what == "connect":
            bench.connect(value)
            connected = True
        elif what == "wait":
            micropython.clock.fallback_us += value * 1000
        elif what == "mtu" and connected:
            bench.mtu(value)
        elif what == "ack" and connected:
            bench.acknowledge()
        elif what == "again" and connected and bench.pump.running:
            bench.again(bench.limit + 3)
        elif what in ("resume", "restart") and connected and bench.host.stored:
            number = sorted(bench.host.stored)[value % len(bench.host.stored)]
            recording = bench.journal.find(number)
            if recording is not None:
                bench.resume(recording, bench.host.next(number) if what == "resume" else 0)
        elif what == "control" and connected:
            controls += bench.pump.control(wire.REPLY, wire.dumps({"x": "y" * value}))

    for recording in open_ones:
        bench.journal.close(recording)
    bench.connect(100)
    assert bench.pump.pump()
    assert bench.host.stored == {number: held for number, held in sent.items()}
    assert bench.host.done == {number: (len(held), crcs[number]) for number, held in sent.items()}
    bench.acknowledge()
    assert bench.journal.recordings == []
    assert bench.journal.free == bench.journal.slots


def test_order_control_events_live_backlog_photo_log(bench: Bench) -> None:
    numbers = {
        "log": bench.record("log", frames(1, 2)).number,
        "photo": bench.record("photo", frames(2, 2)).number,
        "backlog": bench.record("speech", frames(3, 2)).number,
        "live photo": bench.record("photo", frames(4, 2), close=False).number,
        "live": bench.record("speech", frames(5, 2), close=False).number,
        "event": bench.record("event", frames(6, 1)).number,
    }
    opened: list[Any] = []
    take = bench.host.take

    def note(message: tuple[Any, ...]) -> None:
        opened.append(
            message[1] if message[0] == wire.OPEN else "reply" if message[0] == wire.REPLY else None
        )
        take(message)

    bench.host.take = note  # type: ignore[method-assign]
    bench.pump.connect(b"host")
    bench.pump.control(wire.REPLY, b"{}")
    bench.limit = 97
    bench.pump.start(100)
    assert bench.pump.pump()
    order = [n for n in opened if n is not None]
    expected = ["event", "live", "backlog", "photo", "live photo", "log"]
    assert order == ["reply", *(numbers[name] for name in expected)]


def test_live_frames_overtake_the_backlog_at_the_next_message(bench: Bench) -> None:
    old = bench.record("speech", frames(1, 30, 100))
    bench.failures = [0, ENOMEM]
    bench.connect(100)
    assert not bench.pump.pump()
    live = bench.record("speech", frames(2, 3, 100), close=False)
    assert bench.pump.pump()
    seen = list(bench.host.stored)
    assert seen == [old.number, live.number]
    data = [i for i, what in enumerate(bench.host.order) if what == "data"]
    opens = [i for i, what in enumerate(bench.host.order) if what == str(wire.OPEN)]
    assert sum(i < opens[1] for i in data) < 5  # of 30
    assert len(bench.host.stored[live.number]) == 3


def test_ready_again_starts_over_without_a_gap(bench: Bench) -> None:
    recording = bench.record("speech", frames(1, 5, 50))
    bench.connect(100)
    bench.pump.pump()
    sent = bench.packets[-1][0] + 1
    assert sent > 1
    bench.pump.start(100)
    bench.pump.pump()  # the host checks the numbers of the packets
    assert bench.packets[sent][0] == sent
    assert bench.host.duplicates == 5
    assert bench.host.done[recording.number][0] == 5


def test_a_resumed_recording_names_itself_and_closes_again(bench: Bench) -> None:
    recording = bench.record("speech", frames(1, 3, 50), close=False)
    bench.connect(100)
    bench.pump.pump()
    kinds: list[int] = []
    take = bench.host.take

    def note(message: tuple[Any, ...]) -> None:
        kinds.append(message[0])
        take(message)

    bench.host.take = note  # type: ignore[method-assign]
    bench.pump.resume(recording, 3)
    bench.journal.write(recording, b"x")
    bench.pump.pump()
    assert kinds == [wire.DATA], "MORE says nothing to a host that has lost its place"
    bench.journal.close(recording)
    bench.pump.pump()
    bench.pump.resume(recording, 4)
    bench.pump.pump()
    assert kinds == [wire.DATA, wire.CLOSE, wire.CLOSE]
    bench.pump.resume(recording, 2)
    bench.pump.pump()
    assert kinds[3:] == [wire.DATA, wire.MORE, wire.CLOSE]


def test_enomem_is_tried_once_and_nothing_is_lost(bench: Bench) -> None:
    recording = bench.record("speech", frames(1, 20, 164))
    bench.connect(247)
    bench.failures = [0, 0, ENOMEM, ENOMEM, ENOMEM]
    assert not bench.pump.pump()
    assert (bench.attempts, bench.pump.enomem) == (3, 1)
    assert not bench.pump.pump()
    assert not bench.pump.pump()
    assert (bench.attempts, bench.pump.enomem) == (5, 3)
    assert bench.pump.pump()
    assert [f for _, f in bench.host.stored[recording.number]] == frames(1, 20, 164)
    assert bench.host.duplicates == 0


def test_packets_are_full_while_anything_waits(bench: Bench) -> None:
    bench.record("speech", frames(1, 40, 164))
    bench.connect(247)
    bench.pump.pump()
    assert {len(p) for p in bench.packets[:-1]} == {244}
    # 40 frames of 164 + 3 bytes, and little else: what the headers may cost is bounded.
    assert sum(map(len, bench.packets)) < 40 * 167 + 2 * len(bench.packets) + 120


def test_nothing_is_sent_before_ready_and_after_the_end(bench: Bench) -> None:
    bench.record("speech", frames(1, 3))
    assert bench.pump.pump()
    bench.pump.connect(b"host")
    assert bench.pump.pump()
    assert bench.attempts == 0
    bench.limit = 97
    bench.pump.start(100)
    bench.failures = [ENOTCONN]
    assert bench.pump.pump()  # nothing to retry
    assert not bench.pump.running
    assert bench.pump.pump()
    assert bench.attempts == 1


def test_an_idle_pump_sends_nothing_twice(bench: Bench) -> None:
    bench.record("speech", frames(1, 3), close=False)
    bench.connect(100)
    bench.pump.pump()
    attempts = bench.attempts
    for _ in range(5):
        assert bench.pump.pump()
    assert bench.attempts == attempts


def test_drafts_are_not_shown(bench: Bench) -> None:
    draft = bench.journal.open("speech", {}, draft=True)
    bench.journal.write(draft, b"secret")
    bench.connect(100)
    assert bench.pump.pump()
    assert bench.packets == []
    bench.journal.publish(draft)
    bench.pump.pump()
    assert bench.host.stored[draft.number] == [(0, b"secret")]


def test_a_recording_evicted_while_it_is_sent_leaves_a_prefix(micropython: Any) -> None:
    bench = Bench(slots=6)
    payloads = frames(1, 6, 100)
    old = bench.record("speech", payloads)
    bench.failures = [0, 0, 0, ENOMEM]
    bench.connect(60)
    assert not bench.pump.pump()
    new = bench.record("speech", frames(2, 2, 100))
    assert bench.pump.pump()
    held = [f for _, f in bench.host.stored[old.number]]
    assert 0 < len(held) < 6
    assert held == payloads[: len(held)]
    assert old.number not in bench.host.done
    assert [f for _, f in bench.host.stored[new.number]] == frames(2, 2, 100)


def test_holes_of_lost_frames_keep_their_place(bench: Bench) -> None:
    recording = bench.journal.open("speech", {})
    bench.journal.write(recording, b"a")
    bench.journal.write(recording, b"b")
    bench.journal.lose(recording)
    bench.journal.write(recording, b"d")
    bench.journal.close(recording)
    bench.connect(100)
    bench.pump.pump()
    assert bench.host.stored[recording.number] == [(0, b"a"), (1, b"b"), (3, b"d")]
    assert bench.host.done[recording.number] == (4, binascii.crc32(b"abd"))


def test_control_messages_are_bounded_and_counted(bench: Bench) -> None:
    assert [bench.pump.control(wire.REPLY, b"{}") for _ in range(20)].count(True) == 8
    assert bench.pump.dropped_control == 12
    assert not bench.pump.control(wire.REPLY, bytes(wire.MAX_MESSAGE + 1))


@settings(max_examples=40)
@given(st.integers(0, 1000))
def test_any_mtu_is_taken_within_bounds(micropython: Any, mtu: int) -> None:
    bench = Bench()
    bench.record("speech", frames(1, 4, 176))
    bench.pump.connect(b"host")
    bench.limit = 524
    bench.pump.start(mtu)
    assert bench.pump.pump()
    room = min(max(mtu - 3, 20), 524)
    # 244 and 495 bytes fill whole packets of the link layer. A third with a few bytes would cost as much
    # of a connection event as a full one.
    assert max(map(len, bench.packets)) == (244 if 244 < room < 488 else 495 if room > 495 else room)


def test_sending_makes_no_views_per_packet(bench: Bench) -> None:
    """A slice is heap on the chip: the same sizes must reuse the same memoryviews."""
    shown = []
    bench.pump._notify = shown.append  # kept, so that no two of them can have one id
    bench.record("speech", frames(1, 40, 164))
    bench.pump.connect(b"host")
    bench.pump.start(247)
    bench.pump.pump()
    assert len(shown) > 25
    assert len({id(view) for view in shown}) <= 2  # full ones and the last


def cut(bench: Bench, frames_sent: int = 3) -> Any:
    """A recording of which some message has been sent in part."""
    recording = bench.record("speech", frames(1, 12, 164))
    bench.failures = [0] * frames_sent + [ENOMEM]
    bench.connect(100)
    assert not bench.pump.pump()
    assert bench.host.unpacker._buffer, "nothing is cut"
    return recording


def test_a_ready_in_the_middle_of_a_message_lets_it_end(bench: Bench) -> None:
    """A host that sees another message where it expects the rest of one drops both."""
    recording = cut(bench)
    bench.again(100)
    assert bench.pump.control(wire.HELLO, b"{}")
    assert bench.pump.pump()  # the host checks numbers and cuts of packets
    assert str(wire.HELLO) in bench.host.order
    assert bench.host.done[recording.number][0] == 12
    assert [f for _, f in bench.host.stored[recording.number]] == frames(1, 12, 164)


@pytest.mark.parametrize("size", [0, 1, 40])
def test_a_packet_that_was_filled_for_a_larger_mtu_is_cut_again(bench: Bench, size: int) -> None:
    """The host's checks of where messages begin hold, and a host that then loses a packet finds its way."""
    recording = bench.record("speech", frames(1, 12, size or 164))
    bench.failures = [ENOMEM]
    bench.connect(247)
    assert not bench.pump.pump()
    bench.failures = [0, ENOMEM]
    bench.mtu(60)
    assert not bench.pump.pump()
    assert list(map(len, bench.packets)) == [57]
    bench.mtu(23)
    assert bench.pump.pump()
    assert {len(packet) for packet in bench.packets[1:-1]} == {20}
    assert [f for _, f in bench.host.stored[recording.number]] == frames(1, 12, size or 164)


def test_thousands_of_resumes_cost_their_packets_and_nothing_else(bench: Bench) -> None:
    recording = cut(bench)
    sent = bench.pump.frames
    for _ in range(5000):
        bench.resume(recording, 0)
    assert bench.pump.resumes == 5000
    assert bench.pump.pump()
    assert bench.pump.frames == sent + 12
    assert bench.host.done[recording.number][0] == 12


def test_a_flood_of_readies_leaves_one_connection_in_order(bench: Bench) -> None:
    recording = cut(bench)
    for _ in range(1000):
        bench.again(100)
        bench.pump.control(wire.HELLO, b"{}")
    assert (bench.pump.starts, bench.pump.dropped_control) == (1001, 992)
    assert bench.pump.pump()
    assert bench.host.order.count(str(wire.HELLO)) == 8
    assert bench.host.done[recording.number][0] == 12


def kinds(bench: Bench) -> list[str]:
    """The kind of recording of each message that is sent from now on, in the list that is returned."""
    seen: list[str] = []
    names: dict[int, str] = {}
    take = bench.host.take

    def note(message: tuple[Any, ...]) -> None:
        if message[0] == wire.OPEN:
            names[message[1]] = message[2]
        take(message)
        number = bench.host.current if message[0] in (wire.DATA, wire.MORE) else message[1]
        seen.append("reply" if message[0] == wire.REPLY else names[number])

    bench.host.take = note  # type: ignore[method-assign]
    return seen


def test_a_flood_of_events_lets_live_frames_through(bench: Bench) -> None:
    for i in range(20):
        bench.record("event", frames(i, 1, 20))
    bench.record("speech", frames(99, 6, 164), close=False)
    bench.limit = 97
    bench.pump.connect(b"host")
    for _ in range(8):
        bench.pump.control(wire.REPLY, b"{}")
    seen = kinds(bench)
    bench.pump.start(100)
    assert bench.pump.pump()
    assert seen[:8] == ["reply"] * 8
    live = [i for i, kind in enumerate(seen) if kind == "speech"]
    assert len(live) == 7  # OPEN and six frames
    assert live[0] == 8
    assert {b - a for a, b in itertools.pairwise(live)} == {9}


def test_pictures_and_logs_have_a_share_beside_hours_of_speech(micropython: Any) -> None:
    bench = Bench(slots=1000)
    bench.record("photo", frames(1, 60, 164))
    bench.record("log", frames(2, 60, 164))
    bench.record("speech", frames(3, 600, 164))
    seen = kinds(bench)
    bench.connect(247)
    assert bench.pump.pump()
    speech = seen[: max(i for i, kind in enumerate(seen) if kind == "speech")]
    parts = len(speech)
    assert speech[:7] == ["speech"] * 7
    while_pictures = speech[: max(i for i, kind in enumerate(speech) if kind == "photo")]
    assert while_pictures.count("photo") / len(while_pictures) == pytest.approx(1 / 8, abs=0.02)
    assert 0 < speech.count("log") / parts < 1 / 40
    assert len(seen) == 60 + 60 + 600 + 2 * 3
