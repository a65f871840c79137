"""The kernels' equivalents in C, over all cases of the registry: what C and viper give is what is stored.

What is stored is what the checked kernels give in CPython (tests/unit/test_doctor_kernels.py).
"""

from __future__ import annotations

import pytest
from bench.c_kernels import CKernels, compiler
from bench.in_micropython import InMicroPython

from lunette.doctor.kernels import vectors
from lunette.doctor.kernels.registry import kernels

KERNELS = {kernel.full: kernel for kernel in kernels()}
STORED = vectors.stored()


@pytest.fixture(scope="module")
def c(tmp_path_factory):
    if compiler() is None:
        pytest.skip("no C compiler")
    return CKernels(tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="module")
def micropython():
    with InMicroPython() as process:
        yield process


@pytest.mark.parametrize("name", KERNELS)
def test_c_gives_the_same(c, name):
    kernel = KERNELS[name]
    assert c.has(kernel), f"tests/bench/c has no {name.replace('.', '_')}()"
    call = c.call(kernel)
    for case in kernel.cases:
        assert vectors.outcome(call, kernel, case) == STORED[name][case], case


@pytest.mark.parametrize("name", KERNELS)
def test_viper_gives_the_same(micropython, name):
    kernel = KERNELS[name]
    for case, specs in kernel.cases.items():
        result, sums, stray = micropython.outcome(f"{kernel.module}.{kernel.name}", specs)
        assert [result, sums] == STORED[name][case], case
        assert not stray, case


def test_the_repeat_loop_calls_so_many_times(c):
    """Each call of the encoder moves its state on."""
    kernel = KERNELS["crc32.update"]
    one, many = bytearray(4), bytearray(4)
    data = bytearray(b"some bytes")
    for _ in range(5):
        c.call(kernel)(one, data, 0, 10)
    c.repeat(kernel)(5, many, data, 0, 10)
    assert many == one != bytearray(4)


def test_a_difference_is_noticed(c):
    kernel = KERNELS["pcm.peak"]
    wrong = c.call(KERNELS["pcm.mean_square"])
    assert vectors.outcome(wrong, kernel, "noise") != STORED["pcm.peak"]["noise"]
