"""MicroPython onto a chip: the image found and checked, the chip identified, then erased and written."""

from __future__ import annotations

from collections.abc import Callable

from lunette.console import Prompt, ports
from lunette.deploy import Progress
from lunette.flash import chip as chips
from lunette.flash import work
from lunette.flash.chip import Chip, State
from lunette.flash.plan import Plan, prepare

__all__ = ["Chip", "Plan", "State", "flash", "prepare"]


def flash(
    plan: Plan,
    port: str,
    progress: Progress,
    confirm: Callable[[Chip], None],
    *,
    baud: int = 460800,
    stub: bool = True,
    attempts: int = chips.ATTEMPTS,
    told: Callable[[State], None] = lambda state: None,
) -> Prompt:
    """Put the plan's image on the chip at `port`; returns the prompt that answers then, for the caller to
    close.

    confirm(chip) is called before anything is changed, and raises what is to end it. told(state) is called if
    it is ended by anything else than an error that says so itself (Ctrl-C).

    Raises LunetteError. What it says includes what is on the chip by then.
    """
    before = [found.device for found in ports.candidates()]
    progress.say("connecting")
    with chips.connect(port, progress, baud, stub, attempts) as chip:
        try:
            work.match(plan, chip)
            confirm(chip)
            restarted = work.put(plan, chip, progress)
        except KeyboardInterrupt:
            told(chip.state)
            raise
    try:
        return work.answer(plan, port, before, restarted, progress)
    except KeyboardInterrupt:
        told(State.WRITTEN)
        raise
