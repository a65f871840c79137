"""A day as data, so that one that goes wrong can be made smaller and played again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

BOARDS = ("virtual", "xiao_esp32s3_sense")

# What a setting may be. First the most peaceful: what a day that goes wrong is reduced to.
SETTINGS: dict[str, tuple[Any, ...]] = {
    "sleep": ("deep", "auto", "light", "never"),
    "reach_s": (10, 2, 5, 20, 60, 0),
    "awake_s": (5, 8),
    "linger_s": (5, 20, 0),
    "grace_s": (10,),
    "hold_ms": (300, 150, 600),
    "longest_s": (10, 5),
    "private_address": (False, True),
}

_S = (0.0, 0.05, 0.3, 1.0, 4.0, 15.0, 30.0)
_HOLD = (1.0, 0.2, 0.5, 0.8, 2.0, 3.0)
_LATER = (0.0, 0.02, 0.2, 0.7, 2.0)

# Moments that a hand does not choose, but meets. "radio off" is the last one before they sleep.
MOMENTS = ("asleep", "radio off", "boot", "awake", "radio on", "connected", "capturing")
_OFFSET_MS = (0, 1, 10, 30, 80, 150, 300, 450)

# name: (how often, what may be said of it). A day that goes wrong is reduced to the first of each.
STEPS: dict[str, tuple[int, tuple[tuple[Any, ...], ...]]] = {
    "wait": (6, (_S,)),
    "until": (6, (MOMENTS, _OFFSET_MS)),  # then what comes next happens at that moment
    "hold": (6, (_HOLD,)),
    "hold at": (8, (MOMENTS, _OFFSET_MS, _HOLD)),
    "taps": (3, ((1, 2, 3),)),
    "ladder": (1, ((1.0, 3.5, 12.5),)),
    "stuck": (1, ((65.0, 5.0),)),
    "phone": (8, (("near", "far", "lost", "crash"),)),
    "drop": (1, ()),
    "op": (6, (("status", "sleep", "off", "record", "stop", "reboot"),)),
    "mute": (3, ((True, True, True, False),)),  # by a phone that comes for it
    "set": (2, (("sleep", "reach_s", "awake_s", "linger_s"), (0, 1, 2, 3))),
    "usb": (2, ((False, True),)),
    "battery": (2, ((4.1, 3.9, 3.7, 3.5, 3.2),)),
    "reset": (1, ()),
    "power": (1, ((0.0, 3.0),)),  # away for so long
    # The same at any time of what follows.
    "later reset": (1, (_LATER,)),
    "later power": (1, (_LATER,)),
    "later drop": (1, (_LATER,)),
    "later phone": (2, (_LATER, ("near", "far", "lost", "crash"))),
    "later usb": (1, (_LATER, (False, True))),
}
LEAST, MOST = 6, 14  # steps


@dataclass(frozen=True)
class Day:
    board: str
    settings: tuple[tuple[str, Any], ...]
    phone: str  # "near" or "far" at the start
    steps: tuple[tuple[Any, ...], ...]


def random_day(seed: int) -> Day:
    """The day of that number."""
    rng = random.Random(seed)
    names = list(STEPS)
    steps = []
    for name in rng.choices(names, [STEPS[name][0] for name in names], k=rng.randint(LEAST, MOST)):
        steps.append((name, *(rng.choice(values) for values in STEPS[name][1])))
    settings = tuple((name, rng.choice(values)) for name, values in SETTINGS.items())
    return Day(rng.choice(BOARDS), settings, rng.choice(("near", "far")), tuple(steps))


def days() -> st.SearchStrategy[Day]:
    """The same days for hypothesis."""
    # By name, as `one_of` takes what is there several times for one.
    names = [name for name, (times, _) in STEPS.items() for _ in range(times)]
    step = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), *map(st.sampled_from, STEPS[name][1]))
    )
    return st.builds(
        Day,
        st.sampled_from(BOARDS),
        st.tuples(*(st.tuples(st.just(name), st.sampled_from(values)) for name, values in SETTINGS.items())),
        st.sampled_from(("far", "near")),
        st.lists(step, min_size=LEAST, max_size=MOST).map(tuple),
    )
