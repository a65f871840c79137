"""The kernels' equivalents in C: `c/MODULE.c`, function MODULE_KERNEL, the same arguments."""

from __future__ import annotations

import ast
import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunette import paths
from lunette.doctor.kernels.registry import Kernel, kernels

FOLDER = Path(__file__).with_name("c")
_C_TYPES = {
    "ptr8": "uint8_t *",
    "ptr16": "uint16_t *",
    "ptr32": "uint32_t *",
    "int": "int32_t ",
    "uint": "uint32_t ",
}
_ARGUMENTS: dict[str, Any] = {"int": ctypes.c_int32, "uint": ctypes.c_uint32}
# Scalar, as for the chips, whose compilers use no vector instructions; and loops stay loops, where gcc would
# call memmove, which has them.
_SCALAR = ("-fno-tree-vectorize", "-fno-tree-loop-distribute-patterns")
_OPTIONS = ("-O2", *_SCALAR, "-shared", "-fPIC", "-Wall", "-Wextra")
# In the file of the functions, so that other arguments than theirs do not compile; by a volatile pointer, so
# that the compiler can neither inline nor leave out any of the calls.
_REPEAT = """
void repeat_{name}(int64_t times{parameters}) {{
    __typeof__(&{name}) volatile kernel = {name};
    for (int64_t i_ = 0; i_ < times; i_++) kernel({arguments});
}}
"""


@dataclass(frozen=True)
class Signature:
    """Of a kernel: `parameters` are (name, type) in viper's words, `text` is what follows its name."""

    parameters: tuple[tuple[str, str], ...]
    returns: str
    text: str


def source(kernel: Kernel) -> Path:
    """The firmware's file with a kernel."""
    return paths.FIRMWARE / (kernel.module.replace(".", "/") + ".py")


def signature(kernel: Kernel) -> Signature:
    """As its source has it. KeyError if there is no such kernel."""
    tree = ast.parse(source(kernel).read_text())
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}[kernel.name]
    parameters = tuple((arg.arg, ast.unparse(arg.annotation)) for arg in found.args.args if arg.annotation)
    returns = ast.unparse(found.returns) if found.returns else ""
    text = f"({ast.unparse(found.args)})" + (f" -> {returns}" if returns else "")
    return Signature(parameters, returns, text)


def compiler() -> str | None:
    """Where the C compiler is, if there is one."""
    return shutil.which(os.environ.get("CC", "cc"))


class CKernels:
    """Compiles into a folder of the caller's, each module when it is first asked for."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._libraries: dict[str, ctypes.CDLL] = {}

    def has(self, kernel: Kernel) -> bool:
        """Whether there is a compiler, and such a function."""
        return compiler() is not None and _defined(kernel)

    def call(self, kernel: Kernel) -> Callable[..., Any]:
        """The function, to be called with buffers as the kernel is."""
        returns = _ARGUMENTS.get(signature(kernel).returns)
        return self._function(kernel, _name(kernel), returns)

    def repeat(self, kernel: Kernel) -> Callable[..., Any]:
        """The same, called so many times as a first argument says."""
        return self._function(kernel, f"repeat_{_name(kernel)}", None)

    def _function(self, kernel: Kernel, name: str, returns: Any) -> Callable[..., Any]:
        function = getattr(self._library(kernel.module), name)
        function.restype = returns
        types = [_ARGUMENTS.get(kind) for _, kind in signature(kernel).parameters]

        def call(*arguments: Any) -> Any:
            first = len(arguments) - len(types)
            values = [ctypes.c_int64(n) for n in arguments[:first]]
            for kind, value in zip(types, arguments[first:], strict=True):
                values.append(_buffer(value) if kind is None else kind(value))
            return function(*values)

        return call

    def _library(self, module: str) -> ctypes.CDLL:
        if module not in self._libraries:
            short = module.rpartition(".")[2]
            repeats, made = self._folder / f"{short}_repeat.c", self._folder / f"{short}.so"
            text = "".join(_repeat(k) for k in kernels() if k.module == module and _defined(k))
            repeats.write_text(f'#include "{FOLDER / short}.c"\n{text}')
            command = [compiler() or "cc", *_OPTIONS, "-o", str(made), str(repeats)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            if done.returncode or done.stderr:
                raise RuntimeError(f"{short}.c does not compile without complaint:\n{done.stderr}")
            self._libraries[module] = ctypes.CDLL(str(made))
        return self._libraries[module]


def _name(kernel: Kernel) -> str:
    return kernel.full.replace(".", "_")


def _defined(kernel: Kernel) -> bool:
    path = FOLDER / f"{kernel.module.rpartition('.')[2]}.c"
    return path.is_file() and re.search(rf"\b{_name(kernel)}\(", path.read_text()) is not None


def _repeat(kernel: Kernel) -> str:
    declared = signature(kernel)
    return _REPEAT.format(
        name=_name(kernel),
        parameters="".join(f", {_C_TYPES[kind]}{name}" for name, kind in declared.parameters),
        arguments=", ".join(name for name, _ in declared.parameters),
    )


def _buffer(view: Any) -> Any:
    octets = memoryview(view).cast("B")
    return (ctypes.c_uint8 * len(octets)).from_buffer(octets)
