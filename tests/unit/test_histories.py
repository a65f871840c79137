"""Five hundred random histories (`make thorough`: a thousand). `tests/histories` says what happens in them,
and what must come of it."""

from __future__ import annotations

import pytest
import thorough
from histories.run import play

EACH = 250
PARTS = 2 * thorough.TIMES


@pytest.mark.parametrize("part", range(PARTS))
def test_every_frame_arrives_once_or_is_accounted_for(part: int) -> None:
    counts = play(range(part * EACH, (part + 1) * EACH)).of
    assert counts["histories"] == EACH
    # They were not peaceful, and not all was lost either.
    for what, least in (
        ("connections", 1000),
        ("power cuts", 100),
        ("power cuts in a save", 20),
        ("host crashes", 100),
        ("packets that a host lost", 100),
        ("changes of the MTU", 20),
        ("recordings that were evicted or deleted", 50),
        ("frames that found no room", 1000),
    ):
        assert counts[what] >= least, what
    spared = counts["recordings"] - counts["recordings lost with the power"]
    assert spared - counts["recordings that were evicted or deleted"] > counts["recordings"] / 2
    assert counts["frames"] > 10_000
