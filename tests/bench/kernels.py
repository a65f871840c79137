"""What the kernels cost: in MicroPython here beside C, in instructions of the chips, in bytes.

Both run here in turns, on the same buffers, which those kernels that work in place change. Instructions are
those of `machine_code`: an upper bound, with the rounds of loops that the case goes, and what is executed.
"""

from __future__ import annotations

import array
import functools
import importlib
import inspect
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from lunette import mpy, paths
from lunette.doctor.kernels import vectors
from lunette.doctor.kernels.registry import Kernel, kernels
from lunette.errors import LunetteError
from lunette.virtual.cpython import micropython_modules
from lunette.virtual.equivalents import equivalents

from . import emulated
from .c_kernels import CKernels, compiler, signature, source
from .in_micropython import InMicroPython
from .machine_code import ARCHS, functions
from .rows import Row, failed

LIMIT = "<= 5"
_FRAME_SAMPLES = 320
_RATE = 16000
_ROUNDS = 15
_US = 2000  # of a measurement
_CORE_HZ = 240e6
# One core of an ESP32-S3 at 240 MHz makes 613.86 CoreMark (its datasheet), each some 300,000 instructions of
# compiled C. Viper's code has more loads and stores, all of the stack, and as many branches.
_PER_CYCLE = 0.75
_PATHS = {
    "one microphone": (("highpass", "gain", "activity", "adpcm"), 400),
    "PDM": (("pdm",), 600),
}
_SHARE = "< 7"


def units(kernel: Kernel) -> tuple[float, str]:
    """(how many, of what) the timed case is for: bytes, samples of a microphone, or one call."""
    parameters = signature(kernel).parameters
    names = [name for name, _ in parameters]
    specs = kernel.cases[kernel.timed]
    if "n" in names and not any(kind == "ptr16" for _, kind in parameters):
        return specs[names.index("n")], "byte"
    if kernel.per_frame:
        return _FRAME_SAMPLES / kernel.per_frame, "sample"
    if kernel.what.startswith("a frame"):
        return _FRAME_SAMPLES, "sample"
    return (specs[names.index("n")], "sample") if "n" in names else (1, "call")


# --- Time -------------------------------------------------------------------------------------------------


_Times = tuple[float, ...]


def _enough(spend: Callable[[int], _Times]) -> int:
    """How many calls make a measurement; `spend` says the microseconds of so many calls."""
    calls = 1
    # The shortest of a few: one that something else interrupted would make it far too few calls.
    while (took := min(spend(calls)[0] for _ in range(3))) < _US / 10 and calls < 1_000_000:
        calls *= 4
    return max(1, round(calls * _US / max(took, 1)))


def _turns(*several: Callable[[int], _Times]) -> list[_Times]:
    """Of each, the shortest times of one call: whatever else runs here only adds. Measured in turns."""
    calls = [_enough(spend) for spend in several]
    rounds = [[spend(n) for spend, n in zip(several, calls, strict=True)] for _ in range(_ROUNDS)]
    shortest = [[min(times) for times in zip(*one, strict=True)] for one in zip(*rounds, strict=True)]
    return [tuple(time / n for time in times) for times, n in zip(shortest, calls, strict=True)]


def _us(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e6


def _reference(kernel: Kernel, c: CKernels) -> tuple[Callable[[int], _Times], str] | None:
    """(microseconds of so many calls, what that is): C, else numpy, else None."""
    args, _ = vectors.bench().arguments(kernel.cases[kernel.timed])
    if c.has(kernel):
        repeat = c.repeat(kernel)
        return lambda calls: (_us(lambda: repeat(calls, *args)),), "C (cc -O2, scalar)"
    fast = equivalents().get(".".join((*kernel.module.split(".")[-2:], kernel.name)))
    if fast is None:
        return None

    def calls_of(calls: int) -> _Times:
        return (_us(lambda: [fast(*args) for _ in range(calls)]),)

    return calls_of, "numpy" + ("" if compiler() else ", there is no C compiler")


def _time(kernel: Kernel, micropython: InMicroPython, c: CKernels) -> Row:
    specs = kernel.cases[kernel.timed]
    count, what = units(kernel)
    name, path = f"{kernel.full}, viper", f"{kernel.module}.{kernel.name}"
    given = micropython.outcome(path, specs)
    if c.has(kernel) and [*vectors.outcome(c.call(kernel), kernel, kernel.timed), False] != given:
        raise RuntimeError("C gives something else: nothing to compare")
    micropython.prepare(path, specs, signature(kernel).text)
    reference = _reference(kernel, c)
    note = f"a {what}; of a case of {count:g}"
    if reference is None:
        ((took, nothing),) = _turns(micropython.us)
        ours, theirs, against = took - nothing, None, None
        note += "; there is no equivalent to compare with"
    else:
        spend, against = reference
        (took, nothing), (theirs,) = _turns(micropython.us, spend)
        ours, theirs = took - nothing, theirs * 1000 / count
    return Row(name, ours * 1000 / count, "ns", theirs, against, LIMIT if against else None, note=note)


# --- Instructions -----------------------------------------------------------------------------------------


class _Counts:
    """Instructions of one call of the timed case: `bound` by architecture, and what rv32imc executes."""

    def __init__(self, kernel: Kernel):
        both = {arch: functions(source(kernel), arch)[kernel.name] for arch in ARCHS}
        module = importlib.import_module(kernel.module)
        call = getattr(module, kernel.name)
        run = emulated.run(both["rv32imc"], module, call, kernel.cases[kernel.timed])
        self.bound = {arch: function.bound(run.trips) for arch, function in both.items()}
        self.executed = run.executed


def _instructions(kernel: Kernel, counts: _Counts) -> Row:
    count, what = units(kernel)
    note = (
        f"a {what}, at most, xtensawin; rv32imc {counts.bound['rv32imc'] / count:.4g}, "
        f"of which it executes {counts.executed / count:.4g}"
    )
    return Row(f"{kernel.full}, instructions", counts.bound["xtensawin"] / count, "", note=note)


def _counted(kernel: Kernel, counts: dict[str, _Counts]) -> Row:
    counts[kernel.full] = _Counts(kernel)
    return _instructions(kernel, counts[kernel.full])


def _paths(counts: dict[str, _Counts]) -> Iterator[Row]:
    """What a sample costs altogether, for those kernels that every frame goes through."""
    cycles = 0.0
    missing: list[str] = []
    for name, (modules, limit) in _PATHS.items():
        through = [k for k in kernels() if k.per_frame and k.module.rpartition(".")[2] in modules]
        lacking = set(modules) - {k.module.rpartition(".")[2] for k in through}
        lacking |= {k.full for k in through if k.full not in counts}
        note = f"without {', '.join(sorted(lacking))}" if lacking else None
        missing += sorted(lacking)
        known = [k for k in through if k.full in counts]
        if not known:
            yield Row(name, None, "", note=note)
            continue
        executed = sum(k.per_frame * counts[k.full].executed for k in known) / _FRAME_SAMPLES
        bounds = {
            arch: sum(k.per_frame * counts[k.full].bound[arch] for k in known) / _FRAME_SAMPLES
            for arch in ARCHS
        }
        cycles += executed * bounds["xtensawin"] / bounds["rv32imc"] / _PER_CYCLE
        for arch in ARCHS:
            ran = f", of which it executes {executed:.4g}" if arch == "rv32imc" else ""
            remarks = f"instructions a sample, at most{ran}; {note or ', '.join(modules)}"
            yield Row(f"{name}, {arch}", bounds[arch], "", goal=f"<= {limit}", note=remarks)
    note = f"of 240 MHz, by executed instructions, {_PER_CYCLE} a cycle"
    if missing:
        note += f"; without {', '.join(missing)}"
    yield Row("both, share of a core", 100 * cycles * _RATE / _CORE_HZ, "%", goal=_SHARE, note=note)


# --- Bytes ------------------------------------------------------------------------------------------------

_BUFFERS = (bytes, bytearray, array.array)


def _octets(buffer: Any) -> int:
    return memoryview(buffer).nbytes


def _tables(module: ModuleType) -> int:
    return sum(_octets(v) for k, v in vars(module).items() if isinstance(v, _BUFFERS) and k[:2] != "__")


def _state(module: ModuleType) -> int:
    """Bytes that the module's classes allocate, else what its kernels are given as their state."""
    sizes = [0]
    for made in vars(module).values():
        if inspect.isclass(made) and made.__module__ == module.__name__:
            try:
                instance = made()
            except TypeError:
                continue
            sizes.append(sum(_octets(v) for v in vars(instance).values() if isinstance(v, _BUFFERS)))
    if sum(sizes):
        return sum(sizes)
    for kernel in kernels():
        if kernel.module == module.__name__:
            names = [name for name, _ in signature(kernel).parameters]
            if "state" in names:
                size: int = vectors.bench().size(kernel.cases[kernel.timed][names.index("state")])
                return size
    return 0


def _size(name: str) -> Row:
    module = importlib.import_module(name)
    path = paths.FIRMWARE / (name.replace(".", "/") + ".py")
    sizes = {arch: len(mpy.compiled(path, arch)) for arch in ARCHS}
    note = f"xtensawin; rv32imc {sizes['rv32imc']}; tables {_tables(module)}, state {_state(module)}"
    return Row(f"{path.stem}, .mpy", sizes["xtensawin"], "B", note=note)


# --- The subject ------------------------------------------------------------------------------------------


_TROUBLE = (RuntimeError, AssertionError, LookupError, ValueError)


def _measured(name: str, what: str, measure: Callable[[], Row]) -> Row:
    """One that cannot be measured leaves the others."""
    try:
        return measure()
    except (
        RuntimeError,
        AssertionError,
        emulated.Unsupported,
        LookupError,
        ValueError,
        LunetteError,
    ) as error:
        return failed(f"{name}, {what}", error)


def measure() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder, InMicroPython() as micropython:
        c = CKernels(Path(folder))
        for kernel in kernels():
            yield _measured(kernel.full, "viper", functools.partial(_time, kernel, micropython, c))
    counts: dict[str, _Counts] = {}
    with micropython_modules(firmware_dir=paths.FIRMWARE):
        for kernel in kernels():
            yield _measured(kernel.full, "instructions", functools.partial(_counted, kernel, counts))
        for module in dict.fromkeys(kernel.module for kernel in kernels()):
            yield _measured(module.rpartition(".")[2], ".mpy", functools.partial(_size, module))
    yield from _paths(counts)
