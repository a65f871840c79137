"""How many MicroPython bytecodes a run of the firmware executes, counted in CPython, statement by statement.

MicroPython does not tell (stock builds have no sys.settrace), so the firmware runs in CPython with a counter
before each statement, and each time counts as many as MicroPython's compiler makes of its lines. Not exact:
of a condition the part that is skipped counts, too, and a loop's head counts for every turn as a whole. Left
out: native kernels, MicroPython's own modules (asyncio), and what the interpreter does in C, such as reading
a module from flash.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from lunette import paths
from lunette.virtual import firmware_import

from . import mpy

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = {
    ast.ListComp: "<listcomp>",
    ast.SetComp: "<setcomp>",
    ast.DictComp: "<dictcomp>",
    ast.GeneratorExp: "<genexpr>",
    ast.Lambda: "<lambda>",
}
_COUNTER = "_bytecode_counter"


class _Scope:
    """A module, class, function, lambda or comprehension. `units`: (first line, last line, numbers of the
    counters that say how often they ran)."""

    def __init__(self, name: str, node: Any, entry: int):
        self.name = name
        self.first = getattr(node, "lineno", 1)
        self.last = getattr(node, "end_lineno", 1 << 30)
        self.entry = entry
        self.units: list[tuple[int, int, tuple[int, ...]]] = []

    def counters(self, line: int) -> tuple[int, ...]:
        around = [unit for unit in self.units if unit[0] <= line <= unit[1]]
        return min(around, key=lambda unit: unit[1] - unit[0])[2] if around else (self.entry,)


class _Instrument(ast.NodeTransformer):
    """Puts counters into a source; `scopes` are what it found there."""

    def __init__(self, first: int):
        self._next = first
        self.scopes: list[_Scope] = []

    @property
    def used(self) -> int:
        return self._next

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    @staticmethod
    def _count(number: int, node: ast.AST) -> ast.Call:
        name = ast.Name("_count_bytecodes", ast.Load())
        return ast.copy_location(ast.Call(name, [ast.Constant(number)], []), node)

    def _counting(self, number: int, node: ast.AST) -> ast.stmt:
        return ast.copy_location(ast.Expr(self._count(number, node)), node)

    def module(self, tree: ast.Module) -> ast.Module:
        self._scope(tree, "<module>", tree)
        get = ast.ImportFrom(_COUNTER, [ast.alias("count", "_count_bytecodes")], 0)
        tree.body.insert(0, ast.copy_location(get, tree.body[0]))
        return ast.fix_missing_locations(tree)

    def _scope(self, node: Any, name: str, place: Any) -> None:
        scope = _Scope(name, place, self._number())
        self.scopes.append(scope)
        body, doc = node.body, []
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            doc, body = body[:1], body[1:]
        at = (body or doc)[0]
        node.body = [*doc, self._counting(scope.entry, at), *self._block(scope, body)]

    def _block(self, scope: _Scope, body: list[ast.stmt]) -> list[ast.stmt]:
        counted: list[ast.stmt] = []
        for statement in body:
            number = self._number()
            counted += [self._counting(number, statement), self._statement(scope, statement, number)]
        return counted

    def _statement(self, scope: _Scope, node: Any, number: int) -> ast.stmt:
        last = node.end_lineno
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            scope.units.append((node.lineno, last, (number,)))
            native = [d for d in node.decorator_list if isinstance(d, ast.Attribute)]
            if not any(d.attr in ("viper", "native") for d in native):
                self._scope(node, node.name, node)
            return node
        blocks = [node] if getattr(node, "body", None) else []
        blocks += getattr(node, "handlers", [])
        heads = (number,)
        if blocks:
            last = max(node.lineno, node.body[0].lineno - 1)
            if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
                heads = (number, self._next)  # the first statement of its body gets that number
        for block in blocks:
            first = self._next
            block.body = self._block(scope, block.body)
            if block is not node:
                scope.units.append((block.lineno, block.lineno, (first,)))
        scope.units.append((node.lineno, last, heads))
        for part in ("orelse", "finalbody"):
            if getattr(node, part, None):
                setattr(node, part, self._block(scope, getattr(node, part)))
        for field, value in ast.iter_fields(node):
            if field not in ("body", "handlers", "orelse", "finalbody"):
                self._expressions(node, field, value)
        return node

    def _expressions(self, node: Any, field: str, value: Any) -> None:
        if isinstance(value, ast.AST):
            setattr(node, field, self.visit(value))
        elif isinstance(value, list):
            setattr(node, field, [self.visit(v) if isinstance(v, ast.AST) else v for v in value])

    def generic_visit(self, node: Any) -> ast.AST:
        name = _COMPREHENSIONS.get(type(node))
        super().generic_visit(node)
        if name is not None:
            scope = _Scope(name, node, self._number())
            self.scopes.append(scope)
            field = "body" if name == "<lambda>" else "key" if name == "<dictcomp>" else "elt"
            inner = getattr(node, field)
            # (count, what it was)[1]
            both = ast.Tuple([self._count(scope.entry, inner), inner], ast.Load())
            setattr(node, field, ast.copy_location(ast.Subscript(both, ast.Constant(1), ast.Load()), inner))
        return node


class Bytecodes:
    """``with counting() as bytecodes:`` around a world; `by_module` is the sum since the last `clear`."""

    def __init__(self) -> None:
        self._ran: Counter[int] = Counter()
        self._sizes: list[tuple[str, int, tuple[int, ...]]] = []  # (module, bytecodes, counters)
        self._used = 0
        sources = [path for path in sorted(paths.FIRMWARE.rglob("*.py")) if path.stat().st_size]
        self._codes = {str(s): self._code(s, blocks) for s, blocks in mpy.blocks(sources).items()}

    def code(self, path: str) -> tuple[int, CodeType] | None:
        """As `firmware_import` wants it: the source's bytes, and its code with counters."""
        return self._codes.get(path)

    def count(self, number: int) -> None:
        self._ran[number] += 1

    def clear(self) -> None:
        self._ran.clear()

    def by_module(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for module, size, counters in self._sizes:
            found[module] += size * sum(self._ran[number] for number in counters)
        return +found

    def _code(self, source: Path, blocks: list[mpy.Block]) -> tuple[int, CodeType]:
        text = source.read_text()
        instrument = _Instrument(self._used)
        tree = instrument.module(ast.parse(text))
        self._used = instrument.used
        name = source.relative_to(paths.FIRMWARE).with_suffix("").as_posix().replace("/", ".")
        left = list(instrument.scopes)
        for block in blocks:
            scope = _matching(left, block)
            left.remove(scope)
            for line, size in block.lines.items():
                self._sizes.append((name.removesuffix(".__init__"), size, scope.counters(line)))
        return len(text.encode()), compile(tree, str(source), "exec")


def _matching(scopes: list[_Scope], block: mpy.Block) -> _Scope:
    lines = [line for line in block.lines if line > 1] or [1]
    fit = [s for s in scopes if s.name == block.name and s.first <= min(lines) and max(lines) <= s.last]
    if not fit:
        raise RuntimeError(f"whose bytecodes are those of {block.name}, lines {min(lines)} to {max(lines)}?")
    return min(fit, key=lambda scope: (scope.last - scope.first, scope.first))


@contextlib.contextmanager
def counting() -> Iterator[Bytecodes]:
    """Count in every start of the firmware in this process, while this lasts."""
    bytecodes = Bytecodes()
    module: Any = ModuleType(_COUNTER)
    module.count = bytecodes.count
    before = firmware_import._code
    firmware_import._code = lambda name, path: bytecodes.code(path) or before(name, path)
    sys.modules[_COUNTER] = module
    try:
        yield bytecodes
    finally:
        firmware_import._code = before
        del sys.modules[_COUNTER]
