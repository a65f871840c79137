"""Every file of the firmware and of the HAL imports, under CPython and under the real MicroPython.

The lists come from the folders: a new file is tested without being named here.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lunette import paths
from lunette.virtual import interpreter
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.server import ChipServer
from lunette.virtual.cpython import micropython_modules, run

NOT_IN_CPYTHON = {"time"}  # there `lunette.virtual.cpython` extends CPython's own instead


def modules(folder: Path) -> list[str]:
    """Dotted names of the modules below a folder."""
    names = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts:
            names.append(".".join(parts))
    return names


FIRMWARE = [name for name in modules(paths.FIRMWARE) if name != "main"]
HAL = modules(paths.HAL)
BOARDS = sorted(path.parent for path in paths.BOARDS.glob("*/board.py"))


def test_there_is_something_to_import() -> None:
    assert {"glasses", "glasses.runtime", "glasses.dsp.adpcm", "glasses.parts.led"} <= set(FIRMWARE)
    assert {"machine", "bluetooth", "_port", "esp32"} <= set(HAL)
    assert any(board.name == "virtual" for board in BOARDS)


@pytest.mark.parametrize("name", [n for n in FIRMWARE + HAL if n not in NOT_IN_CPYTHON])
def test_cpython_imports(name: str) -> None:
    with micropython_modules(paths.HAL, paths.FIRMWARE):

        async def main() -> ModuleType:
            Chip().attach_cpython(importlib.import_module("_port"))
            return importlib.import_module(name)

        module = run(main())
        file = Path(str(module.__file__))
        assert file.is_relative_to(paths.FIRMWARE) or file.is_relative_to(paths.HAL), (
            "another module of that name"
        )


@pytest.mark.parametrize("folder", BOARDS, ids=lambda p: p.name)
def test_cpython_imports_the_board_without_hardware(folder: Path) -> None:
    with micropython_modules(paths=[folder]):
        board = importlib.import_module("board")
        assert isinstance(board.PARTS, dict)


def test_cpython_runs_main(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """main.py ends in ``glasses.run()``, which never returns: that much is left out."""
    with micropython_modules(paths.HAL, paths.FIRMWARE, paths=[paths.BOARDS / "virtual"]):

        async def main() -> list[str]:
            Chip().attach_cpython(importlib.import_module("_port"))
            glasses = importlib.import_module("glasses")
            ran: list[str] = []
            monkeypatch.setattr(glasses, "run", lambda: ran.append("run"))
            importlib.import_module("main")
            assert "double" in glasses.instance().bus._hooks
            return ran

        assert run(main()) == ["run"]


_SCRIPT = """
import json, sys
with open(sys.argv[1]) as file:  # an argument holds 255 characters at most
    hal, firmware, boards, names = json.load(file)
sys.path.insert(0, hal)
import _port
_port.open(int(sys.argv[2]), int(sys.argv[3]))
for name in ("time", "machine", "bluetooth", "esp32"):
    __import__(name)
sys.path.insert(1, firmware)

for name in names:
    try:
        __import__(name)
    except BaseException as error:
        print("failed", name, repr(error))
for folder in boards:
    sys.modules.pop("board", None)
    sys.path.insert(0, folder)
    try:
        import board
        board.PARTS
    except BaseException as error:
        print("failed", folder, repr(error))
    sys.path.pop(0)
print("imported", len(names), len(boards))
"""


def test_micropython_imports(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    names = HAL + FIRMWARE
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps([str(paths.HAL), str(paths.FIRMWARE), [str(b) for b in BOARDS], names]))

    async def main() -> str:
        request, child_request = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        bell, child_bell = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        fds = (child_request.fileno(), child_bell.fileno())
        server = ChipServer(Chip().bus)
        server.attach(request, bell)
        process = await asyncio.create_subprocess_exec(
            *interpreter.command(str(script), str(arguments), *map(str, fds)),
            pass_fds=fds,
            cwd=tmp_path,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        child_request.close()
        child_bell.close()
        try:
            output, _ = await asyncio.wait_for(process.communicate(), 30)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            server.detach()
        return output.decode()

    output = asyncio.run(main())
    assert output.splitlines() == [f"imported {len(names)} {len(BOARDS)}"], output


def test_the_firmware_does_not_import_the_host() -> None:
    """`firmware/` is what is copied to the glasses, nothing else is there."""
    for path in paths.FIRMWARE.rglob("*.py"):
        text = path.read_text()
        assert "lunette." not in text.replace("docs/", ""), path
        assert "import typing" not in text, path
    assert sys.modules.get("glasses") is None
