"""Backlog beside live speech over a stack that says nothing but "full", in milliseconds of virtual time."""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Any

import numpy as np
import pytest
import thorough
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lunette.protocol import wire

POOL = 24
FRAME = 164
ENOMEM = 12


def fragments(size: int) -> int:
    """Link layer PDUs of a notification: 3 bytes of ATT and 4 of L2CAP before it, 251 to a PDU."""
    return math.ceil((size + 7) / 251)


class Stack:
    """Buffers for 24 PDUs, of which each connection event takes up to `each`, if they get through."""

    def __init__(self, interval_ms: float, each: int, loss: float, seed: int, phase: float):
        self.interval, self.each, self.loss = interval_ms, each, loss
        self.rng = random.Random(seed)
        self.due = phase
        self.queue: deque[tuple[int, bytes]] = deque()  # PDUs that are left, the notification
        self.used = self.most = 0
        self.refused = 0
        self.carried = 0  # PDUs
        self.arrived: list[tuple[float, bytes]] = []

    def notify(self, buffer: Any) -> None:
        n = fragments(len(buffer))
        if self.used + n > POOL:
            self.refused += 1
            raise OSError(ENOMEM)
        self.used += n
        self.most = max(self.most, self.used)
        self.queue.append((n, bytes(buffer)))

    def run(self, now: float) -> None:
        while self.due <= now:
            for _ in range(self.each):
                if not self.queue:
                    break
                if self.rng.random() < self.loss:
                    continue
                left, packet = self.queue.popleft()
                self.used -= 1
                self.carried += 1
                if left > 1:
                    self.queue.appendleft((left - 1, packet))
                else:
                    self.arrived.append((self.due, packet))
            self.due += self.interval


class Play:
    """The firmware's journal and pump on that stack, called as the link's task calls them."""

    def __init__(self, environment: Any, stack: Stack, slots: int = 3000):
        from glasses.journal import SLOT, Journal
        from glasses.pump import Pump

        self.clock = environment.clock
        self.clock.fallback_us = 1_000_000_000  # close to where ticks_ms wraps
        self.begun_us = self.clock.fallback_us
        self.journal = Journal(slots * SLOT)
        self.stack = stack
        self.pump = Pump(self.journal, stack.notify)
        self.retry: float | None = None
        self.calls = self.rounds = 0
        self.born: list[float] = []  # when each live frame was there
        self.live: Any = None
        self.next_frame = 0.0

    @property
    def now(self) -> float:
        return (self.clock.fallback_us - self.begun_us) / 1000

    def connect(self, mtu: int) -> None:
        self.pump.connect(b"host")
        self.pump.start(mtu)
        self.kick()

    def backlog(self, frames: int, kind: str = "speech") -> Any:
        recording = self.journal.open(kind, {})
        for i in range(frames):
            assert self.journal.write(recording, i.to_bytes(2, "big") * (FRAME // 2))
        self.journal.close(recording)
        return recording

    def speak(self, draft: bool = False) -> None:
        self.live = self.journal.open("speech", {}, draft)
        self.next_frame = self.now + 20

    def kick(self) -> None:
        self.calls += 1
        if not self.pump.pump() and self.retry is None:
            self.retry = self.now + self.pump.wait_ms

    def play(self, ms: int) -> None:
        for _ in range(ms):
            self.clock.fallback_us += 1000
            self.stack.run(self.now)
            if self.live is not None and self.now >= self.next_frame:
                self.next_frame += 20
                self.born.append(self.now)
                assert self.journal.write(self.live, bytes(FRAME))
                self.kick()
            if self.retry is not None and self.now >= self.retry:
                self.retry = None
                self.rounds += 1
                self.kick()

    def heard(self) -> tuple[dict[int, list[float]], list[bytes]]:
        """When each recording's frames arrived, by number; the host's Unpacker had nothing to say."""
        unpacker = wire.Unpacker()
        times: dict[int, list[float]] = {}
        current = -1
        for t, packet in self.stack.arrived:
            for kind, body in unpacker.feed(packet):
                message = wire.parse_message(kind, body)
                if kind == wire.DATA:
                    current = message[1]
                if kind in (wire.DATA, wire.MORE):
                    times.setdefault(current, []).append(t)
        assert (unpacker.gaps, unpacker.errors) == (0, 0)
        return times, [packet for _, packet in self.stack.arrived]

    def latencies(self) -> Any:
        arrived = self.heard()[0].get(self.live.number, [])
        return np.array([t - born for t, born in zip(arrived, self.born, strict=False)])


# Seconds of play are slow to shrink, and every link is as simple as any other.
PLAYED = settings(max_examples=4 * thorough.TIMES, phases=(Phase.explicit, Phase.reuse, Phase.generate))
LINKS = st.sampled_from([(7.5, 3), (7.5, 5), (15.0, 6), (15.0, 4), (30.0, 6), (48.75, 6), (60.0, 12)])


@PLAYED
@given(LINKS, st.sampled_from((185, 247, 517)), st.floats(0, 1), st.integers(0, 99))
def test_live_frames_find_their_way_past_a_backlog(
    micropython: Any, link: tuple[float, int], mtu: int, phase: float, seed: int
) -> None:
    interval, each = link
    play = Play(micropython, Stack(interval, each, 0.0, seed, phase * interval))
    play.backlog(2800)
    play.connect(mtu)
    play.play(500)  # nobody speaks: the backlog has it all
    full = play.stack.carried
    assert full >= 0.95 * (each * math.floor(500 / interval) - each)
    play.speak(draft=True)
    play.play(300)
    play.journal.publish(play.live)
    before = play.stack.carried
    play.play(3000)
    latencies = play.latencies()[15:]  # those that were there when it was published came at once
    assert len(latencies) > 130
    # Its own connection event comes at once or up to an interval later, and the one after that at times.
    assert np.percentile(latencies, 95) <= interval + 10
    assert max(latencies) <= 2 * interval + 20
    # What is left of the link is not wasted: packets of speech take one PDU in 20 ms.
    assert play.stack.carried - before >= 0.7 * each * 3000 / interval - 1


@PLAYED
@given(LINKS, st.floats(0, 1), st.integers(0, 99), st.sampled_from((0.0, 0.2)))
def test_a_connection_in_the_middle_of_speech_measures_once(
    micropython: Any, link: tuple[float, int], phase: float, seed: int, loss: float
) -> None:
    interval, each = link
    play = Play(micropython, Stack(interval, each, loss, seed, phase * interval))
    play.backlog(2500)
    play.speak()
    play.play(100)
    play.connect(247)
    play.play(6000)
    rate = play.pump.pace.rate / 65536
    assert rate == pytest.approx(each / interval * (1 - loss), rel=0.35)
    # The stack was filled once, which takes a while to leave; that is over within a second.
    latencies = play.latencies()[50:]
    # (Of the links that lose a fifth, one in some hundreds is unlucky for longer.)
    assert np.percentile(latencies, 90) <= (5 if loss else 2) * interval + 20
    assert len(play.heard()[0]) == 2


def test_a_link_that_gets_slower_is_noticed(micropython: Any) -> None:
    stack = Stack(15.0, 6, 0.0, 1, 0.0)
    play = Play(micropython, stack)
    play.backlog(2800)
    play.connect(247)
    play.play(300)
    play.speak()
    play.play(1000)
    quick = play.pump.pace.rate
    stack.each = 2
    play.play(3000)
    assert play.pump.pace.rate < quick / 2
    play.play(1000)
    assert np.percentile(play.latencies()[-50:], 80) <= 3 * 15


@pytest.mark.parametrize("told", [True, False])
def test_a_link_that_gets_faster_is_noticed(micropython: Any, told: bool) -> None:
    """At once when the stack tells of new parameters, else when it is measured again."""
    stack = Stack(15.0, 2, 0.0, 1, 0.0)
    play = Play(micropython, stack, slots=30000)
    play.backlog(26000)
    play.connect(247)
    play.play(300)
    play.speak()
    play.play(1000)
    slow = play.pump.pace.rate
    stack.each = 6
    if told:
        play.pump.pace.changed()
    play.play(1000 if told else 31000)
    assert play.pump.pace.rate > 2 * slow
    assert np.percentile(play.latencies(), 95) <= 100


def test_no_busy_loop(micropython: Any) -> None:
    """A full stack is asked about once an interval, credit waited for some ms at least."""
    play = Play(micropython, Stack(100.0, 2, 0.0, 1, 0.0))
    play.backlog(300)
    play.connect(247)
    play.play(10_000)
    assert play.stack.refused <= 10_000 / 50
    play.speak()
    play.play(2000)
    quick = Play(micropython, Stack(7.5, 5, 0.0, 1, 0.0))
    quick.backlog(2800)
    quick.connect(247)
    quick.play(200)
    quick.speak()
    rounds = quick.rounds
    quick.play(2000)
    assert 100 < quick.rounds - rounds <= 2000 / 4


def test_a_host_that_never_reads_is_asked_ever_less(micropython: Any) -> None:
    play = Play(micropython, Stack(1e9, 1, 0.0, 1, 1e9))
    play.backlog(300)
    play.connect(247)
    play.play(2000)  # then supervision ends the connection
    assert play.stack.most == POOL
    assert play.stack.refused <= 2000 / 100 + 8


def test_backlog_is_not_stopped_for_ever_by_speech_that_the_link_cannot_carry(micropython: Any) -> None:
    play = Play(micropython, Stack(30.0, 1, 0.0, 1, 0.0))  # 242 bytes in 30 ms, speech has 250
    old = play.backlog(500)
    play.connect(247)
    play.play(100)
    play.speak()
    play.play(1000)
    before = len(play.heard()[0][old.number])
    play.play(15_000)
    times = play.heard()[0]
    gained = len(times[old.number]) - before
    live = len(times[play.live.number])
    assert live > 300
    assert live / 20 < gained < live / 12


def test_speech_alone_fills_packets_when_the_link_is_short_of_them(micropython: Any) -> None:
    """Two packets in 50 ms would not carry 2.5 frames one by one, but carry 2.9 in full packets."""
    play = Play(micropython, Stack(50.0, 2, 0.0, 1, 0.0))
    play.connect(247)
    play.speak()
    play.play(12_000)
    late = play.latencies()
    assert len(late) > 580
    assert max(late[-100:]) < 250


@given(st.integers(20, 524))
def test_packets_are_as_long_as_pays_best(micropython: Any, room: int) -> None:
    from glasses import pace

    best = max(range(20, room + 1), key=lambda size: (size / fragments(size), size))
    assert pace.best_size(room) == best
    assert pace.fragments(room) == fragments(room)


def test_integers_stay_small(micropython: Any) -> None:
    """Above 2**30 they are heap objects on the chip: the fastest and slowest links, a clock that stops."""
    from glasses import pace

    tested = pace.Pace(lambda end, start: end - start)
    for size, step in ((20, 1), (524, 1), (244, 1000), (244, 60_000)):
        tested.use(size)
        now = 0
        tested.begin(now)
        for i in range(2000):
            now += step
            tested.at(now)
            for _ in range(1 + i % 7):
                tested.sent(size)
            tested.full()
            tested.allows()
            values = [value for value in vars(tested).values() if isinstance(value, int)]
            assert max(map(abs, values)) < 2**29
            assert 1 <= tested.due_ms() <= 100
