"""The heap of the running firmware in a 32-bit MicroPython, and what a chip without PSRAM has left.

    python -m tests.bench.heap32 --modules     what each module costs, the dearest first

Measured in the WebAssembly build, from .mpy files, garbage collected, with stand-ins (`wasm/`) for the chip's
modules that are there before and do not count. The build has no native code, which on the chip is not on the
heap: kernels do nothing there, but for those that the rest cannot do without, which are byte code.
"""

from __future__ import annotations

import argparse
import ast
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lunette import boards, mpy, paths
from lunette.protocol import wire

from . import loaded, webassembly
from .rows import Row

LIMIT = 65536  # bytes, without the journal's pool
# gc.mem_free() after the start of stock images on chips without PSRAM, Bluetooth off.
CHIPS = {"esp32c3": 177 * 1024, "esp32": 160 * 1024}

_STANDINS = Path(__file__).parent / "wasm"
_BOARD = "xiao_esp32c3"  # one without PSRAM
_POOL_KB = 64
_SLOT = 176 + 2 + 1 + 4  # bytes that a slot takes, its entries in three tables included
_FRAME_SLOT = 176
_FRAME_MS = 20
_MTU = 517
_TALK_PIN = 5
_NEEDED = ("adpcm", "crc32", "pcm")  # frames have their size, and packets their bytes
_USED = re.compile(r"n_total_bytes=(\d+)\nUSED (\S+) (\d+)$", re.M)

_COLLECT = ("weigh.collect()", 0)
_PREPARE = [
    ("import weigh", 0),
    _COLLECT,
    ("weigh.used('nothing')", 0),
    ("import asyncio", 0),
    _COLLECT,
    ("weigh.used('asyncio')", 0),
    ("import flags, machine, bluetooth, esp32\nasyncio.create_task(machine.sound())", 50),
    _COLLECT,
    ("weigh.used('standins')", 0),
]


@dataclass(frozen=True)
class Used:
    """Bytes of the heap that are used, and those of them that the table of names (qstrs) takes."""

    heap: int
    names: int

    def __sub__(self, other: Used) -> Used:
        return Used(self.heap - other.heap, self.names - other.names)


def _weighed(label: str, code: str, ms: int = 0) -> list[tuple[str, int]]:
    return [(code, ms), _COLLECT, (f"weigh.used({label!r})", 0)]


def _without_kernels(text: str, emptied: bool) -> str:
    """The source with its kernels as plain functions, which return 0 if they are `emptied`."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and any("viper" in ast.unparse(d) for d in node.decorator_list):
            for decorator in node.decorator_list:
                lines[decorator.lineno - 1] = ""
            if emptied:
                first, last = node.body[0].lineno - 1, node.end_lineno or node.lineno
                lines[first:last] = ["    return 0", *[""] * (last - first - 1)]
    return "\n".join(lines) + "\n"


def compiled() -> dict[str, bytes]:
    """{"glasses/wake.mpy": its bytes, ...}, without native code."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder:
        for source in sorted((paths.FIRMWARE / "glasses").rglob("*.py")):
            plain = Path(folder) / source.name
            plain.write_text(_without_kernels(source.read_text(), source.stem not in _NEEDED))
            name = source.relative_to(paths.FIRMWARE).with_suffix(".mpy").as_posix()
            found[name] = mpy.compiled(plain, "", source.name)
    return found


def _files(code: dict[str, bytes]) -> dict[str, bytes]:
    board = (paths.ROOT / "boards" / _BOARD / "board.py").read_text()
    board = re.sub(r"^JOURNAL_KB = .*", f"JOURNAL_KB = {_POOL_KB}", board, flags=re.M)
    files = {f"/{name}": content for name, content in code.items()} | {"/board.py": board.encode()}
    return files | {f"/lib/{path.name}": path.read_bytes() for path in _STANDINS.glob("*.py")}


def _used(printed: str) -> dict[str, Used]:
    return {name: Used(int(heap), int(names)) for names, name, heap in _USED.findall(printed)}


@dataclass(frozen=True)
class Weight:
    """Bytes. `before`: when the journal is made; `running`; `recording`, with a host that is sent it: the two
    without the journal's pool. All with `asyncio`, MicroPython's own, whose code is in flash. `code`: what of
    each a frozen build has in flash."""

    before: int
    running: int
    recording: int
    asyncio: int
    code: int
    modules: int


def weigh() -> Weight:
    """Start the firmware, pair a host, record. RuntimeError if it does not come to that."""
    code = compiled()
    boot = (paths.FIRMWARE / "boot.py").read_text()
    main = (paths.FIRMWARE / "main.py").read_text().replace("glasses.run()", "")
    control = "glasses.instance().presence.radio.control"
    steps = [
        *_PREPARE,
        (boot, 0),
        (main, 0),
        *_weighed("before", "import glasses.runtime; glasses.wake.start().parts.make_rest()"),
        *_weighed("running", "asyncio.create_task(glasses.main())", 1500),
        ("import sys; print('ADVERTISING', bluetooth.BLE.only.advertising)", 0),
        ("print('MODULES', ' '.join(name for name in sys.modules if name.startswith('glasses')))", 0),
        ("glasses.pair()", 100),
        (f"bluetooth.pair({_MTU})", 300),
        (f"bluetooth.write({control}, {wire.ready()!r})", 300),
        *_weighed("recording", f"machine.press({_TALK_PIN}, True)", 1500),
        ("print('FRAMES', glasses.instance().voice.frames, bluetooth.octets)", 0),
        ("print('SLOTS', glasses.instance().journal.slots)", 0),
    ]
    printed = webassembly.run(_files(code), steps)
    frames = re.search(r"^FRAMES (\d+) (\d+)$", printed, re.M)
    slots = re.search(r"^SLOTS (\d+)$", printed, re.M)
    names = re.search(r"^MODULES (.*)$", printed, re.M)
    if "ADVERTISING True" not in printed or not frames or not slots or not names:
        raise RuntimeError(f"the firmware does not run: {printed.strip().splitlines()[-1:]}")
    if int(frames[1]) < 20 or int(frames[2]) < 20 * 164:
        raise RuntimeError(f"{frames[1]} frames were recorded and {frames[2]} bytes sent")
    used = _used(printed)
    asyncio = used["asyncio"] - used["nothing"]
    before = used["before"] - used["standins"]
    running = used["running"] - used["standins"]
    recording = used["recording"] - used["standins"]
    pool = int(slots[1]) * _SLOT
    modules = names[1].split()
    frozen = sum(loaded.octets(code[_path(module, code)]) for module in modules)
    return Weight(
        before=before.heap + asyncio.heap,
        running=running.heap + asyncio.heap - pool,
        recording=recording.heap + asyncio.heap - pool,
        asyncio=asyncio.heap,
        code=frozen + running.names,
        modules=len(modules),
    )


def _path(module: str, code: dict[str, bytes]) -> str:
    path = module.replace(".", "/")
    return f"{path}.mpy" if f"{path}.mpy" in code else f"{path}/__init__.mpy"


# --- by module ------------------------------------------------------------------------------------


def _in_order(modules: list[str]) -> list[str]:
    """Each after those that it imports at its top."""
    order: list[str] = []

    def visit(module: str) -> None:
        if module in order or module not in modules:
            return
        path = paths.FIRMWARE / module.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if "." in module:
            visit(module.rpartition(".")[0])
        for node in ast.parse(source.read_text()).body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    visit(alias.name)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    visit(f"{node.module}.{alias.name}")
                visit(str(node.module))
        order.append(module)

    for module in sorted(modules):
        visit(module)
    return order


def by_module() -> dict[str, tuple[int, int]]:
    """{module: (bytes that importing it adds, of them the table of names)}, those that it imports apart."""
    code = compiled()
    modules = [name[:-4].replace("/", ".").removesuffix(".__init__") for name in code]
    order = _in_order(modules)
    steps = list(_PREPARE)
    for module in order:
        steps += _weighed(module, f"import {module}")
    used = _used(webassembly.run(_files(code), steps))
    found = {}
    last = used["standins"]
    for module in order:
        more = used[module] - last
        found[module] = more.heap, more.names
        last = used[module]
    return found


# --- rows -----------------------------------------------------------------------------------------


def journals(used: int) -> dict[str, int]:
    """{board without PSRAM: bytes of the journal that it gets}, when `used` of its heap are taken already."""
    found = [boards.load(name) for name in boards.names()]
    steps = [_PREPARE[0], ("import flags, machine, glasses.journal, glasses.runtime", 0)]
    for board in found:
        if board.chip in CHIPS and not board.psram_mb:
            room = f"{CHIPS[board.chip] - used}"
            steps.append((f"weigh.journal({board.name!r}, {board.journal_kb * 1024}, {room})", 0))
    printed = webassembly.run(_files(compiled()), steps)
    return {name: int(size) for name, size in re.findall(r"^JOURNAL (\S+) (\d+)$", printed, re.M)}


def measure() -> Iterator[Row]:
    try:
        weight = weigh()
    except webassembly.Missing as error:
        yield Row("heap, 32 bits", None, "B", note=f"skipped: {error}")
        return
    note = f"{weight.modules} modules as .mpy files, advertising; without the journal's pool, with "
    note += f"{weight.asyncio} B of asyncio"
    yield Row("heap, 32 bits, running", weight.running, "B", goal=f"<= {LIMIT}", note=note)
    yield Row("heap, 32 bits, recording", weight.recording, "B", note="a paired host is sent it")
    note = "byte code, constants and names, which a frozen build has in flash"
    yield Row("heap, 32 bits, code", weight.code, "B", weight.running, "all of it", note=note)
    frozen = weight.running - weight.code
    yield Row("heap, 32 bits, running, frozen", frozen, "B", goal=f"<= {LIMIT}", note="the rest")
    sizes = journals(weight.before - weight.code)
    for chip, heap in CHIPS.items():
        if weight.running < heap:
            note = f"of {heap} B without Bluetooth"
        else:
            note = f"of {heap} B without Bluetooth: .mpy files do not fit this chip without PSRAM"
        yield Row(f"heap left on {chip}, .mpy", heap - weight.running, "B", note=note)
        yield Row(f"heap left on {chip}, frozen", heap - frozen, "B", note="Bluetooth, journal and app")
    for name, size in sizes.items():
        note = f"{size / _FRAME_SLOT * _FRAME_MS / 1000:.1f} s of speech; the rest has its reserve"
        yield Row(f"journal of {name}, frozen", size, "B", note=note)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.heap32", description=__doc__.splitlines()[0])
    parser.add_argument("--modules", action="store_true", help="what each module costs")
    if not parser.parse_args().modules:
        for row in measure():
            print(f"{row.name:40} {row.value or 0:8.0f} {row.unit}  {row.note or ''}")
        return
    found = by_module()
    for module, (heap, names) in sorted(found.items(), key=lambda entry: -entry[1][0]):
        print(f"{heap:7} B, names {names:5}  {module}")
    print(f"{sum(heap for heap, _ in found.values()):7} B")


if __name__ == "__main__":
    main()
