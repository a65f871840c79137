"""A kernel's RISC-V code in an emulator (Unicorn): what it executes, and how often it goes round each loop.

MicroPython's part is played here: arguments, module globals and the few functions that kernels call. What a
kernel writes is compared with its run in CPython, so a count is of a run that was right.
"""

from __future__ import annotations

import dataclasses
import functools
from bisect import bisect_left
from collections.abc import Callable
from types import ModuleType
from typing import Any

from lunette.doctor.kernels import vectors

from .machine_code import FUN_TABLE, Function

# Where things lie. A call of MicroPython is a jump into _TABLE_CODE, where each function is one address.
_CODE, _TABLE, _TABLE_CODE, _CONTEXT = 0x10000, 0x40000, 0x50000, 0x60000
_STACK, _STACK_BYTES, _HEAP, _HEAP_BYTES = 0x80000, 0x10000, 0x100000, 0x100000
_RETURN = _TABLE_CODE + 0x8000
_WORD = 4
_LIMIT = 20_000_000  # instructions

# py/nativeglue.h: places in the table of functions.
_FROM_OBJECT, _TO_OBJECT, _SWAP_GLOBALS, _LOAD_GLOBAL, _LOAD_ATTR = 3, 4, 5, 7, 9
_CALL, _DIVIDE, _MODULO = 27, 46, 47
_PTR = 4  # py/runtime0.h: from here on, types of pointers
_NONE = 0


class Unsupported(Exception):
    """The kernel asks MicroPython for something that is not played here."""


@dataclasses.dataclass(frozen=True)
class Run:
    """`executed` instructions of one call, without those of MicroPython; `trips` round each loop."""

    executed: int
    trips: tuple[int, ...]
    result: int | None


class _Machine:
    def __init__(self, function: Function, module: ModuleType):
        import unicorn
        from unicorn import riscv_const as registers

        self._function, self._module = function, module
        self._objects: list[Any] = [None]
        self._buffers: dict[int, int] = {}
        self._copies: list[tuple[Any, int]] = []
        self._top = _HEAP
        self._failure: Exception | None = None
        self.executed = 0
        self.visits: dict[int, int] = {loop.begin: 0 for loop in function.loops}
        self._a = [getattr(registers, f"UC_RISCV_REG_A{i}") for i in range(4)]
        self._sp, self._ra = registers.UC_RISCV_REG_SP, registers.UC_RISCV_REG_RA
        self._pc = registers.UC_RISCV_REG_PC
        self._cpu = cpu = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
        for begin, octets in (
            (_CODE, 0x10000),
            (_TABLE, 0x10000),
            (_TABLE_CODE, 0x10000),
            (_CONTEXT, 0x10000),
            (_STACK, _STACK_BYTES),
            (_HEAP, _HEAP_BYTES),
        ):
            cpu.mem_map(begin, octets)
        cpu.mem_write(_CODE, function.code)
        for i in range(64):
            self._put(_TABLE + i * _WORD, _TABLE_CODE + i * _WORD)
        self._put(_TABLE, _NONE)  # the object None
        # py/obj.h, py/objfun.h: function -> context -> globals, names, constants.
        names, constants, context, self._self = (_CONTEXT + i * 0x1000 for i in range(4))
        for i in range(len(function.names)):
            cpu.mem_write(names + 2 * i, i.to_bytes(2, "little"))
        for i, constant in enumerate(function.constants):
            self._put(constants + i * _WORD, _TABLE if constant is FUN_TABLE else self._object(constant))
        for i, value in enumerate((0, 0, names, constants)):
            self._put(context + i * _WORD, value)
        self._put(self._self + _WORD, context)
        self._ats = [one.at for one in function.instructions]
        self._blocks: dict[tuple[int, int], tuple[int, list[int]]] = {}
        # Whole blocks of the kernel, of which a Python function can be told ten times as fast.
        cpu.hook_add(unicorn.UC_HOOK_BLOCK, self._block, begin=_CODE, end=_CODE + len(function.code) - 1)
        cpu.hook_add(unicorn.UC_HOOK_CODE, self._step, begin=_TABLE_CODE, end=_RETURN - 1)

    def _put(self, address: int, word: int) -> None:
        self._cpu.mem_write(address, (word & 0xFFFFFFFF).to_bytes(_WORD, "little"))

    def _get(self, address: int) -> int:
        return int.from_bytes(self._cpu.mem_read(address, _WORD), "little")

    # --- objects: a number, twice it and one, as MicroPython has it; else four times a place in a list -----

    def _object(self, value: Any) -> int:
        if isinstance(value, int):
            return value << 1 | 1
        self._objects.append(value)
        return (len(self._objects) - 1) * 4

    def _value(self, handle: int) -> Any:
        if handle & 1:
            return (handle >> 1) - (handle >> 31 << 31)
        return self._objects[handle // 4]

    def _address(self, buffer: Any) -> int:
        """Where a copy of the buffer lies; the same for the same."""
        if id(buffer) not in self._buffers:
            data = bytes(memoryview(buffer).cast("B"))
            self._buffers[id(buffer)] = address = self._top
            self._copies.append((buffer, address))
            self._cpu.mem_write(address, data)
            self._top += -(-len(data) // 64) * 64 + 64
        return self._buffers[id(buffer)]

    # --- what the kernel calls ----------------------------------------------------------------------------

    def _block(self, cpu: Any, address: int, size: int, _: Any) -> None:
        """Instructions one after the other are about to be executed."""
        known = self._blocks.get((address, size))
        if known is None:
            begin = address - _CODE
            count = bisect_left(self._ats, begin + size) - bisect_left(self._ats, begin)
            heads = [head for head in self.visits if begin <= head < begin + size]
            known = self._blocks[address, size] = count, heads
        self.executed += known[0]
        for head in known[1]:
            self.visits[head] += 1
        if self.executed > _LIMIT:
            cpu.emu_stop()

    def _step(self, cpu: Any, address: int, size: int, _: Any) -> None:
        try:
            arguments = [cpu.reg_read(register) for register in self._a]
            cpu.reg_write(self._a[0], self._called((address - _TABLE_CODE) // _WORD, arguments))
            cpu.reg_write(self._pc, cpu.reg_read(self._ra))
        except Exception as error:
            self._failure = error
            cpu.emu_stop()

    def _called(self, which: int, arguments: list[int]) -> int:
        first, second, third = arguments[:3]
        if which == _FROM_OBJECT:
            value = self._value(first)
            if isinstance(value, int):
                return value & 0xFFFFFFFF
            return self._address(value) if second >= _PTR else 0
        if which == _TO_OBJECT:
            return self._object(_signed(first) if second == 2 else first)
        if which == _SWAP_GLOBALS:
            return 0
        if which == _LOAD_GLOBAL:
            name = self._function.names[first & 0xFFFF]
            if not hasattr(self._module, name):
                raise Unsupported(f"global {name}")
            return self._object(getattr(self._module, name))
        if which == _LOAD_ATTR:
            return self._object(getattr(self._value(first), self._function.names[second & 0xFFFF]))
        if which == _CALL:
            # py/runtime.h: positional arguments in the lower byte. The callee runs in CPython.
            values = [self._value(self._get(third + i * _WORD)) for i in range(second & 0xFF)]
            if not all(isinstance(value, int) for value in values):
                raise Unsupported("a call with buffers")
            return self._object(self._value(first)(*values))
        if which in (_DIVIDE, _MODULO):
            divided = divmod(_signed(first), _signed(second))
            return divided[which == _MODULO] & 0xFFFFFFFF
        raise Unsupported(f"function {which} of MicroPython's table")

    # --- the run ------------------------------------------------------------------------------------------

    def run(self, arguments: list[Any]) -> int | None:
        """Its result; buffers get what the kernel left in them."""
        cpu = self._cpu
        place = _STACK + _STACK_BYTES - 0x1000
        for i, argument in enumerate(arguments):
            if not isinstance(argument, int):
                self._address(argument)
            self._put(place + i * _WORD, self._object(argument))
        for register, value in zip(self._a, (self._self, len(arguments), 0, place), strict=True):
            cpu.reg_write(register, value)
        cpu.reg_write(self._sp, place - 0x100)
        cpu.reg_write(self._ra, _RETURN)
        cpu.emu_start(_CODE, _RETURN)
        if self._failure is not None:
            raise self._failure
        if self.executed > _LIMIT:
            raise Unsupported(f"more than {_LIMIT} instructions")
        for buffer, address in self._copies:
            view = memoryview(buffer).cast("B")
            if not view.readonly:
                view[:] = bytes(cpu.mem_read(address, len(view)))
        result = self._value(cpu.reg_read(self._a[0]))
        return None if result is None else int(result)


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


_bench = functools.cache(vectors.bench)


@functools.lru_cache(maxsize=256)
def run(function: Function, module: ModuleType, checked: Callable[..., Any], specs: Any) -> Run:
    """One call of a rv32imc `function` with the arguments that `specs` are (doctor/kernels/on_glasses.py).

    `module` is its module in CPython, `checked` the kernel there. Raises Unsupported, and AssertionError if
    the two give different results.
    """
    assert function.arch == "rv32imc"
    bench = _bench()
    args, _ = bench.arguments(specs)
    other, _ = bench.arguments(specs)
    machine = _Machine(function, module)
    result = machine.run(args)
    expected = checked(*other)
    assert result == (None if expected is None else int(expected)), (function.name, result, expected)
    for one, two in zip(args, other, strict=True):
        assert one == two, f"{function.name}: a buffer differs from that of the run in CPython"
    trips = tuple(machine.visits[loop.begin] for loop in function.loops)
    return Run(machine.executed, trips, result)
