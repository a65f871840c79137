"""The firmware as .mpy files, by mpy-cross, and how many bytecodes its lines are: MicroPython lists them."""

from __future__ import annotations

import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lunette import mpy, paths
from lunette.virtual import interpreter

HERE = {"x86_64": "x64", "AMD64": "x64", "i686": "x86", "riscv64": "rv64imc"}.get(platform.machine(), "host")
CHIP = "xtensawin"  # ESP32 and ESP32-S3; of native code there are only the kernels

# py/bc0.h: how an instruction's argument is written, two bits for each sixteen opcodes; and the opcodes
# (those with none of these bits) that have a byte more.
_FORMATS = 0x000003A4
_NO_EXTRA = 0x9E
_QSTR, _VAR_UINT, _OFFSET = 1, 2, 3

_BLOCK = re.compile(
    r"File (?P<file>.*), code block '(?P<name>[^']*)' .*\n"
    r"Raw bytecode \(code_info_size=\d+, bytecode_size=(?P<size>\d+)\):\n"
    r"(?P<dump>(?: [0-9a-f ]+\n)+)"
    r"(?P<rest>(?:(?!File ).*\n)*)"
)
_LISTER = """
for name in %r:
    with open(name) as file:
        compile(file.read(), name, "exec")
"""
_LINE = re.compile(r"bc=(-?\d+) line=(\d+)")


def firmware(arch: str) -> dict[str, bytes]:
    """{"glasses/wake.mpy": its bytes, ...}: everything but boot.py and main.py, which the chip wants as
    sources."""
    found = {}
    for source in sorted((paths.FIRMWARE / "glasses").rglob("*.py")):
        name = source.relative_to(paths.FIRMWARE).with_suffix(".mpy").as_posix()
        found[name] = mpy.compiled(source, arch)
    return found


@dataclass(frozen=True)
class Block:
    """The code of a function, class, module, lambda or comprehension: how many bytecodes each line has."""

    name: str
    lines: dict[int, int]


def blocks(sources: Iterable[Path]) -> dict[Path, list[Block]]:
    """Of each source, in the order in which MicroPython compiles them. Native code is none of them.

    RuntimeError if this MicroPython does not list them.
    """
    found: dict[Path, list[Block]] = {source: [] for source in sources}
    with tempfile.TemporaryDirectory(prefix="lunette-") as folder:
        script = Path(folder) / "list.py"
        script.write_text(_LISTER % [str(source) for source in found])
        command = interpreter.command("-v", "-v", str(script))
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    for block in _BLOCK.finditer(done.stdout):
        source = Path(block["file"])
        if source in found:
            code = bytes.fromhex(block["dump"].replace("\n", " "))[-int(block["size"]) :]
            starts = [(int(at), int(line)) for at, line in _LINE.findall(block["rest"])]
            found[source].append(Block(block["name"], _by_line(code, starts)))
    if done.returncode or not all(found.values()):
        raise RuntimeError(f"MicroPython lists no bytecodes: {done.stderr.strip()[-200:]}")
    return found


def _by_line(code: bytes, starts: list[tuple[int, int]]) -> dict[int, int]:
    lines: dict[int, int] = {}
    for at in _instructions(code):
        line = [line for start, line in starts if start <= at][-1]
        lines[line] = lines.get(line, 0) + 1
    return lines


def _instructions(code: bytes) -> Iterator[int]:
    """Where each instruction begins. ValueError for what is no bytecode of this version."""
    at = 0
    while at < len(code):
        yield at
        opcode = code[at]
        form = _FORMATS >> 2 * (opcode >> 4) & 3
        at += 1
        if form in (_QSTR, _VAR_UINT):
            while code[at] & 0x80:
                at += 1
            at += 1
        elif form == _OFFSET:
            at += 2 if code[at] & 0x80 else 1
        if not opcode & _NO_EXTRA:
            at += 1
    if at != len(code):
        raise ValueError("mpy-cross makes another kind of bytecode than this knows")
