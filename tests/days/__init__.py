"""Random days of whole glasses, and an observer outside the firmware who knows what must never happen.

A day (`day.py`) is data: a board, settings, and what a finger, a phone, a cable and the battery do.
`player.py` plays it with the unmodified firmware in virtual time, in two tenths of a second. `observer.py`
looks at what the chip is told to do, at the instant at which it is; `ledger.py` at what becomes of all that
was said.

    python -m tests.days 1234               # play the day of that number, with everything that happens
    python -m tests.days 0 500              # play many, quietly
    python -m tests.days "Day(...)"         # play one that hypothesis has printed
"""
