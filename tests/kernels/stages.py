"""Stages of the sound path, run whole: in MicroPython, in CPython, and sounds to run them on."""

import builtins
import importlib
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from lunette.paths import FIRMWARE
from lunette.virtual import interpreter
from lunette.virtual.cpython import micropython_modules
from lunette.virtual.kernels import POINTERS, fast_kernels

DSP_PARENT = FIRMWARE / "glasses"
PACKAGES = ("dsp", "wakeword")
FRAME = 320
_SERVER = Path(__file__).with_name("serve_stage.py")


def frames(pcm):
    """int16, cut to whole frames."""
    return pcm[: len(pcm) // FRAME * FRAME].astype("<i2")


def in_micropython(tmp_path, module, name, pcm, attributes=(), voice=None):
    """(all samples that come out, a row of attributes for each frame), the heap locked during `run`."""
    (tmp_path / "pcm").write_bytes(frames(pcm).tobytes())
    voice_file = ""
    if voice is not None:
        voice_file = str(tmp_path / "voice")
        (tmp_path / "voice").write_bytes(bytes(map(int, voice)))
    command = interpreter.command(
        str(_SERVER), str(DSP_PARENT), module, name, str(tmp_path / "pcm"), voice_file, *attributes
    )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    samples = np.frombuffer(b"".join(bytes.fromhex(row[0]) for row in rows), "<i2")
    return samples, [[int(value) for value in row[1:]] for row in rows]


@contextmanager
def _own_kernels(fast):
    """Modules of `PACKAGES` that are imported here are this block's own, though `checked` is in use."""
    active = "micropython" in sys.modules
    with nullcontext() if active else micropython_modules(firmware_dir=DSP_PARENT):
        micropython = sys.modules["micropython"]
        viper, pointers = micropython.viper, {name: getattr(builtins, name) for name in POINTERS}
        others = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in PACKAGES}
        try:
            if fast:
                fast_kernels()
            yield
        finally:
            micropython.viper = viper
            vars(builtins).update(pointers)
            for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
                del sys.modules[name]
            sys.modules.update(others)


class Stage:
    """A stage in CPython, its kernels as their equivalents (`fast`) or checked."""

    def __init__(self, module, name, fast=True):
        with _own_kernels(fast):
            self._made = getattr(importlib.import_module(f"dsp.{module}"), name)()

    def __getattr__(self, name):
        return getattr(self._made, name)

    def run(self, pcm, attributes=(), voice=None):
        """As `in_micropython`."""
        out, rows = [], []
        sound = frames(pcm)
        for i in range(len(sound) // FRAME):
            frame = bytearray(sound[FRAME * i : FRAME * (i + 1)].tobytes())
            self._made.run(frame, *(() if voice is None else (bool(voice[i]),)))
            out.append(np.frombuffer(frame, "<i2"))
            rows.append([int(getattr(self._made, name)) for name in attributes])
        return np.concatenate(out) if out else sound, rows


assert sys.byteorder == "little"
