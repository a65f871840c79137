"""`lunette wakeword`: models converted, tried beside TensorFlow, and brought onto virtual glasses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.commands import LUNETTE, PATIENCE_S, Sim, environment

from lunette import cli, paths
from lunette.console import Prompt

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


def test_a_cutoff_decides(here: Any) -> None:
    """The most that the packaged speech gets from okay_nabu is a mean of 0.32."""
    said = []
    for cutoff in ("0.1", "0.4"):
        code, told, _ = here("test", SPEECH, "--model", "okay_nabu", "--cutoff", cutoff, "--json")
        (found,) = map(json.loads, told.splitlines())
        assert code == 0 and found["differences"] == {"steps": 284, "differ": 0, "most": 0}
        assert found["agrees"] and len(found["words"]) == len(found["reference_words"])
        said.append(len(found["words"]))
    assert said[0] >= 1 and said[1] == 0
    assert here("test", SPEECH, "--model", "okay_nabu", "--cutoff", "1.5")[0] == 1


def test_a_word_that_tensorflow_has_not_heard_is_a_failure(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lunette.wakeword import listening

    monkeypatch.setattr(listening, "decided", lambda *_: [100])
    code, told, problem = here("test", SPEECH, "--model", "alexa")
    assert code == 1 and "alexa in speech.wav" in problem
    assert "as TensorFlow in all" in told


def test_another_network_is_not_written(here: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lunette.wakeword import listening, packaged

    other = packaged.find("alexa").path
    real = listening.reference
    monkeypatch.setattr(listening, "reference", lambda pcm, _: real(pcm, other))
    code, told, problem = here("convert", "okay_nabu", "--out", str(tmp_path / "made.mww"))
    assert (code, told) == (1, "") and "another network" in problem
    assert list(tmp_path.iterdir()) == []


def test_without_the_package(here: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What needs it says how to get it; a file of one's own is converted all the same."""
    from lunette.wakeword import packaged

    own = shutil.copy(packaged.find("alexa").path, tmp_path / "own_word.tflite")
    monkeypatch.setitem(sys.modules, "pymicro_wakeword", None)
    for arguments in (("ls",), ("convert", "alexa"), ("test", SPEECH)):
        code, _, problem = here(*arguments)
        assert code == 1 and "pip install pymicro-wakeword" in problem
    code, told, problem = here("convert", str(own), "--out", str(tmp_path / "own.mww"))
    assert (code, problem) == (0, "") and "not compared with TensorFlow: pip install" in told
    assert '"own word", cutoff 0.85, mean of 5; it has no manifest' in told
    code, told, _ = here("test", SPEECH, "--model", str(tmp_path / "own.mww"))
    assert code == 0 and "nothing" in told and "not compared" in told


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "{}", '{"micro": {}}', '{"micro": {"probability_cutoff": 7, "sliding_window_size": 5}}'],
)
def test_a_manifest_that_is_none(here: Any, tmp_path: Path, manifest: str) -> None:
    (tmp_path / "word.tflite").write_bytes(b"")
    (tmp_path / "word.json").write_text(manifest)
    code, told, problem = here("ls", str(tmp_path))
    assert code == 1 and told == "" and "word.json is no manifest" in problem


@pytest.fixture
def glasses(here: Any, sim: Sim, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command with the virtual glasses, by "link" or "cable"; they have no models before and after."""
    monkeypatch.setenv("LUNETTE_RUNTIME", str(sim.runtime))

    def run(way: str, *arguments: str) -> tuple[int, str, str]:
        code, told, problem = here(*arguments, "--virtual", *(["--cable"] if way == "cable" else []))
        return code, told, problem.replace("sending\n", "").lstrip("\n")

    yield run
    for one in map(json.loads, run("link", "ls", "--glasses", "--json")[1].splitlines()):
        assert run("link", "rm", one["name"])[0] == 0


def port(sim: Sim) -> str:
    return f"socket://127.0.0.1:{sim.order('status')['repl_port']}"


WAYS = pytest.mark.parametrize("way", ["link", "cable"])


@WAYS
def test_models_go_onto_the_glasses_and_off(glasses: Any, way: str) -> None:
    assert glasses(way, "ls", "--glasses")[1] == "no models on the glasses\n"
    code, told, problem = glasses(way, "add", "hey_jarvis")
    assert code == 0, problem
    size = int(told.split(", ")[1].split()[0])
    assert told == (
        f'"Hey Jarvis" is on the glasses: /wakeword/hey_jarvis.mww, {size} bytes\n'
        "to have them listen: lunette settings wakeword hey_jarvis --virtual\n"
    )
    for other in ("link", "cable"):
        code, told, _ = glasses(other, "ls", "--glasses", "--json")
        (found,) = map(json.loads, told.splitlines())
        assert code == 0 and found == {
            "name": "hey_jarvis",
            "phrase": "Hey Jarvis",
            "cutoff": found["cutoff"],
            "bytes": size,
            "problem": None,
        }
        code, told, _ = glasses(other, "add", "hey_jarvis")
        assert code == 0 and "was on the glasses already" in told
    code, _, problem = glasses(way, "rm", "alexa")
    assert code == 1 and "there is no model alexa" in problem and "hey_jarvis" in problem
    assert glasses(way, "rm", "hey_jarvis")[:2] == (0, "hey_jarvis is removed\n")
    assert glasses(way, "ls", "--glasses")[1] == "no models on the glasses\n"


@WAYS
def test_a_model_is_listened_for_until_it_is_removed(glasses: Any, sim: Sim, way: str) -> None:
    code, told, problem = glasses(way, "add", "alexa", "--listen")
    assert code == 0 and told.endswith("they listen now: Alexa\n"), (told, problem)
    code, told, _ = glasses(way, "add", "hey_jarvis", "--as", "ask", "--listen")
    assert code == 0 and told.endswith("they listen now: Alexa, Hey Jarvis\n")
    assert glasses(way, "add", "hey_jarvis", "--as", "ask")[1].count("\n") == 1, "there is nothing to say"
    assert glasses(way, "rm", "alexa")[1] == "alexa is removed, and no longer listened for\n"
    assert glasses(way, "rm", "ask")[1] == "ask is removed, and no longer listened for\n"
    with Prompt.open(port(sim)) as prompt:
        assert prompt.ask("__import__('glasses')._instance.settings.wakeword") == ""


@WAYS
def test_nothing_is_written_while_they_record(glasses: Any, sim: Sim, way: str) -> None:
    running = "__import__('glasses')._instance"
    sim.order("press", button="talk")
    with Prompt.open(port(sim)) as prompt:
        while not prompt.ask(f"{running}.capturing()"):
            pass
    arguments = ["--virtual", *(["--cable"] if way == "cable" else [])]
    adding = subprocess.Popen(
        [*LUNETTE, "wakeword", "add", "alexa", "--as", "ask", *arguments],
        env=environment(sim.runtime),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert adding.stderr is not None
        assert any("waiting for the end of that" in line for line in adding.stderr)
        assert adding.poll() is None
        sim.order("release", button="talk")
        told, problem = adding.communicate(timeout=PATIENCE_S)
    finally:
        adding.kill()
    assert adding.returncode == 0 and "/wakeword/ask.mww" in told, problem
    with Prompt.open(port(sim)) as prompt:
        assert prompt.interrupted and prompt.ask(f"{running}.voice.muted") is False


@WAYS
@pytest.mark.parametrize("command", ["ls", "add"])
def test_what_a_pulled_cable_has_left_is_removed(glasses: Any, sim: Sim, way: str, command: str) -> None:
    """Both kinds: of the cable itself, and of a link that a power cut ended."""
    with Prompt.open(port(sim)) as prompt:
        prompt.run("import os\nif 'wakeword' not in os.listdir('/'):\n    os.mkdir('/wakeword')")
        prompt.run("for end in ('mww.new', 'new'):\n    open('/wakeword/alexa.' + end, 'wb').close()")
    assert glasses(way, *(("ls", "--glasses") if command == "ls" else ("add", "alexa")))[0] == 0
    with Prompt.open(port(sim)) as prompt:
        assert prompt.ask("__import__('os').listdir('/wakeword')") == ["alexa.mww"][: command == "add"]


def test_there_is_no_room(glasses: Any, sim: Sim) -> None:
    with Prompt.open(port(sim)) as prompt:
        prompt.run("import os\ns = os.statvfs('/')\nleft = s[3] - 12", 20)
        prompt.run("with open('/filler', 'wb') as f:\n    for n in range(left): f.write(bytes(s[0]))", 60)
    try:
        for way in ("link", "cable"):
            code, told, problem = glasses(way, "add", "alexa")
            assert code == 1 and told == "" and "32 KB" in problem, problem
    finally:
        with Prompt.open(port(sim)) as prompt:
            prompt.run("import os\nos.remove('/filler')")


def test_old_firmware_is_said_to_be_old(glasses: Any, sim: Sim) -> None:
    table = "__import__('glasses')._instance.commands._table"
    with Prompt.open(port(sim)) as prompt:
        prompt.run(f"was = {table}.pop('models')")
    try:
        code, _, problem = glasses("link", "ls", "--glasses")
        assert code == 1 and "lunette deploy" in problem and "--cable" in problem
    finally:
        with Prompt.open(port(sim)) as prompt:
            prompt.run(f"{table}['models'] = was")


def test_a_cable_has_no_name(here: Any) -> None:
    code, _, problem = here("rm", "alexa", "--cable", "--name", "Lunette")
    assert code == 1 and "--name is for Bluetooth" in problem


@pytest.mark.parametrize("name", ["", "../main", "Alexa", "a" * 33])
def test_names_that_are_none(here: Any, sim: Sim, name: str) -> None:
    code, _, problem = here("add", "alexa", "--as", name, "--port", "socket://127.0.0.1:1")
    assert code == 1 and "no name for a model" in problem
