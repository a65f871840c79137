"""Hostile bytes: the fuzzer's corpus again, a little of the fuzzer itself, and what hypothesis thinks of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import thorough
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import entries
from tests.fuzz.inputs import OPS
from tests.fuzz.run import TARGETS, fuzz, replay
from tests.fuzz.watch import Found
from world import World, run_world

from lunette.protocol import wire


@pytest.mark.parametrize("target", entries.SETTINGS)
def test_the_corpus_breaks_nothing(target: str) -> None:
    watch = replay(target)
    assert sum(watch.writes.values()) >= len(entries.load(target)) >= 10


@pytest.mark.parametrize("target", TARGETS)
def test_a_little_of_everything_breaks_nothing(target: str) -> None:
    watch = fuzz(target, seed=7, writes=400)
    assert sum(watch.writes.values()) >= 400


@pytest.mark.parametrize("entry", entries.load("control"), ids=lambda entry: entry.data[:20].hex())
def test_an_entry_is_kept_as_it_was(entry: entries.Entry) -> None:
    row = json.loads(entry.line())
    assert row["why"] and bytes(entry.data) in (
        row.get("text", "").encode(),
        bytes.fromhex(row.get("hex", "")),
    )


def test_the_fuzzer_finds_a_planted_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that looks at a byte that need not be there: the task that serves requests dies of it."""
    from tests.fuzz import run

    inner = run.play

    async def play(world: World, target: str, seed: int, writes: int) -> Any:
        (clock,) = [
            service
            for service in world.glasses.link.radio.services
            if type(service).__name__ == "CurrentTime"
        ]
        written = clock.written

        def careless(handle: int, value: bytes) -> None:
            if value[9] != 0x7F:
                written(handle, value)

        clock.written = careless
        return await inner(world, target, seed, writes)

    monkeypatch.setattr(run, "play", play)
    with pytest.raises(Found, match="IndexError"):
        fuzz("current_time", seed=1, writes=400)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = sorted({name for fields in OPS.values() for name in fields} | {"id", "other"})
_REQUESTS = st.fixed_dictionaries(
    {"op": st.sampled_from(sorted(OPS)) | _ANY}, optional={name: _ANY for name in _FIELDS}
)
_WRITES = (
    st.binary(max_size=512) | _REQUESTS.map(wire.dumps) | st.binary(max_size=11).map(lambda b: b"\x81" + b)
)


def test_whatever_is_asked_is_answered_or_refused(folder: Path) -> None:
    async def test(world: World) -> None:
        link = world.glasses.link
        world.glasses.commands._restarting = True  # it would end the test
        link.session.begin(b"")

        @settings(max_examples=200 * thorough.TIMES)
        @given(_WRITES)
        def ask(data: bytes) -> None:
            waiting = link.pump._control
            del waiting[:]
            refused = link.refused
            link.session.serve(data, 185)
            if data[:1] != b"{":
                assert link.refused > refused or data[:1] in b"\x81\x82\x83"
                return
            ((kind, body),) = [message for message in waiting if message[0] == wire.REPLY]
            reply = wire.parse_message(kind, body)[1]
            assert len(body) <= wire.MAX_MESSAGE
            assert set(reply) == ({"id", "ok", "result"} if reply["ok"] else {"id", "ok", "code", "error"})
            assert reply.get("code") != "failed", reply

        ask()
        assert len(link.pump._control) <= 8

    run_world(folder, test, listen=False)
