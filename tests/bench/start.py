"""From reset to work: a cold start, the beacon of a timer wake, and a button wake, which listens first.

What is imported when, how many bytecodes that takes, how long and how much heap in MicroPython here, from
sources and from .mpy files; and what the board's table of estimates makes of it for the chip. Not the chip's
flash and slower interpreter: only hardware can tell those.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from lunette import boards, paths

from . import mpy, start_real, start_virtual
from .bytecodes import counting
from .marks import ADVERTISING, FRAME, MICROPHONE
from .rows import Row
from .start_virtual import BUTTON, COLD, MARKS, Moment

_FRAME_MS = 20
_TOP = 6  # modules that are named in the note on bytecodes


class _Sizes:
    """Bytes of a module as source and as .mpy file for the chip."""

    def __init__(self) -> None:
        self._compiled = mpy.firmware(mpy.CHIP)

    @staticmethod
    def path(module: str) -> Path:
        path = paths.FIRMWARE / module.replace(".", "/")
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def source(self, module: str) -> int:
        return self.path(module).stat().st_size

    def compiled(self, module: str) -> int:
        """boot.py stays a source: the chip wants it so."""
        name = self.path(module).relative_to(paths.FIRMWARE).with_suffix(".mpy").as_posix()
        return len(self._compiled.get(name, b"")) or self.source(module)

    def chip_ms(self, start: str, modules: tuple[str, ...]) -> float:
        """Booting and loading, by the table of boards/virtual. board.py and main.py are loaded as sources."""
        board = boards.load("virtual")
        currents = board.currents or {}
        roots = [board.path, paths.FIRMWARE / "main.py"][: 1 if start == BUTTON else 2]
        octets = sum(map(self.compiled, modules)) + sum(root.stat().st_size for root in roots)
        files = len(modules) + len(roots)
        return float(
            currents["boot_ms"] + files * currents["load_file_ms"] + octets / 1024 * currents["load_kb_ms"]
        )


def _short(module: str) -> str:
    return module.removeprefix("glasses.")


def _imports(title: str, moment: Moment, sizes: _Sizes, known: tuple[str, ...]) -> Iterator[Row]:
    new = [module for module in moment.modules if module not in known]
    listed = [f"{_short(m)} {sizes.source(m)}/{sizes.compiled(m)}" for m in new]
    note = f"in order of completion, bytes of source/.mpy: {', '.join(listed)}"
    if known:
        note = f"{len(known)} as before, then, " + note
    yield Row(f"{title}, modules", len(moment.modules), "", note=note)
    octets = [sum(map(size, moment.modules)) / 1024 for size in (sizes.compiled, sizes.source)]
    yield Row(f"{title}, loaded", octets[0], "KiB", octets[1], "of source", note=f".mpy for {mpy.CHIP}")
    top = ", ".join(f"{_short(m)} {n}" for m, n in moment.bytecodes.most_common(_TOP))
    note = f"by statement, in CPython, without native code and MicroPython's own modules; {top}"
    yield Row(f"{title}, bytecodes", sum(moment.bytecodes.values()), "", note=note)


def _chip(title: str, start: str, mark: str, moments: dict[str, Moment], sizes: _Sizes) -> Row:
    ms = sizes.chip_ms(start, moments[mark].modules)
    if mark == FRAME:
        ms = max(ms, sizes.chip_ms(start, moments[MICROPHONE].modules) + _FRAME_MS)
    note = "estimate: boot_ms, load_file_ms, load_kb_ms of boards/virtual; without Bluetooth's start"
    return Row(f"{title}, chip", ms, "ms", note=note)


def measure() -> Iterator[Row]:
    sizes = _Sizes()
    sources = sorted(paths.FIRMWARE.rglob("*.py"))
    yield Row("firmware, source", sum(path.stat().st_size for path in sources) / 1024, "KiB")
    yield Row("firmware, modules", len(sources), "")
    with counting() as bytecodes:
        virtual = start_virtual.starts(bytecodes)
    forms = (start_real.SOURCES, start_real.COMPILED)
    times = {form: start_real.times(form) for form in forms}
    heaps = {form: start_real.heaps(form) for form in forms}
    for start, marks in MARKS.items():
        known: tuple[str, ...] = ()
        for mark in marks:
            title = f"{start} to {mark}"
            moment = virtual[start][mark]
            yield from _imports(title, moment, sizes, known)
            known = moment.modules
            source, compiled = (statistics.median(t[mark] for t in times[form][start]) for form in forms)
            note = f"medians of {start_real.STARTS}, from boot.py's first line"
            yield Row(f"{title}, .py", source, "ms", goal="<= 1000", note=note)
            yield Row(f"{title}, .mpy", compiled, "ms", source, "from sources")
            if (start, mark) == (COLD, ADVERTISING):
                note = "from .mpy files: a host can find them, a press is heard"
                yield Row("power on to ready", compiled, "ms", goal="<= 1500", note=note)
            yield _chip(title, start, mark, virtual[start], sizes)
        source_heap, heap = (heaps[form][start] for form in forms)
        note = f"{heap.allocated} B with garbage, from sources {source_heap.allocated} B"
        note += f", {heap.modules} modules; objects are twice the chip's size"
        if start == COLD:
            note += "; with the journal"
        yield Row(f"{start} to {heap.mark}, heap", heap.live / 1024, "KiB", note=note)
