"""The glasses' calendar against Python's."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

FIRST, LAST = 1577836800, 4102444800


class Rtc:
    """Keeps what it is told, as the chip's does."""

    fields: Any = (2000, 1, 1, 5, 0, 0, 0, 0)

    def datetime(self, fields: Any = None) -> Any:
        if fields is not None:
            Rtc.fields = fields
        return Rtc.fields


@pytest.fixture
def clock(micropython: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from glasses import clock

    monkeypatch.setattr(clock, "RTC", Rtc)
    monkeypatch.setattr(Rtc, "fields", Rtc.fields)
    return clock


@given(epoch=st.integers(FIRST, LAST - 1))
def test_dates_agree_with_the_calendar(micropython: Any, epoch: int) -> None:
    from glasses import clock

    clock.RTC = Rtc
    clock.set_epoch(epoch)
    when = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    assert Rtc.fields == (
        when.year, when.month, when.day, when.weekday(), when.hour, when.minute, when.second, 0
    )  # fmt: skip
    assert clock.epoch() == epoch


@pytest.mark.parametrize("epoch", [-1, 0, FIRST - 1, LAST])
def test_times_that_cannot_be_are_refused(clock: Any, epoch: int) -> None:
    with pytest.raises(ValueError, match="between 2020 and 2100"):
        clock.set_epoch(epoch)


def test_a_clock_that_nobody_set_tells_no_time(clock: Any) -> None:
    Rtc.fields = (2000, 1, 1, 5, 0, 3, 12, 0)
    assert clock.epoch() is None
