"""The audio path in real MicroPython with its heap locked, from the microphone's interrupt to notification.

Whatever allocates raises MemoryError there: each frame of a whole recording is such a proof.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lunette import paths
from lunette.virtual import stage
from lunette.virtual.scene import parse
from lunette.virtual.simulator import VirtualGlasses

# The first frames meet a new packet size, and the log: a second and more goes by before the lock.
_MAIN = b"""
import micropython, sys
import glasses
from glasses.parts.microphone import Microphone
from glasses.voice import Voice

locked = failed = listened = 0

def steady():
    voice = glasses.instance().voice
    return voice._recording is not None and voice._recording.count >= 60 and voice._stop_at < 0

def failure(error):
    global failed
    micropython.heap_unlock()
    sys.print_exception(error)
    micropython.heap_lock()
    failed += 1

def listens():
    # (The first frames load and format, and a word makes an event.)
    listener = glasses.instance().listener
    return listener is not None and listener.on and listener.frames >= 60

def heard(self):
    global locked, listened
    if not listens():
        return plain_heard(self)
    micropython.heap_lock()
    locked += 1
    listened += 1
    try:
        plain_heard(self)
    except MemoryError as error:
        failure(error)
    finally:
        micropython.heap_unlock()

def step(self):  # (*args would allocate)
    global locked
    if not steady():
        return plain_step(self)
    micropython.heap_lock()
    locked += 1
    try:
        plain_step(self)
    except MemoryError as error:
        failure(error)
    finally:
        micropython.heap_unlock()

def on_filled(self, i2s):
    global locked
    if not steady() and not listens():
        return plain_on_filled(self, i2s)
    micropython.heap_lock()
    locked += 1
    try:
        plain_on_filled(self, i2s)
    except MemoryError as error:
        failure(error)
    finally:
        micropython.heap_unlock()

plain_step, Voice.step = Voice.step, step
plain_on_filled, Microphone._on_filled = Microphone._on_filled, on_filled
try:
    from glasses.listener import Listener
    plain_heard, Listener.step = Listener.step, heard
    plain_wake = Listener._wake
    def wake(self):
        micropython.heap_unlock()
        try:
            plain_wake(self)
        finally:
            micropython.heap_lock()
    Listener._wake = wake
except ImportError:
    pass
%s

@glasses.on("recorded")
def done(event):
    print("LOCKED", locked, "FAILED", failed, "LISTENED", listened)

glasses.run()
"""
_SCENE = {
    "duration_s": 5.2,
    "at": [
        {"t": 0.3, "do": "hold", "seconds": 4},
        {"t": 0.3, "do": "say", "wav": "speech.wav"},
        {"t": 0.3, "do": "noise", "kind": "pink", "level_dbfs": -40},
    ],
}


_WORD = {
    "duration_s": 8.5,
    "models": ["okay_nabu"],
    "at": [
        {"t": 0.0, "do": "noise", "kind": "pink", "level_dbfs": -50},
        {"t": 3.2, "do": "say", "text": "okay nabu"},
        {"t": 4.6, "do": "say", "wav": "speech.wav"},
        {"t": 7.9, "do": "tap"},
    ],
}


def _perform(
    folder: Path, board: str, more: bytes, settings: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """(the scene's report, what was printed). In a process of its own, whose host never met any glasses."""
    lines: list[str] = []

    def observe(what: str, detail: Any) -> None:
        if what == "line":
            lines.append(detail)

    def glasses(*args: Any, files: dict[str, bytes], **options: Any) -> VirtualGlasses:
        return VirtualGlasses(*args, files=files | {"main.py": _MAIN % more}, **options)

    stage.VirtualGlasses = glasses  # type: ignore[assignment, misc]
    script = _WORD if settings.get("wakeword") else _SCENE
    scene = parse(script | {"settings": settings, "board": {"name": board}}, folder=paths.DATA)
    return asyncio.run(stage.Stage(scene, folder, observe=observe).play()), lines


CHAINS = [
    ("virtual", {"cleaning": "off"}),
    ("virtual", {"cleaning": "full", "codec": "mulaw"}),
    ("xiao_esp32s3_sense", {"cleaning": "full"}),  # PDM
    ("esp32s3_devkit", {"cleaning": "full", "codec": "pcm"}),  # two microphones
]


_CARELESS = b"""
kick = glasses.instance().link.kick
def careless():
    kick()
    glasses.instance().careless = [locked]
glasses.instance().voice._kick = careless
"""
_PLAYS: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    **{str(number): (board, b"", settings) for number, (board, settings) in enumerate(CHAINS)},
    "word": ("virtual", b"", {"cleaning": "full", "wakeword": "okay_nabu"}),
    "careless": ("virtual", _CARELESS, {"cleaning": "off"}),
}
_SIDE_BY_SIDE = 2  # they mostly wait; and what they do must not come late

Played = tuple[int, int, dict[str, Any], list[str]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Played]]:
    """Gives, by name of `_PLAYS`: (calls under the lock, those that failed, the scene's report, what was
    printed)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lunette.virtual.stage"])
    with context.Pool(_SIDE_BY_SIDE, maxtasksperchild=1) as pool:
        results = {
            name: pool.apply_async(_perform, (tmp_path_factory.mktemp(name), board, more, settings))
            for name, (board, more, settings) in _PLAYS.items()
        }

        def wait(name: str) -> Played:
            report, lines = results[name].get()
            words = next((line for line in lines if line.startswith("LOCKED")), "").split()
            assert words, "\n".join(lines)
            return int(words[1]), int(words[3]), report, lines

        yield wait


@pytest.mark.parametrize("number", range(len(CHAINS)), ids=[str(chain) for chain in CHAINS])
def test_no_frame_allocates(played: Callable[[str], Played], number: int) -> None:
    locked, failed, report, lines = played(str(number))
    assert failed == 0, "\n".join(lines)
    assert locked > 2 * 100  # two seconds of frames, and their interrupts
    (recording,) = report["recordings"]
    assert recording["crc_ok"] and recording["lost"] == 0


def test_no_frame_that_is_heard_for_a_wake_word_allocates(played: Callable[[str], Played]) -> None:
    _, failed, report, lines = played("word")
    assert failed == 0, "\n".join(lines)
    listened = int(next(line for line in lines if line.startswith("LOCKED")).split()[-1])
    assert listened > 100
    (recording,) = report["recordings"]
    assert recording["cause"] == "wake" and recording["crc_ok"] and recording["lost"] == 0


def test_what_allocates_is_seen(played: Callable[[str], Played]) -> None:
    locked, failed, _, _ = played("careless")
    assert failed > 90 and locked >= failed
