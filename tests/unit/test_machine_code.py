"""Counting in machine code: against Capstone, which decodes it, and Unicorn, which executes it."""

from __future__ import annotations

import functools
import importlib
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import capstone
import pytest
from bench import emulated
from bench.machine_code import _DECODERS, ARCHS, Function, functions

from lunette import paths
from lunette.doctor.kernels.registry import kernels
from lunette.virtual.cpython import micropython_modules

SOURCES = sorted((paths.FIRMWARE / "glasses" / "dsp").glob("*.py"))
KERNELS = {kernel.full: kernel for kernel in kernels()}

LOOPS = """
import micropython
from array import array
_TABLE = array("H", (1, 2, 3, 4))
def nothing():
    return [x for x in ()]
class Thing:
    @micropython.viper
    def method(self, n: int) -> int:
        while n:
            n -= 1
        return n
@micropython.viper
def straight(a: int) -> int:
    return a + 1
@micropython.viper
def nested(n: int, m: int) -> int:
    table = ptr16(_TABLE)
    total = 0
    while n:
        k = m
        while k:
            total += table[k & 3]
            k -= 1
        n -= 1
    k = 3
    while k:
        k -= 1
    return total
@micropython.viper
def ranges(n: int) -> int:
    total = 0
    for i in range(n):
        if i & 1:
            continue
        total += i
    return total
@micropython.viper
def far(n: int, p: ptr8) -> int:
    while n:
        n -= 1
        %s
    return n
"""
LONG = "\n        ".join(["p[n] = n * n + (n << 3) - (n >> 2)"] * 40)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Function]]:
    """Of LOOPS: {architecture: {name: function}}."""
    path = tmp_path_factory.mktemp("loops") / "loops.py"
    path.write_text(LOOPS % LONG)
    return {arch: functions(path, arch) for arch in ARCHS}


MODES = {
    "xtensawin": (capstone.CS_ARCH_XTENSA, capstone.CS_MODE_XTENSA_ESP32),
    "rv32imc": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCV_C),
}


def disassembled(function: Function) -> Iterator[tuple[int, int, str, str]]:
    """(address, size, mnemonic, operands) by Capstone, from the first instruction behind the constants on."""
    start = 0
    if function.arch == "xtensawin" and function.instructions[0].kind == "jump":
        start = function.instructions[1].at
    for one in capstone.Cs(*MODES[function.arch]).disasm(function.code[start:], start):
        yield one.address, one.size, one.mnemonic, one.op_str


def kind(arch: str, mnemonic: str) -> str:
    if arch == "xtensawin":
        if mnemonic in ("j", "jx"):
            return "jump"
        if mnemonic.startswith("call"):
            return "call"
        if mnemonic.startswith("ret"):
            return "return"
        return "branch" if mnemonic[0] == "b" and not mnemonic.startswith("break") else "plain"
    if mnemonic in ("j", "jr"):
        return "jump"
    if mnemonic in ("jal", "jalr"):
        return "call"
    return "return" if mnemonic == "ret" else "branch" if mnemonic[0] == "b" else "plain"


def target(at: int, arch: str, operands: str) -> int:
    last = operands.rpartition(",")[2].strip()
    place = at + int(last[1:].replace(" ", ""), 0) if arch == "xtensawin" else int(last, 0)
    return place % 2**32


def compare(function: Function) -> None:
    ours = {one.at: one for one in function.instructions}
    count = 0
    for at, size, mnemonic, operands in disassembled(function):
        one = ours[at]
        assert one.size == size, mnemonic
        assert one.kind == kind(function.arch, mnemonic), (mnemonic, operands)
        if one.kind == "branch" or mnemonic == "j":
            assert one.target == target(at, function.arch, operands), (mnemonic, operands)
        count += 1
    jump = function.arch == "xtensawin" and function.instructions[0].kind == "jump"
    assert count == len(ours) - jump


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_instructions_of_the_firmware_are_what_capstone_says(source: Path, arch: str) -> None:
    for function in functions(source, arch).values():
        compare(function)


@pytest.mark.parametrize("arch", ARCHS)
def test_instructions_of_other_shapes_too(made: dict[str, dict[str, Function]], arch: str) -> None:
    for function in made[arch].values():
        compare(function)


def encodings(arch: str) -> Iterator[int]:
    """All short instructions, and of the long ones that may lead elsewhere some with any operands."""
    chosen = random.Random(1)
    if arch == "rv32imc":
        yield from (word for word in range(1 << 16) if word & 3 != 3)
        for opcode in (0x63, 0x6F, 0x67, 0x33):
            yield from (chosen.getrandbits(25) << 7 | opcode for _ in range(2000))
    else:
        yield from (word for word in range(1 << 16) if 8 <= word & 15 < 14)
        for op0 in (0, 5, 6, 7):
            yield from (chosen.getrandbits(20) << 4 | op0 for _ in range(4000))
        yield from (s << 8 | t << 4 for s in range(16) for t in range(16))


@pytest.mark.parametrize("arch", ARCHS)
def test_encodings_that_mpy_cross_seldom_uses(arch: str) -> None:
    at = 0x1000
    machine = capstone.Cs(*MODES[arch])
    known = 0
    kinds = set()
    for word in encodings(arch):
        code = bytes(at) + word.to_bytes(4, "little")
        found = next(machine.disasm(code[at:], at), None)
        if found is None or (arch == "xtensawin" and found.mnemonic.startswith(("loop", "entry"))):
            continue
        one = _DECODERS[arch](code, at)
        said = kind(arch, found.mnemonic)
        if found.mnemonic == "jalr" and found.op_str.startswith("zero"):
            said = "jump"
        if found.mnemonic in ("jal", "jalr") and one.size == 4 and word >> 7 & 31 != 1:
            continue  # a call that returns by another register: no compiler writes it
        assert (one.size, one.kind) == (found.size, said), (hex(word), found.mnemonic, found.op_str)
        if one.kind == "branch" or found.mnemonic == "j":
            assert one.target is not None
            assert one.target % 2**32 == target(at, arch, found.op_str), (hex(word), found.mnemonic)
        known += 1
        kinds.add(one.kind)
    assert known > 25_000
    assert kinds == {"plain", "branch", "jump", "call", "return"}


def test_narrow_branches_of_xtensa() -> None:
    """bnez.n a2, 4 + 0b101111 bytes on, which Capstone does not know."""
    one = _DECODERS["xtensawin"](bytes.fromhex("ecf2"), 0)
    assert (one.size, one.kind, one.target) == (2, "branch", 4 + 0b101111)


def test_viper_functions_are_named_as_in_the_source(made: dict[str, dict[str, Function]]) -> None:
    for arch in ARCHS:
        assert list(made[arch]) == ["Thing.method", "straight", "nested", "ranges", "far"]


def test_loops_are_found_with_their_nesting(made: dict[str, dict[str, Function]]) -> None:
    for arch in ARCHS:
        shapes = {name: [(loop.depth, loop.outer) for loop in f.loops] for name, f in made[arch].items()}
        assert shapes == {
            "Thing.method": [(0, None)],
            "straight": [],
            "nested": [(0, None), (1, 0), (0, None)],
            "ranges": [(0, None)],
            "far": [(0, None)],
        }


def test_every_instruction_counts_once(made: dict[str, dict[str, Function]]) -> None:
    for arch in ARCHS:
        nested = made[arch]["nested"]
        outer, inner, last = nested.loops
        inside = [one for one in nested.instructions if outer.begin <= one.at <= outer.end]
        assert outer.own + inner.own == len(inside)
        assert nested.straight + outer.own + inner.own + last.own == len(nested.instructions)
        assert made[arch]["straight"].straight == len(made[arch]["straight"].instructions)


class Module:
    _TABLE = memoryview(b"\1\0\2\0\3\0\4\0")


def executed(function: Function, *arguments: int, result: Callable[..., int]) -> emulated.Run:
    return emulated.run(function, Module, result, arguments)  # type: ignore[arg-type]


def test_a_loop_without_branches_takes_as_many_as_it_has(made: dict[str, dict[str, Function]]) -> None:
    """By Unicorn: once more round it."""
    function = made["rv32imc"]["nested"]
    outer, inner, _ = function.loops

    def total(n: int, m: int) -> int:
        return n * sum((1, 2, 3, 4)[k & 3] for k in range(1, m + 1))

    runs = {(n, m): executed(function, n, m, result=total) for n, m in ((2, 5), (2, 6), (3, 5), (0, 0))}
    assert runs[2, 5].trips == (2, 10, 3)
    assert runs[2, 6].executed - runs[2, 5].executed == 2 * inner.own
    assert runs[3, 5].executed - runs[2, 5].executed == outer.own + 5 * inner.own + inner.test
    assert runs[0, 0].trips == (0, 0, 3)


def test_a_branch_makes_it_less_than_the_bound(made: dict[str, dict[str, Function]]) -> None:
    function = made["rv32imc"]["ranges"]
    run = executed(function, 10, result=lambda n: sum(range(0, n, 2)))
    assert run.trips == (10,)
    assert run.executed < function.bound(run.trips)
    more = executed(function, 12, result=lambda n: sum(range(0, n, 2)))
    assert 10 < (more.executed - run.executed) / 2 < function.loops[0].own


def test_a_wrong_result_is_noticed(made: dict[str, dict[str, Function]]) -> None:
    with pytest.raises(AssertionError, match="straight"):
        executed(made["rv32imc"]["straight"], 4, result=lambda a: a + 2)


def test_what_is_not_played_is_said(made: dict[str, dict[str, Function]], tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(
        "import micropython\n@micropython.viper\ndef f(x: int) -> int:\n    return int(other(x))\n"
    )
    with pytest.raises(emulated.Unsupported, match="global other"):
        executed(functions(path, "rv32imc")["f"], 1, result=lambda x: x)


_of_file = functools.cache(functions)  # a file has several


@pytest.fixture(scope="module")
def importable() -> Iterator[None]:
    with micropython_modules(firmware_dir=paths.FIRMWARE):
        yield


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_execute_at_most_what_is_counted(importable: None, name: str) -> None:
    """All cases, whose results must be those in CPython."""
    kernel = KERNELS[name]
    source = paths.FIRMWARE / (kernel.module.replace(".", "/") + ".py")
    function = _of_file(source, "rv32imc")[kernel.name]
    other = _of_file(source, "xtensawin")[kernel.name]
    assert [loop.depth for loop in function.loops] == [loop.depth for loop in other.loops]
    module = importlib.import_module(kernel.module)
    for specs in kernel.cases.values():
        run = emulated.run(function, module, getattr(module, kernel.name), specs)
        assert 0 < run.executed <= function.bound(run.trips)


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import machine_code

    good = machine_code.mpy.compiled(SOURCES[1], "rv32imc")
    for damaged in (b"M\5" + good[2:], good[:-1], good + b"\0"):
        with pytest.raises(ValueError):
            machine_code._File(damaged)


def test_a_branch_between_instructions_is_refused() -> None:
    # beqz a1, +6, but there is a 4-byte instruction from +4 on
    code = bytes.fromhex("99c1 0100 13000000 8280")
    with pytest.raises(ValueError, match="no instruction at 0x6"):
        _ = Function("f", "rv32imc", code, (), ()).instructions


@pytest.mark.parametrize("arch", ARCHS)
def test_only_the_first_two_names_live_in_registers(arch: str, tmp_path: Path) -> None:
    """Two instructions less for each use, whatever the kernel looks like."""

    def own(parameters: str, first: str, body: str) -> int:
        text = f"import micropython\n@micropython.viper\ndef f({parameters}) -> int:\n    {first}\n"
        (tmp_path / "m.py").write_text(text + f"    while a:\n        {body}\n        a -= 1\n    return a\n")
        return functions(tmp_path / "m.py", arch)["f"].loops[0].own

    shapes = {
        "a: int": "b = c = d = 0",
        "a: int, b: int": "c = d = 0",
        "a: int, b: int, c: int": "d = 0",
        "a: int, b: int, c: int, d: int": "pass",
    }
    for parameters, first in shapes.items():
        nothing = own(parameters, first, "pass")
        costs = [own(parameters, first, f"{name} += 1") - nothing for name in "abcd"]
        assert costs == [4, 4, 6, 6], parameters


# --- docs/kernels.md ----------------------------------------------------------------------------------------

_ROW = re.compile(r"\| `([^`]+)` \| (\d+) \| (\d+) \|")
_FRAME = """
import micropython
TABLE = b"abcd"
@micropython.viper
def f(a: int, b: int, p: ptr16, q: ptr8, w: ptr32, n: int, z: int) -> int:
    x = 0
    y = 0
    t = ptr16(TABLE)
    %s
    return x
"""
_ROUND = "while n:\n        n -= 1\n        "


def documented() -> dict[str, tuple[int, int]]:
    text = (paths.ROOT / "docs" / "kernels.md").read_text()
    return {code: (int(xtensa), int(riscv)) for code, xtensa, riscv in _ROW.findall(text)}


def in_loop(path: Path, body: str, arch: str) -> int:
    path.write_text(_FRAME % body)
    (loop,) = functions(path, arch)["f"].loops
    return loop.own


@pytest.mark.parametrize("code", documented())
def test_costs_in_the_docs_are_what_is_counted(code: str, tmp_path: Path) -> None:
    for arch, said in zip(ARCHS, documented()[code], strict=True):
        if code.startswith(("while", "for")):
            assert in_loop(tmp_path / "m.py", code, arch) == said
        else:
            lines = code.replace("; ", "\n        ")
            whole = in_loop(tmp_path / "m.py", _ROUND + lines, arch)
            assert whole - in_loop(tmp_path / "m.py", _ROUND + "pass", arch) == said


def test_the_docs_have_costs() -> None:
    assert len(documented()) > 20
