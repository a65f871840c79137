"""The doctor on virtual glasses: real MicroPython, real files, and faults in the simulated chip."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench_glasses import LIMIT_S, glasses_with
from commands import LUNETTE, Sim, environment, lunette
from serial.urlhandler import protocol_socket

from lunette import boards, cli, deploy, doctor, paths
from lunette.console import Prompt
from lunette.doctor import Finding, State, microphone, pdm_microphone
from lunette.doctor import button as button_check
from lunette.doctor import light as light_check
from lunette.doctor.kernels.registry import kernels
from lunette.virtual.simulator import VirtualGlasses, firmware_files


async def until(done: Callable[[], bool], printed: bytearray) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIMIT_S
    while not done():
        assert loop.time() < deadline, printed.decode(errors="replace")
        await asyncio.sleep(0.002)


async def command(port: str, only: str, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """What `lunette doctor` says, by check."""
    out = io.StringIO()

    def work() -> int:
        with contextlib.redirect_stdout(out):
            return cli.run(["doctor", "--port", port, "--only", only, "--json", *options])

    assert await asyncio.to_thread(work) == code, out.getvalue()
    return {result["check"]: result for result in json.loads(out.getvalue())}


async def on_glasses(port: str, code: str) -> None:
    def work() -> None:
        with Prompt.open(port) as prompt:
            prompt.run(code, 30)

    await asyncio.to_thread(work)


def without_app(board: str) -> dict[str, Any]:
    """A plain copy of the firmware that ends at its prompt."""
    files = firmware_files(boards.load(board))
    files["boot.py"] = b""
    files["main.py"] = b""
    return files


# --- files and kernels ---------------------------------------------------------------------------


def test_after_a_deploy_without_a_start(tmp_path: Path) -> None:
    checks = "chip,image,memory,files,kernels"

    def put() -> None:
        with Prompt.open(port) as prompt:
            deploy.deploy(prompt, "virtual")

    async def scenario() -> None:
        nonlocal port
        async with glasses_with(tmp_path, {}) as (_, port, printed):
            await asyncio.to_thread(put)
            boots = printed.count(b"soft reboot")
            found = await command(port, checks)
            assert {name: result["result"] for name, result in found.items()} == dict.fromkeys(
                ("prompt", *checks.split(",")), "ok"
            )
            assert found["files"]["data"]["base"] == "/firmware_a"
            assert found["files"]["data"]["files"] == len(list(paths.FIRMWARE.rglob("*.py"))) + 1
            rows = found["kernels"]["data"]["kernels"]
            assert all(row["form"].endswith(".mpy") and row["us"] >= 0 for row in rows.values())
            assert list(rows) == [kernel.full for kernel in kernels()]

            # Each of two kernels wrong in its own way, and one that is good, from source.
            text = (paths.FIRMWARE / "glasses" / "dsp" / "pcm.py").read_text()
            wrong = text.replace("top = sample", "top = sample & 0x7FFE")
            assert wrong.count("0x7FFE") == 1
            stray = (paths.FIRMWARE / "glasses" / "dsp" / "i2s.py").read_text()
            stray = stray.replace("pcm[3] = word", "pcm[4] = word")
            assert stray.count("pcm[4]") == 1
            await on_glasses(
                port,
                f"with open('/firmware_a/glasses/dsp/pcm.py', 'w') as file: file.write({wrong!r})\n"
                f"with open('/firmware_a/glasses/dsp/i2s.py', 'w') as file: file.write({stray!r})\n"
                "with open('/firmware_a/glasses/bus.mpy', 'a') as file: file.write('x')\n"
                "import os\n"
                "os.remove('/main.py')",
            )
            found = await command(port, checks, code=1)
            assert found["kernels"]["result"] == "failed"
            rows = found["kernels"]["data"]["kernels"]
            assert {name for name, row in rows.items() if "wrong" in row or "stray" in row} == {
                "pcm.peak",
                "i2s.pick",
            }
            assert "i2s.pick, compiled on the chip, writes beside" in found["kernels"]["finding"]
            assert rows["pcm.copy"]["form"].endswith("pcm.py")
            assert found["files"]["data"]["wrong"] == ["glasses/bus.mpy"]
            assert "main.py is missing" in found["files"]["finding"]

            # No room for a kilobyte.
            await on_glasses(
                port,
                "import os\nn = 0\ntry:\n while True:\n"
                "  with open('/full%d' % n, 'wb') as file:\n"
                "   free = os.statvfs('/')[3]\n"
                "   for _ in range(free - 12 if 12 < free < 512 else 1): file.write(bytes(4096))\n"
                "  n += 1\nexcept OSError: pass",
            )
            found = await command(port, "files", code=1)
            assert "the flash is full" in found["files"]["finding"], found
            assert printed.count(b"soft reboot") == boots  # nothing was reset by any of it

    port = ""
    asyncio.run(scenario())


def test_bare_micropython(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with glasses_with(tmp_path, {}) as (_, port, _):
            found = await command(port, "chip,memory,files,kernels,light", code=1)
            assert found["chip"]["result"] == found["memory"]["result"] == "ok"
            assert "there is no firmware" in found["files"]["finding"]
            assert "no kernels on the glasses (ImportError" in found["kernels"]["finding"]
            assert found["light"]["result"] == "skipped"
            named = await command(port, "light", "--board", "xiao_esp32s3_sense")
            assert named["light"]["data"]["gpio"] == 2

    asyncio.run(scenario())


# --- parts ---------------------------------------------------------------------------------------


class Finger:
    """Somebody who does what is told, or not."""

    there = True

    def __init__(self, loop: asyncio.AbstractEventLoop, glasses: VirtualGlasses, sees: bool = True):
        self._loop, self._glasses, self._sees = loop, glasses, sees
        self.asked: list[str] = []
        self.idle = False

    def tell(self, text: str) -> None:
        self.asked.append(text)
        if not self.idle and "talk" in text:
            do = self._glasses.press if text.startswith("press") else self._glasses.release
            self._loop.call_soon_threadsafe(do)

    def yes(self, question: str) -> bool:
        self.asked.append(question)
        return self._sees


BOARD = "xiao_esp32s3_sense"


class Fault:
    """What the microphone's wires deliver, in place of what they should."""

    def __init__(self, glasses: VirtualGlasses):
        self._i2s: Any = glasses.chip.i2s
        self._good = self._i2s.capture

    def __call__(self, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> None:
        self._i2s.capture = lambda session, pieces: (
            change(np.frombuffer(self._good(session, pieces), "<i4").copy()).astype("<i4").tobytes()
        )

    def channel(self, name: str) -> None:
        self._i2s.capture = self._good
        self._i2s.channel = name


def test_broken_wires_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # pyserial waits 0.3 s after it has closed a socket.
    monkeypatch.setattr(protocol_socket, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(microphone, "_KEEP", 4)
    monkeypatch.setattr(microphone, "_SKIP", 1)
    monkeypatch.setattr(pdm_microphone, "_KEEP", 4)
    monkeypatch.setattr(light_check, "_MS", 5)
    monkeypatch.setattr(button_check, "_PRESS_S", 0.2)
    monkeypatch.setattr(button_check, "_RELEASE_S", 0.2)

    async def scenario() -> None:
        async with glasses_with(tmp_path, without_app(BOARD), BOARD) as (glasses, port, _):
            person = Finger(asyncio.get_running_loop(), glasses)

            async def look(only: str, alone: bool = False) -> Finding:
                patient = doctor.Patient(port=port, person=doctor.Nobody() if alone else person)
                results = await asyncio.to_thread(doctor.examine, doctor.chosen(only), patient)
                return results[-1].finding

            async def broken(only: str, text: str, todo: str) -> None:
                found = await look(only)
                assert found.state is State.failed, found
                assert text in found.text and todo in found.todo, found

            # the light
            levels: list[int] = []
            glasses.chip.pins.watch(lambda pin, level, t: levels.append(level) if pin == 2 else None)
            assert (await look("light")).text == "it blinks, on GPIO2 (D1)"
            assert levels == [1, 0] * 8
            person._sees = False
            await broken("light", "it does not blink", "check the wire of GPIO2 (D1)")
            assert (await look("light", alone=True)).state is State.ok

            # the button
            found = await look("button")
            assert found.text == "talk on GPIO1 (D0) is pressed and released", person.asked
            person.idle = True
            await broken("button", "talk was never pressed: GPIO1 (D0) stays high", "wires from GPIO1 (D0)")
            glasses.chip.pins.drive(1, 0)
            await broken("button", "talk is always pressed: GPIO1 (D0) stays low", "connected to GND")
            assert (await look("button", alone=True)).state is State.failed
            glasses.chip.pins.drive(1, None)
            assert "nobody was asked" in (await look("button", alone=True)).text

            # the microphone
            wires = Fault(glasses)
            level = await look("mic")
            assert level.state is State.ok and level.data["level_db"] < -80, level
            glasses.sound.noise("white", -60)
            light = glasses.chip.pins.watch(lambda pin, level, t: levels.append(level) if pin == 2 else None)
            levels.clear()
            found = await look("mic")
            light()
            assert found.state is State.ok and -63 < found.data["level_db"] < -58, found
            assert abs(found.data["ones"] - 0.5) < 0.01 and found.data["shaped_db"] < -25
            assert levels[:2] == [1, 1] and levels[-1] == 0  # it is lit while it captures
            plugged = "is the board that it sits on plugged in"
            glasses.chip.i2s.microphone().break_("dead")
            await broken("mic", "only zeros come: nothing drives DATA (GPIO41)", plugged)
            glasses.chip.i2s.microphone().break_("stuck")
            await broken("mic", "only ones come: DATA (GPIO41) floats", plugged)
            glasses.chip.i2s.microphone().break_("none")
            wires(lambda x: np.full_like(x, 0x55555555))
            await broken("mic", "the same bits come again and again (0x55555555)", plugged)
            noise = np.random.default_rng(1)
            wires(lambda x: noise.integers(-(2**31), 2**31, len(x)))
            await broken("mic", "the bits are nobody's", "DATA (GPIO41) and CLOCK (GPIO42) exchanged")
            wires(lambda x: x)
            glasses.sound.say(np.full(60 * 16000, 13000, np.int16))
            await broken("mic", "70% of the bits are ones: in silence it is a half", plugged)

            # the cell and USB
            assert (await look("battery")).text == "4.00 V on GPIO4 (D3)"
            glasses.battery(0)
            await broken("battery", "0.00 V: no cell, or GPIO4 (D3) does not see it", "the cell's plus")
            glasses.chip.analog.volts[4] = 3.0
            await broken("battery", "6.00 V, more than a full cell has", "resistor from GPIO4 (D3) to GND")
            glasses.usb(False)
            assert "says that USB is out" in (await look("usb")).text

    asyncio.run(scenario())


def test_broken_wires_of_an_i2s_microphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_socket, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(microphone, "_KEEP", 4)
    monkeypatch.setattr(microphone, "_SKIP", 1)

    async def scenario() -> None:
        board = "xiao_esp32c3"
        async with glasses_with(tmp_path, without_app(board), board) as (glasses, port, _):

            async def look(only: str) -> Finding:
                results = await asyncio.to_thread(
                    doctor.examine, doctor.chosen(only), doctor.Patient(port=port)
                )
                return results[-1].finding

            async def broken(only: str, text: str, todo: str) -> None:
                found = await look(only)
                assert found.state is State.failed, found
                assert text in found.text and todo in found.todo, found

            wires = Fault(glasses)
            await broken("mic", "only zeros come: SD (GPIO7, D5) is not connected", "wire of SD (GPIO7, D5)")
            glasses.sound.noise("white", -60)
            found = await look("mic")
            assert found.state is State.ok and -62 < found.data["level_db"] < -58, found
            wires.channel("right")
            await broken("mic", "talks in the right channel", "L/R (SEL) is high or open: connect it to GND")
            wires.channel("both")
            await broken("mic", "both channels carry the same", "wire of WS (GPIO21, D6)")
            wires.channel("left")
            wires(lambda x: np.full_like(x, -1))
            await broken("mic", "only ones come: SD (GPIO7, D5)", "bridge of solder to 3V3")
            wires(lambda x: np.full_like(x, 0x5555))
            await broken("mic", "the same value comes again and again (0x00005555)", "SCK (GPIO6, D4)")
            wires(lambda x: x & ~(1 << 18))
            await broken("mic", "bits that never change: 18", "SD (GPIO7, D5)")
            noise = np.random.default_rng(1)
            wires(lambda x: noise.integers(-(2**31), 2**31, len(x)))
            await broken("mic", "the bits are garbled", "may be exchanged")
            wires(lambda x: x + (1 << 29))
            await broken("mic", "the signal stands at +25% of full scale", "loses bits")

    asyncio.run(scenario())


def test_glasses_that_run_are_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        files = firmware_files(boards.load("virtual"))
        async with glasses_with(tmp_path, files) as (_, port, printed):

            def up() -> bool:
                return b"info    runtime" in printed and b"start " in printed

            await until(up, printed)
            found = await command(port, "chip,memory,files")
            assert found["memory"]["data"]["running"] is True
            assert "the glasses run and go on" in found["prompt"]["finding"]
            assert b"soft reboot" not in printed  # they were not disturbed
            printed.clear()
            found = await command(port, "light,kernels")
            assert found["light"]["result"] == "ok"
            await until(up, printed)
            assert printed.count(b"soft reboot") == 2  # stopped, and started

    asyncio.run(scenario())


# --- the air -------------------------------------------------------------------------------------


def at_a_terminal(sim: Sim, *arguments: str) -> str:
    """What `lunette doctor` shows to somebody who sees the light, and presses the button when told."""
    child, master = pty.fork()
    if child == 0:
        os.execve(sys.executable, [*LUNETTE, "--virtual", "doctor", *arguments], environment(sim.runtime))
    seen, answered = "", 0
    steps = [
        ("Did the light blink?", lambda: os.write(master, b"y\r")),
        ("press the button talk (", lambda: sim.order("press", button="talk")),
        ("let go of the button talk (", lambda: sim.order("release", button="talk")),
    ]
    with contextlib.suppress(OSError):  # the terminal has no other end any more
        while data := os.read(master, 4096):
            seen += data.decode(errors="replace")
            while answered < len(steps) and steps[answered][0] in seen:
                seen = seen.partition(steps[answered][0])[2]
                steps[answered][1]()
                answered += 1
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, seen
    assert answered == len(steps), seen
    return seen


def test_on_the_virtual_air(tmp_path: Path) -> None:
    sim = Sim(tmp_path)
    try:
        seen = at_a_terminal(sim, "--only", "light,button")
        assert "talk on GPIO1 is pressed and released" in seen and "3 ok" in seen
        done = lunette(
            tmp_path, "--virtual", "doctor", "--only", "bluetooth,virtual,time,mic,radio", "--json"
        )
        found = {result["check"]: result for result in json.loads(done.stdout)}
        assert done.returncode == 0, found
        assert found["bluetooth"]["result"] == "skipped" and "running" in found["virtual"]["finding"]
        assert found["time"]["result"] == "ok" and abs(found["time"]["data"]["drift"]) < 0.01
        assert found["mic"]["result"] == "warning" and "virtual microphones" in found["mic"]["finding"]
        assert found["radio"]["result"] == "ok" and found["radio"]["data"]["rssi"] < 0
    finally:
        sim.order("quit")
        sim.end()
