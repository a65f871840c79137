"""The `lunette` command in this process: options, errors as one line, the control socket, keys."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bleak import ADDRESS, Radio

from lunette import __version__, cli, client, finding, paths
from lunette.commands import common, demo, sim
from lunette.commands.status import describe
from lunette.errors import LunetteError
from lunette.virtual import control, scene
from lunette.virtual.desk import ACTIONS, Desk
from lunette.virtual.keys import keys


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder of its own."""
    folder = tmp_path / "run"
    monkeypatch.setenv("LUNETTE_RUNTIME", str(folder))
    monkeypatch.setenv("LUNETTE_KEYS", str(tmp_path / "bonds.json"))
    monkeypatch.delenv("LUNETTE_AIR", raising=False)
    monkeypatch.delenv("LUNETTE_DEBUG", raising=False)
    return folder


@pytest.fixture
def lunette(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; returns exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def one_line(text: str) -> bool:
    return text.startswith("lunette: ") and text.count("\n") == 1 and text.endswith("\n")


# --- the command --------------------------------------------------------------------------------


def test_version(lunette):
    assert lunette("--version") == (0, f"lunette {__version__}\n", "")


def test_without_anything_it_helps(lunette):
    code, out, err = lunette()
    assert code == 0 and err == ""
    for command in ("scan", "listen", "status", "sim", "demo"):
        assert f"  {command} " in out


def test_start_up_imports_nothing_heavy():
    # Ctrl-C while modules load would be a traceback, and --help should not take a second.
    heavy = ("bleak", "bumble", "matplotlib", "numpy", "rich.live")
    code = f"import sys, lunette.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["sim", "bogus"],
        ["scan", "--timeout", "soon"],
        ["scan", "--timeout", "0"],
        ["listen", "--count", "0"],
        ["listen", "--loud"],
        ["listen", "--format", "ogg"],
        ["pull", "--format", ""],
        ["sim", "--repl-port", "65536"],
        ["sim", "hold"],
        ["sim", "hold", "long"],
        ["sim", "noise", "white"],
        ["demo", "extra"],
    ],
)
def test_wrong_usage_is_one_line_and_2(lunette, arguments):
    code, out, err = lunette(*arguments)
    assert (code, out) == (2, "")
    assert one_line(err), err


@pytest.mark.parametrize("command", ["listen", "pull"])
@pytest.mark.parametrize(("option", "expected"), [((), "wav"), (("--format", "flac"), "flac")])
def test_speech_is_kept_in_the_format_that_was_asked_for(
    lunette, tmp_path, monkeypatch, command, option, expected
):
    asked = []

    class Listener:
        def __init__(self, folder, **options):
            asked.append(options["format"])

        async def run(self):
            raise LunetteError("that was all")

    monkeypatch.setattr("lunette.listen.Listener", Listener)
    code, _, err = lunette(command, "--out", str(tmp_path / "out"), *option)
    assert (code, asked) == (1, [expected]) and "that was all" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--virtual", "scan"],
        ["scan", "--virtual"],
        ["--virtual", "status"],
        ["listen", "--virtual"],
        ["sim", "press"],
        ["sim", "release"],
        ["sim", "tap"],
        ["sim", "double"],
        ["sim", "triple"],
        ["sim", "hold", "1"],
        ["sim", "say"],
        ["sim", "noise", "white", "-40"],
        ["sim", "drop"],
        ["sim", "power-cut"],
        ["sim", "power-on"],
        ["sim", "battery", "3.5"],
        ["sim", "usb", "off"],
        ["sim", "worn", "off"],
        ["sim", "say", "--text", "okay nabu"],
        ["sim", "status"],
        ["sim", "quit"],
    ],
)
def test_without_a_simulator_it_says_how_to_start_one(lunette, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, out, err = lunette(*arguments)
    assert (code, out) == (1, "")
    assert err == "lunette: no virtual glasses are running: start them with `lunette sim`\n"


def test_no_adapter_is_one_line(lunette, monkeypatch):
    async def discover(*args: Any, **kwargs: Any) -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(finding.BleakScanner, "discover", discover)
    code, out, err = lunette("scan")
    assert (code, out) == (1, "")
    assert one_line(err) and "no usable Bluetooth adapter" in err and "--virtual" in err


def found(name: str, address: str, rssi: int) -> client.Found:
    return client.Found(None, name, address, rssi)  # type: ignore[arg-type]


def test_scan_lists(lunette, monkeypatch):
    async def scan(timeout: float, backends: Any) -> list[client.Found]:
        assert timeout == 2.5
        return [found("Lunette", "C4:00:00:00:00:01", -50), found("Lu", "C4:00:00:00:00:02", -80)]

    monkeypatch.setattr(client, "scan", scan)
    assert lunette("scan", "--timeout", "2.5") == (
        0,
        "Lunette  C4:00:00:00:00:01  -50 dBm\nLu       C4:00:00:00:00:02  -80 dBm\n",
        "",
    )
    code, out, _ = lunette("scan", "--json", "--timeout", "2.5")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()][1] == {
        "name": "Lu",
        "address": "C4:00:00:00:00:02",
        "rssi": -80,
    }


def test_scan_that_hears_nobody_fails(lunette, monkeypatch):
    async def scan(timeout: float, backends: Any) -> list[client.Found]:
        return []

    monkeypatch.setattr(client, "scan", scan)
    code, out, err = lunette("scan", "--json")
    assert (code, out) == (1, "") and one_line(err)


def test_an_unexpected_error_is_one_line_unless_debugging(lunette, monkeypatch):
    async def scan(timeout: float, backends: Any) -> list[client.Found]:
        raise KeyError("x")

    monkeypatch.setattr(client, "scan", scan)
    code, _, err = lunette("scan")
    assert code == 1 and one_line(err) and "LUNETTE_DEBUG=1" in err
    monkeypatch.setenv("LUNETTE_DEBUG", "1")
    code, _, err = lunette("scan")
    assert code == 1 and "Traceback" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_order(lunette, monkeypatch, number):
    tidied = []

    async def scan(timeout: float, backends: Any) -> list[client.Found]:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            tidied.append(True)
        return []

    monkeypatch.setattr(client, "scan", scan)
    assert lunette("scan") == (128 + number, "", "")
    assert tidied


def test_a_failure_that_nobody_awaits_is_told(lunette, monkeypatch):
    async def scan(timeout: float, backends: Any) -> list[client.Found]:
        def fail() -> None:
            raise ZeroDivisionError("nobody looks")

        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)
        return [found("Lunette", "C4:00:00:00:00:01", -50)]

    monkeypatch.setattr(client, "scan", scan)
    code, _, err = lunette("scan")
    assert code == 0 and one_line(err) and "ZeroDivisionError: nobody looks" in err


def test_out_that_is_no_folder(lunette, tmp_path):
    (tmp_path / "file").write_text("")
    for command in (["listen", "--virtual"], ["demo"]):
        code, out, err = lunette(*command, "--out", str(tmp_path / "file" / "x"))
        assert (code, out) == (1, "") and one_line(err) and "cannot use the folder" in err


# --- scenes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "duration_s"),
        ("duration_s = 1\nfoo = 2", "unknown key foo"),
        ("duration_s = 1\n[link]\nphy = '3M'", "phy"),
        ("duration_s = 1\n[board]\nname = 'zork'", "no board 'zork'"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'say'\nwav = 'missing.wav'", "missing.wav"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'press'\nbutton = 'nose'", "nose"),
        ("duration_s = ", "not TOML"),
        ("duration_s = 1\nat = [1]", "must be a table"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = ['tap']", "is none of"),
        ("duration_s = 1\n[[at]]\nt = nan\ndo = 'tap'", "t must be"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'say'\nwav = 'x.wav'\ngain_db = nan", "not a finite number"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'write'\ncharacteristic = 'x'\nhex = '00'", "no UUID"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'mpremote'\nargs = []", "at least one"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'mpremote'\nargs = [1]", "list of words"),
        ("duration_s = 1\n[board]\njournal_kb = 'all'", "journal_kb must be"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'set_link'", "one at least of: interval_ms"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'set_link'\nmtu = 22", "(set_link): mtu: 22 is outside"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'set_link'\ncolour = 1", "unknown key colour"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'stranger'\ntries = ['ask']", "'ask', which is none of"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'host_stall'\nseconds = 0", "above 0"),
        ("duration_s = 1\n[settings]\nfoo = 1", "no setting foo"),
        ("duration_s = 1\nmodels = 'alexa'", "models must be a list"),
        ("duration_s = 1\nmodels = [1]", "models must be a list"),
        ("duration_s = 1\nmodels = ['okay_nobody']", "there is no model okay_nobody"),
        ("duration_s = 1\nmodels = ['missing.tflite']", "there is no file missing.tflite"),
        ("duration_s = 1\nmodels = ['missing.mww']", "cannot read missing.mww"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'say'\ntext = '...'", "nothing to say in '...'"),
        ("duration_s = 1\n[settings]\nhold_ms = -5", "hold_ms must be"),
    ],
)
def test_a_bad_scene_is_one_line(lunette, tmp_path, text, complaint):
    path = tmp_path / "scene.toml"
    path.write_text(text)
    report = tmp_path / "report.json"
    code, out, err = lunette("sim", "--scene", str(path), "--report", str(report))
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("lunette: ") and complaint in last
    assert "Traceback" not in err
    assert not report.exists()


@pytest.mark.parametrize(
    "text, package",
    [
        ("duration_s = 1\nmodels = ['alexa']", "pymicro-wakeword"),
        ("duration_s = 1\n[[at]]\nt = 0\ndo = 'say'\ntext = 'not said before'", "espeakng-loader"),
    ],
)
def test_a_scene_that_lacks_a_package_says_which(lunette, tmp_path, monkeypatch, text, package):
    from lunette.virtual import spoken

    spoken._voices.cache_clear()
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    (tmp_path / "scene.toml").write_text(text)
    code, out, err = lunette("sim", "--scene", str(tmp_path / "scene.toml"))
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("lunette: ") and f"pip install {package}" in err.splitlines()[-1]


def test_a_report_never_replaces_a_pipe_or_a_link(tmp_path):
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        common.write_file(pipe, "text")
        assert os.read(reader, 10) == b"text" and pipe.is_fifo()
    finally:
        os.close(reader)
    common.write_file(link, "text")
    assert link.is_symlink() and file.read_text() == "text"


def test_a_scene_or_report_that_is_not_there(lunette, tmp_path):
    code, _, err = lunette("sim", "--scene", str(tmp_path / "none.toml"))
    assert code == 1 and one_line(err) and "no scene file" in err
    code, _, err = lunette("sim", "--report", str(tmp_path / "report.json"))
    assert code == 1 and one_line(err) and "--scene" in err


def test_the_scenes_that_come_along_can_be_played():
    for name in ("demo.toml", "drop.toml"):
        loaded = scene.load(paths.DATA / name)
        said = [a for a in loaded.actions if a.do == "say"]
        held = [a.t for a in loaded.actions if a.do in ("press", "release")]
        from lunette.audio_files import read_audio

        clip = read_audio(paths.DATA / said[0].values["wav"])
        end = said[0].t + len(clip) / 16000
        assert held[0] < said[0].t and end < held[1] < loaded.duration_s
    drops = [a.t for a in scene.load(paths.DATA / "drop.toml").actions if a.do == "drop"]
    assert len(drops) == 1 and said[0].t < drops[0] < end
    assert (paths.DATA / "speech.wav").stat().st_size < 300_000


def report(**changed: Any) -> dict[str, Any]:
    entry = {
        "complete": True,
        "crc_ok": True,
        "lost": 0,
        "frames": 5,
        "duration_s": 0.1,
        "wav": None,
        **changed,
    }
    return {
        "recordings": [entry],
        "latency_ms": {"p50": 20.0, "p95": 30.0, "max": 40.0},
        "link": {"notifications": 9, "goodput_kbps": 65.0, "reconnects": 0},
        "errors": [],
    }


def test_the_demo_succeeds_only_if_everything_arrived(tmp_path):
    assert demo.arrived(report())
    assert not demo.arrived({"recordings": []})
    for broken in (
        {"complete": False},
        {"crc_ok": False},
        {"crc_ok": None},
        {"lost": 1},
        {"lost": None},
        {"frames": 0},
    ):
        assert not demo.arrived(report(**broken)), broken
    lines = demo.summary(report(lost=3, crc_ok=False), None, tmp_path)
    assert "3 lost, CRC WRONG" in lines[0]
    assert any("20 ms (median), 30 ms (95 %)" in line for line in lines)


def test_status_for_a_person():
    lines = describe(
        {
            "name": "Lunette",
            "address": "C4:1E:55:E5:00:01",
            "firmware": "0.1.0",
            "board": "virtual",
            "battery_v": 3.912,
            "battery_percent": 68,
            "states": {"active": 0.0, "connected": 3.25},
            "counters": {"b": 2, "a": 1, "none": 0},
        }
    )
    assert "battery     3.91 V, 68 %" in lines
    assert "states      connected 3.2 s" in lines
    assert "counters    a 1, b 2" in lines


# --- being found --------------------------------------------------------------------------------


def running(path: str, pid: int | None = None) -> control.Running:
    return control.Running(pid or os.getpid(), "virtual", "127.0.0.1:1", 2, "/dev/pts/9", path, 247, "")


async def refuse(do: str, values: dict[str, Any]) -> Any:
    raise LunetteError(f"{do}: not today")


def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    return asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def test_only_one_simulator_at_a_time(runtime):
    with control.claim() as publish:
        with pytest.raises(LunetteError, match=r"already running.*LUNETTE_RUNTIME"), control.claim():
            pass
        publish(running(str(runtime / "none")))
    assert not (runtime / "sim.json").exists()
    with control.claim():
        pass


def test_a_file_of_the_dead_does_not_count(runtime):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    runtime.mkdir()
    path = runtime / "sim.json"
    for text in (
        json.dumps(running("/nowhere", dead.pid).__dict__),
        json.dumps(running("/nowhere").__dict__),  # the process id lives on as another program's
        "{",
        "[]",
        '{"pid": 1}',
    ):
        path.write_text(text)
        assert control.find() is None
    with control.claim():
        assert not path.exists()


def test_a_killed_simulator_leaves_its_place_free(runtime):
    code = (
        "import os, sys\nfrom lunette.virtual import control\n"
        "with control.claim() as publish:\n"
        "    publish(control.Running(os.getpid(), 'virtual', 'h:1', 2, 'p', 'c', 247, ''))\n"
        "    print('up', flush=True)\n    sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        with pytest.raises(LunetteError, match="already running"), control.claim():
            pass
        process.kill()
        process.wait()
        with control.claim():
            pass


# --- the control socket -------------------------------------------------------------------------


def talk(path: str, *lines: bytes) -> list[Any]:
    """Send lines one after the other, each after the answer to the one before."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        with connection.makefile("rwb") as file:
            answers = []
            for line in lines:
                file.write(line + b"\n")
                file.flush()
                answers.append(json.loads(file.readline()))
            return answers


def test_the_socket_is_private_and_refuses_in_words(runtime):
    async def main() -> None:
        server = control.ControlServer(refuse)
        path = await server.start()
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(runtime).st_mode) == 0o700
        answers = await in_thread(
            talk, path, b'{"do": "press"}', b"{", b"[]", b'{"do": 1}', b'{"do": "x", "values": 1}'
        )
        assert answers[0] == {"ok": False, "error": "press: not today"}
        assert all(not a["ok"] and "an order is a line" in a["error"] for a in answers[1:])
        await server.close()
        assert not os.path.exists(path)

    asyncio.run(main())


def test_a_long_runtime_folder_gets_its_socket_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("LUNETTE_RUNTIME", str(tmp_path / ("long" * 40)))

    async def main() -> None:
        server = control.ControlServer(refuse)
        path = await server.start()
        assert len(path) < 100
        assert (await in_thread(talk, path, b'{"do": "x"}'))[0]["ok"] is False
        await server.close()
        assert not os.path.exists(os.path.dirname(path))

    asyncio.run(main())


def test_a_line_without_end_ends_the_connection_only(runtime):
    def flood(path: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            try:
                connection.sendall(b"x" * 200_000)
                return connection.recv(1)
            except OSError:
                return b""

    async def main() -> None:
        server = control.ControlServer(refuse)
        path = await server.start()
        assert await in_thread(flood, path) == b""
        assert (await in_thread(talk, path, b'{"do": "x"}'))[0]["ok"] is False
        await server.close()

    asyncio.run(main())


def test_a_client_that_goes_away_cancels_its_order(runtime):
    async def main() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def slow(do: str, values: dict[str, Any]) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        server = control.ControlServer(slow)
        path = await server.start()
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"do": "hold"}\n')
        await begun.wait()
        writer.close()
        await asyncio.wait_for(cancelled.wait(), 5)
        await server.close()

    asyncio.run(main())


def test_ask_returns_refuses_and_survives_the_end(runtime):
    async def main() -> None:
        begun = asyncio.Event()

        async def handler(do: str, values: dict[str, Any]) -> Any:
            if do == "die":
                begun.set()
                await asyncio.Event().wait()
            if do == "refuse":
                raise LunetteError("no")
            if do == "break":
                raise KeyError("inside")
            return {"do": do, **values}

        with control.claim() as publish:
            server = control.ControlServer(handler)
            publish(running(await server.start()))
            assert await in_thread(control.ask, "say", {"wav": "x"}) == {"do": "say", "wav": "x"}
            with pytest.raises(LunetteError, match=r"^no$"):
                await in_thread(control.ask, "refuse")
            with pytest.raises(LunetteError, match="KeyError"):
                await in_thread(control.ask, "break")
            dying = in_thread(control.ask, "die")
            await begun.wait()
            await server.close()
            with pytest.raises(LunetteError, match="ended before it was done"):
                await dying
            with pytest.raises(LunetteError, match="no virtual glasses"):
                await in_thread(control.ask, "say")

    asyncio.run(main())


# --- the desk's orders and keys -----------------------------------------------------------------


class FakeSound:
    def say(self, pcm: Any, gain_db: float, place: Any) -> float:
        return asyncio.get_running_loop().time() + len(pcm) / 16000


class FakeBoard:
    parts = {"battery": {"empty_v": 3.3}}  # noqa: RUF012


class FakeGlasses:
    """Records what is done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.board = FakeBoard()
        self.powered = True
        self.sound = FakeSound()

    def button(self, name: str) -> dict[str, Any]:
        if name != "talk":
            raise LunetteError(f"no button {name!r}")
        return {}

    def press(self, name: str) -> None:
        self.done.append(("press", name))

    def release(self, name: str) -> None:
        self.done.append(("release", name))

    def battery(self, volts: float) -> None:
        self.done.append(("battery", volts))

    def usb(self, plugged: bool) -> None:
        self.done.append(("usb", plugged))

    def worn(self, on: bool) -> None:
        self.done.append(("worn", on))


def desk_with(glasses: FakeGlasses) -> Desk:
    from lunette.virtual.performer import Performer

    desk = Desk()
    desk._performer = Performer(glasses)  # type: ignore[arg-type]
    return desk


def test_every_order_of_the_command_line_is_one_the_desk_takes():
    commands = {info.name or info.callback.__name__ for info in sim.app.registered_commands}
    assert {name.replace("-", "_") for name in commands} - {"status", "quit"} == set(ACTIONS)


def test_orders_are_checked_as_in_scenes():
    async def main() -> None:
        glasses = FakeGlasses()
        desk = desk_with(glasses)
        for do, values, complaint in (
            ("fly", {}, "'fly' is none of"),
            ("write", {"characteristic": "x", "hex": ""}, "none of"),
            ("host_crash", {}, "none of"),
            ("stranger", {}, "none of"),
            ("press", {"finger": 1}, "unknown key finger"),
            ("press", {"button": "nose"}, "no button 'nose'"),
            ("hold", {}, "seconds is missing"),
            ("hold", {"seconds": 0}, "above 0"),
            ("battery", {"volts": "full"}, "wrong type"),
            ("usb", {"plugged": 1}, "wrong type"),
            ("usb", {}, "plugged is missing"),
            ("say", {"wav": "/nowhere.wav"}, "nowhere.wav"),
            ("say", {"text": "..."}, "nothing to say"),
        ):
            with pytest.raises(LunetteError, match=complaint):
                await desk.order(do, values)
        assert glasses.done == []
        await desk.order("tap", {})
        await desk.order("usb", {"plugged": False})
        await desk.order("worn", {"on": False})
        assert glasses.done == [("press", "talk"), ("release", "talk"), ("usb", False), ("worn", False)]
        assert desk.held == set()

    asyncio.run(main())


def test_say_ends_when_it_has_been_said(tmp_path):
    async def main() -> None:
        from lunette.audio_files import write_audio

        write_audio(tmp_path / "clip.wav", np.full(1600, 100, np.int16))
        desk, loop = desk_with(FakeGlasses()), asyncio.get_running_loop()
        start = loop.time()
        await desk.order("say", {"wav": str(tmp_path / "clip.wav")})
        assert loop.time() - start >= 0.1
        start = loop.time()
        saying = asyncio.ensure_future(desk.order("say", {"wav": str(tmp_path / "clip.wav"), "wait": False}))
        for _ in range(3):  # without waiting it needs no more than a turn of the loop
            await asyncio.sleep(0)
        assert saying.done()

    asyncio.run(main())


def test_a_cancelled_hold_lifts_the_finger():
    async def main() -> None:
        glasses = FakeGlasses()
        desk = desk_with(glasses)
        holding = asyncio.ensure_future(desk.order("hold", {"seconds": 1000}))
        while not glasses.done:
            await asyncio.sleep(0)
        assert desk.held == {"talk"}
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        assert glasses.done == [("press", "talk"), ("release", "talk")]
        assert desk.held == set()

    asyncio.run(main())


def test_keys_do_what_the_help_says():
    async def main() -> None:
        glasses, told = FakeGlasses(), []
        desk = desk_with(glasses)
        typist = sim.Typist(desk, told.append)

        async def type_(key: str) -> None:
            typist.on_key(key)
            while typist._jobs:
                await asyncio.sleep(0)

        await type_(" ")
        assert desk.held == {"talk"}
        await type_(" ")
        assert desk.held == set()
        for _ in range(2):
            await type_("b")
        assert [d[1] for d in glasses.done if d[0] == "battery"] == [3.32, 4.0]
        assert typist._order("p") == ("power_cut", {})
        glasses.powered = False
        assert typist._order("p") == ("power_on", {})
        assert typist._order("x") == ("drop", {})
        assert typist._order("t") == ("tap", {})
        assert typist._order("z") is None
        assert Path(typist._order("s")[1]["wav"]).is_file()
        await type_("?")
        assert len(told) == len(sim._HELP)
        assert not desk._stop.is_set()
        await type_("q")
        assert desk._stop.is_set()
        await typist.close()

    asyncio.run(main())


def test_key_help_fits_80_columns():
    assert len(sim.KEYS) <= 80


def test_keys_come_one_by_one_and_the_terminal_is_left_as_it_was():
    # In a process of its own, which can have a terminal of its own.
    code = (
        "import asyncio, sys\nfrom lunette.virtual.keys import keys\n"
        "async def main():\n"
        "    got, done = [], asyncio.Event()\n"
        "    def on_key(key):\n        got.append(key)\n        len(got) == 3 and done.set()\n"
        "    with keys(on_key) as active:\n"
        "        print('active', active, flush=True)\n        await done.wait()\n"
        "    print(''.join(got), flush=True)\n"
        "asyncio.run(main())\n"
    )
    child, master = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    try:
        before = termios.tcgetattr(master)
        output = b""
        while b"active True" not in output:
            output += os.read(master, 1000)
        during = termios.tcgetattr(master)
        assert not during[3] & (termios.ICANON | termios.ECHO)
        assert during[3] & termios.ISIG
        os.write(master, b"a b")
        while b"a b" not in output:
            output += os.read(master, 1000)
        _, code = os.waitpid(child, 0)
        assert code == 0
        assert termios.tcgetattr(master) == before
    finally:
        os.close(master)


def test_no_terminal_no_keys():
    async def main() -> None:
        reader, writer = os.pipe()
        with keys(lambda key: None, reader) as active:
            assert active is False
        os.close(reader)
        os.close(writer)

    asyncio.run(main())


def test_folder_of_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert common.folder(Path("~/a/b")) == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


# --- pairing ----------------------------------------------------------------------------------------


@pytest.fixture
def radio(monkeypatch: pytest.MonkeyPatch) -> Radio:
    """Glasses that a command finds, and that pair as with BlueZ."""
    radio = Radio(secure=True)
    monkeypatch.setattr(common, "backends", lambda virtual: radio.backends())
    return radio


def test_pairing_hosts_and_forgetting(lunette, radio):
    code, out, err = lunette("pair")
    assert (code, out) == (1, "") and one_line(err)
    assert "tap, then hold the button for 3 seconds until the light blinks" in err
    code, out, err = lunette("status")
    assert (code, out) == (1, "") and one_line(err) and "`lunette pair` within a minute" in err
    radio.pairing_mode = True
    assert lunette("pair") == (0, f"paired with {ADDRESS}\n", "")
    me, other = "AA:00:00:00:00:01", "BB:00:00:00:00:02"
    assert lunette("hosts") == (0, f"{me}  (this computer)\n{other}\n", "")
    code, out, _ = lunette("hosts", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"id": me, "me": True},
        {"id": other, "me": False},
    ]
    assert lunette("forget", other) == (0, f"forgot {other}\n", "")
    assert radio.encrypted
    assert lunette("forget") == (0, f"forgot {me}\n", "")
    assert (radio.bond_here, radio.bond_there) == (0, 0)
    assert lunette("pair")[0] == 0
    assert lunette("forget", "--all") == (0, f"forgot {me}\nforgot {other}\n", "")
    assert (radio.bond_here, radio.bond_there) == (0, 0)
    code, _, err = lunette("forget", me, "--all")
    assert code == 1 and one_line(err)
