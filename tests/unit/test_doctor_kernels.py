"""The stored results of the kernels: complete, equal to the code, and right by other means."""

from __future__ import annotations

import ast
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lunette import paths
from lunette.doctor.kernels import vectors
from lunette.doctor.kernels.registry import kernels
from lunette.virtual.equivalents import equivalents

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

bench = vectors.bench()
KERNELS = {kernel.full: kernel for kernel in kernels()}


def in_sources() -> Iterator[str]:
    """``module.function`` of every viper kernel."""
    for path in sorted(paths.FIRMWARE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                "viper" in ast.unparse(d) for d in node.decorator_list
            ):
                yield ".".join((*path.relative_to(paths.FIRMWARE).with_suffix("").parts, node.name))


def test_every_kernel_of_the_sources_has_cases() -> None:
    named = sorted(in_sources())
    assert len(named) >= 9
    assert named == sorted(f"{kernel.module}.{kernel.name}" for kernel in kernels())
    assert all(len(kernel.cases) >= 3 and kernel.timed in kernel.cases for kernel in kernels())


def test_the_file_is_what_the_code_gives() -> None:
    assert vectors.PATH.read_text() == vectors.text(vectors.make()), (
        "python -m lunette.doctor.kernels.vectors writes it anew"
    )


# --- the same by other means ----------------------------------------------------------------------------


def samples(view: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(view, "<i2").astype(np.int64)


def encode(row: int, d: int, pcm: Any, i: int, out: Any, o: int, end: int, state: Any) -> int:
    predictor, index = struct.unpack_from("<hB", state)
    index = min(index, 88)
    coded, after = audioop.lin2adpcm(bytes(pcm)[2 * i : 2 * end], 2, (predictor, index))
    frame = struct.pack(">hBB", predictor, index, 0) + coded
    out[o : o + len(frame)] = frame
    struct.pack_into("<hB", state, 0, *after)
    return o + len(frame)


def decode(row: int, code: int, frame: Any, at: int, end: int, pcm: Any, i: int) -> int:
    predictor, index = struct.unpack_from(">hB", frame, at)
    out, _ = audioop.adpcm2lin(bytes(frame)[at + 4 : end], 2, (predictor, min(index, 88)))
    pcm[2 * i : 2 * i + len(out)] = out
    return i + len(out) // 2


def fill(steps: Any, changes: Any, after: Any) -> None:
    for i, step in enumerate(np.frombuffer(steps, "<u2", 89)):
        for code in range(8):
            parts = [int(step) >> shift for bit, shift in ((4, 0), (2, 1), (1, 2)) if code & bit]
            struct.pack_into("<H", changes, 2 * (8 * i + code), (int(step) >> 3) + sum(parts) & 0xFFFF)
            after[8 * i + code] = min(max(i + (-1, -1, -1, -1, 2, 4, 6, 8)[code], 0), 88)


def update(state: Any, buf: Any, off: int, n: int) -> None:
    state[:] = zlib.crc32(bytes(buf)[off : off + n], int.from_bytes(state, "little")).to_bytes(4, "little")


def decimate(src: Any, dst: Any, n: int) -> None:
    half = np.array((-18, 59, -135, 261, -468, 828, -1602, 5171))
    taps = np.zeros(31, np.int64)
    taps[0:16:2], taps[16::2], taps[15] = half, half[::-1], 8192
    windows = np.lib.stride_tricks.sliding_window_view(samples(src), 31)[: 2 * n : 2]
    total = (windows @ taps + 8192) >> 14
    dst[: 2 * n] = np.clip(total, -32768, 32767).astype("<i2").tobytes()


def copy(dst: Any, dst_off: int, src: Any, src_off: int, n: int) -> None:
    dst[dst_off : dst_off + n] = bytes(src)[src_off : src_off + n]


def peak(pcm: Any, n: int) -> int:
    return min(32767, int(np.abs(samples(pcm)[:n]).max(initial=0)))


def mean_square(pcm: Any, n: int) -> int:
    return min(2**30 - 1, int((samples(pcm)[:n] ** 2).sum()) // n) if n else 0


# Those of the others are what long runs use in their place.
REFERENCES = {name.partition(".")[2]: kernel for name, kernel in equivalents().items()} | {
    "adpcm._fill": fill,
    "adpcm.encode_frame": encode,
    "adpcm.decode_frame": decode,
    "crc32.update": update,
    "halfband.decimate": decimate,
    "pcm.copy": copy,
    "pcm.peak": peak,
    "pcm.mean_square": mean_square,
    "pcm._root": lambda x: int(np.floor(np.sqrt(x))),
}


@pytest.mark.parametrize("name", KERNELS)
def test_other_programs_give_the_same(name: str) -> None:
    stored = vectors.stored()[name]
    for case in KERNELS[name].cases:
        assert vectors.outcome(REFERENCES[name], KERNELS[name], case) == stored[case], case


def test_the_filter_is_driven_to_where_it_is_cut() -> None:
    args, _ = bench.arguments(KERNELS["halfband.decimate"].cases["signs of the taps"])
    decimate(*args)
    assert samples(args[1])[0] == 32767
    half = np.array((-18, 59, -135, 261, -468, 828, -1602, 5171))
    assert int((32767 * (np.abs(half).sum() * 2 + 8192) + 8192) >> 14) > 32767


# --- what a fault looks like ------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [-1, 4])
def test_a_write_beside_a_buffer_is_noticed(at: int) -> None:
    def stray(whole: Any, begin: int) -> None:
        whole[begin + at] ^= 1

    specs = (("fill", 4, 0), 16)
    wholes: list[Any] = []
    arguments = bench.arguments

    def with_guards(specs: Any) -> Any:
        args, made = arguments(specs)
        wholes.extend(made)
        return [made[0][0], *args[1:]], made

    bench.arguments = with_guards
    try:
        assert bench.outcome(stray, specs)[2] is True
        assert bench.outcome(lambda whole, begin: None, specs)[2] is False
    finally:
        bench.arguments = arguments


def test_buffers_lie_where_they_are_said_to() -> None:
    (view, same, odd), wholes = bench.arguments((("wave", 2, (1, -2)), ("same", 0), ("odd", ("hex", "0102"))))
    assert bytes(view) == b"\1\0\xfe\xff" and same is view and bytes(odd) == b"\1\2"
    (whole, _), (odd_whole, _) = wholes
    assert bytes(whole) == b"\xa5" * 16 + bytes(view) + b"\xa5" * 16
    assert bytes(odd_whole) == b"\xa5" * 17 + b"\1\2" + b"\xa5" * 16


def test_noise_is_noise() -> None:
    drawn = list(bench.noise(5000, 1))
    assert len(set(drawn)) == 5000 and abs(np.mean(drawn) - 32768) < 600
    walked = np.array(list(bench.walk(5000, 1)), np.uint16).view(np.int16)
    steps = np.abs(np.diff(walked.astype(int)))
    assert walked.std() > 5000 and np.median(steps) < 4000
