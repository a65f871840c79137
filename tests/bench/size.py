"""The firmware's size in flash, as .mpy files: their bytes, and what a littlefs takes for them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from lunette import paths
from lunette.virtual import flash, interpreter

from . import mpy
from .rows import Row

_GOAL = "<= 160"
_SOUND = ("glasses/dsp/", "glasses/wakeword/")
_ARCHS = {mpy.CHIP: "ESP32, S3", "rv32imc": "C3, C6"}
_IMAGE_KB = 2048
_SCRIPT = """
import os, sys, vfs
sys.path.append({folder!r})
from blockdev import Flash
vfs.mount(vfs.VfsLfs2(Flash({image!r})), "/flash")
size, _, blocks, free = os.statvfs("/flash")[:4]
print(size, blocks - free)
"""


def _blocks(files: Mapping[str, Path | bytes]) -> tuple[int, int]:
    """(bytes of a block, blocks that are used) of a file system with these files."""
    with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder:
        image = Path(folder) / "flash.img"
        flash.create(image, _IMAGE_KB)
        flash.install(image, files)
        script = _SCRIPT.format(folder=str(paths.HAL.parent), image=str(image))
        command = interpreter.command("-c", script)
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        size, used = map(int, done.stdout.split())
        return size, used


def measure() -> Iterator[Row]:
    roots = {name: (paths.FIRMWARE / name).read_bytes() for name in ("boot.py", "main.py")}
    for arch, chips in _ARCHS.items():
        files = mpy.firmware(arch)
        octets = sum(map(len, files.values())) + sum(map(len, roots.values()))
        note = f"{chips}; {len(files)} .mpy files, boot.py and main.py"
        yield Row(f"firmware, {arch}", octets / 1024, "KiB", note=note)
        sound = sum(len(content) for name, content in files.items() if name.startswith(_SOUND))
        note = "the same but for dsp and wakeword, which are mostly machine code"
        yield Row(f"firmware, {arch}, less kernels", (octets - sound) / 1024, "KiB", goal=_GOAL, note=note)
        empty = _blocks({})[1]
        size, used = _blocks(files | roots)
        note = f"{used - empty} blocks of {size} B for files and folders, of an image of {_IMAGE_KB} KiB"
        yield Row(f"firmware, {arch}, littlefs", (used - empty) * size / 1024, "KiB", note=note)
