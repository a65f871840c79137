"""docs/install_other_ways.md, followed with the real mpremote onto flash that is empty: every file comes
whole, and the glasses start from them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bench_glasses import Bench

from lunette import paths
from lunette.virtual import interpreter
from lunette.virtual.air import Air
from lunette.virtual.simulator import VirtualGlasses

BOARD = "boards/virtual/board.py"
LIMIT_S = 30.0

# The real mpremote, but for its pauses of 10 ms, of which a whole firmware has thousands: after each 256
# bytes that it writes, for slow serial ports, and whenever an answer is not there yet.
HASTY = """
import sys, time
from mpremote import main, transport_serial
class Hasty:
    monotonic = staticmethod(time.monotonic)
    @staticmethod
    def sleep(seconds):
        time.sleep(min(seconds, 0.0003))
transport_serial.time = Hasty
sys.exit(main.main())
"""


LOOK = """
import binascii, hashlib, os, sys, vfs
sys.path.append({folder!r})
from blockdev import Flash
vfs.mount(vfs.VfsLfs2(Flash({image!r})), "/flash")
def walk(path):
    for entry in os.ilistdir("/flash/" + path):
        name = path + entry[0]
        if entry[1] == 0x4000:
            walk(name + "/")
        else:
            with open("/flash/" + name, "rb") as file:
                print(name, binascii.hexlify(hashlib.sha256(file.read()).digest()).decode())
walk("")
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def web(folder: Path) -> Iterator[str]:
    """The address at which that folder is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def mpremote(device: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HASTY, "connect", device, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, out.decode()
    return out.decode()


def contents(image: Path) -> dict[str, str]:
    """{path: SHA-256} of every file on that flash."""
    script = LOOK.format(folder=str(paths.HAL.parent), image=str(image))
    done = subprocess.run(interpreter.command("-c", script), capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


async def starts(image: Path) -> None:
    """Glasses with that flash come up and advertise."""
    running = asyncio.Event()

    def observe(what: str, detail: Any) -> None:
        if what == "console" and b"Lunette on virtual" in detail:
            running.set()

    air = Air()
    glasses = VirtualGlasses(air, flash_image=image, observe=observe)
    try:
        await glasses.power_on()
        await asyncio.wait_for(running.wait(), LIMIT_S)
    finally:
        await glasses.close()
        await air.close()


def blocks() -> dict[str, list[list[str]]]:
    """{what it follows: [arguments of mpremote, ...]} of the page's commands."""
    found = {}
    page = (paths.ROOT / "docs" / "install_other_ways.md").read_text()
    for title, block in re.findall(r"^(\S.*)\n\n((?:    mpremote .*\n)+)", page, re.M):
        found[title] = [line.split()[1:] for line in block.splitlines()]
    return found


WAYS = {
    "checkout": "From a checkout:",
    "web": "(`python3 -m http.server` in it makes it `http://COMPUTER:8000`):",
    "hand": "## By hand",
    "frozen": "yours to change:",
}


def test_each_way_of_the_page_is_tried() -> None:
    assert list(blocks()) == list(WAYS.values())


def checkout(folder: Path, sources: Iterable[str]) -> Path:
    """One of the same names, each file no more than its name: what a way does with all, in less time."""
    for source in sources:
        (folder / source).parent.mkdir(parents=True, exist_ok=True)
        (folder / source).write_text(f"# {source}\n")
    (folder / "package.json").write_bytes((paths.ROOT / "package.json").read_bytes())
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_all_that_is_needed_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    files = dict(json.loads((paths.ROOT / "package.json").read_text())["urls"]) | {"board.py": BOARD}
    whole = way in ("checkout", "frozen")
    root = paths.ROOT if whole else checkout(tmp_path / "checkout", files.values())
    monkeypatch.chdir(root)
    # Nothing can be frozen here. But import finds it in /lib as it does there: after what is in the root.
    there = {f"lib/{to}": root / at for to, at in files.items() if way == "frozen" and "/" in to}

    async def scenario(address: str) -> None:
        async with Bench(tmp_path, dict(there), size_kb=2048) as bench:
            for line in blocks()[WAYS[way]]:
                words = [word.replace("ADDRESS", address).replace("NAME", "virtual") for word in line]
                await mpremote(bench.glasses.pty_path, *words)
        assert contents(bench.image) == {
            f"lib/{to}" if f"lib/{to}" in there else to: hashlib.sha256((root / at).read_bytes()).hexdigest()
            for to, at in files.items()
        }
        if whole:
            await starts(bench.image)

    with web(root) as address:
        asyncio.run(scenario(address))
