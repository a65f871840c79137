"""The journal against a model made of dicts and lists."""

from __future__ import annotations

import binascii
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

SLOTS = 5
KINDS = ("speech", "photo", "log", "event")


class Model:
    """One recording as the journal's contract describes it."""

    def __init__(self, number: int, draft: bool):
        self.number = number
        self.draft = draft
        self.closed = False
        self.frames: list[tuple[int, bytes]] = []  # held: index and payload
        self.count = 0
        self.lost = 0
        self.payload = b""  # of all frames ever
        self.to_send: list[int] = []  # indices from the cursor on
        self.sent = 0


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        from glasses.journal import NONE, SLOT, Journal

        self.none = NONE
        self.slot_bytes = SLOT
        self.journal = Journal(SLOTS * SLOT + 5, boot=3)
        self.pairs: list[tuple[Any, Model]] = []
        self.evicted_frames = 0
        self.evicted_recordings = 0
        self.lost = 0
        self.refused = 0
        self.highest = 0

    def pick(self, data: st.DataObject, wanted: Any = lambda model: True) -> tuple[Any, Model] | None:
        fitting = [pair for pair in self.pairs if wanted(pair[1])]
        return data.draw(st.sampled_from(fitting)) if fitting else None

    def drop(self, pair: tuple[Any, Model]) -> None:
        self.pairs.remove(pair)

    # --- recorder

    @precondition(lambda self: len(self.pairs) < 8)
    @rule(kind=st.sampled_from(KINDS), draft=st.booleans())
    def open(self, kind: str, draft: bool) -> None:
        recording = self.journal.open(kind, {"a": 1}, draft)
        assert recording.number >> 16 == 3
        assert recording.number not in [model.number for _, model in self.pairs]
        self.pairs.append((recording, Model(recording.number, draft)))

    @rule(data=st.data(), payload=st.binary(min_size=1, max_size=12))
    def append(self, data: st.DataObject, payload: bytes) -> None:
        pair = self.pick(data, lambda m: not m.closed)
        if pair is None:
            return
        recording, model = pair
        if self.held() == SLOTS:
            victim = next((p for p in self.pairs if p[1].closed and not p[1].draft and p[1].frames), None)
            if victim is None:
                assert self.journal.slot() == -1
                self.journal.lose(recording)
                model.count += 1
                model.lost += 1
                self.lost += 1
                return
            self.evicted_frames += len(victim[1].frames)
            self.evicted_recordings += 1
            self.drop(victim)
        offset = self.journal.slot()
        assert 0 <= offset <= len(self.journal.data) - self.slot_bytes
        assert offset % self.slot_bytes == 0
        self.journal.data[offset : offset + len(payload)] = payload
        self.journal.append(recording, len(payload))
        model.frames.append((model.count, payload))
        model.to_send.append(model.count)
        model.count += 1
        model.payload += payload
        self.highest = max(self.highest, self.held())

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        pair = self.pick(data, lambda m: not m.closed)
        if pair is not None:
            self.journal.close(pair[0], {"lost": 0})
            pair[1].closed = True

    @rule(data=st.data())
    def append_to_a_closed_one(self, data: st.DataObject) -> None:
        from glasses.journal import JournalError

        pair = self.pick(data, lambda m: m.closed)
        if pair is not None:
            with pytest.raises(JournalError):
                self.journal.append(pair[0], 1)

    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        pair = self.pick(data, lambda m: m.draft)
        if pair is not None:
            self.journal.publish(pair[0])
            pair[1].draft = False

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        from glasses.journal import JournalError

        pair = self.pick(data)
        if pair is None:
            return
        if pair[1].draft:
            self.journal.discard(pair[0])
            self.drop(pair)
        else:
            with pytest.raises(JournalError):
                self.journal.discard(pair[0])

    # --- pump and host

    @rule(data=st.data(), n=st.integers(1, 4))
    def send(self, data: st.DataObject, n: int) -> None:
        """What the pump does with a cursor."""
        pair = self.pick(data, lambda m: not m.draft)
        if pair is None:
            return
        recording, model = pair
        for _ in range(n):
            slot = recording.cursor
            if slot == self.none:
                assert model.to_send == []
                if recording.closed:
                    recording.close_sent = True
                    recording.sent = model.sent = model.count + 1
                return
            offset, size, index = self.journal.frame(slot)
            assert index == model.to_send.pop(0)
            payload = bytes(self.journal.data[offset : offset + size])
            assert (index, payload) in model.frames
            recording.cursor = self.journal.after(slot)
            recording.sent = model.sent = max(model.sent, index + 1)

    @rule(data=st.data(), number=st.integers(0, 2**32 - 1), next_index=st.integers(0, 40))
    def ack(self, data: st.DataObject, number: int, next_index: int) -> None:
        pair = self.pick(data) if data.draw(st.booleans()) else None
        if pair is not None:
            number = pair[1].number
            edges = (pair[1].sent, pair[1].sent + 1, pair[1].count, pair[1].count + 1)
            next_index = data.draw(st.sampled_from((*edges, next_index)))
        pair = next((p for p in self.pairs if p[1].number == number and not p[1].draft), None)
        accepted = self.journal.ack(number, next_index)
        assert accepted == (pair is not None and next_index <= pair[1].sent)
        if not accepted or pair is None:
            self.refused += 1
            return
        model = pair[1]
        model.frames = [f for f in model.frames if f[0] >= next_index]
        model.to_send = [i for i in model.to_send if i >= next_index]
        if model.closed and next_index > model.count:
            self.drop(pair)

    @rule(data=st.data(), next_index=st.integers(0, 40))
    def rewind(self, data: st.DataObject, next_index: int) -> None:
        pair = self.pick(data)
        if pair is not None:
            self.journal.rewind(pair[0], next_index)
            pair[1].to_send = [i for i, _ in pair[1].frames if i >= next_index]

    @rule()
    def rewind_all(self) -> None:
        self.journal.rewind_all()
        for _, model in self.pairs:
            model.to_send = [i for i, _ in model.frames]

    # --- always

    def held(self) -> int:
        return sum(len(model.frames) for _, model in self.pairs)

    @invariant()
    def same_recordings(self) -> None:
        assert self.journal.recordings == [recording for recording, _ in self.pairs]
        for recording, model in self.pairs:
            assert (recording.count, recording.lost, recording.closed) == (
                model.count,
                model.lost,
                model.closed,
            )
            found = self.journal.find(model.number)
            assert found is (None if model.draft else recording)

    @invariant()
    def same_frames(self) -> None:
        for recording, model in self.pairs:
            held, slot = [], recording.first
            while slot != self.none:
                offset, size, index = self.journal.frame(slot)
                assert (size, index) == (self.journal.size_of(slot), self.journal.index_of(slot))
                held.append((index, bytes(self.journal.data[offset : offset + size])))
                slot = self.journal.after(slot)
            assert held == model.frames
            cursor = recording.cursor
            due = [] if cursor == self.none else [self.journal.index_of(cursor)]
            assert due == model.to_send[:1]

    @invariant()
    def same_crc(self) -> None:
        for recording, model in self.pairs:
            assert int.from_bytes(recording.crc, "little") == binascii.crc32(model.payload)

    @invariant()
    def slots_are_conserved(self) -> None:
        assert self.journal.slots == SLOTS
        assert self.journal.free + self.held() == SLOTS
        free, slot = 0, self.journal._free
        while slot != self.none and free <= SLOTS:
            free += 1
            slot = self.journal.after(slot)
        assert free == self.journal.free

    @invariant()
    def same_counters(self) -> None:
        counters = self.journal.counters()
        assert counters["journal.evicted_frames"] == self.evicted_frames
        assert counters["journal.evicted_recordings"] == self.evicted_recordings
        assert counters["journal.lost_frames"] == self.lost
        assert counters["journal.refused_acks"] == self.refused
        assert counters["journal.high_water"] == self.highest
        assert counters["journal.recordings"] == len(self.pairs)


def test_journal_behaves_like_its_model(micropython: Any) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        JournalMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )


def make(micropython: Any, slots: int = 4) -> Any:
    from glasses.journal import SLOT, Journal

    return Journal(slots * SLOT)


def test_a_journal_for_one_frame_is_refused(micropython: Any) -> None:
    from glasses.journal import SLOT, Journal

    with pytest.raises(ValueError, match="two frames"):
        Journal(2 * SLOT - 1)
    assert Journal(2 * SLOT).slots == 2


def test_the_largest_journal(micropython: Any) -> None:
    from glasses.journal import NONE, SLOT, Journal

    journal = Journal((NONE + 10) * SLOT)
    assert journal.slots == NONE  # the number that means "no slot" is none
    assert journal.after(NONE - 1) == NONE  # the end of the free chain
    assert [journal.after(i) for i in (0, 1, NONE - 2)] == [1, 2, NONE - 1]


def test_numbers_wrap_within_a_start_and_stay_below_2_30(micropython: Any) -> None:
    from glasses.journal import SLOT, Journal

    journal = Journal(4 * SLOT, boot=0xFFFF)
    seen = set()
    for _ in range(0x10000 + 5):
        recording = journal.open("log", {}, draft=True)
        seen.add(recording.number)
        journal.discard(recording)
    assert len(seen) == 0x10000
    assert max(seen) < 2**30  # a small integer on the chip


def test_crc_of_whole_slots_is_the_standard_one(micropython: Any) -> None:
    from glasses.journal import SLOT

    journal = make(micropython, 3)
    recording = journal.open("photo", {})
    data = bytes(i * i & 0xFF for i in range(3 * SLOT - 40))
    assert journal.write(recording, data)
    assert int.from_bytes(recording.crc, "little") == binascii.crc32(data)


def test_frames_of_impossible_size_are_refused(micropython: Any) -> None:
    from glasses.journal import SLOT, JournalError

    journal = make(micropython)
    recording = journal.open("speech", {})
    for size in (0, -1, SLOT + 1):
        with pytest.raises(JournalError, match="frame"):
            journal.append(recording, size)
    assert journal.free == journal.slots


def test_write_cuts_and_counts_what_does_not_fit(micropython: Any) -> None:
    from glasses.journal import SLOT

    journal = make(micropython, 2)
    recording = journal.open("log", {})
    data = bytes(range(256)) * 2
    assert not journal.write(recording, data)
    assert (recording.count, recording.lost) == (3, 1)
    assert bytes(journal.data) == data[: 2 * SLOT]


def test_only_whole_recordings_for_the_host_are_evicted_the_oldest_first(micropython: Any) -> None:
    journal = make(micropython, 4)
    draft = journal.open("speech", {}, draft=True)
    growing = journal.open("speech", {})
    first, second = journal.open("log", {}), journal.open("event", {})
    for recording in (draft, growing, first, second):
        journal.write(recording, b"x")
    for recording in (draft, first, second):
        journal.close(recording)
    for left in ([draft, growing, second], [draft, growing]):
        assert journal.slot() >= 0
        journal.append(growing, 1)
        assert journal.recordings == left
    assert journal.slot() == -1
    assert journal.recordings == [draft, growing]
    assert (journal.evicted_recordings, journal.evicted_frames) == (2, 2)


def test_a_recording_grows_on_after_all_of_it_was_acknowledged(micropython: Any) -> None:
    journal = make(micropython, 4)
    recording = journal.open("speech", {})
    other = journal.open("speech", {})
    for round_ in range(5):
        journal.write(recording, b"ab")
        journal.write(other, b"c")  # takes the slot that the first one gives back
        recording.cursor = other.cursor = journal.after(recording.cursor)
        recording.sent = other.sent = round_ + 1
        assert journal.ack(recording.number, round_ + 1)
        assert journal.ack(other.number, round_ + 1)
        assert journal.free == 4
    journal.close(recording)
    assert journal.ack(recording.number, 5)
    assert journal.recordings == [recording, other], "the CLOSE is not acknowledged"
    recording.sent = 6
    assert journal.ack(recording.number, 6)
    assert journal.recordings == [other]


def test_the_cursor_does_not_stay_on_a_frame_that_is_acknowledged(micropython: Any) -> None:
    """A host that has resumed from what it had before acknowledges more than was sent again."""
    journal = make(micropython, 4)
    recording = journal.open("speech", {})
    for _ in range(3):
        journal.write(recording, b"ab")
    recording.sent = 3
    journal.rewind(recording, 0)
    assert journal.ack(recording.number, 2)
    assert journal.index_of(recording.cursor) == 2
    assert journal.ack(recording.number, 3)
    assert recording.cursor == 0xFFFF


def test_recordings_without_frames_do_not_pile_up(micropython: Any) -> None:
    """A full journal and a maker's loop of notes: nothing grows without limit."""
    from glasses.journal import MAX_RECORDINGS

    journal = make(micropython, 2)
    speech = journal.open("speech", {})
    journal.write(speech, bytes(300))
    for _ in range(MAX_RECORDINGS + 50):
        note = journal.open("event", {})
        journal.write(note, b"x")
        journal.close(note)
    assert len(journal.recordings) <= MAX_RECORDINGS
    assert journal.recordings[0] is speech
    assert journal.lost_frames == MAX_RECORDINGS + 50
