"""A wake word: whether it is heard as by the C libraries, how long it takes, how much it needs.

    python -m tests.bench.wakeword     this alone; exit code 1 if anything is not exact

Its rows replace those of the same names in out/bench.json, others stay.
"""

from __future__ import annotations

import functools
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lunette import mpy, paths
from lunette.virtual.cpython import micropython_modules
from lunette.wakeword import engine, tflite_model
from lunette.wakeword.packaged import Source
from lunette.wakeword.reference import Reference

from . import emulated, heap32, program, wakeword_exact, webassembly
from .kernels import _CORE_HZ, _PER_CYCLE
from .machine_code import ARCHS, Function, functions
from .rows import Row
from .table import Display
from .wakeword_clips import LEAD_S, TAIL_S
from .wakeword_exact import features_here, features_there, inputs, models

Inputs = np.ndarray[Any, np.dtype[np.int8]]
_ROUNDS = 15
_INSTRUCTIONS, _TIME, _MEMORY, _SHARE = "<= 10", "<= 1.3", f"<= {75 * 1024}", "<= 20"
_FIRMWARE = paths.FIRMWARE / "glasses" / "wakeword"
_VECTORS_A_SECOND, _STEPS_A_SECOND = 100, 100 / 3


# --- Time -------------------------------------------------------------------------------------------------


def _turns(*several: Callable[[], float]) -> list[float]:
    """The shortest that each says, in turns: whatever else runs here only adds."""
    rounds = [[one() for one in several] for _ in range(_ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _step_there(reference: Reference, given: list[bytes]) -> float:
    began = time.perf_counter()
    for row in given:
        reference.step(row)
    return (time.perf_counter() - began) / len(given) * 1e6


def _word() -> tuple[Any, Inputs]:
    """One clip of the first word, and its rows."""
    clip, rows = inputs()[0]
    return clip, rows


def times() -> Iterator[Row]:
    clip, rows = _word()
    ours, theirs = _turns(lambda: features_here(clip.pcm)[1], lambda: features_there(clip.pcm)[1])
    against = "pymicro-features, C, called from CPython"
    yield Row("features, a vector", ours, "us", theirs, against, _TIME)
    given = [row.tobytes() for row in rows]
    for name, (source, model) in models().items():
        here = functools.partial(engine.of_inputs, model, rows)
        with Reference(source.path.read_bytes()) as reference:
            there = functools.partial(_step_there, reference, given)
            ours, theirs = _turns(lambda here=here: here().us, there)  # type: ignore[misc]
        against = "TensorFlow Lite, C with vectors, called by ctypes"
        yield Row(f"{name}, a step", ours, "us", theirs, against, _TIME)


# --- Instructions -----------------------------------------------------------------------------------------


def products(source: Source) -> int:
    """Of a weight and a byte, a step."""
    graph = tflite_model.read(source.path.read_bytes())[0]
    found = 0
    for operator in graph.operators:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            data = graph.tensors[operator.inputs[1]].data
            found += 0 if data is None else data.size
    return found


@dataclass
class Counted:
    """Instructions: executed on rv32imc, and those in the code, both sides of each `if`, by architecture."""

    executed: int
    bound: dict[str, float]

    @property
    def xtensawin(self) -> float:
        """Executed there, about: not emulated."""
        return self.executed * self.bound["xtensawin"] / self.bound["rv32imc"]


class _Counting:
    """Counts what the kernels of some modules execute from now on, in CPython."""

    def __init__(self, *names: str):
        self._counted = Counted(0, dict.fromkeys(ARCHS, 0.0))
        for name in names:
            module = importlib.import_module(f"glasses.wakeword.{name}")
            code = {arch: functions(_FIRMWARE / f"{name}.py", arch) for arch in ARCHS}
            for kernel in code["rv32imc"]:
                own = {arch: code[arch][kernel] for arch in ARCHS}
                setattr(module, kernel, self._wrapped(getattr(module, kernel), module, own))

    def _wrapped(self, kernel: Any, module: Any, code: dict[str, Function]) -> Any:
        def call(*arguments: Any) -> Any:
            specs = tuple(
                one if isinstance(one, int) else ("hex", bytes(memoryview(one).cast("B")).hex())
                for one in arguments
            )
            run = emulated.run(code["rv32imc"], module, kernel, specs)
            self._counted.executed += run.executed
            for arch in ARCHS:
                self._counted.bound[arch] += code[arch].bound(run.trips)
            return kernel(*arguments)

        return call

    def take(self) -> Counted:
        """What was counted since it was last taken."""
        taken, self._counted = self._counted, Counted(0, dict.fromkeys(ARCHS, 0.0))
        return taken


def _typical(rows: Inputs) -> int:
    """Of those while the word is said, the step with as many zeros as half of the others have at most."""
    first, last = round(LEAD_S * 100 / 3), len(rows) - round(TAIL_S * 100 / 3)
    zeros = [(row == -128).mean() for row in rows[first:last]]
    return first + int(np.argsort(zeros)[len(zeros) // 2])


def _count_step(model: bytes, before: Inputs, row: Any) -> Counted:
    """Of the step of `row` after those before."""
    with micropython_modules(firmware_dir=paths.FIRMWARE):
        counting = _Counting("layers")
        network = importlib.import_module("glasses.wakeword.network").Network(model)
        for one in before:
            network.step(bytearray(one.tobytes()))
        counting.take()
        network.step(bytearray(row.tobytes()))
        return counting.take()


def _count_vector(pcm: Any) -> Counted:
    """Of the vector of the last of these samples."""
    with micropython_modules(firmware_dir=paths.FIRMWARE):
        features = importlib.import_module("glasses.wakeword.features").Features()
        counting = _Counting("features", "spectrum")
        raw, at = bytearray(pcm.astype("<i2").tobytes()), 0
        while at < len(pcm):
            counting.take()
            at += features.feed(raw, at, len(pcm) - at)
        return counting.take()


def instructions() -> Iterator[Row]:
    clip, rows = _word()
    at = _typical(rows)
    end = (800 + 480 * at) // 160 * 160  # the end of that step's last window
    vector = _count_vector(clip.pcm[end - 800 : end])
    note = "executed, rv32imc; static " + " and ".join(f"{vector.bound[arch]:.0f} ({arch})" for arch in ARCHS)
    yield Row("features, instructions a vector", vector.executed, "", note=note)
    steps = {}
    noise = np.random.default_rng(1).integers(-128, 128, (3, rows.shape[1])).astype(np.int8)
    for name, (source, model) in models().items():
        count = products(source)
        steps[name] = step = _count_step(model, rows[max(0, at - 2) : at], rows[at])
        most = _count_step(model, noise[:2], noise[2])
        for arch, executed in (("rv32imc", step.executed), ("xtensawin", step.xtensawin)):
            how = "executed" if arch == "rv32imc" else "executed, about: as the static ones of both chips are"
            static = f"static {step.bound[arch] / count:.4g}, of random bytes {most.bound[arch] / count:.4g}"
            note = f"{how}; of {count} products, in a word; {static}"
            yield Row(
                f"{name}, instructions a product, {arch}", executed / count, "", goal=_INSTRUCTIONS, note=note
            )
    assumed = f"of 240 MHz: {_PER_CYCLE} instructions a cycle are assumed, no chip has run it"
    a_second = vector.xtensawin * _VECTORS_A_SECOND
    part = 100 * a_second / _PER_CYCLE / _CORE_HZ
    note = f"{a_second / 1e6:.3g} million instructions a second on xtensawin, without byte code; {assumed}"
    yield Row("features, share of a core", part, "%", note=note)
    for name, step in steps.items():
        a_second = step.xtensawin * _STEPS_A_SECOND
        share = part + 100 * a_second / _PER_CYCLE / _CORE_HZ
        note = f"{a_second / 1e6:.3g} million and those of the features; {assumed}"
        yield Row(f"{name} with features, share of a core", share, "%", goal=_SHARE, note=note)


# --- Memory -----------------------------------------------------------------------------------------------


def _memory(model: bytes) -> int:
    """Bytes of the heap, 32 bits: features, network and model, without native code."""
    files = {f"/{name}": content for name, content in heap32.compiled().items()}
    files |= {f"/lib/{path.name}": path.read_bytes() for path in heap32._STANDINS.glob("*.py")}
    files["/model"] = model
    weighed = heap32._weighed
    steps = [
        ("import weigh", 0),
        *weighed("before", "import glasses"),
        *weighed(
            "code",
            "from glasses.wakeword.features import Features\nfrom glasses.wakeword.network import Network",
        ),
        *weighed("made", "features = Features()\nwith open('/model', 'rb') as file: network = Network(file)"),
    ]
    used = heap32._used(webassembly.run(files, steps))
    return used["made"].heap - used["before"].heap


def _native(path: Path, arch: str) -> int:
    return sum(len(one.code) for one in functions(path, arch).values())


def memory() -> Iterator[Row]:
    for name, (_, model) in models().items():
        with micropython_modules(firmware_dir=paths.FIRMWARE):
            size = importlib.import_module("glasses.wakeword.network").Network(model).size
        yield Row(f"{name}, weights and state", size, "B", note=f"of a file of {len(model)}")
    native = {arch: sum(_native(path, arch) for path in _FIRMWARE.glob("*.py")) for arch in ARCHS}
    note = "on the heap of 32 bits, with features and byte code; native code comes to it: " + ", ".join(
        f"{size} ({arch})" for arch, size in native.items()
    )
    try:
        used = _memory(models()["okay_nabu"][1])
        yield Row("okay_nabu, memory", used, "B", goal=_MEMORY, note=note)
    except webassembly.Missing as error:
        yield Row("okay_nabu, memory", None, "B", goal=_MEMORY, note=str(error))
    for path in (_FIRMWARE / "network.py", _FIRMWARE / "layers.py"):
        sizes = {arch: len(mpy.compiled(path, arch)) for arch in ARCHS}
        yield Row(
            f"{path.stem}, .mpy", sizes["xtensawin"], "B", note=f"xtensawin; rv32imc {sizes['rv32imc']}"
        )


# --- The subject ------------------------------------------------------------------------------------------

_PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "features": wakeword_exact.features,
    "probabilities": wakeword_exact.probabilities,
    "words": wakeword_exact.detections,
    "times": times,
    "instructions": instructions,
    "memory": memory,
}


def measure() -> Iterator[Row]:
    for part in _PARTS.values():
        yield from part()


def _inexact(row: Row) -> bool:
    """Also if it could not be measured: such a row has no goal."""
    return row.ok is False and row.goal in (wakeword_exact.GOAL, None)


def main() -> int:
    names, out = program.options("tests.bench.wakeword", __doc__ or "", "part", _PARTS)
    display = Display()
    began = time.monotonic()
    display.head()
    rows = program.run(_PARTS, names, display)
    program.write(rows, out, keep=True)
    exact = not any(map(_inexact, rows))
    display.say(program.summary(rows, began, out))
    display.say("exact" if exact else "not exact: see the rows whose goal is 0")
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
