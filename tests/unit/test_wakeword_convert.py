"""The converter of wake words: what it makes of numbers, what it refuses and how, and damaged files.

That its networks give what TensorFlow does is tests/kernels/test_wakeword_network.py.
"""

from __future__ import annotations

import dataclasses
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lunette.errors import LunetteError
from lunette.wakeword import convert as converting
from lunette.wakeword import format
from lunette.wakeword.convert import ModelError, convert, exact_byte, logistic, quantised
from lunette.wakeword.tflite_model import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent / "kernels"))
from wakeword_models import Shape, build

TINY = Shape(filters=8, blocks=((((4, 3), (4, 5)), 8),))
CONTENT = build(TINY)
relaxed = settings(deadline=None, max_examples=60)


# --- Numbers ----------------------------------------------------------------------------------------------


@given(st.floats(1e-9, 4))
def test_factors_are_the_nearest_of_31_bits(factor: float) -> None:
    bits, down = quantised(factor)
    assert 2**30 <= bits < 2**31
    assert abs(Fraction(bits, 2**31) / Fraction(2) ** down - Fraction(factor)) <= Fraction(factor) / 2**31


def test_factors_at_powers_of_two() -> None:
    assert quantised(0.25) == (2**30, 1)
    assert quantised(1 - 2**-40) == (2**30, -1)
    assert quantised(0) == (0, 0)


@given(st.integers(-(2**22), 2**22), st.integers(2**30, 2**31 - 1), st.integers(1, 15), st.integers(0, 255))
def test_bytes_are_near_the_true_ones(total: int, factor: int, down: int, zero: int) -> None:
    true = Fraction(total * factor, 2 ** (31 + down)) + zero
    for away in (False, True):
        byte = exact_byte(total, factor, down, zero, away)
        limited = min(max(true, Fraction(0)), Fraction(255))
        assert abs(byte - limited) <= Fraction(1, 2) + Fraction(1, 2**down)


@pytest.mark.parametrize(("total", "up", "away"), [(1, 101, 101), (-1, 100, 99), (3, 102, 102), (-3, 99, 98)])
def test_halves(total: int, up: int, away: int) -> None:
    """By a factor of 1/2: a half that is rounded up, or away from zero."""
    assert exact_byte(total * 2, 2**30, 1, 100, False) == up
    assert exact_byte(total * 2, 2**30, 1, 100, True) == away


@relaxed
@given(
    st.integers(2**30, 2**31 - 1),
    st.integers(4, 12),
    st.integers(0, 255),
    st.booleans(),
    st.integers(17, 21),
    st.data(),
)
def test_records_give_the_exact_bytes(
    factor: int, down: int, zero: int, away: bool, size: int, data: st.DataObject
) -> None:
    most = 2**size - 1
    bits = next(n for n in range(15, 0, -1) if (most << n) + most + (1 << (2 * n - 1)) < 1 << 31)
    found = converting._record((-most, most), factor, down, zero, away, bits)
    if found is None:
        assert 3 * bits < 31
        return
    near = [((byte - zero) << (31 + down)) // factor for byte in (0, 1, zero, 254, 255, 256)]
    for total in data.draw(st.lists(st.one_of(st.integers(-most, most), st.sampled_from(near)), min_size=9)):
        for beside in range(-2, 3):
            wanted = exact_byte(total + beside, factor, down, zero, away)
            if abs(total + beside) <= most:
                made = converting._record_byte(total + beside, found, bits, bits + down - 1, zero, away)
                assert made == wanted


@given(st.floats(0.01, 1), st.integers(-128, 127))
@example(0.09474028, 36)
def test_the_logistic_is_that_of_the_numbers(scale: float, zero: int) -> None:
    tensor = Tensor("x", (1, 1), "INT8", np.array([scale], np.float32), (zero,), 0, None)
    exact = 256 / (1 + np.exp(-float(np.float32(scale)) * (np.arange(-128, 128) - zero)))
    assert np.abs(np.frombuffer(logistic(tensor), np.uint8) - np.minimum(exact, 255)).max() <= 0.5001


# --- Order of weights ---------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 200))
def test_dense_weights_are_in_blocks(outputs: int, inputs: int) -> None:
    rows = [[(3 * i + 7 * o) % 255 - 127 for i in range(inputs)] for o in range(outputs)]
    made, at = format.dense_weights(rows), 0
    filled = [row + [0] * (-inputs % 8) for row in rows]
    for first in range(0, len(filled[0]) // 64 * 64, 64):
        for row in filled:
            assert list(made[at : at + 64]) == [n + 128 for n in row[first : first + 64]]
            at += 64
    for first in range(len(filled[0]) // 64 * 64, len(filled[0]), 8):
        for row in filled:
            assert list(made[at : at + 8]) == [n + 128 for n in row[first : first + 8]]
            at += 8
    assert at == len(made)


def test_sparse_weights_are_by_inputs() -> None:
    rows = [[o, -o, 100] for o in range(32)]
    made = format.sparse_weights(rows)
    assert list(made[:16]) == list(range(128, 144))
    assert list(made[16:32]) == list(range(128, 112, -1))
    assert set(made[32:48]) == {228} and set(made[48:64]) == {128}
    assert list(made[64:80]) == list(range(144, 160))


# --- What is refused ----------------------------------------------------------------------------------------


def refused(shape: Shape) -> str:
    with pytest.raises(ModelError) as caught:
        convert(build(shape))
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, LunetteError)
    return str(caught.value)


@pytest.mark.parametrize("name", ["TANH", "RELU", "ABS", "NEG", "SOFTMAX", "EXP"])
def test_other_operations_are_refused_by_name(name: str) -> None:
    assert name in refused(dataclasses.replace(TINY, extra=name))


def test_too_many_taps() -> None:
    assert "DEPTHWISE_CONV_2D with a kernel of more than 32" in refused(Shape(blocks=((((16, 33),), 8),)))


def test_states_that_begin_otherwise() -> None:
    assert "ASSIGN_VARIABLE" in refused(dataclasses.replace(TINY, initial=0))


def test_other_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    import wakeword_models

    monkeypatch.setattr(wakeword_models, "BANDS", 32)
    assert "[1, rows, 40]" in refused(TINY)
    monkeypatch.setattr(wakeword_models, "BANDS", 40)
    monkeypatch.setattr(wakeword_models, "INPUT", (0.05, -128))
    assert "another scale" in refused(TINY)


def test_something_else() -> None:
    for content in (b"", b"RIFF", b"x" * 500, CONTENT[8:]):
        with pytest.raises(ModelError, match=r"no \.tflite"):
            convert(content)


def test_files_that_end_early_are_refused() -> None:
    for size in range(8, len(CONTENT), len(CONTENT) // 100):
        with pytest.raises(ModelError):
            convert(CONTENT[:size])


@relaxed
@given(st.lists(st.tuples(st.integers(8, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_files_are_converted_or_refused(changes: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for at, value in changes:
        content[at] = value
    try:
        made = convert(bytes(content))
    except ModelError:
        return
    assert made[:4] == format.MAGIC


def test_a_phrase_that_is_too_long() -> None:
    with pytest.raises(ModelError):
        convert(CONTENT, "o" * 41)


# --- The file -----------------------------------------------------------------------------------------------


def test_the_head_and_its_crc() -> None:
    made = convert(CONTENT, "okay", 0.97, 7)
    head: tuple[Any, ...] = format.HEAD.unpack_from(made)
    assert head[:6] == (b"LuWW", 1, 3, 40, 247, len(made))
    assert head[-2:] == (7, 4)
    assert format.sealed(made) == made
    assert len(made) % 4 == 0


def test_the_same_model_gives_the_same_file() -> None:
    assert convert(CONTENT) == convert(CONTENT)
