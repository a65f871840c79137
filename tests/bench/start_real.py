"""The starts of `start_virtual` in real MicroPython, from sources and from .mpy files: milliseconds and heap.

The clock starts at boot.py's first line, since what lies before it is not the chip's start but that of a
process. Deep sleep is entered for the program, whose notes about it are made up: it need not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunette import boards, paths
from lunette.virtual import flash
from lunette.virtual.air import Air
from lunette.virtual.hal import _ops as ops
from lunette.virtual.simulator import VirtualGlasses, firmware_files

from . import mpy
from .marks import ADVERTISING, FIRST_LINE, FRAME, Tap
from .start_virtual import BEACON, BUTTON, COLD, MARKS, SETTINGS

STARTS = 9
SOURCES = ".py"
COMPILED = ".mpy"

_TALK_PIN = 1  # of boards/virtual
_DEEP = 4  # machine.DEEPSLEEP
_SLEEP_MS = 50
_SLEPT = {"slept": {"state": "sleep", "percent": 80}}

_CLOCK = "import machine\nmachine.reset_cause()\n"
# Says once how much heap is used when that is called for the nth time: (allocated, of it not garbage).
_PROBE = """
import gc, sys, bluetooth, machine
def _probe(owner, name, nth):
    inner = getattr(owner, name)
    calls = [0]
    def call(self, *args, **options):
        calls[0] += 1
        if calls[0] == nth:
            used = gc.mem_alloc() - base
            gc.collect()
            modules = [module for module in sys.modules if module[:7] == "glasses"]
            print("PROBE", %r, used, gc.mem_alloc() - base, len(modules))
        return inner(self, *args, **options)
    setattr(owner, name, call)
_probe(*%s)
gc.collect()
base = gc.mem_alloc()
"""
_PROBED = {
    COLD: (ADVERTISING, '(bluetooth.BLE, "gap_advertise", 1)'),
    BEACON: (ADVERTISING, '(bluetooth.BLE, "gap_advertise", 1)'),
    BUTTON: (FRAME, '(machine.I2S, "readinto", 3)'),
}
_ANSWER = re.compile(rb"PROBE ([a-z ]+) (\d+) (\d+) (\d+)")


@dataclass(frozen=True)
class Heap:
    """Bytes that a start has allocated at that mark, and those of them that are no garbage; modules of the
    firmware that were there."""

    mark: str
    allocated: int
    live: int
    modules: int


def _files(form: str) -> dict[str, Path | bytes]:
    files = firmware_files(boards.load("virtual"), SETTINGS)
    if form == COMPILED:
        files = {name: content for name, content in files.items() if not name.startswith("glasses/")}
        files.update(mpy.firmware(mpy.HERE))
    return files


@contextlib.asynccontextmanager
async def _glasses(form: str, before_boot: str) -> Any:
    """Glasses with the firmware in that form, off, and all that they print."""
    printed = bytearray()
    with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder:
        image = Path(folder) / "flash.img"
        boot = before_boot + (paths.FIRMWARE / "boot.py").read_text()
        flash.create(image, boards.load("virtual").flash_kb)
        flash.install(image, _files(form) | {"boot.py": boot.encode()})
        air = Air()
        glasses = VirtualGlasses(
            air,
            flash_image=image,
            observe=lambda what, detail: printed.extend(detail if what == "console" else b""),
        )
        try:
            await glasses.prepare()
            glasses.usb(False)
            yield glasses, printed
        finally:
            await glasses.close()
            await air.close()


async def _start(glasses: VirtualGlasses, kind: str) -> None:
    """Have them start, from whatever they are doing."""
    if kind == COLD:
        await glasses.power_cut()
        await glasses.power_on()
        return
    assert glasses.supervisor is not None
    await glasses.power_on()
    chip = glasses.chip
    chip.pins.drive(_TALK_PIN, 1)  # free, even if this program has not come to switching its pull-up on
    text = json.dumps(_SLEPT).encode()
    chip.memory.rtc_memory = _retained(text)
    chip.bus.request(ops.WAKE_EXT0, _TALK_PIN, 0, _DEEP, 0, None)
    chip.bus.request(ops.DEEPSLEEP, _SLEEP_MS if kind == BEACON else -1, 0, 0, 0, None).close()
    while glasses.supervisor.running:
        await asyncio.sleep(0.001)
    if kind == BUTTON:
        glasses.press()


def _retained(text: bytes) -> bytes:
    """RTC memory with that JSON, as glasses/retained.py packs it."""
    return struct.pack("<2sBI", b"LU", 1, zlib.crc32(text)) + text


async def _times(form: str) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {}
    async with _glasses(form, _CLOCK) as (glasses, printed):
        tap = Tap(glasses.chip)
        for kind, marks in MARKS.items():
            found[kind] = []
            for _ in range(STARTS):
                tap.clear()
                await _start(glasses, kind)
                tap.clear()
                try:
                    times = await tap.when(FIRST_LINE, *marks)
                except asyncio.TimeoutError:
                    raise RuntimeError(_last(printed)) from None
                glasses.release()
                found[kind].append({mark: (times[mark] - times[FIRST_LINE]) * 1000 for mark in marks})
    return found


def _last(printed: bytearray) -> str:
    lines = printed.decode(errors="replace").strip().splitlines()
    return f"the firmware does not get there; it printed {lines[-1:]}"


async def _heap(form: str, kind: str) -> Heap:
    mark, probed = _PROBED[kind]
    async with _glasses(form, _PROBE % (kind, probed)) as (glasses, printed):
        await _start(glasses, kind)
        for _ in range(1000):
            for name, *numbers in _ANSWER.findall(bytes(printed)):
                if name.decode() == kind:
                    return Heap(mark, *map(int, numbers))
            await asyncio.sleep(0.01)
        raise RuntimeError(_last(printed))


def times(form: str) -> dict[str, list[dict[str, float]]]:
    """{start: [{mark: ms}, ...]} of the firmware as SOURCES or COMPILED."""
    return asyncio.run(_times(form))


def heaps(form: str) -> dict[str, Heap]:
    """{start: Heap}"""

    async def all_of_them() -> dict[str, Heap]:
        return {kind: await _heap(form, kind) for kind in MARKS}

    return asyncio.run(all_of_them())
