"""A wake word's network: whether it is TensorFlow's to the last bit, how long it takes, how much it needs.

TensorFlow Lite's C runtime of pymicro-wakeword runs the same inputs: words and other sentences of eSpeak NG
in several voices and levels, noises, silence, a full-scale chirp and random numbers. Synthetic speech proves
that both hear the same, not how well a model hears people.
"""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.quality.spoken import _Espeak
from tests.quality.wakeword_inputs import inputs_of

from lunette import mpy, paths
from lunette.virtual.chip.noises import noise_wave
from lunette.virtual.cpython import micropython_modules
from lunette.wakeword import engine, tflite_model
from lunette.wakeword.convert import convert
from lunette.wakeword.packaged import Source, carried, find
from lunette.wakeword.reference import Reference

from . import emulated, heap32, webassembly
from .machine_code import ARCHS, Function, functions
from .rows import Row

Inputs = np.ndarray[Any, np.dtype[np.int8]]
_RATE = 16000
_LEAD_S, _TAIL_S = 1.5, 0.8
_TEXTS = (
    *("okay nabu", "alexa", "hey my croft", "hey jarvis", "okay now boost", "hey my craft"),
    "turn the lights in the kitchen off at seven",
)
_VOICES = ("en-us", "en-us+m3", "en-us+f3", "en-gb-x-rp", "en-gb-scotland+f2")
_SPEEDS = (130, 170)
_PEAKS = (1500, 9000, 30000)
_NOISES = ("white", "pink", "fan", "street", "babble")
_ROUNDS = 7
_INSTRUCTIONS, _TIME, _MEMORY = "<= 10", "<= 1.3", f"<= {75 * 1024}"
_FIRMWARE = paths.FIRMWARE / "glasses" / "wakeword"


def _said(text: str) -> Iterator[np.ndarray[Any, Any]]:
    """It in all voices, speeds and levels."""
    espeak = _Espeak()
    for voice, speed, peak in itertools.product(_VOICES, _SPEEDS, _PEAKS):
        said = espeak.say(text, voice, speed)
        said = np.concatenate([np.zeros(int(_LEAD_S * _RATE)), said, np.zeros(int(_TAIL_S * _RATE))])
        said *= peak / np.abs(said).max()
        yield said + np.random.default_rng(1).normal(0, 12, len(said))


def corpus() -> list[Inputs]:
    """Rows of each clip."""
    rng, t = np.random.default_rng(1), np.arange(4 * _RATE)
    clips = [inputs_of(pcm) for text in _TEXTS for pcm in _said(text)]
    for name, height in itertools.product(_NOISES, (100, 3000)):
        wave = np.resize(noise_wave(name, 1, _RATE), 6 * _RATE)
        clips.append(inputs_of(wave * height / wave.std()))
    clips.append(inputs_of(32767 * np.sin(2 * np.pi * (50 * t / _RATE + 970 * (t / _RATE) ** 2))))
    clips.append(inputs_of(np.zeros(3 * _RATE)))
    clips.append(rng.integers(-128, 128, (2000, 120)).astype(np.int8))
    return clips


def _decisions(probabilities: np.ndarray[Any, Any], source: Source) -> np.ndarray[Any, Any]:
    """Of each step: whether the mean of the last is above the cutoff."""
    sums = np.convolve(probabilities.astype(int), np.ones(source.window, int))[: len(probabilities)]
    return np.asarray(sums / 256 / source.window > source.cutoff)


@dataclass
class Compared:
    steps: int = 0
    differ: int = 0
    most: int = 0
    clips: int = 0
    decided_otherwise: int = 0
    fired: int = 0


def _compare(source: Source, model: bytes, clips: list[Inputs]) -> Compared:
    """One after the other without a reset between, as a stream is; decided by clips."""
    content = source.path.read_bytes()
    made = engine.of_inputs(model, np.concatenate(clips)).probabilities
    with Reference(content) as reference:
        theirs = reference.steps(np.concatenate(clips))
    apart = np.abs(made.astype(int) - theirs)
    result = Compared(len(made), int((apart > 0).sum()), int(apart.max()), len(clips))
    at = 0
    for clip in clips:
        pair = [_decisions(one[at : at + len(clip)], source) for one in (made, theirs)]
        result.decided_otherwise += not np.array_equal(*pair)
        result.fired += bool(pair[1].any())
        at += len(clip)
    return result


def _times(source: Source, model: bytes, rows: Inputs) -> tuple[float, float]:
    """Microseconds of a step, here and there: the shortest mean of several, in turns."""
    given = [row.tobytes() for row in rows]
    ours, theirs = [], []
    with Reference(source.path.read_bytes()) as reference:
        for _ in range(_ROUNDS):
            ours.append(engine.of_inputs(model, rows).us)
            began = time.perf_counter()
            for row in given:
                reference.step(row)
            theirs.append((time.perf_counter() - began) / len(given) * 1e6)
    return min(ours), min(theirs)


def products(path: Path) -> int:
    """Of a weight and a byte, a step."""
    graph = tflite_model.read(path.read_bytes())[0]
    found = 0
    for operator in graph.operators:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            data = graph.tensors[operator.inputs[1]].data
            found += 0 if data is None else data.size
    return found


@dataclass
class Counted:
    """Instructions of a step: executed on rv32imc, and at most, by architecture."""

    executed: int
    bound: dict[str, float]


def _count(model: bytes, before: Inputs, row: np.ndarray[Any, Any]) -> Counted:
    """Of the step of `row` after those before."""
    code: dict[str, dict[str, Function]] = {arch: functions(_FIRMWARE / "layers.py", arch) for arch in ARCHS}
    counted = Counted(0, dict.fromkeys(ARCHS, 0.0))
    with micropython_modules(firmware_dir=paths.FIRMWARE):
        layers = importlib.import_module("glasses.wakeword.layers")
        network = importlib.import_module("glasses.wakeword.network").Network(model)
        for one in before:
            network.step(bytearray(one.tobytes()))
        for name in code["rv32imc"]:
            setattr(layers, name, _counting(getattr(layers, name), name, layers, code, counted))
        network.step(bytearray(row.tobytes()))
    return counted


def _counting(kernel: Any, name: str, layers: Any, code: Any, counted: Counted) -> Any:
    def call(*arguments: Any) -> Any:
        specs = tuple(
            one if isinstance(one, int) else ("hex", bytes(memoryview(one).cast("B")).hex())
            for one in arguments
        )
        run = emulated.run(code["rv32imc"][name], layers, kernel, specs)
        counted.executed += run.executed
        for arch in ARCHS:
            counted.bound[arch] += code[arch][name].bound(run.trips)
        return kernel(*arguments)

    return call


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


def measure() -> Iterator[Row]:
    clips = corpus()
    words = [clip for clip in clips if len(clip) < 200]
    names = [source.name for source in carried()]
    files = {name: (source := find(name), convert(source.path.read_bytes(), name)) for name in names}
    for name, (source, model) in files.items():
        found = _compare(source, model, clips)
        note = f"of {found.steps}, at most by {found.most} of 255"
        yield Row(f"{name}, steps that differ", found.differ, "", goal="== 0", note=note)
        note = f"of {found.clips}, {found.fired} of which have its word"
        yield Row(f"{name}, clips decided otherwise", found.decided_otherwise, "", goal="== 0", note=note)
    for name, (source, model) in files.items():
        ours, theirs = _times(source, model, words[0])
        against = "TensorFlow Lite, C with vectors, called by ctypes"
        yield Row(f"{name}, a step", ours * 1000, "ns", theirs * 1000, against, _TIME)
    for name, (source, model) in files.items():
        count = products(source.path)
        zeros = [(row == -128).mean() for row in words[0]]
        typical = int(np.argsort(zeros)[len(zeros) // 2])
        step = _count(model, words[0][max(0, typical - 2) : typical], words[0][typical])
        ratio = step.bound["xtensawin"] / step.bound["rv32imc"]
        most = " and ".join(f"{step.bound[arch] / count:.4g} ({arch})" for arch in ARCHS)
        executed = step.executed / count
        note = (
            f"executed, rv32imc; {count} products; some {executed * ratio:.3g} on xtensawin; at most {most}"
        )
        yield Row(f"{name}, instructions a product", executed, "", goal=_INSTRUCTIONS, note=note)
    for name, (_, model) in files.items():
        with micropython_modules(firmware_dir=paths.FIRMWARE):
            size = importlib.import_module("glasses.wakeword.network").Network(model).size
        yield Row(f"{name}, weights and state", size, "B", note=f"of a file of {len(model)}")
    native = {arch: sum(_native(path, arch) for path in _FIRMWARE.glob("*.py")) for arch in ARCHS}
    note = "on the heap of 32 bits, with features and byte code; native code comes to it: " + ", ".join(
        f"{size} ({arch})" for arch, size in native.items()
    )
    try:
        used = _memory(files["okay_nabu"][1])
        yield Row("okay_nabu, memory", used, "B", goal=_MEMORY, note=note)
    except webassembly.Missing as error:
        yield Row("okay_nabu, memory", None, "B", goal=_MEMORY, note=str(error))
    for path in (_FIRMWARE / "network.py", _FIRMWARE / "layers.py"):
        sizes = {arch: len(mpy.compiled(path, arch)) for arch in ARCHS}
        yield Row(
            f"{path.stem}, .mpy", sizes["xtensawin"], "B", note=f"xtensawin; rv32imc {sizes['rv32imc']}"
        )


def _native(path: Path, arch: str) -> int:
    return sum(len(one.code) for one in functions(path, arch).values())
