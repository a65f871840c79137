"""What a start loads before it does what it is for. A module more costs a beacon, thousands of which a day
make up most of what the battery loses, some 10 ms of a chip that is awake, and a button wake as much of the
first word. Whoever adds one here has a reason; `make bench start` says what it costs.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.bench.marks import ADVERTISING, FRAME, MICROPHONE
from tests.bench.start_virtual import BEACON, BUTTON, COLD, Moment, starts

from lunette import paths

ALWAYS = {"boot", "glasses", "glasses.wake", "glasses.retained"}
TO_ADVERTISE = {
    "glasses.beacon",
    "glasses.presence",
    "glasses.peripheral",
    "glasses.advert",
    "glasses.services",
    "glasses.clock",
    "glasses.door",
    "glasses.guard",
    "glasses.bonds",
    "glasses.settings",
    "glasses.log",
}
TO_LISTEN = {
    "glasses.board",
    "glasses.parts",
    "glasses.parts.button",
    "glasses.parts.led",
    "glasses.parts.capture",
    "glasses.parts.microphone",
    "glasses.parts.i2s_microphone",
}
# Loaded while the microphone runs, which the first frame does not wait for, or ...
MEANWHILE = {"glasses.crashes"}
# ... cannot do without.
TO_CODE = {
    "glasses.early",
    "glasses.front_end",
    "glasses.coder",
    "glasses.dsp",
    "glasses.dsp.adpcm",
    "glasses.dsp.pcm",
    "glasses.dsp.i2s",
}

# Modules of MicroPython that are C. asyncio is Python, and large.
IN_C = {"array", "binascii", "bluetooth", "collections", "json", "machine", "micropython", "os", "struct"}
IN_C |= {"sys", "time", "board"}  # board.py is loaded by every start


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Moment]]:
    return starts()


def test_a_beacon_loads_what_advertising_needs(found: dict[str, dict[str, Moment]]) -> None:
    assert set(found[BEACON][ADVERTISING].modules) == ALWAYS | TO_ADVERTISE


def test_a_button_wake_loads_what_listening_needs(found: dict[str, dict[str, Moment]]) -> None:
    assert set(found[BUTTON][MICROPHONE].modules) == ALWAYS | TO_LISTEN


def test_the_coder_comes_next(found: dict[str, dict[str, Moment]]) -> None:
    loaded = set(found[BUTTON][FRAME].modules)
    assert ALWAYS | TO_LISTEN | TO_CODE <= loaded <= ALWAYS | TO_LISTEN | TO_CODE | MEANWHILE


def test_a_cold_start_loads_the_runtime(found: dict[str, dict[str, Moment]]) -> None:
    """That the others do not is only worth something if this is seen here."""
    assert {"glasses.runtime", "glasses.voice"} < set(found[COLD][ADVERTISING].modules)


@pytest.mark.parametrize("module", sorted(ALWAYS | TO_ADVERTISE | TO_LISTEN | TO_CODE))
def test_nothing_of_micropython_that_is_python(module: str) -> None:
    named = set()
    for node in ast.parse(_source(module).read_text()).body:  # what functions import is not meant
        if isinstance(node, ast.Import):
            named.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            named.add(str(node.module).split(".")[0])
    assert named - {"glasses"} <= IN_C


def _source(module: str) -> Path:
    path = paths.FIRMWARE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
