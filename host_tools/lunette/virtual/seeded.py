"""The same day twice: everything in this process that is chance, or today's date, from one number.

Times on the air are from the link model's own seed in any case. Not seeded: keys that two sides agree on when
they pair (OpenSSL's); nothing but those keys depends on them.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from lunette.virtual import bleak_radio

EPOCH = 1_767_225_600.0  # 2026-01-01


@contextmanager
def seeded(seed: int, date: float = EPOCH) -> Iterator[None]:
    """Within it, random numbers follow from `seed`, and the date is `date` (seconds since 1970) at second 0
    of the running loop. The host of this process is a new one, without bonds."""
    source = random.Random(seed)
    before = random.getstate()
    local, universal, text = time.localtime, time.gmtime, time.strftime

    def now() -> float:
        loop = asyncio.events._get_running_loop()
        return date + (loop.time() if loop is not None else 0.0)

    def strftime(form: str, *moment: Any) -> str:
        return text(form, *(moment or (local(now()),)))

    clock: dict[str, Any] = {
        "time": now,
        "time_ns": lambda: round(now() * 1e9),
        "localtime": lambda seconds=None: local(now() if seconds is None else seconds),
        "gmtime": lambda seconds=None: universal(now() if seconds is None else seconds),
        "strftime": strftime,
    }
    random.seed(seed)
    try:
        with (
            mock.patch.multiple(time, **clock),
            mock.patch.object(os, "urandom", source.randbytes),
            mock.patch.object(random, "_urandom", source.randbytes),  # of `secrets`
            mock.patch.object(bleak_radio, "_identities", {}),
        ):
            yield
    finally:
        random.setstate(before)
