"""Settings: what is allowed, and a file that is whole at any moment."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def load() -> Any:
    from glasses.settings import Settings

    return Settings()


def test_defaults_are_allowed_and_need_no_file(micropython: Any, folder: Path) -> None:
    from glasses.settings import DECLARED, check

    settings = load()
    assert settings.problems == []
    for name, rule in DECLARED.items():
        assert settings.all()[name] == rule[0]
        assert check(name, rule[0]) == rule[0]
    assert settings.hold_ms == 300
    with pytest.raises(AttributeError):
        settings.no_such_thing  # noqa: B018
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("hold_ms", [150, 1000], [149, 1001, True, 300.0, "300", None, [300]]),
        ("mtu", [23, 527], [22, 528]),
        ("debounce_ms", [1, 50], [0, 51, True]),
        ("name", ["L", "x" * 20, "\u00e9" * 10], ["", "x" * 21, "\u00e9" * 11, 5, None, b"abc"]),
        ("security", ["open"], ["none", "", ["open"], None]),
        ("log_level", ["debug", "error"], ["loud", 1]),
        ("probe_heap", [True, False], [0, 1, "true", None]),
        ("hold-ms", [], [300]),
        (["hold_ms"], [], [300]),
        (None, [], [1]),
    ],
)
def test_what_is_allowed(micropython: Any, folder: Path, name: Any, good: list[Any], bad: list[Any]) -> None:
    from glasses.settings import SettingsError

    settings = load()
    for value in good:
        settings.set(name, value)
        assert load().all()[name] == value
    before = settings.all()
    for value in bad:
        with pytest.raises(SettingsError) as refusal:
            settings.set(name, value)
        assert str(refusal.value)
    assert settings.all() == before == load().all()


def test_only_what_differs_is_stored(micropython: Any, folder: Path) -> None:
    settings = load()
    settings.set("hold_ms", 400)
    settings.set("gap_ms", 300)
    settings.set("hold_ms", 300)
    assert json.loads((folder / "settings.json").read_text()) == {"gap_ms": 300}
    assert [p.name for p in folder.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("broken", ["open", "write", "close", "rename"])
def test_a_failure_at_any_step_leaves_the_old_file(
    micropython: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    settings = load()
    settings.set("hold_ms", 400)
    old = (folder / "settings.json").read_bytes()
    real_open = builtins.open

    class Failing:
        """A file that fails at the given step, having written half, like a disk that is full."""

        def __init__(self, path: str) -> None:
            self.file = real_open(path, "w")

        def write(self, text: str) -> int:
            self.file.write(text[: len(text) // 2])
            if broken == "write":
                raise OSError(28)
            return len(text)

        def __enter__(self) -> Failing:
            return self

        def __exit__(self, *reason: Any) -> None:
            self.file.close()
            if broken == "close" and reason[0] is None:
                raise OSError(28)

    def failing_open(path: str, mode: str = "r", *rest: Any) -> Any:
        if "w" not in mode:
            return real_open(path, mode, *rest)
        if broken == "open":
            raise OSError(28)
        return Failing(path) if broken in ("write", "close") else real_open(path, mode, *rest)

    def failing_rename(old: str, new: str) -> None:
        raise OSError(5)

    monkeypatch.setattr(builtins, "open", failing_open)
    if broken == "rename":
        monkeypatch.setattr(os, "rename", failing_rename)
    with pytest.raises(OSError):
        settings.set("hold_ms", 500)
    monkeypatch.undo()
    os.chdir(folder)
    assert (folder / "settings.json").read_bytes() == old
    assert settings.hold_ms == 400, "what is not saved is not in force"
    assert load().hold_ms == 400
    settings.set("hold_ms", 600)
    assert load().hold_ms == 600


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "\0", '{"hold_ms": 400', "[" * 100_000])
def test_a_broken_file_means_defaults_and_is_reported(micropython: Any, folder: Path, content: str) -> None:
    (folder / "settings.json").write_text(content)
    settings = load()
    assert settings.hold_ms == 300
    assert len(settings.problems) == 1
    assert "settings.json" in settings.problems[0]


def test_bad_entries_are_reported_and_good_ones_kept(micropython: Any, folder: Path) -> None:
    stored = {"hold_ms": 400, "gap_ms": "soon", "colour": "red", "name": "\ud800"}
    (folder / "settings.json").write_text(json.dumps(stored))
    settings = load()
    assert (settings.hold_ms, settings.gap_ms, settings.name) == (400, 250, "Lunette")
    assert len(settings.problems) == 3
    assert "gap_ms" in settings.problems[0]
    assert "colour" in settings.problems[1]


@given(st.text(max_size=12) | st.sampled_from(("name", "mtu", "security", "probe_heap")), ANY_JSON)
def test_no_value_of_a_host_does_more_than_be_refused(micropython: Any, name: Any, value: Any) -> None:
    from glasses.settings import check

    with contextlib.suppress(ValueError):
        assert check(name, value) == value
