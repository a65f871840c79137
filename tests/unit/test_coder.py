"""The three codecs of speech: what a coder writes, what it imports, and that it allocates nothing."""

from __future__ import annotations

import importlib
import json
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunette import paths
from lunette.virtual import interpreter
from lunette.virtual.cpython import micropython_modules
from lunette.virtual.kernels import fast_kernels

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

CODECS = ("dvi4", "mulaw", "pcm")
SLOT = 176
FRAME = 320  # samples of 20 ms
PCM = st.lists(st.integers(-32768, 32767), min_size=FRAME, max_size=2 * FRAME).map(
    lambda values: np.array(values[: len(values) // FRAME * FRAME], "<i2").tobytes()
)


@pytest.fixture(scope="module")
def coder() -> Iterator[Any]:
    with micropython_modules(paths.HAL, paths.FIRMWARE):
        fast_kernels()
        yield importlib.import_module("glasses.coder")


def reference(codec: str, pcm: bytes) -> bytes:
    """All coded frames of whole frames of 20 ms, by the standard library."""
    if codec == "pcm":
        return pcm
    if codec == "mulaw":
        return audioop.lin2ulaw(pcm, 2)
    coded, state = b"", (0, 0)
    for at in range(0, len(pcm), 2 * FRAME):
        coded += struct.pack(">hBB", *state, 0)
        part, state = audioop.lin2adpcm(pcm[at : at + 2 * FRAME], 2, state)
        coded += part
    return coded


def encode(coder: Any, pcm: bytes, out_off: int = 0) -> bytes:
    """As the firmware does it: the coded frames of one frame of 20 ms after another."""
    coded = b""
    for at in range(0, len(pcm), 2 * FRAME):
        frame = bytearray(pcm[at : at + 2 * FRAME])
        for i in range(coder.per_frame):
            out = bytearray(b"\xa5" * (out_off + coder.frame_bytes + 2))
            size = coder.encode(frame, i * coder.frame_samples, out, out_off)
            assert size == coder.frame_bytes
            assert out[:out_off] + out[out_off + size :] == b"\xa5" * (out_off + 2)
            coded += out[out_off : out_off + size]
    return coded


@given(PCM, st.integers(0, 3))
@pytest.mark.parametrize("codec", CODECS)
def test_the_coded_frames_are_the_standard_librarys(coder: Any, codec: str, pcm: bytes, out_off: int) -> None:
    made = coder.Coder(codec)
    expected = reference(codec, pcm)
    assert encode(made, pcm, out_off) == expected
    made.reset()
    assert encode(made, pcm) == expected, "it begins anew"


@pytest.mark.parametrize("codec", CODECS)
def test_its_frames_fit_the_journal_and_are_no_gaps(coder: Any, codec: str) -> None:
    made = coder.Coder(codec)
    assert made.codec == codec
    assert made.frame_samples * made.per_frame == FRAME
    assert 3 < made.frame_bytes <= SLOT
    assert importlib.import_module("glasses.slots").SLOT == SLOT
    assert tuple(coder.CODECS) == CODECS


def test_a_codec_that_is_not_there(coder: Any) -> None:
    with pytest.raises(ValueError, match="opus"):
        coder.Coder("opus")


def test_another_goes_on_with_its_state(coder: Any) -> None:
    pcm = np.random.default_rng(1).integers(-9000, 9000, 2 * FRAME).astype("<i2").tobytes()
    first, second = coder.Coder("dvi4"), coder.Coder("dvi4")
    coded = encode(first, pcm[: 2 * FRAME])
    second.state[:] = first.state
    assert coded + encode(second, pcm[2 * FRAME :]) == reference("dvi4", pcm)


IN_MICROPYTHON = """
import gc, json, sys
import micropython
sys.path.insert(0, {firmware!r})
before = set(sys.modules)
from glasses.coder import Coder
coder = Coder({codec!r})
pcm, out = bytearray(640), bytearray(200)
for i in range(640):
    pcm[i] = i * 37 & 255
def code():
    for k in range(coder.per_frame):
        coder.encode(pcm, k * coder.frame_samples, out, 5)
code()
coder.reset()
micropython.heap_lock()
code()
micropython.heap_unlock()
print(json.dumps([sorted(set(sys.modules) - before), list(out[5:5 + coder.frame_bytes])]))
"""


@pytest.mark.parametrize(("codec", "kernel"), [("dvi4", "adpcm"), ("mulaw", "mulaw"), ("pcm", "pcm")])
def test_in_micropython_it_loads_one_kernel_and_allocates_nothing(codec: str, kernel: str) -> None:
    script = IN_MICROPYTHON.format(firmware=str(paths.FIRMWARE), codec=codec)
    done = subprocess.run(interpreter.command("-c", script), capture_output=True, text=True, timeout=30)
    assert done.stderr == "", done.stderr
    loaded, last = json.loads(done.stdout)
    assert set(loaded) - {"array"} == {"glasses", "glasses.coder", "glasses.dsp", f"glasses.dsp.{kernel}"}
    pcm = bytes(i * 37 & 255 for i in range(2 * FRAME))
    assert sys.byteorder == "little"
    assert reference(codec, pcm).endswith(bytes(last))
