"""docs/new_board.md is followed to the letter: its files are written, its changes made, its commands run, and
what it shows of their output is what they print, in that order."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from lunette import cli

PAGE = Path(__file__).parents[2] / "docs" / "new_board.md"
# A file's name in backquotes with a colon before its block; a change in words; a block of commands.
STEP = re.compile(
    r"`(?P<file>[\w./]+)`:\n\n```(?:python|toml)\n(?P<text>.*?)```"
    r"|Change the (?P<old>\d+) in `(?P<where>[\w./]+)` into (?P<new>\d+):"
    r"|```console\n(?P<console>.*?)```",
    re.S,
)


def in_order(expected: list[str], printed: str) -> str | None:
    """The first of `expected` that `printed` does not have after those before it."""
    at = 0
    for line in expected:
        at = printed.find(line, at)
        if at < 0:
            return line
        at += len(line)
    return None


def test_the_page_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUNETTE_RUNTIME", str(tmp_path / "run"))
    monkeypatch.setenv("LUNETTE_KEYS", str(tmp_path / "bonds.json"))
    counts = {"file": 0, "new": 0, "console": 0}
    for step in STEP.finditer(PAGE.read_text()):
        if step["file"]:
            counts["file"] += 1
            path = tmp_path / step["file"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(step["text"])
        elif step["old"]:
            counts["new"] += 1
            path = tmp_path / step["where"]
            changed = path.read_text().replace(f'"pin": {step["old"]},', f'"pin": {step["new"]},')
            assert changed != path.read_text()
            path.write_text(changed)
        else:
            for run in step["console"].split("$ ")[1:]:
                counts["console"] += 1
                command, *expected = run.strip().split("\n")
                program, *arguments = shlex.split(command)
                assert program == "lunette" and expected
                capsys.readouterr()
                code = cli.run(arguments)
                out, err = capsys.readouterr()
                assert in_order(expected, err + out) is None, err + out
                assert code == (1 if expected[0].startswith("lunette: ") else 0), err
    assert counts == {"file": 3, "new": 1, "console": 5}
    (recording,) = json.loads((tmp_path / "report.json").read_text())["recordings"]
    assert recording["crc_ok"] and recording["frames"] > 30
    assert (tmp_path / "my_board" / "wiring.svg").read_text().startswith("<svg")
    assert "| LED, red | anode | 1 kΩ | 2 | 2 |" in (tmp_path / "my_board" / "README.md").read_text()


def test_the_page_names_every_driver_and_key() -> None:
    from lunette.boards.drivers import drivers
    from lunette.chips import CHIPS

    page = PAGE.read_text()
    for name, driver in drivers(CHIPS["esp32s3"]).items():
        row = re.search(rf"^\| `{name}` \|(.*)$", page, re.M)
        assert row is not None, name
        for key in (*driver.pins, *driver.needed, *driver.allowed, *driver.spare):
            assert f"`{key}`" in row[1], (name, key)
