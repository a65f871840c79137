"""What several test files share: the firmware under CPython, and whole virtual glasses."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import thorough
import typer.main
from hypothesis import settings
from serial.urlhandler import protocol_socket
from world import fast_kernels

from lunette import paths
from lunette.virtual.cpython import Environment, micropython_modules

if "PYTEST_XDIST_WORKER" in os.environ:
    # All tests are imported, and these with them: before, because pip has compiled them where they lie.
    for _name in ("esptool", "matplotlib.figure", "scipy.signal", "tflite", "typer.testing", "unicorn"):
        importlib.import_module(_name)

# Each World imports the firmware anew: where Python is told to keep no compiled files, it would compile as
# often. They go where pytest keeps its own.
sys.dont_write_bytecode = False
sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")

# A slow machine is no failure, and the same commit gives the same result.
settings.register_profile(
    "lunette", max_examples=30 * thorough.TIMES, deadline=None, derandomize=True, print_blob=True
)
settings.load_profile("lunette")


# Typer makes its commands anew for each call of the program, which takes 40 ms.
typer.main.get_command = functools.cache(typer.main.get_command)

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


# What takes long begins first, so that nobody waits for it at the end. Scenes in real time have few beside
# them that compute; then those that wait and those that compute take turns.
_FIRST = (
    "integration/test_scenes.py",
    "unit/test_doctor.py",
    "integration/test_deploy.py",
    "unit/test_days.py",
    "integration/test_wakeword_commands.py",
    "kernels/test_wakeword_deciding.py",
    "integration/test_sim_cli.py",
    "unit/test_listener.py",
    "integration/test_heap_locked.py",
    "integration/test_doctor_virtual.py",
    "kernels/test_beam.py",
    "integration/test_sim_scenes.py",
    "kernels/test_activity.py",
    "integration/test_flash_tool.py",
    "unit/test_listener_power.py",
    "integration/test_fuzz_micropython.py",
    "kernels/test_suppress.py",
    "integration/test_repl.py",
    "kernels/test_wakeword_network.py",
    "integration/test_earcons_micropython.py",
    "unit/test_histories.py",
    "unit/test_bleak_backend.py",
    "unit/test_parts.py",
    "unit/test_console.py",
    "unit/test_draw.py",
    "integration/test_sim_endings.py",
    "unit/test_energy_day.py",
    "integration/test_prompt.py",
    "kernels/test_wakeword_detector.py",
    "integration/test_repl_command.py",
    "unit/test_machine_code.py",
    "integration/test_mip.py",
    "integration/test_deploy_cuts.py",
    "unit/test_wiring_picture.py",
)
_TESTS = Path(__file__).parent
assert all((_TESTS / name).is_file() for name in _FIRST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {_TESTS / name: rank for rank, name in enumerate(_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # the tests stay: no collection has to go through them


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two more than there are cores: some tests compute, those in real time mostly wait."""
    return (os.cpu_count() or 1) + 2
