"""Durations as the document writes them: text that PostgreSQL's `interval` and this room read alike.

Two forms: a number and a unit (`5 min`, `1.5 h`, `2 days`) and `01:30:00`. Months and years are refused: their length
depends on the date they are added to. A day is 24 hours, as in `extract(epoch from ...)`.
"""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Final

MICROSECONDS: Final[dict[str, int]] = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
}

# Every spelling here means the same to PostgreSQL 15 to 18 (datetime.c, deltatktbl); its `m` for minutes is left out,
# because ISO 8601 and half of the world read it as months.
UNITS: Final[dict[str, str]] = {
    spelling: unit
    for unit, spellings in {
        "us": ("us", "usec", "usecs", "microsecond", "microseconds"),
        "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
        "s": ("s", "sec", "secs", "second", "seconds"),
        "min": ("min", "mins", "minute", "minutes"),
        "h": ("h", "hr", "hrs", "hour", "hours"),
        "day": ("d", "day", "days"),
        "week": ("w", "week", "weeks"),
    }.items()
    for spelling in spellings
}

# 100 years: longer than any step waits, and far inside both `timedelta` and `interval`.
LONGEST: Final = timedelta(days=36_525)

_NUMBER_AND_UNIT: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]+)", re.ASCII)
_CLOCK: Final = re.compile(r"([0-9]{1,6}):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,6}))?", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Read `5 min`, `1.5 h`, `2 days` or `01:30:00`.

    Raises ValueError, with a sentence a person can act on, for any other text, for what is finer than a microsecond
    and for more than 100 years.
    """
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds, fraction = clock.groups()
        whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
        length = timedelta(seconds=whole, microseconds=int((fraction or "").ljust(6, "0")))
    else:
        length = timedelta(microseconds=_microseconds(text))
    if length > LONGEST:
        raise ValueError(f"{text!r} is longer than 100 years")
    return length


def format_duration(length: timedelta) -> str:
    """Write the shortest text of whole units: `5 min`, `90 s`, `1 day`.

    Hours, days and weeks are used only for whole ones, so the text is read back exactly. Raises ValueError when the
    length is negative or over 100 years.
    """
    if length < timedelta() or length > LONGEST:
        raise ValueError(f"a duration lies between 0 and 100 years, not {length}")
    total = length // timedelta(microseconds=1)
    if total == 0:
        return "0 s"
    unit = next(unit for unit in ("day", "h", "min", "s", "ms", "us") if total % MICROSECONDS[unit] == 0)
    count = total // MICROSECONDS[unit]
    return f"{count} {'days' if unit == 'day' and count != 1 else unit}"


def _microseconds(text: str) -> int:
    match = _NUMBER_AND_UNIT.fullmatch(text)
    unit = UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is no duration: write a number and a unit (5 min, 1.5 h, 2 days) or 01:30:00")
    exact = Decimal(match[1]) * MICROSECONDS[unit]
    if exact > LONGEST // timedelta(microseconds=1):
        raise ValueError(f"{text!r} is longer than 100 years")
    if exact != exact.to_integral_value():
        raise ValueError(f"{text!r} is finer than a microsecond")
    return int(exact)
