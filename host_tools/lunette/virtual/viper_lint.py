"""What is wrong with viper and native functions, found in their text.

    python -m lunette.virtual.viper_lint FILE_OR_FOLDER...      also `make lint`, over the firmware

Says ``path:line: kernel: what; what to write instead``, a line a problem; the exit code is 1 if there is
one. It finds what no run on a PC reveals (constructs that MicroPython's code generators for Xtensa and
RISC-V compile wrongly, integers of another size) and what allocates or costs too much by construction. What
has none of these is compiled for both, since mpy-cross has rules of its own. docs/kernels.md has the
rules with their reasons.
"""

from __future__ import annotations

import argparse
import ast
import operator
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lunette import mpy
from lunette.errors import LunetteError

ARCHS = ("xtensawin", "rv32imc")

# Small integers of a 32-bit MicroPython; a larger literal is an object, which viper cannot calculate with.
_SMALL_MIN, _SMALL_MAX = -(1 << 30), (1 << 30) - 1
_MAX_CONST_INDEX = 255
_MAX_SHIFT = 31
_MANY_LOCALS = 12

_POINTERS = ("ptr8", "ptr16", "ptr32", "ptr")
_CONVERSIONS = (*_POINTERS, "int", "uint", "bool")
_MACHINE = (*_POINTERS, "int", "uint", "bool")  # types that are no objects
# Builtins and methods of builtins whose result is a new object.
# fmt: off
_ALLOCATING = (
    "array", "bin", "bytearray", "bytes", "complex", "dict", "divmod", "enumerate", "filter",
    "float", "format", "frozenset", "hex", "input", "iter", "list", "map", "memoryview", "object",
    "oct", "open", "range", "repr", "reversed", "set", "slice", "sorted", "str", "tuple", "zip",
    "append", "copy", "decode", "encode", "extend", "format", "from_bytes", "insert", "join",
    "lower", "lstrip", "replace", "rsplit", "rstrip", "split", "strip", "to_bytes", "update",
    "upper",
)
# fmt: on
_FOLDED: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_ALLOCATES = {
    ast.List: "a list",
    ast.Tuple: "a tuple",
    ast.Dict: "a dict",
    ast.Set: "a set",
    ast.ListComp: "a list",
    ast.SetComp: "a set",
    ast.DictComp: "a dict",
    ast.GeneratorExp: "a generator",
    ast.JoinedStr: "an f-string",
    ast.Lambda: "a lambda",
    ast.FunctionDef: "a function within",
    ast.AsyncFunctionDef: "a function within",
    ast.ClassDef: "a class",
}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Problem:
    """`text` is what is wrong, and after a semicolon what to write instead. A note is no offence."""

    line: int
    kernel: str
    text: str
    note: bool = False

    def __str__(self) -> str:
        return f"line {self.line}: {self.kernel}: {self.text}"


def fold(node: ast.AST, constants: dict[str, int]) -> int | None:
    """The integer that MicroPython's compiler folds `node` to, or None."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert | ast.UAdd):
        value = fold(node.operand, constants)
        if value is not None:
            return {ast.USub: -value, ast.Invert: ~value}.get(type(node.op), value)
    if isinstance(node, ast.BinOp) and type(node.op) in _FOLDED:
        left, right = fold(node.left, constants), fold(node.right, constants)
        huge = isinstance(node.op, ast.Pow | ast.LShift) and not 0 <= (right or 0) < 1024
        if left is not None and right is not None and not huge:
            try:
                return _FOLDED[type(node.op)](left, right)
            except (ArithmeticError, ValueError):
                return None
    return None


def problems_of(kernel: _Function, constants: dict[str, int]) -> list[Problem]:
    """Of one viper function; `constants` are the names that the compiler folds. Notes included."""
    found = _Viper(kernel, constants).problems
    return sorted(dict.fromkeys(found), key=lambda problem: problem.line)


def offences_of(kernel: _Function, constants: dict[str, int]) -> list[str]:
    """The same as text, without notes."""
    return [str(problem) for problem in problems_of(kernel, constants) if not problem.note]


def check_kernel(source: str) -> list[str]:
    """Check every viper and native function in the text of a module.

    Returns:
        One line a problem, ``line N: FUNCTION: what; what to write instead``; empty if there is none.
    """
    return [str(problem) for problem in problems_in(source) if not problem.note]


def problems_in(source: str) -> list[Problem]:
    """The same with notes, not as text. Raises SyntaxError for what is no Python."""
    tree = ast.parse(source)
    constants = _module_constants(tree)
    problems: list[Problem] = []
    for function, emitter in kernels_in(tree):
        if emitter == "viper":
            problems += problems_of(function, constants)
        elif emitter == "native":
            problems += _native(function)
        else:
            text = f"{emitter} is for one kind of chip, and stock images do not load it; write viper"
            problems.append(Problem(function.lineno, function.name, text))
    return problems


def kernels_in(tree: ast.AST) -> Iterator[tuple[_Function, str]]:
    """(function, "viper" or "native" or "asm_...") of each that is no byte code."""
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            for name in map(_last_name, node.decorator_list):
                if name in ("viper", "native") or name.startswith("asm_"):
                    yield node, name


def _last_name(node: ast.expr) -> str:
    """``const`` of ``micropython.const`` and of ``const``."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _module_constants(tree: ast.Module) -> dict[str, int]:
    """Names bound by ``NAME = const(...)`` at module level, which the compiler folds."""
    found: dict[str, int] = {}
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
            continue
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Name) and isinstance(value, ast.Call) and value.args:
            folded = fold(value.args[0], found) if _last_name(value.func) == "const" else None
            if folded is not None:
                found[target.id] = folded
    return found


def _native(function: _Function) -> list[Problem]:
    """Of one native function. Its numbers are objects, so that little can go wrong."""
    found = []

    def add(node: ast.AST, text: str) -> None:
        found.append(Problem(getattr(node, "lineno", function.lineno), function.name, text))

    if isinstance(function, ast.AsyncFunctionDef):
        add(function, "native code cannot wait; write an ordinary coroutine")
    for node in ast.walk(function):
        if isinstance(node, ast.Yield | ast.YieldFrom | ast.Await):
            add(node, "native code cannot yield; write an ordinary function")
        elif isinstance(node, ast.Raise) and node.exc is None:
            add(node, "native code has no bare raise; write `raise error`")
        elif isinstance(node, ast.With | ast.AsyncWith):
            add(node, "native code has no with; write try and finally")
    return found


class _Viper(ast.NodeVisitor):
    """Collects the problems of one viper function."""

    def __init__(self, kernel: _Function, constants: dict[str, int]):
        self.problems: list[Problem] = []
        self._kernel = kernel
        self._loops = 0
        arguments = (*kernel.args.posonlyargs, *kernel.args.args, *kernel.args.kwonlyargs)
        self._parameters = {arg.arg: arg.annotation for arg in arguments}
        stored = [n.id for n in ast.walk(kernel) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        self._locals = list(dict.fromkeys([*self._parameters, *stored]))
        # A local of the same name hides a module's constant where CPython runs this.
        self._constants = {name: value for name, value in constants.items() if name not in self._locals}
        self._types = self._typed()
        self._loads = self._loaded()
        self._signature()
        for statement in kernel.body:
            self.visit(statement)

    def _add(self, node: ast.AST, text: str, note: bool = False) -> None:
        line = getattr(node, "lineno", self._kernel.lineno)
        self.problems.append(Problem(line, self._kernel.name, text, note))

    # --- what is known before ---------------------------------------------------------------------------

    def _typed(self) -> dict[str, str]:
        """The type of each local: of a parameter as declared, of another that of its first assignment."""
        types = {
            name: annotation.id if isinstance(annotation, ast.Name) else "object"
            for name, annotation in self._parameters.items()
        }
        self._types = types
        for target, value in _assigned(self._kernel):
            types.setdefault(target, "int" if value is None else self._type(value))
        return types

    def _loaded(self) -> dict[str, str]:
        """Locals that are nothing but what was loaded: by name the type of the pointer."""
        loads: dict[str, str] = {}
        others = set(self._parameters)
        for target, value in _assigned(self._kernel):
            pointer = self._pointer(value) if value is not None else None
            if pointer is None or loads.setdefault(target, pointer) != pointer:
                others.add(target)
        return {name: pointer for name, pointer in loads.items() if name not in others}

    def _type(self, node: ast.expr) -> str:
        """What viper's compiler takes an expression for."""
        if isinstance(node, ast.Compare) or (isinstance(node, ast.Constant) and isinstance(node.value, bool)):
            return "bool"
        if fold(node, self._constants) is not None:
            return "int"
        if isinstance(node, ast.Name):
            return self._types.get(node.id, "object")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return node.func.id if node.func.id in _CONVERSIONS else "object"
        if isinstance(node, ast.Subscript):
            return "int" if self._type(node.value) in _POINTERS else "object"
        if isinstance(node, ast.BinOp):
            left = self._type(node.left)
            return "int" if isinstance(node.op, ast.FloorDiv | ast.Mod) and left in _MACHINE else left
        if isinstance(node, ast.UnaryOp):
            return self._type(node.operand)
        if isinstance(node, ast.IfExp):
            return self._type(node.body)
        if isinstance(node, ast.BoolOp):
            return self._type(node.values[0])
        if isinstance(node, ast.NamedExpr):
            return self._type(node.value)
        return "object"

    def _pointer(self, node: ast.expr) -> str | None:
        """The pointer's type, if `node` is a load and nothing else."""
        if isinstance(node, ast.Name):
            return getattr(self, "_loads", {}).get(node.id)
        if isinstance(node, ast.Subscript):
            pointer = self._type(node.value)
            return pointer if pointer in _POINTERS else None
        return None

    def _signature(self) -> None:
        arguments = self._kernel.args
        if isinstance(self._kernel, ast.AsyncFunctionDef):
            self._add(self._kernel, "a kernel cannot wait; write an ordinary function")
        if arguments.defaults:
            self._add(self._kernel, "native code has no default arguments; have callers pass it")
        if arguments.kwonlyargs:
            self._add(self._kernel, "native code has no keyword arguments; write positional ones")
        if arguments.vararg or arguments.kwarg:
            self._add(self._kernel, "star arguments allocate; write positional ones")
        if len(self._locals) > _MANY_LOCALS:
            self._add(
                self._kernel,
                f"{len(self._locals)} locals, and only the first two ({', '.join(self._locals[:2])}) live in "
                "registers; split the loop",
                note=True,
            )

    # --- expressions ------------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        what = _ALLOCATES.get(type(node))
        if what is not None and not isinstance(getattr(node, "ctx", None), ast.Store):
            if isinstance(node, _Function | ast.ClassDef | ast.Lambda):
                self._add(node, f"{what} allocates; write it outside")
                return
            self._add(node, f"{what} allocates; make it outside and pass it, or write into a buffer")
        value = fold(node, self._constants) if isinstance(node, ast.expr) else None
        if value is None:
            super().visit(node)
        elif not _SMALL_MIN <= value <= _SMALL_MAX:
            self._add(
                node,
                f"constant {value:#x} is no small integer on the chip (31 bits); shift a smaller one, or "
                "take it from a table",
            )

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, float | complex):
            self._add(node, "floats are objects and allocate; scale to an int")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub | ast.Invert):
            name = "-" if isinstance(node.op, ast.USub) else "~"
            instead = "0 - x" if isinstance(node.op, ast.USub) else "x ^ -1"
            self._add(node, f"unary {name} clobbers its operand up to MicroPython 1.28; write `{instead}`")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._operator(node, node.op, node.left, node.right)
        self.generic_visit(node)

    def _operator(self, node: ast.AST, op: ast.operator, left: ast.expr, right: ast.expr) -> None:
        count = fold(right, self._constants)
        if isinstance(op, ast.LShift | ast.RShift) and count is not None and not 0 <= count <= _MAX_SHIFT:
            self._add(node, f"a shift by {count} differs from machine to machine; write 0..{_MAX_SHIFT} bits")
        elif isinstance(op, ast.Div):
            self._add(node, "/ gives a float; write `//`")
        elif isinstance(op, ast.Pow | ast.MatMult):
            self._add(node, "viper has no ** or @ of variables; write multiplications")
        elif isinstance(op, ast.FloorDiv | ast.Mod) and self._type(left) == "uint":
            self._add(node, "// and % of a uint divide it as an int; write a shift or a mask, or divide ints")

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            self._compared(node, op, left, right)
        self.generic_visit(node)

    def _compared(self, node: ast.AST, op: ast.cmpop, left: ast.expr, right: ast.expr) -> None:
        """A load compared with a number that no load is: it is unsigned."""
        load, number = self._pointer(left), fold(right, self._constants)
        zero_matters: tuple[type[ast.cmpop], ...] = (ast.Lt, ast.GtE)
        if load is None:
            load, number = self._pointer(right), fold(left, self._constants)
            zero_matters = (ast.Gt, ast.LtE)
        if (
            load is None
            or number is None
            or not (number < 0 or (number == 0 and isinstance(op, zero_matters)))
        ):
            return
        if load == "ptr32":
            text = "a ptr32 load is negative on the chip only; test its highest bit: `uint(x) >> uint(31)`"
        else:
            half = 128 if load in ("ptr8", "ptr") else 32768
            text = f"a {load} load is never negative; write `(x ^ {half}) - {half}` for its signed value"
        self._add(node, text)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        index = fold(node.slice, self._constants)
        if isinstance(node.slice, ast.Slice):
            self._add(node, "a slice allocates, and of a pointer crashes mpy-cross; write a loop")
        elif index is not None and not 0 <= index <= _MAX_CONST_INDEX:
            self._add(
                node,
                f"constant index {index} is outside 0..{_MAX_CONST_INDEX}, which Xtensa's code generator "
                "gets wrong; put it into a variable",
            )
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _last_name(node.func)
        if node.keywords:
            self._add(node, "keyword arguments of a call allocate; pass them by position")
        if any(isinstance(arg, ast.Starred) for arg in node.args):
            self._add(node, "star arguments of a call allocate; pass them one by one")
        if name in _ALLOCATING or name[:1].isupper():
            self._add(node, f"{name}() makes an object; make it outside and pass it")
        elif name not in _CONVERSIONS and self._loops:
            self._add(node, f"a call of {name}() in a loop costs some hundred instructions", note=True)
        elif name in _POINTERS and self._loops and node.args:
            source = node.args[0]
            if isinstance(source, ast.Name) and source.id not in self._locals:
                self._add(node, "looks a global up each time round; do it before the loop", note=True)
        self.generic_visit(node)

    # --- statements -------------------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        values = node.value
        if isinstance(values, ast.Tuple):
            # `a, b = b, a` and three of them are moves on the stack. More make a tuple.
            targets = node.targets[0]
            plain = isinstance(targets, ast.Tuple) and len(targets.elts) == len(values.elts) <= 3
            if plain and len(node.targets) == 1:
                for part in (*values.elts, targets):
                    self.visit(part)
                return
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        loaded = ast.parse(ast.unparse(node.target), mode="eval").body
        self._operator(node, node.op, loaded, node.value)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        declared = self._kernel.returns.id if isinstance(self._kernel.returns, ast.Name) else ""
        if node.value is not None and declared in ("int", "uint"):
            given = self._type(node.value)
            if given in ("int", "uint", "bool") and given != declared:
                self._add(node, f"returns {given}, declared is {declared}; write `{declared}(...)`")
            elif given in _POINTERS or given == "object":
                self._add(node, f"returns {given}, declared is {declared}; convert it by `{declared}(...)`")
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        loop = node.iter
        call = isinstance(loop, ast.Call) and _last_name(loop.func) == "range"
        if call and isinstance(loop, ast.Call):
            step = fold(loop.args[2], self._constants) if len(loop.args) == 3 else 1
            if not step or loop.keywords or not 1 <= len(loop.args) <= 3:
                self._add(node, "a range whose step is no constant is an object and allocates; write while")
            else:
                self._add(
                    node, "a range keeps its numbers in memory; while, in registers, is half of it", note=True
                )
            for arg in loop.args:
                self.visit(arg)
        else:
            self._add(node, "a loop over objects; write while over an index")
            self.visit(loop)
        self.visit(node.target)
        self._looped([*node.body])
        for part in node.orelse:
            self.visit(part)

    def visit_While(self, node: ast.While) -> None:
        self._looped([node.test, *node.body])
        for part in node.orelse:
            self.visit(part)

    def _looped(self, parts: Iterable[ast.AST]) -> None:
        self._loops += 1
        for part in parts:
            self.visit(part)
        self._loops -= 1

    def visit_Yield(self, node: ast.expr) -> None:
        self._add(node, "a kernel cannot yield; write an ordinary function")

    visit_YieldFrom = visit_Await = visit_Yield

    def visit_Raise(self, node: ast.Raise) -> None:
        if node.exc is None:
            self._add(node, "native code has no bare raise; return a number that says it")
        elif isinstance(node.exc, ast.Call):  # it allocates when it has gone wrong, which may be
            for arg in node.exc.args:
                self.visit(arg)

    def visit_Try(self, node: ast.AST) -> None:
        self._add(node, "with try all locals live in memory; catch it where the kernel is called")
        self.generic_visit(node)

    visit_TryStar = visit_Try

    def visit_With(self, node: ast.AST) -> None:
        self._add(node, "native code has no with; do it where the kernel is called")
        self.generic_visit(node)

    visit_AsyncWith = visit_With

    def visit_AsyncFor(self, node: ast.AST) -> None:
        self._add(node, "a kernel cannot wait; write an ordinary function")

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        names = ", ".join(node.names)
        self._add(node, f"writes the global {names}, which makes an object of it; write into a buffer")

    visit_Nonlocal = visit_Global


def _assigned(kernel: _Function) -> Iterator[tuple[str, ast.expr | None]]:
    """(local, what is assigned to it) in the order of the text; None is a number of no further interest."""
    for node in _in_order(kernel):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _pairs(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
            if node.value is not None:
                yield node.target.id, node.value
        elif isinstance(node, ast.AugAssign | ast.For) and isinstance(node.target, ast.Name):
            yield node.target.id, None


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=False):
            yield from _pairs(one, other)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        yield from _in_order(child)


# --- files ------------------------------------------------------------------------------------------------


def lint(path: Path) -> tuple[int, list[Problem]]:
    """(how many kernels a file has, its problems), what mpy-cross says included."""
    source = path.read_text()
    if not any(word in source for word in ("viper", "native", "asm_")):
        return 0, []
    try:
        kernels = list(kernels_in(ast.parse(source)))
        problems = problems_in(source)
    except SyntaxError as error:
        return 0, [Problem(error.lineno or 1, path.stem, f"{error.msg}; write Python")]
    if kernels and not any(not problem.note for problem in problems):
        problems += _compiled(path)
    return len(kernels), problems


def _compiled(path: Path) -> list[Problem]:
    """What mpy-cross says of a file, for each architecture; the same once."""
    said = {}
    for arch in ARCHS:
        try:
            mpy.compiled(path, arch)
        except LunetteError as error:
            text = str(error)
            place = re.findall(r"line (\d+)(?:, in (\w+))?", text)
            line, kernel = place[-1] if place else ("1", path.stem)
            what = text.strip().splitlines()[-1]
            said[what] = Problem(int(line), kernel or path.stem, f"mpy-cross for {arch} says: {what}")
    return list(said.values())


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lunette.virtual.viper_lint", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--notes", action="store_true", help="also what is slow, but right")
    options = parser.parse_args(arguments)
    for path in options.paths:
        if not path.exists():
            parser.error(f"{path} does not exist")
    kernels = offences = 0
    for path in _files(options.paths):
        count, problems = lint(path)
        kernels += count
        for problem in problems:
            offences += not problem.note
            if options.notes or not problem.note:
                note = "note: " if problem.note else ""
                print(f"{path}:{problem.line}: {problem.kernel}: {note}{problem.text}")
    print(f"viper: {kernels} kernels, {offences or 'no'} problem{'' if offences == 1 else 's'}")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
