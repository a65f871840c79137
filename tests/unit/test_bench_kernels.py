"""The bench of kernels: what is counted per sample, what is added up, and what is said without a compiler."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from bench import c_kernels, kernels
from bench.c_kernels import CKernels, Signature, signature
from bench.in_micropython import InMicroPython
from bench.rows import Row

from lunette.doctor.kernels import registry
from lunette.errors import LunetteError

KERNELS = {kernel.full: kernel for kernel in registry.kernels()}


def test_what_a_case_is_for() -> None:
    assert kernels.units(KERNELS["crc32.update"]) == (164, "byte")
    assert kernels.units(KERNELS["pcm.peak"]) == (320, "sample")
    assert kernels.units(KERNELS["mulaw.encode"]) == (160, "sample")
    assert kernels.units(KERNELS["pcm._root"]) == (1, "call")
    for kernel in KERNELS.values():
        count, what = kernels.units(kernel)
        assert count > 0
        if kernel.per_frame and what == "sample":
            assert count * kernel.per_frame == 320


def test_the_signature_is_that_of_the_module_s_function() -> None:
    """Not that of a method of the same name."""
    assert signature(KERNELS["highpass.run"]).parameters[0] == ("pcm", "ptr16")
    assert signature(KERNELS["pcm.peak"]) == Signature(
        (("pcm", "ptr16"), ("n", "int")), "int", "(pcm: ptr16, n: int) -> int"
    )


def test_times_are_the_shortest_of_one_call() -> None:
    disturbed = iter(range(1_000_000))

    def spend(calls: int) -> tuple[float, ...]:
        return calls * 10.0 + 500 * (next(disturbed) % 3), calls * 2.0

    def other(calls: int) -> tuple[float, ...]:
        return (calls * 0.25,)

    first, second = kernels._turns(spend, other)
    assert first == (10.0, 2.0)
    assert second == (0.25,)


def counts(bound: float, executed: float) -> SimpleNamespace:
    return SimpleNamespace(bound={"xtensawin": bound, "rv32imc": bound / 2}, executed=executed)


def test_paths_add_up_what_every_frame_goes_through() -> None:
    known = {name: counts(0, 0) for name, kernel in KERNELS.items() if kernel.per_frame}
    known["adpcm.encode_frame"] = counts(32000, 8000)
    known["highpass.run"] = counts(16000, 8000)
    known["adpcm.decode_frame"] = counts(1e9, 1e9)  # in no frame
    known["pdm.first"] = counts(64000, 0)
    rows = {row.name: row for row in kernels._paths(known)}  # type: ignore[arg-type]
    assert rows["one microphone, xtensawin"].value == 150
    assert rows["one microphone, rv32imc"].value == 75
    assert rows["PDM, xtensawin"].value == 200
    assert "executes 50" in (rows["one microphone, rv32imc"].note or "")
    # 50 of 75 here, so 100 of 150 there; of cycles, three quarters are instructions.
    share = rows["both, share of a core"].value
    assert share == pytest.approx(100 * 100 / 0.75 * 16000 / 240e6)


def test_paths_say_what_they_are_without() -> None:
    known = {name: counts(1, 1) for name, kernel in KERNELS.items() if kernel.per_frame}
    del known["adpcm.encode_frame"]
    rows = list(kernels._paths(known))  # type: ignore[arg-type]
    assert "without adpcm.encode_frame" in (rows[0].note or "")
    assert "without adpcm.encode_frame" in (rows[-1].note or "")


def test_without_a_compiler_the_row_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "nothing"))
    assert c_kernels.compiler() is None
    found = kernels._reference(KERNELS["mulaw.encode"], CKernels(tmp_path))
    assert found is not None and found[1] == "numpy, there is no C compiler"


def test_c_that_does_not_compile_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if c_kernels.compiler() is None:
        pytest.skip("no C compiler")
    (tmp_path / "mulaw.c").write_text("int mulaw_encode(int unused) { return 0; }")
    monkeypatch.setattr(c_kernels, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match=r"mulaw\.c does not compile without complaint"):
        CKernels(tmp_path).call(KERNELS["mulaw.encode"])


def test_what_a_kernel_raises_in_micropython_is_told_and_the_next_goes_on() -> None:
    with InMicroPython() as micropython:
        with pytest.raises(RuntimeError, match="AttributeError"):
            micropython.outcome("glasses.dsp.pcm.nothing", ())
        result, _, _ = micropython.outcome("glasses.dsp.pcm._root", (81,))
        assert result == 9
        micropython.prepare("glasses.dsp.pcm._root", (81,), "(x: int) -> int")
        took, nothing = micropython.us(100)
        assert took >= 0 and nothing >= 0


def test_a_kernel_that_cannot_be_measured_leaves_the_others() -> None:
    def refuse() -> Row:
        raise LunetteError("m.py does not compile")

    row = kernels._measured("pcm.peak", "viper", refuse)
    assert (row.name, row.value, row.note) == ("pcm.peak, viper", None, "LunetteError: m.py does not compile")
