"""What several test files share: the firmware under CPython, and whole virtual glasses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from world import plain_kernels

from lunette import paths
from lunette.virtual.cpython import Environment, micropython_modules

# A slow machine is no failure, and the same commit gives the same result.
settings.register_profile("lunette", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("lunette")


@pytest.fixture(scope="module")
def micropython() -> Iterator[Environment]:
    """The firmware can be imported; no chip is attached."""
    with micropython_modules(paths.HAL, paths.FIRMWARE) as environment:
        plain_kernels()
        yield environment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, as the glasses' file system is: empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
