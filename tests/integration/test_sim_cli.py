"""`lunette sim` that stays up: fingers, attaching, refusals."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import (
    LUNETTE,
    PATIENCE_S,
    Sim,
    environment,
    find,
    lunette,
    mpremote,
)

from lunette import cli, paths
from lunette.audio_files import read_audio, write_audio
from lunette.errors import LunetteError


@pytest.fixture(scope="module")
def glasses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    sim = Sim(tmp_path_factory.mktemp("run"))
    yield sim
    if sim.process.poll() is None:
        sim.process.terminate()
    code, out, err = sim.end()
    assert (code, err) == (128 + signal.SIGTERM, "")
    assert "\x1b" not in out


def test_it_says_how_to_attach(glasses):
    text = "\n".join(glasses.lines)
    info = glasses.order("status")
    assert json.loads(glasses("status", "--json").stdout).keys() == info.keys()
    assert f"mpremote connect socket://127.0.0.1:{info['repl_port']}" in text
    assert f"mpremote connect {info['pty']}" in text
    assert "lunette --virtual listen" in text
    environment = f"LUNETTE_AIR={info['air']} LUNETTE_KEYS={info['keys']} PYTHONPATH={paths.BLEAK_ENV}"
    assert environment in text
    assert info["pid"] == glasses.process.pid
    assert info["powered"] is True and info["held"] == [] and info["light"] is False


def test_mpremote_talks_to_it(glasses):
    done = mpremote(glasses.order("status")["repl_port"], "eval", "6*7")
    assert done.stdout.strip() == "42", done.stderr
    # Whoever comes next finds the firmware running, as after the reset button.
    glasses.order("power_cut")
    glasses.order("power_on")


def test_scan_and_status_see_them(glasses):
    done = lunette(glasses.runtime, "--virtual", "scan", "--timeout", "1", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert found["name"] == "Lunette" and found["rssi"] < 0
    done = lunette(glasses.runtime, "status", "--virtual", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["address"] == found["address"] and answer["board"] == "virtual"
    assert answer["capturing"] is False


def test_hold_and_say_make_a_recording(glasses, tmp_path):
    clip = read_audio(paths.DATA / "speech.wav")[16000 : 16000 + 12000]
    listener = subprocess.Popen(
        [
            *LUNETTE,
            "listen",
            "--virtual",
            "--json",
            "--out",
            str(tmp_path),
            "--count",
            "1",
            "--timeout",
            "20",
        ],
        env=environment(glasses.runtime),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert listener.stdout is not None
        events = []
        for line in listener.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "connected":
                break
        write_audio(tmp_path / "clip.wav", clip)
        glasses("press")
        assert glasses.order("status")["held"] == ["talk"]
        glasses("say", str(tmp_path / "clip.wav"))
        glasses("release")
        rest, errors = listener.communicate(timeout=PATIENCE_S)
    finally:
        if listener.poll() is None:
            listener.kill()
            listener.communicate()
    assert (listener.returncode, errors) == (0, "")
    events += [json.loads(line) for line in rest.splitlines()]
    assert [e["event"] for e in events if e["event"] != "level"] == [
        "searching",
        "connected",
        "recording",
        "recorded",
        "disconnected",
    ]
    recorded = next(e for e in events if e["event"] == "recorded")
    assert recorded["lost"] == 0 and recorded["crc_ok"] is True and recorded["cause"] == "button"
    pcm = read_audio(recorded["path"])
    assert len(pcm) == pytest.approx(recorded["duration_s"] * 16000, abs=16)
    # What was said is in it, but for its level, which the gain finds meanwhile.
    lag = find(clip, pcm)
    heard, said = pcm[lag : lag + len(clip)].astype(float), clip.astype(float)
    assert np.dot(heard, said) > 0.9 * np.sqrt(np.dot(heard, heard) * np.dot(said, said))


@pytest.fixture
def here(glasses, monkeypatch, capsys):
    """The command, run in this process: starting one for each line would take most of the time."""
    monkeypatch.setenv("LUNETTE_RUNTIME", str(glasses.runtime))
    monkeypatch.setenv("LUNETTE_MTU", "247")

    def run(*arguments):
        code = cli.run(arguments)
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


def test_pull_fetches_what_waits_and_ends(here, tmp_path):
    fetch = ("--virtual", "pull", "--out", str(tmp_path), "--format", "flac", "--json")
    assert here(*fetch)[0] == 0  # of the tests before
    here("sim", "hold", "0.8")
    here("sim", "double")
    before = set(tmp_path.glob("*.*"))
    code, _, problems = here(*fetch)
    assert code == 0, problems
    assert sorted(p.suffix for p in set(tmp_path.glob("*.*")) - before) == [".flac", ".json", ".json", ".txt"]
    assert here("--virtual", "ls") == (0, "nothing waits\n", "")


def test_the_glasses_are_asked_for_one_thing_at_a_time(here):
    assert here("--virtual", "settings", "hold_ms", "350") == (0, "hold_ms = 350\n", "")
    code, shown, _ = here("--virtual", "settings", "--json")
    assert code == 0 and json.loads(shown)["hold_ms"] == 350
    assert here("--virtual", "mute", "on") == (0, "muted\n", "")
    assert here("--virtual", "mute", "off") == (0, "not muted\n", "")
    assert "UTC" in here("--virtual", "clock")[1]
    assert "connected" in here("--virtual", "log")[1]
    refusal = "lunette: hold_ms must be a whole number from 150 to 1000\n"
    assert here("--virtual", "settings", "hold_ms", "5") == (1, "", refusal)
    assert here("--virtual", "record", "off") == (1, "", "lunette: nothing is being recorded\n")


def test_orders_are_refused_in_one_line(glasses, tmp_path):
    for arguments, complaint in (
        (["say", str(tmp_path / "missing.wav")], "missing.wav"),
        (["noise", "brown", "-40"], "brown"),
        (["hold", "-1"], "above 0"),
    ):
        done = lunette(glasses.runtime, "sim", *arguments)
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith("lunette: ") and done.stderr.count("\n") == 1, done.stderr
        assert complaint in done.stderr


def test_power_and_battery(glasses):
    glasses("power-cut")
    assert glasses.order("status")["powered"] is False
    glasses("power-on")
    glasses("battery", "3.5")
    status = glasses.order("status")
    assert status["powered"] is True and status["battery_v"] == 3.5
    with pytest.raises(LunetteError, match="0 to 5 V"):
        glasses.order("battery", volts=7)
    glasses.order("noise", kind="white", level_dbfs=-50, seconds=0.1)
    glasses.order("tap")
    glasses.order("drop")


def test_a_second_simulator_is_refused(glasses):
    done = lunette(glasses.runtime, "sim")
    assert done.returncode == 1 and "already running" in done.stderr and done.stderr.count("\n") == 1


def test_busy_ports_are_one_line(glasses, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for option in ("--repl-port", "--air-port"):
            done = lunette(tmp_path / "other", "sim", option, port)
            assert done.returncode == 1, done.stdout
            assert done.stderr.startswith("lunette: ") and done.stderr.count("\n") == 1, done.stderr
            assert f"port {port}" in done.stderr and "is in use" in done.stderr


def test_no_bluetooth_adapter_is_one_line(glasses):
    if Path("/sys/class/bluetooth").is_dir() and any(Path("/sys/class/bluetooth").iterdir()):
        pytest.skip("this computer has one")
    done = lunette(glasses.runtime, "scan", "--timeout", "0.5")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("lunette: no usable Bluetooth adapter") and done.stderr.count("\n") == 1
