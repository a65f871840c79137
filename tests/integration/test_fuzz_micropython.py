"""The fuzzer's corpus in the real MicroPython, whose JSON and whose strings are not CPython's."""

from __future__ import annotations

from tests.fuzz import heap


def test_the_corpus_breaks_nothing_in_micropython() -> None:
    heap.replay()


def test_a_little_fuzz_in_micropython() -> None:
    heap.run(500, seed=7, say=lambda text: None)
