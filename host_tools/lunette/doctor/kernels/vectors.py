"""What each kernel must give, from its run in CPython with checked 32-bit integers, as kernels.json keeps it.

``python -m lunette.doctor.kernels.vectors`` writes that file anew.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from lunette import paths
from lunette.doctor.kernels.registry import Kernel, kernels

PATH = Path(__file__).parent.parent / "kernels.json"
BENCH = Path(__file__).with_name("on_glasses.py")

Expected = dict[str, dict[str, list[Any]]]


def stored() -> Expected:
    """{kernel: {case: [what it returns, [CRC-32 of each buffer]]}}"""
    found: Expected = json.loads(PATH.read_text())
    return found


def bench() -> ModuleType:
    """on_glasses.py, as it is run on the glasses."""
    made = ModuleType("bench")
    exec(compile(BENCH.read_text(), str(BENCH), "exec"), vars(made))
    return made


def outcome(call: Callable[..., Any], kernel: Kernel, case: str) -> list[Any]:
    """What a case gives here. Raises AssertionError if `call` writes beside its buffers."""
    result, sums, stray = bench().outcome(call, kernel.cases[case])
    assert not stray, f"{kernel.full}, {case}: writes beside its buffers"
    return [None if result is None else int(result), sums]


def make() -> Expected:
    """The same, computed."""
    from lunette.virtual.cpython import micropython_modules

    expected: Expected = {}
    with micropython_modules(firmware_dir=paths.FIRMWARE):
        for kernel in kernels():
            call = getattr(importlib.import_module(kernel.module), kernel.name)
            expected[kernel.full] = {case: outcome(call, kernel, case) for case in kernel.cases}
    return expected


def text(expected: Expected) -> str:
    """As the file has it: a line for each case."""
    parts = []
    for name, cases in expected.items():
        lines = [f"  {json.dumps(case)}: {json.dumps(gives)}" for case, gives in cases.items()]
        parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    PATH.write_text(text(make()))
    print(f"wrote {PATH}")
