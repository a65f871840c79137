"""The `lunette` command as people run it: starting, asking and ending its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lunette.virtual import control

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

LUNETTE = [sys.executable, "-m", "lunette"]
PATIENCE_S = 40


def environment(runtime: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LUNETTE_") or k == "LUNETTE_MICROPYTHON"}
    return {**kept, "LUNETTE_RUNTIME": str(runtime), "TERM": "xterm-256color"}


def lunette(runtime: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LUNETTE, *arguments],
        env=environment(runtime),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def mpremote(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mpremote", "connect", f"socket://127.0.0.1:{port}", "resume"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=PATIENCE_S)


def children(pid: int) -> list[int]:
    """Processes started by a process, and by those."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found + [grandchild for child in found for grandchild in children(child)]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


class Sim:
    """A running `lunette sim`, piped; `lines` is what it has printed until the firmware was up."""

    def __init__(self, runtime: Path, *arguments: str):
        self.runtime = runtime
        self.process = subprocess.Popen(
            [*LUNETTE, "sim", *arguments],
            env=environment(runtime),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "Lunette on virtual" in line:  # the firmware's own greeting
                return
        raise AssertionError(f"sim ended: {self.process.stderr.read() if self.process.stderr else ''}")

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`lunette sim ARGUMENTS`, which must succeed."""
        done = lunette(self.runtime, "sim", *arguments)
        assert done.returncode == 0, done.stderr
        return done

    def order(self, do: str, **values: Any) -> Any:
        """As that, without a process of its own."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LUNETTE_RUNTIME", str(self.runtime))
            return control.ask(do, values)

    def end(self) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.communicate()
        return self.process.returncode, out, err


def find(clip: np.ndarray, pcm: np.ndarray) -> int:
    """Where in `pcm` the clip is, by correlation."""
    size = 1 << 19
    spectrum = np.fft.rfft(pcm.astype(float), size) * np.conj(np.fft.rfft(clip.astype(float), size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(pcm) - len(clip) + 1]))


def assert_is_the_clip(pcm: np.ndarray, clip: np.ndarray) -> None:
    """The recording holds the clip, bit for bit as an independent IMA ADPCM codec makes it."""
    power = np.sum(clip.astype(float) ** 2)
    lag = find(clip, pcm)
    padded = np.zeros(len(pcm), np.int16)
    padded[lag : lag + len(clip)] = clip
    state = None
    reference = b""
    for at in range(0, len(padded), 320):
        before = state or (0, 0)
        coded, state = audioop.lin2adpcm(padded[at : at + 320].tobytes(), 2, state)
        decoded, _ = audioop.adpcm2lin(coded, 2, before)
        reference += decoded
    assert np.array_equal(np.frombuffer(reference, np.int16), pcm)
    assert np.sum((padded.astype(float) - pcm) ** 2) < 0.01 * power
