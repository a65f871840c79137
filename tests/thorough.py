"""How much of what is random the tests play: `make thorough` has them play twice as much."""

import os

TIMES = int(os.environ.get("LUNETTE_THOROUGH", "1"))
