"""`lunette deploy` over the console of virtual glasses: real littlefs and mpremote, the whole firmware where
it matters and a small one elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bench_glasses import LIMIT_S, Bench, glasses_with

from lunette import boards, cli, deploy, paths
from lunette.console import Gone, Prompt, Restarted, Silent
from lunette.deploy import layout, remote
from lunette.errors import LunetteError
from lunette.virtual.simulator import VirtualGlasses


class Desk:
    """Virtual glasses with nothing on them but what comes out of the flash tool, and the commands of a
    maker's computer."""

    def __init__(self, glasses: VirtualGlasses, port: str, printed: bytearray, firmware: Path | None):
        self.glasses, self.port, self.printed = glasses, port, printed
        self._firmware = ["--firmware", str(firmware)] if firmware else []

    async def deploy(self, *options: str, code: int = 0) -> str:
        """What `lunette deploy` says."""
        return await self.run("deploy", *self._firmware, *options, code=code)

    async def run(self, command: str, *options: str, code: int = 0) -> str:
        """What a command says: on standard output if it succeeds, on the other one if it must not."""
        out, err = io.StringIO(), io.StringIO()

        def work() -> int:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                return cli.run([command, "--port", self.port, *options])

        done = await asyncio.to_thread(work)
        assert done == code, (done, out.getvalue(), err.getvalue())
        return (err if code else out).getvalue()

    async def begin(self, *options: str) -> asyncio.subprocess.Process:
        """The command as a process of its own."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lunette", "deploy", "--port", self.port, *self._firmware, *options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )

    async def up(self) -> None:
        """Wait until they have said, since this was last asked, that they run."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LIMIT_S
        while not (said := re.search(rb"info +runtime .* start \d+", self.printed)):
            assert loop.time() < deadline, self.printed.decode()
            await asyncio.sleep(0.002)
        del self.printed[: said.end()]

    async def look(self, expression: str) -> Any:
        """The value of an expression on the glasses as they are."""

        def work() -> Any:
            with Prompt.open(self.port) as prompt:
                prompt.run("import glasses, os, sys")
                return prompt.ask(expression)

        return await asyncio.to_thread(work)

    async def mpremote(self, code: str) -> str:
        """What the code prints there, by mpremote, without a reset."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mpremote", "connect", self.port, "resume", "exec", code),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
        return out.decode().replace("\r\n", "\n")


@contextlib.asynccontextmanager
async def bare_desk(folder: Path, firmware: Path | None = None) -> AsyncIterator[Desk]:
    stock = {"boot.py": b"# This file is executed on every boot (including wake-boot)\n"}
    async with glasses_with(folder, stock, size_kb=2048) as (glasses, port, printed):
        yield Desk(glasses, port, printed, firmware)


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    """A maker's copy of the firmware."""
    return Path(shutil.copytree(paths.FIRMWARE, tmp_path / "mine"))


_SMALL = """
import time
from glasses.log import Log

_instance = None

def run():
    Log().info("runtime", "Small on virtual, start 1")
    while True:
        time.sleep_ms(20)
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A firmware of all kernels and a few files, that says it runs, and does nothing."""
    folder = tmp_path / "small"
    for kernels in ("dsp", "wakeword"):
        shutil.copytree(paths.FIRMWARE / "glasses" / kernels, folder / "glasses" / kernels)
    shutil.copy(paths.FIRMWARE / "glasses" / "log.py", folder / "glasses" / "log.py")
    (folder / "glasses" / "__init__.py").write_text(_SMALL)
    for number in range(6):
        (folder / "glasses" / f"text{number}.py").write_text(f"text = {'word ' * 1000!r}\n")
    (folder / "boot.py").write_text("import sys\n")
    (folder / "main.py").write_text("import glasses\n\nglasses.run()\n")
    return folder


def test_from_a_bare_board_to_running_glasses_and_on(tmp_path: Path, firmware: Path) -> None:
    async def scenario() -> None:
        async with bare_desk(tmp_path) as desk:
            said = await desk.deploy()
            files = len(list(paths.FIRMWARE.rglob("*.py"))) + 1  # board.py
            assert re.search(
                rf"version [0-9a-f]{{8}}: {files} files sent; \d{{6}} bytes in [\d.]+ s, verified", said
            )
            assert "the glasses run" in said
            look = "import glasses, sys; print(glasses.status()['running'], glasses.__file__, sys.path[0])"
            assert "True /firmware_a/glasses/__init__.mpy /firmware_a\n" in await desk.mpremote(look)
            # They start by themselves.
            desk.printed.clear()
            await desk.glasses.power_cut()
            await desk.glasses.power_on()
            await desk.up()
            assert await desk.look("glasses.status()['running']")

            # One file is changed, one is new, one goes: the rest does not travel.
            (firmware / "main.py").write_text(
                'print("mine")\nimport glasses\nimport glasses.added\nglasses.run()\n'
            )
            (firmware / "glasses" / "added.py").write_text("there = 1\n")
            shutil.rmtree(firmware / "glasses" / "compat")
            said = await desk.deploy("--firmware", str(firmware))
            assert f"2 files sent, {files - 3} copied there;" in said
            assert int(re.findall(r"(\d+) bytes", said)[0]) < 20000
            assert b"mine" in desk.printed
            assert await desk.look("[glasses.added.there, sys.path[0]]") == [1, "/firmware_b"]
            first = re.findall(r"before: version (\w+)", said)[0]

            assert f"version {first}" in await desk.deploy("--back")
            assert await desk.look("['glasses.added' in sys.modules, sys.path[0]]") == [False, "/firmware_a"]
            report = json.loads(await desk.deploy("--json"))
            assert report["id"] == first and report["switched"] is False and report["bytes"] == 0
            assert report["started_s"] > 0

    asyncio.run(scenario())


def test_sources_can_be_read_on_the_glasses(tmp_path: Path, small: Path) -> None:
    async def scenario() -> None:
        async with bare_desk(tmp_path, small) as desk:
            said = await desk.deploy("--source", "--no-start")
            assert "not started" in said
            await desk.deploy("--source")
            assert await desk.look("glasses.__file__") == "/firmware_a/glasses/__init__.py"
            shown = await desk.mpremote("print(open('/firmware_a/glasses/log.py').read())")
            assert shown.strip() == (paths.FIRMWARE / "glasses/log.py").read_text().strip()
            # From sources to compiled ones: nothing of the former may stay, it would be preferred.
            await desk.deploy()
            await desk.deploy("--back")
            await desk.deploy("--no-start")
            left = await desk.look("os.listdir('/firmware_b/glasses')")
            assert "log.mpy" in left and not any(name.endswith(".py") for name in left)

    asyncio.run(scenario())


def test_one_that_does_not_start_or_compile(tmp_path: Path, small: Path) -> None:
    async def scenario() -> None:
        async with bare_desk(tmp_path, small) as desk:
            await desk.deploy()
            whole = {name: (small / name).read_text() for name in ("main.py", "glasses/log.py")}
            (small / "main.py").write_text("import glasses\nglasses.nothing_of_the_kind()\n")
            said = await desk.deploy(code=1)
            assert "do not start" in said and "AttributeError" in said and "lunette deploy --back" in said
            assert "the glasses run" in await desk.deploy("--back")
            (small / "main.py").write_text(whole["main.py"])
            for name in whole:
                (small / name).write_text("def f(:\n")
                said = await desk.deploy(code=1)
                assert "does not compile" in said and name in said and "SyntaxError" in said
                (small / name).write_text(whole[name])
            # The glasses were stopped for it; on them nothing has changed.
            assert "is there already" in await desk.deploy()

    asyncio.run(scenario())


def test_watching(tmp_path: Path, small: Path) -> None:
    async def scenario() -> None:
        async with bare_desk(tmp_path, small) as desk:
            watch = await desk.begin("--watch")
            assert watch.stdout is not None
            out = watch.stdout

            async def until(text: str) -> None:
                while text not in (line := (await asyncio.wait_for(out.readline(), LIMIT_S)).decode()):
                    assert line, f"ended before it said {text!r}"

            try:
                await until("saving a file in")
                log = small / "glasses" / "log.py"
                log.write_text(log.read_text() + "\nprint('saved once')\n")
                await until("1 files sent")
                await until("saved once")
                await until("saving a file in")
                (small / "main.py").write_text("def f(:\n")
                await until("waiting for the next save")
                (small / "main.py").write_text("import glasses\nprint('again')\nglasses.run()\n")
                await until("again")
                await until("saving a file in")
                watch.send_signal(signal.SIGINT)
                assert await asyncio.wait_for(watch.wait(), LIMIT_S) == 130
            finally:
                if watch.returncode is None:
                    watch.kill()
                await watch.wait()

    asyncio.run(scenario())


def test_the_doctor_looks_at_what_was_deployed_and_not_at_what_ran(tmp_path: Path, small: Path) -> None:
    async def scenario() -> None:
        async with bare_desk(tmp_path, small) as desk:
            for source, form in ((True, "source"), (False, ".mpy"), (True, "source")):
                await desk.deploy("--no-start", *(["--source"] if source else []))
                found = json.loads(await desk.run("doctor", "--only", "files,kernels", "--json"))
                results = {finding["check"]: finding for finding in found}
                assert results["kernels"]["result"] == "ok" and results["files"]["result"] != "failed", found
                assert results["kernels"]["data"]["form"] == form

    asyncio.run(scenario())


# --- the cable is pulled ------------------------------------------------------------------------------


class _At(deploy.Progress):
    """Calls `act` when so many bytes have been sent."""

    def __init__(self, count: int, act: Any):
        self._left, self._act = count, act

    def step(self, count: int) -> None:
        self._left -= count
        if self._left <= 0 < self._left + count:
            self._act()


def test_power_lost_midway(tmp_path: Path, small: Path) -> None:
    """What was there starts again, and deploying once more goes on from where it was."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        files: dict[str, Path | bytes] = {"boot.py": b"", "main.py": b"print('old app')\n"}
        async with Bench(tmp_path, files, size_kb=1024) as bench:
            port = f"socket://127.0.0.1:{bench.port}"

            def work(at: int) -> deploy.Result:
                def cut() -> None:
                    asyncio.run_coroutine_threadsafe(bench.glasses.hard_reset(), loop).result()

                with Prompt.open(port) as prompt:
                    return deploy.deploy(prompt, "virtual", firmware=small, progress=_At(at, cut))[1]

            await bench.printed("old app")
            bench.output.clear()
            sent = []
            for at in (100, 15000, 25000):
                with pytest.raises((Restarted, Silent)):
                    await asyncio.to_thread(work, at)
                await bench.printed("old app")
            result = await asyncio.to_thread(work, 1 << 30)
            sent.append(result.sent)
            assert result.switched and result.kept > 5, "what had arrived was sent once more"
            boot = await bench.mpremote("resume", "exec", "print(open('/boot.py').read())")
            assert layout.chosen(boot.encode()) == "/firmware_a"

    asyncio.run(scenario())


def test_the_computers_end_is_killed(tmp_path: Path, small: Path) -> None:
    async def scenario() -> None:
        async with bare_desk(tmp_path, small) as desk:
            await desk.deploy()
            running = await desk.begin("--source")
            assert running.stderr is not None
            while b"sending" not in await asyncio.wait_for(running.stderr.readline(), LIMIT_S):
                pass
            running.kill()
            await running.communicate()
            desk.printed.clear()
            await desk.glasses.hard_reset()
            await desk.up()
            assert await desk.look("sys.path[0]") == "/firmware_a"
            assert "the glasses run" in await desk.deploy("--source")

    asyncio.run(scenario())


def test_left_alone_they_start_again(tmp_path: Path, small: Path) -> None:
    """The cable is pulled while a battery feeds them: nobody would come to press their reset button."""

    async def scenario() -> None:
        async with bare_desk(tmp_path, small) as desk:
            await desk.deploy()
            desk.printed.clear()

            def begin() -> None:
                prompt = Prompt.open(desk.port)
                prompt.soft_reset()
                program = (Path(deploy.__file__).parent / "on_glasses.py").read_text()
                prompt.run(re.sub("_LONELY_MS = .*", "_LONELY_MS = 50", program) + "\nalive()\n")

            await asyncio.to_thread(begin)
            await desk.up()

    asyncio.run(scenario())


def test_a_port_that_goes_away(tmp_path: Path, small: Path) -> None:
    async def scenario() -> None:
        async with Bench(tmp_path, {}, size_kb=1024) as bench:

            def work() -> None:
                with Prompt.open(f"socket://127.0.0.1:{bench.port}") as prompt:

                    def unplug() -> None:
                        prompt._transport.serial._socket.shutdown(2)

                    deploy.deploy(prompt, "virtual", firmware=small, progress=_At(10000, unplug))

            with pytest.raises(Gone, match="plug the glasses in again and repeat the command"):
                await asyncio.to_thread(work)

    asyncio.run(scenario())


class _Cable:
    """Between computer and glasses: after so many bytes towards one end it loses one, or adds some."""

    def __init__(self, port: int, towards: str, at: int, noise: bytes = b""):
        self._port, self._towards, self._left, self._noise = port, towards, at, noise
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        return f"socket://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        glasses_reader, glasses_writer = await asyncio.open_connection("127.0.0.1", self._port)
        for source, target, towards in (
            (reader, glasses_writer, "glasses"),
            (glasses_reader, writer, "computer"),
        ):
            self._tasks.append(asyncio.ensure_future(self._carry(source, target, towards == self._towards)))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, bad: bool) -> None:
        try:
            while data := await source.read(4096):
                if bad and 0 <= self._left < len(data):
                    data = data[: self._left] + self._noise + data[self._left + (not self._noise) :]
                    self._left = -1
                elif bad:
                    self._left -= len(data)
                target.write(data)
                await target.drain()
        finally:
            target.close()


@pytest.mark.parametrize(
    ("towards", "at", "noise"),
    [
        ("glasses", 9000, b""),
        ("glasses", 20001, b"\x00\xff"),
        ("computer", 900, b""),
        ("computer", 1500, b"\x04!"),
    ],
)
def test_a_cable_that_loses_or_adds_bytes(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, towards: str, at: int, noise: bytes
) -> None:
    """It fails with words, soon, or succeeds whole; and the next time with a good cable it does."""

    async def scenario() -> None:
        files: dict[str, Path | bytes] = {"boot.py": b"", "main.py": b"print('old app')\n"}
        async with Bench(tmp_path, files, size_kb=1024) as bench:

            def work(port: str) -> deploy.Result:
                with Prompt.open(port) as prompt:
                    return deploy.deploy(prompt, "virtual", firmware=small)[1]

            with contextlib.suppress(LunetteError), monkeypatch.context() as impatient:
                impatient.setattr(remote, "_PROGRAM_S", 2.0)
                impatient.setattr(remote, "_WALK_S", 2.0)
                impatient.setattr(remote.Remote._run, "__defaults__", (1.0,))
                async with _Cable(bench.port, towards, at, noise) as port:
                    await asyncio.to_thread(work, port)
            boot = (await bench.mpremote("resume", "exec", "print(open('/boot.py').read())")).encode()
            main = await bench.mpremote("resume", "exec", "print(open('/main.py').read())")
            assert (layout.chosen(boot) is not None) or "old app" in main
            result = await asyncio.to_thread(work, f"socket://127.0.0.1:{bench.port}")
            assert result.kept + result.sent + result.copied == len(
                deploy.build(*_BUILD, firmware=small).files
            )

    asyncio.run(scenario())


_BUILD = (boards.load("virtual"), "x64", (1, 29, 0))
