"""Virtual glasses on the bench of a test: a flash image, a supervisor, its output, and real mpremote."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from lunette.virtual import flash, process
from lunette.virtual.air import Air
from lunette.virtual.simulator import VirtualGlasses
from lunette.virtual.supervisor import Supervisor

LIMIT_S = 20.0  # of any wait: far more than needed, so reaching it is the failure
_blank: dict[int, bytes] = {}


def make_image(path: Path, files: Mapping[str, Path | bytes], size_kb: int = 256) -> Path:
    """A flash image with `files`; the empty file system is made once a test run."""
    if size_kb not in _blank:
        flash.create(path, size_kb)
        _blank[size_kb] = path.read_bytes()
    path.write_bytes(_blank[size_kb])
    if files:
        flash.install(path, files)
    return path


def wait_gone(pid: int) -> bool:
    """Wait for a process that is nobody's child here to end; False if it does not."""
    deadline = time.monotonic() + LIMIT_S
    while process.state(pid) is not process.State.GONE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


class Bench:
    """`async with Bench(tmp_path, {"main.py": b"..."}) as bench`: powered on when entered."""

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, Path | bytes] | None = None,
        *,
        size_kb: int = 256,
        **options: Any,
    ):
        self.image = make_image(folder / "flash.img", files or {}, size_kb)
        self.output = bytearray()
        self.exits: list[str] = []
        self._changed = asyncio.Event()
        options.setdefault("on_exit", self.exits.append)
        self.glasses = Supervisor(self.image, on_output=self._printed, **options)
        self.port = 0

    async def __aenter__(self) -> Bench:
        self.port = await self.glasses.serve_repl()
        await self.glasses.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        pid = self.glasses.pid
        await self.glasses.close()
        assert pid is None or process.state(pid) is process.State.GONE

    def _printed(self, data: bytes) -> None:
        self.output += data
        self._changed.set()

    async def until(self, done: Callable[[], bool], what: str = "") -> None:
        """Wait until done(); it is asked after every output and every millisecond."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LIMIT_S
        while not done():
            assert loop.time() < deadline, f"never: {what}\n{self.output.decode(errors='replace')}"
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.001)

    async def printed(self, text: str) -> str:
        """Wait for `text` in the output; returns the output up to it and forgets that part."""
        data = text.encode()
        await self.until(lambda: data in self.output, f"printed {text!r}")
        end = self.output.index(data) + len(data)
        head = self.output[:end].decode(errors="replace")
        del self.output[:end]
        return head

    async def type(self, keys: str) -> None:
        await self.glasses.console_write(keys.encode("latin-1"))

    async def ask(self, line: str) -> str:
        """Type one line at the friendly prompt; returns what it printed."""
        await self.until(lambda: self.glasses.reading_input, "prompt")
        self.output.clear()
        await self.type(line + "\r")
        await self.printed(line + "\r\n")
        return (await self.printed(">>> "))[: -len(">>> ")]

    async def mpremote(self, *arguments: str, device: str | None = None, fails: bool = False) -> str:
        """Run real mpremote on the glasses; returns what it printed."""
        runner = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mpremote",
            "connect",
            device or f"socket://127.0.0.1:{self.port}",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            out, _ = await asyncio.wait_for(runner.communicate(), LIMIT_S)
        except BaseException:
            runner.kill()
            await runner.wait()
            raise
        text = out.decode().replace("\r\n", "\n")
        assert (runner.returncode != 0) == fails, f"mpremote {arguments}: {runner.returncode}\n{text}"
        return text


@contextlib.asynccontextmanager
async def glasses_with(
    folder: Path, files: dict[str, Any], board: str = "virtual", size_kb: int = 2048
) -> AsyncIterator[tuple[VirtualGlasses, str, bytearray]]:
    """Powered on; (them, their port, what they print)."""
    image = folder / "flash.img"
    flash.create(image, size_kb)
    flash.install(image, files)
    printed = bytearray()
    air = Air()
    glasses = VirtualGlasses(
        air,
        board,
        flash_image=image,
        observe=lambda what, detail: printed.extend(detail if what == "console" else b""),
    )
    try:
        await glasses.power_on()
        assert glasses.supervisor is not None
        port = await glasses.supervisor.serve_repl()
        yield glasses, f"socket://127.0.0.1:{port}", printed
    finally:
        await glasses.close()
        await air.close()
