from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.days import day as days
from tests.days.player import play

from lunette import paths
from lunette.virtual.cpython import micropython_modules
from lunette.virtual.kernels import fast_kernels

which = sys.argv[1]
with micropython_modules(paths.HAL, paths.FIRMWARE) as env:
    fast_kernels()
    if len(sys.argv) == 2:
        one = eval(which, {"Day": days.Day}) if which.startswith("Day") else days.random_day(int(which))
        print(one)
        print(play(one, env, print))
    else:
        total: dict[str, int] = {}
        began = time.perf_counter()
        for number in range(int(which), int(sys.argv[2])):
            try:
                for what, n in play(days.random_day(number), env).items():
                    total[what] = total.get(what, 0) + n
            except Exception as error:
                print(f"day {number}: {type(error).__name__}: {error}")
        for what, n in sorted(total.items()):
            print(f"{n:>8} {what}")
        print(f"{time.perf_counter() - began:.1f} s")
