"""The bench's scale for a 32-bit heap: what it takes for code, and what it does without node."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import heap32, loaded, webassembly

from lunette import mpy

FUNCTIONS = "\n".join(f"def f{i}():\n    pass" for i in range(200))
STATEMENTS = "def f():\n" + "".join(f"    print({i % 200}, 'abc')\n" for i in range(800))
CONSTANTS = f"x = [{', '.join(repr(f'a rather long constant string {i}') for i in range(100))}]\nx = None"
CLASSES = "\n".join(
    f"class C{i}:\n    def a(self):\n        return [x for x in self]\n    def b(self):\n        pass"
    for i in range(50)
)
CLOSURES = "\n".join(f"def f{i}():\n    def g():\n        return {i}\n    return g" for i in range(100))

# Bytes that importing these has added to the heap of the WebAssembly build 1.27, names left out; and what of
# them is no code: objects of functions (16), closures' tables none, classes (137 on the 32-bit heap), dicts.
MEASURED = [
    (STATEMENTS, 8508, 124),
    (FUNCTIONS, 8774, 200 * 16 + 1784 + 174),
    (CLOSURES, 11246, 100 * 16 + 1016 + 422),
    (CLASSES, 12578, 50 * (2 * 16 + 105)),
]


@pytest.mark.parametrize(("source", "measured", "objects"), MEASURED)
def test_code_on_the_heap_is_what_importing_adds(
    tmp_path: Path, source: str, measured: int, objects: int
) -> None:
    (tmp_path / "m.py").write_text(source)
    octets = loaded.octets(mpy.compiled(tmp_path / "m.py", ""))
    assert octets == pytest.approx(measured - objects, rel=0.03)


def test_constants_count_and_small_numbers_do_not(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(CONSTANTS)
    strings = loaded.octets(mpy.compiled(tmp_path / "m.py", ""))
    assert 100 * (16 + 32) <= strings <= 100 * (16 + 48) + 600
    (tmp_path / "m.py").write_text("a = 1000000\nb = (1, 2, 3)")
    assert loaded.octets(mpy.compiled(tmp_path / "m.py", "")) < 100


def test_native_code_is_refused(tmp_path: Path) -> None:
    """Whose file has more in it."""
    (tmp_path / "m.py").write_text("import micropython\n@micropython.viper\ndef f(): pass")
    with pytest.raises((ValueError, IndexError)):
        loaded.octets(mpy.compiled(tmp_path / "m.py", "xtensawin"))


def test_the_firmware_is_weighed_without_native_code() -> None:
    code = heap32.compiled()
    assert {"glasses/runtime.mpy", "glasses/parts/led.mpy", "glasses/dsp/adpcm.mpy"} <= set(code)
    assert sum(map(loaded.octets, code.values())) > 60_000


def test_each_module_comes_after_those_that_it_imports() -> None:
    order = heap32._in_order(
        ["glasses", "glasses.pump", "glasses.protocol", "glasses.dsp", "glasses.dsp.crc32"]
    )
    assert order.index("glasses.protocol") < order.index("glasses.pump")
    assert order.index("glasses") == 0 and order.index("glasses.dsp") < order.index("glasses.dsp.crc32")


def test_without_node_the_row_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (row,) = heap32.measure()
    assert row.value is None and row.note == "skipped: node is not installed"
    (tmp_path / "node").write_text("")
    (tmp_path / "node").chmod(0o755)
    monkeypatch.setattr(webassembly, "_FOLDER", tmp_path / "nothing")
    (row,) = heap32.measure()
    assert row.note == "skipped: npm is not installed"
