# Runs before main.py. After a press that woke the glasses the microphone is on from here. After three
# crashes in a row, or with the button held at a start by hand, main.py may be what crashes: they run without
# it, behind the prompt. (Not by waiting here, as USB comes up only after this file. What fails here keeps the
# chip from running main.py.)
import time

_began_ms = time.ticks_ms()
from glasses import wake  # noqa: E402 - its loading is part of the start

_start = wake.start(_began_ms)
if _start.cause in (wake.POWER_ON, wake.RESET):
    from glasses import held

    held.look(_start)
if _start.crashes is not None and _start.crashes.safe:
    import glasses

    glasses.run_behind_prompt()
    raise RuntimeError("safe mode: main.py is left out, the glasses run without it")
_start.expect_app()
