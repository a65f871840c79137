"""Wall-clock time: seconds since 1970 (UTC) to and from the chip's RTC, which counts dates.

Done here because MicroPython's own `time` counts from 2000 on the chip and from 1970 on a PC.
"""

from machine import RTC

_FIRST = 1577836800  # 2020-01-01: an RTC that shows less was never set
_LAST = 4102444800  # 2100-01-01


def _days(year, month, day):
    """Days from 1970-01-01 to a date, by the civil calendar; March begins the year here."""
    if month <= 2:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469


def _date(days):
    """(year, month, day) of a day since 1970-01-01, 1970 to 2100."""
    year = 1970 + days // 366
    while _days(year + 1, 1, 1) <= days:
        year += 1
    month = 12
    while _days(year, month, 1) > days:
        month -= 1
    return year, month, days - _days(year, month, 1) + 1


def epoch():
    """Seconds since 1970, or None when nobody has set the clock since power-on."""
    year, month, day, _, hours, minutes, seconds, _ = RTC().datetime()
    now = _days(year, month, day) * 86400 + hours * 3600 + minutes * 60 + seconds
    return now if now >= _FIRST else None


def set_epoch(seconds):
    """Set the clock. Raises ValueError for a time before 2020 or from 2100 on."""
    if not _FIRST <= seconds < _LAST:
        raise ValueError("epoch must be seconds since 1970, between 2020 and 2100")
    days = seconds // 86400
    rest = seconds % 86400
    year, month, day = _date(days)
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday, 3 counted from Monday
    RTC().datetime((year, month, day, weekday, rest // 3600, rest // 60 % 60, rest % 60, 0))


def rtc_ms():
    """Milliseconds on the RTC, which goes on in deep sleep. For differences: it counts from whatever it
    counts, and a host may set it."""
    year, month, day, _, hours, minutes, seconds, us = RTC().datetime()
    return ((_days(year, month, day) * 24 + hours) * 60 + minutes) * 60000 + seconds * 1000 + us // 1000
