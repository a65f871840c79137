"""The `lunette` command as people run it: processes, terminals, signals, and nothing left behind."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lunette import paths
from lunette.codecs import read_wav, write_wav
from lunette.errors import LunetteError
from lunette.virtual import control

LUNETTE = [sys.executable, "-m", "lunette"]
PATIENCE_S = 40


def environment(runtime: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LUNETTE_") or k == "LUNETTE_MICROPYTHON"}
    return {**kept, "LUNETTE_RUNTIME": str(runtime), "TERM": "xterm-256color"}


def lunette(runtime: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LUNETTE, *arguments],
        env=environment(runtime),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def mpremote(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mpremote", "connect", f"socket://127.0.0.1:{port}", "resume"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=PATIENCE_S)


def children(pid: int) -> list[int]:
    """Processes started by a process, and by those."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found + [grandchild for child in found for grandchild in children(child)]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


class Sim:
    """A running `lunette sim`, piped; `lines` is what it has printed until the firmware was up."""

    def __init__(self, runtime: Path, *arguments: str):
        self.runtime = runtime
        self.process = subprocess.Popen(
            [*LUNETTE, "sim", *arguments],
            env=environment(runtime),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "Lunette on virtual" in line:  # the firmware's own greeting
                return
        raise AssertionError(f"sim ended: {self.process.stderr.read() if self.process.stderr else ''}")

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`lunette sim ARGUMENTS`, which must succeed."""
        done = lunette(self.runtime, "sim", *arguments)
        assert done.returncode == 0, done.stderr
        return done

    def order(self, do: str, **values: Any) -> Any:
        """As that, without a process of its own."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LUNETTE_RUNTIME", str(self.runtime))
            return control.ask(do, values)

    def end(self) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.communicate()
        return self.process.returncode, out, err


@pytest.fixture
def start() -> Iterator[Callable[..., Sim]]:
    """Starts simulators; none outlives the test."""
    sims: list[Sim] = []

    def start(runtime: Path, *arguments: str) -> Sim:
        sims.append(Sim(runtime, *arguments))
        return sims[-1]

    yield start
    for sim in sims:
        if sim.process.poll() is None:
            sim.process.kill()
            sim.process.communicate()


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
    assert f"LUNETTE_AIR={info['air']} PYTHONPATH={paths.BLEAK_ENV}" in text
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
    clip = read_wav(paths.DATA / "speech.wav")[16000 : 16000 + 12000]
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
        write_wav(tmp_path / "clip.wav", clip)
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
    pcm = read_wav(recorded["path"])
    assert len(pcm) == recorded["frames"] * 320
    # What was said is in it: the coder's noise is some 20 dB below.
    lag = find(clip, pcm)
    heard = pcm[lag : lag + len(clip)].astype(float)
    assert np.sum((heard - clip) ** 2) < 0.03 * np.sum(clip.astype(float) ** 2)


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


@pytest.mark.parametrize("how", ["quit", "SIGINT", "SIGKILL"])
def test_however_it_ends_nothing_is_left(start, tmp_path, how):
    sim = start(tmp_path)
    family = children(sim.process.pid)
    assert family, "the interpreter should be running"
    held = Path(f"/proc/{family[-1]}/environ").read_bytes().split(b"\0")
    flash = next(Path(e.partition(b"=")[2].decode()) for e in held if e.startswith(b"LUNETTE_FLASH="))
    assert flash.exists()
    if how == "quit":
        sim("quit")
    else:
        sim.process.send_signal(getattr(signal, how))
    code, _, err = sim.end()
    if how == "SIGKILL":
        assert code == -signal.SIGKILL
        for pid in family:
            while alive(pid):  # the kernel has told it; the test's timeout is the limit
                os.sched_yield()
        # What is left of it is in nobody's way.
        assert lunette(tmp_path, "sim", "status").stderr.startswith("lunette: no virtual glasses are running")
        return
    assert (code, err) == ({"quit": 0, "SIGINT": 130}[how], "")
    assert not any(alive(pid) for pid in family)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sim.lock"]
    assert not flash.parent.exists()


def test_a_flash_image_is_kept(start, tmp_path):
    image = tmp_path / "my.img"
    for expected in ("create", "keep"):
        sim = start(tmp_path / "run", "--flash", str(image))
        port = sim.order("status")["repl_port"]
        look = "import os; print('kept' in os.listdir())"
        code = "open('kept', 'w').close()" if expected == "create" else look
        done = mpremote(port, "exec", code)
        assert done.returncode == 0, done.stdout + done.stderr
        sim.order("quit")
        assert sim.end()[0] == 0
    assert done.stdout.strip() == "True"


def test_keys_on_a_terminal(tmp_path):
    child, master = pty.fork()
    if child == 0:
        os.execve(sys.executable, [*LUNETTE, "sim"], environment(tmp_path))
    try:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        seen = ""

        def until(text: str) -> None:
            nonlocal seen
            while text not in seen:
                seen += os.read(master, 4096).decode(errors="replace")
            seen = seen.partition(text)[2]

        until("LUNETTE_AIR=")
        until("Lunette on virtual")  # the firmware's own greeting
        os.write(master, b" ")
        until("● button")
        until("● light")
        os.write(master, b" ")
        until("○ light")
        os.write(master, b"?")
        until("cut the power")
        os.write(master, b"q")
        while True:
            try:
                if not os.read(master, 4096):
                    break
            except OSError:  # the terminal has no other end any more
                break
        _, code = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(code) == 0
    finally:
        os.close(master)


# --- scenes and the demo ------------------------------------------------------------------------


def test_a_scene_runs_headless_to_its_report(tmp_path):
    (tmp_path / "short.toml").write_text(
        "duration_s = 2.0\n"
        '[[at]]\nt = 0.1\ndo = "hold"\nseconds = 1.2\n'
        f'[[at]]\nt = 0.2\ndo = "say"\nwav = "{paths.DATA / "speech.wav"}"\n'
    )
    path = tmp_path / "report.json"
    done = lunette(tmp_path / "run", "sim", "--scene", str(tmp_path / "short.toml"), "--report", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and "\x1b" not in done.stderr
    report = json.loads(path.read_text())
    for key in ("recordings", "events", "link", "latency_ms", "counters", "heap", "states", "errors"):
        assert key in report
    (recording,) = report["recordings"]
    assert recording["lost"] == 0 and recording["crc_ok"] is True
    assert recording["duration_s"] == pytest.approx(1.2, abs=0.06)
    wav = Path(recording["wav"])
    assert wav.is_absolute() and wav.parent == tmp_path / "report_recordings"
    assert len(read_wav(wav)) == recording["frames"] * 320
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".new" or p.name == ".partial"]


def test_an_interrupted_scene_leaves_no_report(tmp_path):
    path = tmp_path / "report.json"
    process = subprocess.Popen(
        [*LUNETTE, "sim", "--scene", str(paths.DATA / "drop.toml"), "--report", str(path)],
        env=environment(tmp_path / "run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "light on" in line:
            break
    family = children(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and out == ""
    assert "Traceback" not in err and "lunette:" not in err
    assert not path.exists()
    assert family and not any(alive(pid) for pid in family)


def test_the_demo_leaves_everything_it_promises(tmp_path):
    done = lunette(tmp_path / "run", "demo", "--out", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "" and "\x1b" not in done.stdout
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {"recording.wav", "waveform.png", "report.json"}
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    (recording,) = report["recordings"]
    assert recording["lost"] == 0 and recording["crc_ok"] is True and report["errors"] == []
    assert recording["wav"] == str(tmp_path / "demo" / "recording.wav")
    pcm = read_wav(recording["wav"])
    assert len(pcm) == recording["frames"] * 320
    assert abs(len(pcm) / 16000 - 6.1) <= 0.06
    assert_is_the_clip(pcm, read_wav(paths.DATA / "speech.wav"))
    for words in ("0 lost, CRC ok", "ms (median)", "dB signal to noise", "recording.wav", "waveform.png"):
        assert words in done.stdout


def find(clip: np.ndarray, pcm: np.ndarray) -> int:
    """Where in `pcm` the clip is, by correlation."""
    size = 1 << 19
    spectrum = np.fft.rfft(pcm.astype(float), size) * np.conj(np.fft.rfft(clip.astype(float), size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(pcm) - len(clip) + 1]))


def assert_is_the_clip(pcm: np.ndarray, clip: np.ndarray) -> None:
    """The recording holds the clip, bit for bit as an independent IMA ADPCM codec makes it."""
    audioop = pytest.importorskip("audioop")
    power = np.sum(clip.astype(float) ** 2)
    lag = find(clip, pcm)
    padded = np.zeros(len(pcm), np.int16)
    padded[lag : lag + len(clip)] = clip
    state = None
    reference = b""
    for at in range(0, len(padded), 320):
        before = state or (0, 0)
        coded, state = audioop.lin2adpcm(padded[at : at + 320].tobytes(), 2, state)
        decoded, _ = audioop.adpcm2lin(coded, 2, before)
        reference += decoded
    assert np.array_equal(np.frombuffer(reference, np.int16), pcm)
    assert np.sum((padded.astype(float) - pcm) ** 2) < 0.01 * power
