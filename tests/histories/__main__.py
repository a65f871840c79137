from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.histories.run import play

first = int(sys.argv[1])
last = int(sys.argv[2]) if len(sys.argv) > 2 else first + 1
for what, n in play(range(first, last), verbose=last == first + 1).of.items():
    print(f"{n:>8} {what}")
