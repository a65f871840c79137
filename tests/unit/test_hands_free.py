"""Hands-free recordings: when they begin and end, and the frames that wait for a voice."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunette import paths
from lunette.virtual.cpython import micropython_modules

FRAME_MS = 20


@pytest.fixture(scope="module")
def modules() -> Iterator[SimpleNamespace]:
    with micropython_modules(paths.HAL, paths.FIRMWARE):
        yield SimpleNamespace(
            hands_free=importlib.import_module("glasses.hands_free"),
            lead=importlib.import_module("glasses.lead"),
            voiced=importlib.import_module("glasses.voiced"),
            whole=importlib.import_module("glasses.coder").Coder.whole,
        )


class Coder:
    """Codes a frame, which is a number here, into that byte."""

    def __init__(self, per_frame: int, whole: Any):
        self.per_frame = per_frame
        self.bytes = 12
        self.whole = functools.partial(whole, self)  # the real one's
        self.frame_bytes = 12 // per_frame
        self.frame_samples = 320 // per_frame

    def encode(self, pcm: int, pcm_off: int, out: bytearray, out_off: int) -> int:
        assert pcm_off % self.frame_samples == 0
        out[out_off : out_off + self.frame_bytes] = bytes([pcm % 251]) * self.frame_bytes
        return self.frame_bytes


def play(modules: SimpleNamespace, voices: str, silence_ms: int, lead_ms: int, per_frame: int = 1) -> Any:
    """(frames that are kept, in order; verdict at the end or None; trimmed)"""
    lead = modules.lead.Lead(Coder(per_frame, modules.whole), lead_ms)
    take = modules.hands_free.HandsFree(lead, silence_ms)
    kept: list[int] = []
    for number, voice in enumerate(voices):
        verdict = take.hear(voice == "v")
        if verdict == modules.hands_free.WAIT:
            lead.hold_back(number)
            continue
        if verdict == modules.hands_free.NOTHING:
            return kept, verdict, lead.trimmed
        while lead.waiting:
            at = lead.oldest()
            stored = bytes(lead.ring[at : at + 12])
            assert stored == stored[:1] * 12
            kept.append(stored[0])
        kept.append(number % 251)
        if verdict == modules.hands_free.END:
            return kept, verdict, lead.trimmed
    return kept, None, lead.trimmed


def test_a_question_in_silence(modules: SimpleNamespace) -> None:
    kept, verdict, trimmed = play(modules, "-" * 30 + "vvvv--vvv" + "-" * 50, 200, 100)
    assert verdict == modules.hands_free.END
    assert kept == list(range(25, 49))  # 5 frames before the first voice, 10 of silence after the last
    assert trimmed == 25


def test_a_pause_shorter_than_the_silence_is_part_of_it(modules: SimpleNamespace) -> None:
    kept, verdict, _ = play(modules, "v" + "-" * 9 + "v" + "-" * 9 + "v", 200, 100)
    assert verdict is None and kept == list(range(21))


def test_nothing_said_is_nothing_kept(modules: SimpleNamespace) -> None:
    kept, verdict, _ = play(modules, "-" * 1000, 200, 100)
    assert (kept, verdict) == ([], modules.hands_free.NOTHING)
    # Whoever allows longer silences is waited for that long.
    kept, verdict, _ = play(modules, "-" * 600 + "v", 20000, 100)
    assert verdict is None and len(kept) == 6


@given(
    st.text(alphabet="v-", max_size=200), st.integers(10, 60), st.integers(1, 30), st.sampled_from((1, 2, 4))
)
def test_frames_are_kept_whole_and_in_order(
    modules: SimpleNamespace, voices: str, silence: int, lead: int, per_frame: int
) -> None:
    silence_ms, lead_ms = silence * FRAME_MS, lead * FRAME_MS
    kept, verdict, trimmed = play(modules, voices, silence_ms, lead_ms, per_frame)
    first = voices.find("v")
    if first < 0:
        assert kept == []
        return
    start = max(0, first - lead)
    assert trimmed == start
    assert kept == [n % 251 for n in range(start, start + len(kept))]
    end = voices.find("-" * silence, first)
    if end < 0:
        assert verdict is None and start + len(kept) == len(voices)
    else:
        assert verdict == modules.hands_free.END and start + len(kept) == end + silence


# --- where the voice was


def runs_of(voices: str) -> list[list[int]]:
    """By splitting, not by state."""
    found, at = [], 0
    for part in voices.replace("v-", "v|-").replace("-v", "-|v").split("|"):
        if part.startswith("v"):
            found.append([at * FRAME_MS, (at + len(part)) * FRAME_MS])
        at += len(part)
    return found


@given(st.text(alphabet="v-", max_size=80))
def test_runs_of_voice(modules: SimpleNamespace, voices: str) -> None:
    voiced = modules.voiced.Voiced()
    for _ in range(2):
        voiced.reset()
        for i, voice in enumerate(voices):
            voiced.mark(i * FRAME_MS, (i + 1) * FRAME_MS, voice == "v")
        expected = runs_of(voices)
        most = 24
        if len(expected) > most:
            expected = [*expected[: most - 1], [expected[most - 1][0], expected[-1][1]]]
        assert voiced.runs() == expected
