"""The journal against a model made of dicts and lists."""

from __future__ import annotations

import binascii
import importlib
from typing import Any

import hypothesis.strategies as st
import pytest
from flash_shim import Disk
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

SLOTS = 5


class Log:
    """The firmware's, for what must not have to say anything."""

    def error(self, area: str, text: str) -> None:
        raise AssertionError(text)


KINDS = ("speech", "photo", "log", "event")
HOSTS = [bytes([n] * 6) for n in range(6)]
KNOWN = 4  # hosts whose places are kept


class Place:
    """How far a host is with one recording."""

    def __init__(self) -> None:
        self.acked = 0
        self.sent = 0
        self.ever: set[int] = set()  # frames that were sent to it
        self.has: set[int] = set()  # those of them that it still had when it connected, and later ones


class Model:
    """One recording as the journal's contract describes it."""

    def __init__(self, number: int, draft: bool):
        self.number = number
        self.draft = draft
        self.closed = False
        self.frames: list[tuple[int, bytes]] = []  # held: index and payload
        self.kept: set[int] = set()  # frames that were ever held
        self.count = 0
        self.lost = 0
        self.payload = b""  # of all frames ever
        self.to_send: list[int] = []  # indices from the cursor on
        self.places: dict[bytes, Place] = {}
        self.reclaimed = False
        self.safe = 0
        self.saved = False  # the frames are in flash
        self.progress: dict[bytes, int] = {}  # what each host had acknowledged when it was saved

    def at(self, host: bytes) -> Place:
        return self.places.setdefault(host, Place())

    @property
    def spare(self) -> int:
        """Frames in memory that some host has."""
        return 0 if self.saved else sum(index < self.safe for index, _ in self.frames)


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        from glasses.journal import SLOT, Journal
        from glasses.recording import NONE

        self.none = NONE
        self.slot_bytes = SLOT
        self.journal = Journal(SLOTS * SLOT + 5, boot=3)
        self.boot = 3
        self.disk = Disk()
        self.start_spool()
        self.journal.connect(HOSTS[0])
        self.host = HOSTS[0]
        self.known: list[bytes] = []
        self.pairs: list[tuple[Any, Model]] = []
        self.evicted_frames = 0
        self.evicted_recordings = 0
        self.lost = 0
        self.reclaimed = 0
        self.refused = 0
        self.highest = 0

    def start_spool(self) -> None:
        spool = importlib.import_module("glasses.spool")
        self.disk.plug(spool, importlib.import_module("glasses.savefile"))
        self.spool = self.journal.spool = spool.Spool(Log())

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
        assert recording.number >> 16 == self.boot
        assert recording.number not in [model.number for _, model in self.pairs]
        self.pairs.append((recording, Model(recording.number, draft)))

    def make_room(self) -> bool:
        """What must happen when every slot is taken."""
        spare = next((p[1] for p in self.pairs if p[1].spare), None)
        if spare is not None:
            index, _ = spare.frames.pop(0)
            if spare.to_send[:1] == [index]:
                spare.to_send.pop(0)
            spare.reclaimed = True
            self.reclaimed += 1
            return True
        victims = (p for p in self.pairs if p[1].closed and not p[1].draft and not p[1].saved and p[1].frames)
        victim = next(victims, None)
        if victim is None:
            return False
        self.evicted_frames += len(victim[1].frames)
        self.evicted_recordings += 1
        self.drop(victim)
        return True

    @rule(data=st.data(), payload=st.binary(min_size=1, max_size=12))
    def append(self, data: st.DataObject, payload: bytes) -> None:
        pair = self.pick(data, lambda m: not m.closed)
        if pair is None:
            return
        recording, model = pair
        if self.held() == SLOTS and not self.make_room():
            assert self.journal.slot() == -1
            self.journal.lose(recording)
            model.count += 1
            model.lost += 1
            self.lost += 1
            return
        offset = self.journal.slot()
        assert 0 <= offset <= len(self.journal.data) - self.slot_bytes
        assert offset % self.slot_bytes == 0
        self.journal.data[offset : offset + len(payload)] = payload
        self.journal.append(recording, len(payload))
        model.frames.append((model.count, payload))
        model.to_send.append(model.count)
        model.kept.add(model.count)
        model.count += 1
        model.payload += payload
        self.highest = max(self.highest, self.held() - self.spare())

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
        place = model.at(self.host)
        for _ in range(n):
            if recording.cursor == self.none:
                assert model.to_send == []
                if recording.closed:
                    recording.close_sent = True
                    recording.sent = place.sent = model.count + 1
                return
            assert self.journal.load(recording)
            index, start = self.journal.frame_index, self.journal.frame_at
            assert index == model.to_send.pop(0)
            payload = bytes(self.journal.frame_data[start : start + self.journal.frame_size])
            assert (index, payload) in model.frames
            recording.sent = place.sent = max(place.sent, index + 1)
            place.ever.add(index)
            place.has.add(index)

    @rule(data=st.data(), number=st.integers(0, 2**32 - 1), next_index=st.integers(0, 40))
    def ack(self, data: st.DataObject, number: int, next_index: int) -> None:
        pair = self.pick(data) if data.draw(st.booleans()) else None
        if pair is not None:
            number = pair[1].number
            sent = pair[1].at(self.host).sent
            edges = (sent, sent + 1, pair[1].count, pair[1].count + 1)
            next_index = data.draw(st.sampled_from((*edges, next_index)))
        pair = next((p for p in self.pairs if p[1].number == number and not p[1].draft), None)
        accepted = self.journal.ack(number, next_index)
        assert accepted == (pair is not None and next_index <= pair[1].at(self.host).sent)
        if not accepted or pair is None:
            self.refused += 1
            return
        if self.host not in self.known:
            if len(self.known) == KNOWN:
                self.forgotten(self.known.pop(0), but=pair)
            self.known.append(self.host)
        model = pair[1]
        place = model.at(self.host)
        place.acked = max(place.acked, next_index)
        place.has |= {i for i in place.ever if i < next_index}
        model.safe = max(model.safe, next_index)
        model.to_send = [i for i in model.to_send if i >= next_index]
        self.settle(pair)

    def settle(self, pair: tuple[Any, Model]) -> None:
        """Is it right that it has left, or that it has not?"""
        recording, model = pair
        left = recording not in self.journal.recordings
        done = [host for host, place in model.places.items() if place.acked > model.count]
        if not model.closed or not done:
            assert not left
        elif not model.reclaimed:
            assert left, "that host could get all of it"
        elif left:
            have_all = [host for host in done if model.places[host].has == model.kept]
            gone = model.kept - {index for index, _ in model.frames}
            heads = [h for h in self.known if h not in done and gone <= model.at(h).has and model.at(h).acked]
            assert have_all or not heads, "a host that has the head could still complete it"
        if left:
            self.drop(pair)

    def forgotten(self, host: bytes, but: Any = None) -> None:
        for pair in list(self.pairs):
            pair[1].places.pop(host, None)
            if pair is not but:
                self.settle(pair)

    @rule(data=st.data(), next_index=st.integers(0, 40))
    def rewind(self, data: st.DataObject, next_index: int) -> None:
        """RESUME: the host has what was sent to it below that frame, and nothing else."""
        pair = self.pick(data, lambda m: not m.draft)
        if pair is not None:
            self.journal.rewind(pair[0], next_index)
            place = pair[1].at(self.host)
            place.has = {i for i in place.ever if i < next_index}
            pair[1].to_send = [i for i, _ in pair[1].frames if i >= next_index]

    @rule(host=st.sampled_from(HOSTS))
    def connect(self, host: bytes) -> None:
        self.journal.connect(host)
        if host != self.host:
            for _, model in self.pairs:
                if not model.at(self.host).acked:
                    del model.places[self.host]  # who never acknowledges is not remembered
        self.host = host
        if host in self.known:
            self.known.remove(host)
            self.known.append(host)
        for recording, model in self.pairs:
            place = model.at(host)
            place.has = {i for i in place.ever if i < place.acked}
            model.to_send = [i for i, _ in model.frames if i >= place.acked]
            done = model.closed and place.acked > model.count
            assert (recording.open_sent, recording.close_sent) == (done, done)
            assert recording.meta == {"a": 1}

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        host = data.draw(st.sampled_from(HOSTS))
        self.journal.forget(host)
        if host in self.known and host != self.host:
            self.known.remove(host)
            self.forgotten(host)

    # --- flash

    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        from glasses.savefile import Writer

        pair = self.pick(data, lambda m: m.closed and not m.draft and not m.saved)
        if pair is None:
            return
        recording, model = pair
        writer = Writer(self.spool, self.journal, recording)
        while not writer.done:
            writer.step()
        self.journal.move(recording, writer.file)
        model.saved = True
        model.progress = {host: place.acked for host, place in model.places.items() if place.acked}

    @rule()
    def evict_saved(self) -> None:
        pair = next((p for p in self.pairs if p[1].saved), None)
        assert self.journal.evict_saved() == (pair is not None)
        if pair is not None:
            self.evicted_frames += len(pair[1].frames)
            self.evicted_recordings += 1
            self.drop(pair)

    @rule(swept=st.booleans())
    def power_cycle(self, swept: bool) -> None:
        """What is in flash, and only that, is there again; also what was not removed in time."""
        from glasses.journal import Journal

        while swept and self.spool.doomed:
            self.spool.sweep()
        if self.spool.doomed:
            return
        self.boot += 1
        self.journal = Journal(SLOTS * self.slot_bytes + 5, self.boot)
        self.start_spool()
        self.spool.restore(self.journal)
        saved = {model.number: model for _, model in self.pairs if model.saved}
        # The order is that in which they were saved.
        assert sorted(r.number for r in self.journal.recordings) == sorted(saved)
        self.pairs = [(r, saved[r.number]) for r in self.journal.recordings]
        self.known = list(self.journal._hosts)
        self.evicted_frames = self.evicted_recordings = self.lost = self.reclaimed = 0
        self.refused = self.highest = 0
        for _, model in self.pairs:
            model.safe = max((model.progress[h] for h in model.progress if h in self.known), default=0)
            old, model.places = model.places, {}
            for host in model.progress:
                if host in self.known:
                    place = model.places[host] = Place()
                    place.acked = place.sent = model.progress[host]
                    if host in old:
                        place.ever = {i for i in old[host].ever if i < place.acked}
                        place.has = set(place.ever)
        self.host = b"nobody"
        self.connect(HOSTS[1])

    # --- always

    def held(self) -> int:
        return sum(len(model.frames) for _, model in self.pairs if not model.saved)

    def spare(self) -> int:
        return sum(model.spare for _, model in self.pairs)

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
            assert recording.acked == model.at(self.host).acked

    @invariant()
    def same_frames(self) -> None:
        for recording, model in self.pairs:
            held, slot = [], recording.first
            while slot != self.none:
                offset, size, index = self.journal.frame(slot)
                assert (size, index) == (self.journal.size_of(slot), self.journal.index_of(slot))
                held.append((index, bytes(self.journal.data[offset : offset + size])))
                slot = self.journal.after(slot)
            assert held == ([] if model.saved else model.frames)
            assert recording.held == len(held)
            cursor = recording.cursor
            if model.saved:
                for place, (index, payload) in enumerate(model.frames):
                    assert self.spool.read(recording.file, place)
                    assert (self.spool.index, self.spool.size) == (index, len(payload))
                    assert self.spool.record[5 : 5 + len(payload)] == payload
                assert recording.file.frames == len(model.frames)
                if cursor != self.none:
                    assert self.spool.read(recording.file, cursor - 0x10000)
            due = (
                []
                if cursor == self.none
                else [self.spool.index if model.saved else self.journal.index_of(cursor)]
            )
            assert due == model.to_send[:1]

    @invariant()
    def same_crc(self) -> None:
        for recording, model in self.pairs:
            assert int.from_bytes(recording.crc, "little") == binascii.crc32(model.payload)

    @invariant()
    def slots_are_conserved(self) -> None:
        assert self.journal.slots == SLOTS
        assert self.journal.free + self.held() - self.spare() == SLOTS
        assert self.journal.reclaimable == self.spare()
        empty, slot = 0, self.journal._empty
        while slot != self.none and empty <= SLOTS:
            empty += 1
            slot = self.journal.after(slot)
        assert empty == SLOTS - self.held()

    @invariant()
    def same_counters(self) -> None:
        counters = self.journal.counters()
        assert counters["journal.evicted_frames"] == self.evicted_frames
        assert counters["journal.evicted_recordings"] == self.evicted_recordings
        assert counters["journal.lost_frames"] == self.lost
        assert counters["journal.reclaimed"] == self.reclaimed
        assert counters["journal.refused_acks"] == self.refused
        assert counters["journal.high_water"] == self.highest
        assert counters["journal.recordings"] == len(self.pairs)


def test_journal_behaves_like_its_model(micropython: Any) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        JournalMachine, settings=settings(max_examples=80, stateful_step_count=50, deadline=None)
    )


def make(micropython: Any, slots: int = 4) -> Any:
    from glasses.journal import SLOT, Journal

    return Journal(slots * SLOT)


def test_a_journal_for_one_frame_is_refused(micropython: Any) -> None:
    from glasses.journal import SLOT, Journal

    with pytest.raises(ValueError, match="two frames"):
        Journal(2 * SLOT - 1)
    assert Journal(2 * SLOT).slots == 2


@pytest.mark.parametrize(
    "wanted, heap, reserve, expected",
    [
        (1 << 20, 2 << 20, 100_000, 1 << 20),
        (1 << 20, 300_000, 100_000, 186_624),
        (1 << 18, 270_000, 9_000, 196_608),
    ],
)
def test_a_journal_shrinks_until_the_rest_has_its_reserve(
    micropython: Any, monkeypatch: pytest.MonkeyPatch, wanted: int, heap: int, reserve: int, expected: int
) -> None:
    journal = importlib.import_module("glasses.journal")
    living = []

    class Sized(journal.Journal):  # type: ignore[misc, name-defined]
        def __init__(self, size: int, boot: int):
            if size > heap:
                raise MemoryError
            super().__init__(size, boot)
            living.append(size)

    monkeypatch.setattr(journal, "Journal", Sized)
    monkeypatch.setattr(journal.gc, "mem_free", lambda: heap - living[-1])
    journal.largest(wanted, 1, reserve)
    assert living[-1] == expected
    journal.largest(wanted, 1, heap)
    assert living[-1] == 8192, "a second of speech, when there is no reserve to be had"
    heap = 8000
    with pytest.raises(MemoryError):
        journal.largest(wanted, 1, reserve)


def test_the_largest_journal(micropython: Any) -> None:
    from glasses.journal import SLOT, Journal
    from glasses.recording import NONE

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


def send(journal: Any, recording: Any) -> list[int]:
    """Send what is to be sent of a recording, as the pump does; the indices."""
    sent = []
    while recording.cursor != 0xFFFF:
        assert journal.load(recording)
        sent.append(journal.frame_index)
        recording.sent = max(recording.sent, journal.frame_index + 1)
    if recording.closed:
        recording.sent = recording.count + 1
    return sent


def test_a_recording_grows_on_after_all_of_it_was_acknowledged(micropython: Any) -> None:
    journal = make(micropython, 4)
    journal.connect(b"a")
    recording = journal.open("speech", {})
    other = journal.open("speech", {})
    for round_ in range(5):
        journal.write(recording, b"ab")
        journal.write(other, b"c")
        assert send(journal, recording) == send(journal, other) == [round_]
        assert journal.ack(recording.number, round_ + 1)
        assert journal.ack(other.number, round_ + 1)
        assert journal.free == 4
    journal.close(recording)
    assert journal.ack(recording.number, 5)
    assert journal.recordings == [recording, other], "the CLOSE is not acknowledged"
    send(journal, recording)
    assert journal.ack(recording.number, 6)
    assert journal.recordings == [other]
    assert journal.counters()["journal.evicted_recordings"] == 0


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


def test_each_host_goes_on_from_where_it_was(micropython: Any) -> None:
    journal = make(micropython, 8)
    recording = journal.open("speech", {})
    for _ in range(6):
        journal.write(recording, b"x")
    journal.close(recording)
    for host, due, acked in ((b"a", 0, 4), (b"b", 0, 2), (b"a", 4, 5), (b"b", 2, 2), (b"c", 0, 0)):
        journal.connect(host)
        assert send(journal, recording) == list(range(due, 6))
        assert journal.ack(recording.number, acked)
    assert journal.free == 7
    journal.connect(b"b")
    send(journal, recording)
    assert journal.ack(recording.number, 7)
    assert journal.recordings == []


def test_a_host_cannot_acknowledge_what_only_another_was_sent(micropython: Any) -> None:
    journal = make(micropython, 4)
    recording = journal.open("speech", {})
    journal.write(recording, b"x")
    journal.connect(b"a")
    send(journal, recording)
    journal.connect(b"b")
    assert not journal.ack(recording.number, 1)
    assert (journal.refused_acks, journal.free) == (1, 3)


def test_a_frame_that_is_reclaimed_before_a_host_was_sent_it_is_skipped(micropython: Any) -> None:
    journal = make(micropython, 4)
    recording = journal.open("speech", {})
    for _ in range(4):
        journal.write(recording, b"x")
    journal.connect(b"a")
    send(journal, recording)
    assert journal.ack(recording.number, 2)
    journal.connect(b"b")
    for _ in range(3):  # the third finds no room
        journal.write(recording, b"y")
    assert (journal.reclaimed, recording.lost) == (2, 1)
    assert send(journal, recording) == [2, 3, 4, 5]
    journal.close(recording)
    send(journal, recording)
    assert journal.ack(recording.number, 8)
    assert journal.recordings == [recording], "b never got the head"


def tail_for_b(micropython: Any) -> tuple[Any, Any]:
    """`a` has the first half of a recording, the rest is all that is left of it, and `b` has taken that."""
    journal = make(micropython, 4)
    recording = journal.open("speech", {})
    journal.connect(b"a")
    for i in range(6):
        journal.write(recording, b"x")
        if i < 3:
            send(journal, recording)
            assert journal.ack(recording.number, i + 1)
    assert (journal.reclaimed, journal.free, journal.lost_frames) == (2, 1, 0)
    journal.close(recording)
    journal.connect(b"b")
    assert send(journal, recording) == [2, 3, 4, 5]
    assert journal.ack(recording.number, 7)
    return journal, recording


def test_who_got_only_the_tail_does_not_delete_it_for_who_has_the_head(micropython: Any) -> None:
    journal, recording = tail_for_b(micropython)
    assert journal.recordings == [recording]
    journal.connect(b"b")
    assert recording.close_sent, "it is not sent to b again"
    journal.connect(b"a")
    assert send(journal, recording) == [3, 4, 5]
    assert journal.ack(recording.number, 7)
    assert journal.recordings == []


def test_when_who_has_the_head_is_forgotten_the_tail_need_not_wait(micropython: Any) -> None:
    journal, _ = tail_for_b(micropython)
    journal.forget(b"a")
    assert journal.recordings == []
    assert journal.free == 4


def test_passers_by_push_nobody_out(micropython: Any) -> None:
    journal = make(micropython, 8)
    recording = journal.open("speech", {})
    for _ in range(6):
        journal.write(recording, b"x")
    journal.connect(b"a")
    send(journal, recording)
    journal.ack(recording.number, 4)
    for n in range(20):
        journal.connect(bytes([n]))
        send(journal, recording)
    journal.connect(b"a")
    assert recording.acked == 4
    for n in range(4):
        journal.connect(bytes([n]))
        send(journal, recording)
        journal.ack(recording.number, 1)
    journal.connect(b"a")
    assert recording.acked == 0, "four others acknowledged since"


def test_a_number_that_waits_is_not_given_again(micropython: Any) -> None:
    journal = make(micropython, 4)
    waiting = journal.open("speech", {})
    for _ in range(0xFFFF):
        journal.discard(journal.open("log", {}, draft=True))
    assert journal.open("log", {}).number != waiting.number


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
