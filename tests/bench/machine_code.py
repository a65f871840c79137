"""The machine code of viper kernels: its instructions, its loops, and how many instructions are in them.

    python -m tests.bench.machine_code SOURCE...     loops of each kernel, for both kinds of chip

Counted in the .mpy files that are deployed, for ESP32 and S3 (xtensawin), and C3 and C6 (rv32imc). Of a loop
all instructions between its head and the branch back to it count, both sides of each `if`: an upper bound
of what one time round executes. py/persistentcode.c has the format of the files; the encodings are those
of the Xtensa Instruction Set Architecture Reference Manual (RE-2025.1) and of the RISC-V manual, volume I.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lunette import mpy

ARCHS = ("xtensawin", "rv32imc")

# --- The container ----------------------------------------------------------------------------------------

_HEADER_BYTES = 4
_FUN_TABLE, _STR, _BYTES, _INT, _TUPLE = 0, 5, 6, 7, 10
FUN_TABLE = object()
"""Among a file's constants: the table of functions that native code calls MicroPython by."""
_BYTECODE, _NATIVE, _VIPER, _ASM = range(4)
_KINDS = {"viper": _VIPER, "native": _NATIVE, "asm_xtensa": _ASM, "asm_rv32": _ASM}
_HAS_CHILDREN = 4


@dataclass(frozen=True)
class _Block:
    """A function in the file: its code, and the functions within it."""

    kind: int
    code: bytes
    children: tuple[_Block, ...]


class _File:
    """Reads a .mpy file of version 6. ValueError for another."""

    def __init__(self, content: bytes):
        if content[:2] != b"M\6" or content[2] & 0x40:
            raise ValueError("no .mpy file of version 6, or one for a certain chip only")
        self._content = content
        self._at = _HEADER_BYTES
        names, constants = self._number(), self._number()
        self.names = [self._name() for _ in range(names)]
        self.constants = [self._constant() for _ in range(constants)]
        self.module = self._block()
        if self._at != len(content):
            raise ValueError("the .mpy file goes on where it should end")

    def _number(self) -> int:
        value = 0
        while True:
            octet = self._take(1)[0]
            value = value << 7 | octet & 0x7F
            if not octet & 0x80:
                return value

    def _take(self, octets: int) -> bytes:
        self._at += octets
        if self._at > len(self._content):
            raise ValueError("the .mpy file ends too early")
        return self._content[self._at - octets : self._at]

    def _name(self) -> str:
        """A string's text; one that every MicroPython has is a number."""
        size = self._number()
        return f"#{size >> 1}" if size & 1 else self._take((size >> 1) + 1)[:-1].decode()

    def _constant(self) -> Any:
        kind = self._take(1)[0]
        if kind < _STR:
            return FUN_TABLE if kind == _FUN_TABLE else None
        size = self._number()
        if kind == _TUPLE:
            return tuple(self._constant() for _ in range(size))
        text = self._take(size)
        if kind in (_STR, _BYTES):
            self._take(1)
        return int(text) if kind == _INT else text

    def _block(self) -> _Block:
        head = self._number()
        kind, code = head & 3, self._take(head >> 3)
        if kind == _NATIVE:
            self._number()  # where what describes it begins
        elif kind != _BYTECODE:
            flags = self._number()
            if flags & 0x70:
                raise ValueError("a native module written in C")
            if kind == _ASM:
                self._number(), self._number()
        children = self._number() if head & _HAS_CHILDREN else 0
        return _Block(kind, code, tuple(self._block() for _ in range(children)))


_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _scopes(node: ast.AST) -> Iterator[ast.AST]:
    """What is compiled to a block of its own within `node`, in the order of the text."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (_Scope, *_COMPREHENSIONS)):
            yield child
        else:
            yield from _scopes(child)


def _kernels(block: _Block, scope: ast.AST, prefix: str = "") -> Iterator[tuple[str, _Block]]:
    """(name, block) of each viper function, from the file and its source side by side."""
    scopes = list(_scopes(scope))
    if len(scopes) != len(block.children):
        raise ValueError(f"{len(block.children)} blocks in the .mpy file, {len(scopes)} in its source")
    for child, inner in zip(block.children, scopes, strict=True):
        name = prefix + getattr(inner, "name", "<lambda>")
        decorators = [ast.unparse(one).rpartition(".")[2] for one in getattr(inner, "decorator_list", [])]
        expected = next((_KINDS[word] for word in decorators if word in _KINDS), _BYTECODE)
        if child.kind != expected:
            raise ValueError(f"{name} is compiled to kind {child.kind}, its source says {expected}")
        if child.kind == _VIPER:
            yield name, child
        yield from _kernels(child, inner, f"{name}.")


# --- Instructions -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instruction:
    """`kind` is "plain", "branch" (may go on), "jump" (does not), "call" or "return"; `target` where the code
    goes if that is known."""

    at: int
    size: int
    kind: str = "plain"
    target: int | None = None


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _xtensa(code: bytes, at: int) -> Instruction:
    word = int.from_bytes(code[at : at + 3], "little")
    op0, t, r = word & 15, word >> 4 & 15, word >> 12 & 15
    if op0 >= 8:
        if op0 == 0xC and t & 8:  # beqz.n, bnez.n: forwards only
            return Instruction(at, 2, "branch", at + 4 + ((t & 3) << 4 | r))
        if op0 == 0xD and r == 15 and t in (0, 1):
            return Instruction(at, 2, "return")
        return Instruction(at, 2)
    near, far = at + 4 + _signed(word >> 16, 8), at + 4 + _signed(word >> 12, 12)
    if op0 == 0 and word >> 12 == 0 and t >= 8:  # the group of jumps to registers
        kind = "call" if t >= 12 else "jump" if t == 10 else "return"
        return Instruction(at, 3, kind)
    if op0 == 5:
        return Instruction(at, 3, "call")
    if op0 == 6:
        if t & 3 == 0:
            return Instruction(at, 3, "jump", at + 4 + _signed(word >> 6, 18))
        if t & 3 == 1:
            return Instruction(at, 3, "branch", far)
        if t & 3 == 2 or t & 15 in (11, 15):
            return Instruction(at, 3, "branch", near)
        if t & 15 == 7 and r in (0, 1):
            return Instruction(at, 3, "branch", near)
        if t & 15 == 7:
            raise ValueError("a zero-overhead loop, which MicroPython does not make")
    if op0 == 7:
        return Instruction(at, 3, "branch", near)
    return Instruction(at, 3)


# Where the bits of a compressed instruction's offset are: (from, how many, to).
_JUMP = ((12, 1, 11), (11, 1, 4), (9, 2, 8), (8, 1, 10), (7, 1, 6), (6, 1, 7), (3, 3, 1), (2, 1, 5))
_BRANCH = ((12, 1, 8), (10, 2, 3), (5, 2, 6), (3, 2, 1), (2, 1, 5))


def _bits(word: int, *places: tuple[int, int, int]) -> int:
    """Bits of an instruction, put together."""
    return sum((word >> begin & (1 << count) - 1) << to for begin, count, to in places)


def _riscv(code: bytes, at: int) -> Instruction:
    word = int.from_bytes(code[at : at + 4], "little")
    if word & 3 == 3:
        return _riscv_long(code, at, word)
    word &= 0xFFFF
    kind = word & 3, word >> 13
    if kind in ((1, 1), (1, 5)):  # c.jal, c.j
        target = at + _signed(_bits(word, *_JUMP), 12)
        return Instruction(at, 2, "jump" if kind[1] == 5 else "call", target)
    if kind in ((1, 6), (1, 7)):  # c.beqz, c.bnez
        return Instruction(at, 2, "branch", at + _signed(_bits(word, *_BRANCH), 9))
    register = word >> 7 & 31
    if kind == (2, 4) and register and not word >> 2 & 31:  # c.jr, c.jalr
        called = word >> 12 & 1
        return Instruction(at, 2, "call" if called else "return" if register == 1 else "jump")
    return Instruction(at, 2)


def _riscv_long(code: bytes, at: int, word: int) -> Instruction:
    opcode, rd, rs1 = word & 0x7F, word >> 7 & 31, word >> 15 & 31
    if opcode == 0x6F:
        offset = _signed(_bits(word, (31, 1, 20), (21, 10, 1), (20, 1, 11), (12, 8, 12)), 21)
        return Instruction(at, 4, "call" if rd == 1 else "jump", at + offset)
    if opcode == 0x63:
        offset = _signed(_bits(word, (31, 1, 12), (25, 6, 5), (8, 4, 1), (7, 1, 11)), 13)
        return Instruction(at, 4, "branch", at + offset)
    if opcode == 0x67:
        if rd == 1:
            return Instruction(at, 4, "call")
        before = int.from_bytes(code[at - 4 : at], "little") if at >= 4 else 0
        if before & 0x7F == 0x17 and before >> 7 & 31 == rs1:  # auipc: a jump too far for the others
            offset = _signed(before & 0xFFFFF000, 32) + _signed(word >> 20, 12)
            return Instruction(at, 4, "jump", at - 4 + offset)
        return Instruction(at, 4, "return" if rs1 == 1 else "jump")
    return Instruction(at, 4)


_DECODERS = {"xtensawin": _xtensa, "rv32imc": _riscv}


# --- Functions and loops ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loop:
    """From its head to the branch back to it. `own` are its instructions without those of the loops in it,
    `test` those of them before it is gone round for the first time, `calls` how many call; `outer` is the
    number of the loop around it."""

    begin: int
    end: int
    own: int
    test: int
    calls: int
    outer: int | None
    depth: int


@dataclass(frozen=True)
class Function:
    """A viper function as machine code. `names` and `constants` are its file's, which it has numbers of."""

    name: str
    arch: str
    code: bytes
    names: tuple[str, ...]
    constants: tuple[Any, ...]

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """In the order of the addresses, without the constants that Xtensa's code begins with. ValueError if
        a branch leads between instructions: then something else is among them."""
        decode = _DECODERS[self.arch]
        found = []
        at = 0
        if self.arch == "xtensawin" and self.code[0] & 0x3F == 6:
            jump = decode(self.code, 0)
            found.append(jump)
            at = jump.target or 0
        while at < len(self.code):
            instruction = decode(self.code, at)
            found.append(instruction)
            at += instruction.size
        places = {instruction.at for instruction in found}
        for instruction in found:
            if instruction.target is not None and instruction.target not in places:
                raise ValueError(f"{self.name}, {self.arch}: no instruction at {instruction.target:#x}")
        return tuple(found)

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """In the order of their heads, the outer before the inner."""
        ends: dict[int, int] = {}
        for one in self.instructions:
            if one.kind in ("branch", "jump") and one.target is not None and one.target <= one.at:
                ends[one.target] = max(ends.get(one.target, 0), one.at)
        spans = sorted(ends.items(), key=lambda span: (span[0], -span[1]))
        found: list[Loop] = []
        for number, (begin, end) in enumerate(spans):
            around = [i for i in range(number) if spans[i][1] >= begin]
            if any(spans[i][1] < end for i in around):
                raise ValueError(f"{self.name}, {self.arch}: loops that cross at {begin:#x}")
            inner = [span for span in spans[number + 1 :] if span[1] <= end]
            own = [
                one
                for one in self.instructions
                if begin <= one.at <= end and not any(first <= one.at <= last for first, last in inner)
            ]
            entries = (one.target for one in self.instructions if not begin <= one.at <= end)
            entry = min((at for at in entries if at is not None and begin < at <= end), default=end + 1)
            test = sum(one.at >= entry for one in own)
            calls = sum(one.kind == "call" for one in own)
            outer = around[-1] if around else None
            found.append(Loop(begin, end, len(own), test, calls, outer, len(around)))
        return tuple(found)

    @property
    def straight(self) -> int:
        """Instructions in no loop."""
        return len(self.instructions) - sum(loop.own for loop in self.loops)

    def bound(self, trips: Sequence[float]) -> float:
        """Instructions that a call executes at most, if it goes round each loop so many times."""
        entered = [1 if loop.outer is None else trips[loop.outer] for loop in self.loops]
        loops = zip(self.loops, trips, entered, strict=True)
        return self.straight + sum(loop.own * n + loop.test * times for loop, n, times in loops)


def functions(source: Path, arch: str) -> dict[str, Function]:
    """Every viper function of a file by name ("Class.method" of a method), compiled by mpy-cross.

    LunetteError if it does not compile, ValueError if the file is not understood.
    """
    file = _File(mpy.compiled(source, arch))
    kernels = _kernels(file.module, ast.parse(source.read_text()))
    shared = tuple(file.names), tuple(file.constants)
    return {name: Function(name, arch, block.code, *shared) for name, block in kernels}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.machine_code", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="SOURCE")
    for source in parser.parse_args().sources:
        both = [functions(source, arch) for arch in ARCHS]
        for name in both[0]:
            pair = [functions[name] for functions in both]
            sizes = " and ".join(f"{len(f.instructions)} ({f.arch})" for f in pair)
            print(f"{source.stem}.{name}: {sizes} instructions, outside loops {pair[0].straight}")
            for number, loops in enumerate(zip(*(f.loops for f in pair), strict=True)):
                calls = f", {loops[0].calls} of them call" if loops[0].calls else ""
                place = "  " * loops[0].depth
                print(f"  {place}loop {number}: {' and '.join(str(loop.own) for loop in loops)}{calls}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
