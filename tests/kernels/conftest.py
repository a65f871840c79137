"""Two machines that run the kernels: CPython with checked 32-bit integers, and real MicroPython."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lunette.paths import FIRMWARE
from lunette.virtual.cpython import micropython_modules

# As the top-level package `dsp`: the kernels depend on nothing, not even on the package around them.
DSP_PARENT = FIRMWARE / "glasses"


class CheckedKernels:
    """Calls kernels in CPython: "module.function" of dsp, or "package.module.function"."""

    def call(self, name, *args):
        """``(result, [each buffer afterwards])``; the caller's buffers stay as they are."""
        module, function = (name if name.count(".") > 1 else f"dsp.{name}").rsplit(".", 1)
        own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
        result = getattr(importlib.import_module(module), function)(*own)
        return result, [bytes(arg) for arg in own if isinstance(arg, bytearray)]


class MicroPythonKernels:
    """Calls kernels in a MicroPython process, with its heap locked."""

    def __init__(self, executable):
        self._process = subprocess.Popen(
            [executable, str(Path(__file__).with_name("serve_kernels.py")), str(DSP_PARENT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, name, *args):
        """As `CheckedKernels.call`; RuntimeError with MicroPython's words if the kernel raised."""
        texts = [arg.hex() if isinstance(arg, bytes) else arg for arg in args]
        self._process.stdin.write(json.dumps([name, texts]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"MicroPython died in {name}")
        reply = json.loads(line)
        if isinstance(reply, dict):
            raise RuntimeError(reply["error"])
        result, after = reply
        return result, [bytes.fromhex(text) for text in after]

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def checked():
    with micropython_modules(firmware_dir=DSP_PARENT):
        yield CheckedKernels()


@pytest.fixture(scope="module")
def interpreter():
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    executable = shutil.which("micropython", path=os.pathsep.join(folders))
    if executable is None:
        pytest.skip("no micropython")
    kernels = MicroPythonKernels(executable)
    yield kernels
    kernels.close()


@pytest.fixture(scope="module", params=["checked", "interpreter"])
def kernels(request):
    """Every test that uses this runs on both machines."""
    return request.getfixturevalue(request.param)
