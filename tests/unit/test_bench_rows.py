"""The bench's rows, which other programs read from out/bench.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bench.rows import Row, failed, meets
from bench.table import cells, line
from hypothesis import given
from hypothesis import strategies as st

NUMBER = st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda x: round(x, 3))
TYPES = {
    "name": str,
    "value": (int, float, type(None)),
    "unit": str,
    "reference": (int, float),
    "against": str,
    "ratio": (int, float),
    "goal": str,
    "ok": bool,
    "note": str,
}


@pytest.mark.parametrize(
    ("goal", "yes", "no"),
    [("<= 1.3", 1.3, 1.31), (">= 0.95", 0.95, 0.94), ("== 0", 0, 64), ("< 2", 1.9, 2), ("> -1", 0, -1)],
)
def test_goals(goal, yes, no):
    assert meets(yes, goal)
    assert not meets(no, goal)


@pytest.mark.parametrize("goal", ["", "1.3", "<=1.3", "<= ", "=> 1", "<= 1.3 ms", "about 3"])
def test_a_goal_that_is_none_is_refused(goal):
    with pytest.raises(ValueError, match="goal"):
        Row("x", 1.0, "ms", goal=goal)


def test_a_goal_is_about_the_ratio_where_there_is_one():
    assert Row("x", 30.0, "us", goal="<= 2").ok is False
    assert Row("x", 30.0, "us", 20.0, "C", "<= 2").ok is True
    assert Row("x", 30.0, "us", 0.0, "nothing", "<= 2").ok is False


def test_without_a_goal_there_is_no_verdict():
    assert "ok" not in Row("x", 1.0, "ms").as_json()


def test_what_could_not_be_measured_has_failed_and_says_why():
    entry = failed("codec", RuntimeError("MicroPython died\nat length")).as_json()
    assert entry["value"] is None
    assert entry["ok"] is False
    assert entry["note"] == "RuntimeError: MicroPython died"
    assert failed("codec", KeyError()).note == "KeyError: ?"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value):
    with pytest.raises(ValueError, match="finite"):
        Row("x", value, "ms")


def test_a_reference_says_of_what():
    with pytest.raises(ValueError, match="name"):
        Row("x", 1.0, "ms", 2.0)


@given(NUMBER, NUMBER, st.sampled_from([None, "<= 1.3", ">= 0.95", "== 0"]))
def test_bench_json(value, reference, goal):
    for row in (Row("x", value, "ms", goal=goal), Row("x", np.float64(value), "ms", reference, "y", goal)):
        entry = json.loads(json.dumps(row.as_json()))
        assert {"name", "value", "unit"} <= set(entry) <= set(TYPES)
        assert all(isinstance(entry[key], TYPES[key]) for key in entry)
        assert entry["value"] == pytest.approx(value, rel=1e-5)
        assert ("ok" in entry) == (goal is not None)
        if "ratio" in entry:
            assert entry["ratio"] == pytest.approx(value / reference, rel=1e-5)


def test_a_line_of_the_table_says_it_all():
    text = line(cells(Row("heap", 64.0, "B", goal="== 0", note="each frame")))
    assert text.split() == ["heap", "64", "B", "==", "0", "missed", "each", "frame"]
    assert line(cells(failed("link", OSError("no air")))).split()[1] == "failed"
