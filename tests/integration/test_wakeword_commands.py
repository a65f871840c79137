"""`lunette wakeword`: models converted, tried beside TensorFlow, and brought onto virtual glasses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Sim

from lunette import cli, paths

SPEECH = str(paths.DATA / "speech.wav")


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    sim = Sim(tmp_path_factory.mktemp("run"))
    yield sim
    sim.order("quit")
    assert sim.end()[0] == 0


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(("wakeword", *arguments))
        return code, *capsys.readouterr()

    return run


def test_packaged_models_are_listed(here: Any) -> None:
    code, told, problem = here("ls")
    assert (code, problem) == (0, "")
    names = [line.split()[0] for line in told.splitlines()]
    assert names == ["alexa", "hey_jarvis", "hey_mycroft", "okay_nabu"]


def test_a_model_is_converted_and_is_the_same_network(here: Any, tmp_path: Path) -> None:
    made = tmp_path / "made.mww"
    code, told, problem = here("convert", "hey_jarvis", "--out", str(made))
    assert (code, problem) == (0, "")
    assert "as TensorFlow in all" in told and made.stat().st_size < 50_000


@pytest.mark.parametrize("damage", ["cut", "other", "nothing"])
def test_what_is_no_model_is_refused(here: Any, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.tflite"
    if damage != "nothing":
        from lunette.wakeword.packaged import find

        content = find("alexa").path.read_bytes()
        path.write_bytes(content[:5000] if damage == "cut" else b"RIFF" + bytes(400))
    code, told, problem = here("convert", str(path), "--out", str(tmp_path / "made.mww"))
    assert code == 1 and told == "" and len(problem.splitlines()) == 1, problem
    assert not (tmp_path / "made.mww").exists()


def test_speech_is_tried_and_drawn(here: Any, tmp_path: Path) -> None:
    picture = tmp_path / "heard.png"
    code, told, problem = here("test", SPEECH, "--model", "okay_nabu", "--out", str(picture))
    assert (code, problem) == (0, "")
    assert "nothing" in told and "as TensorFlow in all 284 steps" in told
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_models_go_onto_the_glasses_and_off(here: Any, sim: Sim) -> None:
    port = f"socket://127.0.0.1:{sim.order('status')['repl_port']}"
    assert here("ls", "--glasses", "--port", port)[1] == "no models on the glasses\n"
    code, told, _ = here("add", "hey_jarvis", "--port", port)
    assert code == 0 and "/wakeword/hey_jarvis.mww" in told
    code, told, _ = here("ls", "--glasses", "--port", port, "--json")
    (found,) = map(json.loads, told.splitlines())
    assert code == 0 and found["name"] == "hey_jarvis" and found["problem"] is None
    assert here("rm", "alexa", "--port", port)[0] == 1
    assert here("rm", "hey_jarvis", "--port", port)[0] == 0
    assert here("ls", "--glasses", "--port", port)[1] == "no models on the glasses\n"
