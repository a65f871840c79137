"""What several test files share: the firmware under CPython, and whole virtual glasses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import thorough
from hypothesis import settings
from serial.urlhandler import protocol_socket
from world import fast_kernels

from lunette import paths
from lunette.virtual.cpython import Environment, micropython_modules

# Each World imports the firmware anew: where Python is told to keep no compiled files, it would compile as
# often. They go where pytest keeps its own.
sys.dont_write_bytecode = False
sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")

# A slow machine is no failure, and the same commit gives the same result.
settings.register_profile(
    "lunette", max_examples=30 * thorough.TIMES, deadline=None, derandomize=True, print_blob=True
)
settings.load_profile("lunette")


# pyserial's sockets wait 0.3 s when they are closed, for servers that want that; none of ours does.
protocol_socket.time = SimpleNamespace(sleep=lambda seconds: None)


@pytest.fixture(scope="module")
def micropython() -> Iterator[Environment]:
    """The firmware can be imported; no chip is attached."""
    with micropython_modules(paths.HAL, paths.FIRMWARE) as environment:
        fast_kernels()
        yield environment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, as the glasses' file system is: empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: some tests compute, those in real time mostly wait."""
    return (os.cpu_count() or 1) + 1
