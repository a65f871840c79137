"""Checked stand-in for ``@micropython.viper``, so that kernels run (strictly) in CPython.

Viper integers are the machine's word: 32 bits on the chip, 64 on a PC. A kernel that overflows 32
bits therefore works in MicroPython on a PC and fails on the glasses. Here every intermediate result
is checked instead:

* ``int`` results of ``+ - * << // % & | ^ >>`` must fit a signed, ``uint`` results an unsigned 32-bit
  word, otherwise `OverflowError` names the function. The result's type is that of the left operand,
  as in MicroPython's native emitter. Shift counts must be 0..31.
* ``ptr8``/``ptr16``/``ptr32`` check bounds on load and store (`IndexError`), refuse to write to
  read-only buffers and refuse misaligned buffers (the Xtensa core raises an exception there).
  Loads are unsigned; stores keep the low bits. ``int()`` of a pointer is an address in that buffer: integers
  may be added and subtracted, one of the same buffer subtracted or compared, and a pointer made of it again.
* A ``ptr32`` load of 2**31 or more is a negative ``int`` on the chip but a positive one on a PC. It may
  only be stored, masked with ``&`` and a non-negative int, or converted with ``uint()``; anything else
  raises `OverflowError`.

What no run on a PC reveals, `viper_lint` finds in the text; a kernel with a problem is refused here, too.

Not modelled: the static typing of locals (MicroPython's own compiler reports it), pointers made from
other integers, and whether a call to an ordinary function allocates.
"""

from __future__ import annotations

import ast
import functools
import inspect
import operator
import textwrap
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from lunette.virtual.viper_lint import offences_of

_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
_UINT_MAX = (1 << 32) - 1


class UInt(int):
    """An unsigned 32-bit viper value, made by ``uint()``."""


class RawWord(int):
    """A ``ptr32`` load of 2**31 or more, whose sign depends on the machine (see the module's text)."""


def uint(value: int) -> UInt:
    """``uint(x)``: keep the 32 bits of ``x`` as an unsigned number.

    A negative ``int`` is refused: it would become 2**32 - x on the chip and 2**64 - x on a PC.
    """
    if not 0 <= value <= _UINT_MAX:
        raise OverflowError(f"uint({int(value)}): the value depends on the machine's word size")
    return UInt(value)


class Address:
    """``int()`` of a pointer: ``at`` bytes on from the beginning of the buffer ``raw``."""

    __slots__ = ("at", "raw")

    def __init__(self, raw: memoryview, at: int):
        self.raw = raw
        self.at = at


def _with_address(name: str, symbol: str, left: Any, right: Any) -> Any:
    if symbol == "-" and isinstance(left, Address) and isinstance(right, Address):
        if left.raw is not right.raw:
            raise TypeError(f"{name}: the difference of addresses in two buffers")
        return left.at - right.at
    if symbol == "+" and type(left) is int:
        left, right = right, left
    if symbol not in ("+", "-") or not isinstance(left, Address) or type(right) is not int:
        raise TypeError(f"{name}: {type(left).__name__} {symbol} {type(right).__name__} is no address")
    return Address(left.raw, left.at + right if symbol == "+" else left.at - right)


class Pointer:
    """Base of ``ptr8``, ``ptr16`` and ``ptr32``: a typed window on an object's buffer."""

    size = 1
    code: Literal["B", "H", "I"] = "B"
    raw: memoryview
    cells: memoryview
    at: int
    __slots__ = ("at", "cells", "first", "raw")

    def __init__(self, source: Any) -> None:
        at = 0
        if isinstance(source, Pointer | Address):
            raw, at = source.raw, source.at
        elif isinstance(source, int):
            raise TypeError(f"{type(self).__name__}({source}): addresses are not modelled, pass a buffer")
        else:
            raw = memoryview(source).cast("B")
        if self.size > 1 and len(raw):
            address = np.frombuffer(raw, np.uint8).ctypes.data
            if (address + at) % self.size:
                raise ValueError(f"{type(self).__name__}: buffer is not aligned to {self.size} bytes")
        self.raw, self.at = raw, at
        self.first, begin = divmod(at, self.size)
        cells = raw[begin:] if begin else raw
        self.cells = cells[: len(cells) - len(cells) % self.size].cast(self.code)

    def load(self, index: int) -> int:
        index += self.first
        if not 0 <= index < len(self.cells):
            raise IndexError(f"load [{int(index)}] outside {type(self).__name__}[{len(self.cells)}]")
        value: int = self.cells[index]
        return RawWord(value) if value > _INT_MAX else value

    def store(self, index: int, value: int) -> None:
        index += self.first
        if not 0 <= index < len(self.cells):
            raise IndexError(f"store [{int(index)}] outside {type(self).__name__}[{len(self.cells)}]")
        self.cells[index] = value & ((1 << 8 * self.size) - 1)


class ptr8(Pointer):  # the name is the language's
    """Pointer to bytes."""

    __slots__ = ()


class ptr16(Pointer):
    """Pointer to little-endian 16-bit words; loads are unsigned."""

    size = 2
    code = "H"
    __slots__ = ()


class ptr32(Pointer):
    """Pointer to little-endian 32-bit words; see `RawWord` for loads of 2**31 and more."""

    size = 4
    code = "I"
    __slots__ = ()


# --- Arithmetic -----------------------------------------------------------------------------------


def _range_checked(name: str, symbol: str, plain: Callable[[int, int], int]) -> Callable[[Any, Any], int]:
    """One binary operator of the kernel ``name``, with operands and result checked."""
    is_shift = symbol in ("<<", ">>")
    is_division = symbol in ("//", "%")

    def apply(left: Any, right: Any) -> int:
        left_type, right_type = type(left), type(right)
        if left_type is not int or right_type is not int:
            if left_type is Address or right_type is Address:
                moved: int = _with_address(name, symbol, left, right)
                return moved
            if not isinstance(left, int) or not isinstance(right, int):
                types = f"{left_type.__name__} {symbol} {right_type.__name__}"
                raise TypeError(f"{name}: {types} is not integer maths")
            if left_type is RawWord or right_type is RawWord:
                mask, word = (left, right) if right_type is RawWord else (right, left)
                if symbol != "&" or type(mask) is RawWord or not 0 <= mask <= _INT_MAX:
                    raise OverflowError(
                        f"{name}: ptr32 load {int(word):#x} in int maths is negative on the chip, use uint()"
                    )
                return int(word) & int(mask)
            if is_division and left_type is UInt:
                raise TypeError(f"{name}: viper has no {symbol} for uint")
        if is_shift and not 0 <= right <= 31:
            raise OverflowError(f"{name}: shift by {int(right)}, must be 0..31")
        result = plain(int(left), int(right))
        if left_type is UInt:
            if not 0 <= result <= _UINT_MAX:
                raise OverflowError(f"{name}: uint {left:d} {symbol} {right:d} leaves 32 bits: {result}")
            return UInt(result)
        if not _INT_MIN <= result <= _INT_MAX:
            raise OverflowError(f"{name}: int {left:d} {symbol} {right:d} leaves 32 bits: {result}")
        return result

    return apply


def _compared(name: str, symbol: str, plain: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """One comparison; refuses pairs that compare differently as machine words than as numbers."""

    def apply(left: Any, right: Any) -> bool:
        if type(left) is Address or type(right) is Address:
            return plain(_with_address(name, "-", left, right), 0)
        for value, other in ((left, right), (right, left)):
            if type(value) is RawWord:
                raise OverflowError(
                    f"{name}: compares ptr32 load {value:#x}, negative on the chip: use uint()"
                )
            if type(value) is UInt and isinstance(other, int) and type(other) is not UInt:
                unsigned = value is left
                if (unsigned and other < 0) or (not unsigned and value > _INT_MAX):
                    raise OverflowError(f"{name}: {int(left)} {symbol} {int(right)} mixes int and uint")
        return plain(left, right)

    return apply


_BINARY: dict[type[ast.operator], tuple[str, str, Callable[[int, int], int]]] = {
    ast.Add: ("add", "+", operator.add),
    ast.Sub: ("sub", "-", operator.sub),
    ast.Mult: ("mul", "*", operator.mul),
    ast.LShift: ("shl", "<<", operator.lshift),
    ast.RShift: ("shr", ">>", operator.rshift),
    ast.BitAnd: ("and", "&", operator.and_),
    ast.BitOr: ("or", "|", operator.or_),
    ast.BitXor: ("xor", "^", operator.xor),
    ast.FloorDiv: ("div", "//", operator.floordiv),
    ast.Mod: ("mod", "%", operator.mod),
}
_COMPARE: dict[type[ast.cmpop], tuple[str, str, Callable[[Any, Any], bool]]] = {
    ast.Lt: ("lt", "<", operator.lt),
    ast.LtE: ("le", "<=", operator.le),
    ast.Gt: ("gt", ">", operator.gt),
    ast.GtE: ("ge", ">=", operator.ge),
    ast.Eq: ("eq", "==", operator.eq),
    ast.NotEq: ("ne", "!=", operator.ne),
}
# What these names mean inside a kernel, whatever the module says.
_TYPES: dict[str, Any] = {"ptr8": ptr8, "ptr16": ptr16, "ptr32": ptr32, "uint": uint}
_PREFIX = "_viper_"


def _load(base: Any, index: Any) -> Any:
    return base.load(index) if isinstance(base, Pointer) else base[index]


def _store(base: Any, index: Any, value: Any) -> None:
    if isinstance(base, Pointer):
        base.store(index, value)
    else:
        base[index] = value


def _checked_int(name: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, Pointer):
            return Address(value.raw, value.at)
        if not isinstance(value, int):
            raise TypeError(f"{name}: int({type(value).__name__})")
        if not _INT_MIN <= value <= _INT_MAX:
            raise OverflowError(f"{name}: int({int(value):#x}): the sign depends on the machine's word size")
        return int(value)

    return convert


def _helpers(name: str) -> dict[str, Any]:
    """Everything the transformed source of kernel ``name`` calls, by reserved name."""
    found: dict[str, Any] = {"load": _load, "store": _store, "int": _checked_int(name), **_TYPES}
    for word, symbol, plain in _BINARY.values():
        found[word] = _range_checked(name, symbol, plain)
    for word, symbol, test in _COMPARE.values():
        found[word] = _compared(name, symbol, test)
    return {_PREFIX + word: helper for word, helper in found.items()}


# --- Source transformation ------------------------------------------------------------------------


class _Checked(ast.NodeTransformer):
    """Replaces operators, subscripts and conversions by calls of the checked helpers."""

    def _call(self, word: str, *args: ast.expr) -> ast.Call:
        return ast.Call(func=ast.Name(id=_PREFIX + word, ctx=ast.Load()), args=list(args), keywords=[])

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if type(node.op) not in _BINARY:
            raise SyntaxError(f"line {node.lineno}: viper has no integer {type(node.op).__name__}")
        return ast.copy_location(self._call(_BINARY[type(node.op)][0], node.left, node.right), node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        operands = [node.left, *node.comparators]
        tests: list[ast.expr] = []
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            if type(op) not in _COMPARE:  # `is None` and the like: comparisons of objects
                tests.append(ast.Compare(left=left, ops=[op], comparators=[right]))
            else:
                tests.append(self._call(_COMPARE[type(op)][0], left, right))
        result = tests[0] if len(tests) == 1 else ast.BoolOp(op=ast.And(), values=tests)
        return ast.copy_location(result, node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            raise SyntaxError(f"line {node.lineno}: only `p[i] = x` and `p[i] += x` store to a subscript")
        return ast.copy_location(self._call("load", node.value, node.slice), node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        target = node.targets[0]
        if len(node.targets) == 1 and isinstance(target, ast.Subscript):
            base, index = self.visit(target.value), self.visit(target.slice)
            store = ast.Expr(self._call("store", base, index, self.visit(node.value)))
            return ast.copy_location(store, node)
        self.generic_visit(node)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        loaded = ast.parse(ast.unparse(node.target), mode="eval").body
        value = ast.BinOp(left=loaded, op=node.op, right=node.value)
        for part in ast.walk(loaded):
            ast.copy_location(part, node.target)
        assigned = ast.Assign(targets=[node.target], value=ast.copy_location(value, node))
        plain = ast.copy_location(assigned, node)
        result: ast.AST = self.visit(plain)
        return result

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and (node.func.id == "int" or node.func.id in _TYPES):
            node.func = ast.copy_location(ast.Name(id=_PREFIX + node.func.id, ctx=ast.Load()), node.func)
        return node


def _enter(name: str, parameter: str, annotation: str | None) -> Callable[[Any], Any]:
    """How MicroPython converts an argument on entry, but refusing what it would cut silently."""
    if annotation in ("ptr8", "ptr16", "ptr32"):
        pointer: Callable[[Any], Any] = _TYPES[annotation]
        return pointer
    if annotation in ("int", "uint"):
        low, high = (_INT_MIN, _INT_MAX) if annotation == "int" else (0, _UINT_MAX)
        make: Callable[[int], int] = int if annotation == "int" else UInt

        def convert(value: Any) -> int:
            if not isinstance(value, int):
                raise TypeError(f"{name}: {parameter} must be {annotation}, not {type(value).__name__}")
            if not low <= value <= high:
                raise OverflowError(f"{name}: {parameter}={value} does not fit a 32-bit {annotation}")
            return make(value)

        return convert
    return lambda value: value


def _leave(name: str, annotation: str | None) -> Callable[[Any], Any]:
    """How MicroPython converts the result, but refusing what depends on the machine."""
    if annotation not in ("int", "uint"):
        return lambda value: value
    low, high = (_INT_MIN, _INT_MAX) if annotation == "int" else (0, _UINT_MAX)

    def convert(value: Any) -> int:
        if not isinstance(value, int):
            raise TypeError(f"{name}: returned {type(value).__name__}, declared {annotation}")
        if not low <= value <= high:
            raise OverflowError(f"{name}: result {int(value)} does not fit a 32-bit {annotation}")
        return int(value)

    return convert


def _annotation(node: ast.expr | None) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def viper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the CPython stand-in for ``@micropython.viper``.

    Raises:
        SyntaxError: `viper_lint` has something to say of the kernel, or viper has not what it uses.
    """
    try:
        lines, first_line = inspect.getsourcelines(function)
    except OSError as error:
        raise SyntaxError(f"{function.__name__}: viper kernels need their source") from error
    source = textwrap.dedent("".join(lines))
    kernel = ast.parse(source).body[0]
    if not isinstance(kernel, ast.FunctionDef):
        raise SyntaxError(f"{function.__name__}: viper takes plain functions only")
    constants = {key: value for key, value in function.__globals__.items() if type(value) is int}
    problems = offences_of(kernel, constants)
    if problems:
        raise SyntaxError("; ".join(problems))

    parameters = [(arg.arg, _annotation(arg.annotation)) for arg in kernel.args.args]
    enter = [_enter(kernel.name, *parameter) for parameter in parameters]
    leave = _leave(kernel.name, _annotation(kernel.returns))

    kernel.decorator_list = []
    kernel.returns = None
    for arg in kernel.args.args:
        arg.annotation = None
    kernel.body = [_Checked().visit(statement) for statement in kernel.body]
    helpers = _helpers(kernel.name)
    # The helpers reach the kernel as closure cells, so that the module's globals stay as they are.
    factory = ast.parse(f"def {_PREFIX}factory({', '.join(helpers)}):\n    return {kernel.name}").body[0]
    assert isinstance(factory, ast.FunctionDef)
    factory.body.insert(0, kernel)
    module = ast.fix_missing_locations(ast.Module(body=[factory], type_ignores=[]))
    ast.increment_lineno(module, first_line - 1)
    code = compile(module, inspect.getsourcefile(function) or "<viper>", "exec")
    namespace: dict[str, Any] = {}
    exec(code, function.__globals__, namespace)
    checked = namespace[f"{_PREFIX}factory"](**helpers)

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        if len(args) != len(enter):
            raise TypeError(f"{kernel.name} takes {len(enter)} positional arguments, got {len(args)}")
        return leave(checked(*[convert(arg) for convert, arg in zip(enter, args, strict=True)]))

    return run
