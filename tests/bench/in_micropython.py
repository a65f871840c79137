"""A MicroPython process that calls kernels, and says what they give and how long they take (`timed.py`)."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from pathlib import Path
from typing import Any

from lunette import paths
from lunette.doctor.kernels import vectors
from lunette.virtual import interpreter

_LIMIT_S = 20
_SERVER = Path(__file__).with_name("timed.py")


class InMicroPython:
    """A context. Kernels are "glasses.dsp.module.function", specs as in doctor/kernels."""

    def __init__(self) -> None:
        command = interpreter.command(str(_SERVER), str(paths.FIRMWARE), str(vectors.BENCH))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> InMicroPython:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, *request: Any) -> Any:
        """RuntimeError with MicroPython's words if the kernel raised or it died."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], _LIMIT_S)
        if not ready:
            process.kill()
        answer = process.stdout.readline()
        if not answer:
            why = process.stderr.read().strip().splitlines()[-1:] if ready else "a kernel does not return"
            raise RuntimeError(f"MicroPython died: {why}")
        said = json.loads(answer)
        if isinstance(said, dict):
            raise RuntimeError(f"MicroPython: {said['error']}")
        return said

    def outcome(self, kernel: str, specs: Any) -> list[Any]:
        """[what it returned, [CRC-32 of each buffer], whether it wrote beside them]"""
        answer: list[Any] = self._ask("outcome", kernel, specs)
        return answer

    def prepare(self, kernel: str, specs: Any, signature: str) -> None:
        """Make arguments for `us`; the signature is the kernel's, as in its source."""
        self._ask("prepare", kernel, specs, signature)

    def us(self, calls: int) -> tuple[float, float]:
        """Microseconds of so many calls of what was prepared, and of what a call by itself takes."""
        took, nothing = self._ask("time", calls)
        return took, nothing
