"""The button held at a start, in virtual time: who gets into safe mode by it, and who is not kept waiting."""

from __future__ import annotations

import asyncio
import importlib
import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from restarts import module
from world import LIGHT, TALK, virtual_board

from lunette import paths
from lunette.virtual.chip.chip import Chip
from lunette.virtual.cpython import micropython_modules, run

NEVER = 1e9


class Start:
    """One start of a chip by `cause` with a finger on the button for `held` seconds, through `held.look`.

    `took` is how long that was, `light` when the light changed.
    """

    def __init__(self, cause: str, held: float, board: Any = None, crashed: bool = False):
        self.light: list[tuple[float, int]] = []
        with micropython_modules(paths.HAL, paths.FIRMWARE) as env:

            async def main() -> None:
                chip = Chip("esp32s3")
                chip.attach_cpython(importlib.import_module("_port"))
                loop = asyncio.get_running_loop()
                retained = module("retained").retained
                if crashed:
                    retained.put("crash", {"end": "run"})
                chip.reset(cause)
                began = loop.time()
                pulled_up = virtual_board() if board is None else board
                chip.pins.watch(
                    lambda pin, level, t: (
                        self.light.append((loop.time() - began, level)) if pin == LIGHT else None
                    )
                )

                def finger() -> None:
                    if loop.time() - began >= held:
                        chip.pins.release(TALK)

                env.clock.on_blocked = finger
                if held > 0:
                    chip.pins.press(TALK)
                wake = module("wake")
                self.start: Any = wake.Start(pulled_up)
                began = loop.time()
                module("held").look(self.start)
                self.took = loop.time() - began

            run(main())

    @property
    def safe(self) -> bool:
        return bool(self.start.crashes.safe)


@pytest.mark.parametrize("cause", ["power_on", "hard"])
def test_a_finger_that_stays_for_a_second_and_leaves_is_safe_mode(cause: str) -> None:
    start = Start(cause, 2.5)
    assert start.safe and "safe mode" in start.start.held and not start.start.stuck
    assert start.took == pytest.approx(2.5, abs=0.05)
    lit = [t for t, level in start.light if level]
    assert lit[0] == pytest.approx(1.0, abs=0.1), "it flickers from when it is time to let go"
    assert len(lit) >= 10 and start.light[-1][1] == 0
    assert max(b - a for a, b in itertools.pairwise(lit)) < 0.15


def test_a_start_without_a_finger_is_not_held_up() -> None:
    start = Start("power_on", 0)
    assert (start.took, start.light, start.safe, start.start.held) == (0, [], False, "")


@pytest.mark.parametrize("seconds", [0.05, 0.9])
def test_a_short_press_is_nothing(seconds: float) -> None:
    start = Start("power_on", seconds)
    assert not start.safe and start.start.held == ""
    assert start.took == pytest.approx(seconds, abs=0.05)
    assert not [t for t, level in start.light if level]


@pytest.mark.parametrize("cause", ["wdt", "soft"])
def test_other_starts_do_not_look(cause: str) -> None:
    start = Start(cause, 3)
    assert (start.took, start.safe) == (0, False)


def test_after_a_crash_the_finger_was_there_before() -> None:
    """Whoever was talking when they crashed still holds the button."""
    start = Start("hard", 3, crashed=True)
    assert start.start.crashes.crashed is not None
    assert (start.took, start.safe) == (0, False)


def test_what_does_not_leave_is_no_finger() -> None:
    """They start as ever after ten seconds, and the button counts when it has been free."""
    start = Start("power_on", NEVER)
    assert start.took == pytest.approx(10, abs=0.1)
    assert not start.safe and "10 s" in start.start.held
    assert start.start.stuck == [TALK]
    assert start.light[-1][1] == 0


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"talk": {"driver": "button", "pin": TALK}},  # without a light
        {"talk": {"driver": "touch", "pin": TALK}},
        {"talk": {"driver": "button", "pin": 999}},  # what is wrong with it others say
    ],
)
def test_a_board_of_less(parts: dict[str, Any]) -> None:
    start = Start("power_on", 2, board=SimpleNamespace(PARTS=parts, NAME="x", CHIP="esp32s3"))
    assert start.safe == (parts.get("talk") == {"driver": "button", "pin": TALK})


def test_no_board_at_all() -> None:
    with micropython_modules(paths.HAL, paths.FIRMWARE):

        async def main() -> None:
            Chip("esp32s3").attach_cpython(importlib.import_module("_port"))
            start = module("wake").Start(SimpleNamespace(PARTS={}, NAME="x", CHIP="esp32s3"))
            start.board = start.crashes = None
            module("held").look(start)
            assert start.held == ""

        run(main())
