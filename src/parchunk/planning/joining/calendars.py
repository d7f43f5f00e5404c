"""Days and dates in the calendars that CF names: whole numbers, exact, and without a library.

Days are counted from the calendar's own 1 January of the year 1. The standard calendar is Julian
before 15 October 1582 and Gregorian from then on; its days are counted as the Gregorian ones are,
so that its first day is -2.
"""

from __future__ import annotations

from collections.abc import Sequence

#: The calendars by each of their names.
CALENDARS = {
    "standard": "standard",
    "gregorian": "standard",
    "proleptic_gregorian": "proleptic_gregorian",
    "julian": "julian",
    "noleap": "noleap",
    "365_day": "noleap",
    "all_leap": "all_leap",
    "366_day": "all_leap",
    "360_day": "360_day",
}

#: 15 October 1582, in days of the Gregorian calendar: the first that is not Julian.
REFORM = 577_735
#: Days from the Julian calendar's first day to the Gregorian calendar's.
_JULIAN_LEAD = 2
_COMMON = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LEAP = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EVEN = (30,) * 12


def days_of(calendar: str, year: int, month: int, day: int) -> int:
    """Return the days from the calendar's first to a date.

    Raises
    ------
    ValueError
        When the calendar has no such date, as the noleap calendar has no 29 February.
    """
    if calendar == "standard":
        if (year, month, day) >= (1582, 10, 15):
            return days_of("proleptic_gregorian", year, month, day)
        if (year, month, day) > (1582, 10, 4):
            raise ValueError(f"the standard calendar has no {year:04d}-{month:02d}-{day:02d}")
        return days_of("julian", year, month, day) - _JULIAN_LEAD
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= _months(calendar, year)[month - 1]:
        raise ValueError(f"the {calendar} calendar has no {year:04d}-{month:02d}-{day:02d}")
    return _before_year(calendar, year) + sum(_months(calendar, year)[: month - 1]) + day - 1


def date_of(calendar: str, days: int) -> tuple[int, int, int]:
    """Return year, month and day that are ``days`` after the calendar's first."""
    if calendar == "standard":
        if days >= REFORM:
            return date_of("proleptic_gregorian", days)
        return date_of("julian", days + _JULIAN_LEAD)
    # A year that is surely not too late, then the right one.
    year = max(days // 366, 0) + 1
    while _before_year(calendar, year + 1) <= days:
        year += max((days - _before_year(calendar, year + 1)) // 366, 1)
    left = days - _before_year(calendar, year)
    for month, length in enumerate(_months(calendar, year), 1):
        if left < length:
            return year, month, left + 1
        left -= length
    raise AssertionError("unreachable")


def _before_year(calendar: str, year: int) -> int:
    """Return the days of all years before ``year``."""
    before = year - 1
    match calendar:
        case "proleptic_gregorian":
            return 365 * before + before // 4 - before // 100 + before // 400
        case "julian":
            return 365 * before + before // 4
        case "noleap":
            return 365 * before
        case "all_leap":
            return 366 * before
    return 360 * before


def _months(calendar: str, year: int) -> Sequence[int]:
    match calendar:
        case "proleptic_gregorian":
            return _LEAP if year % 4 == 0 and (year % 100 or year % 400 == 0) else _COMMON
        case "julian":
            return _COMMON if year % 4 else _LEAP
        case "noleap":
            return _COMMON
        case "all_leap":
            return _LEAP
    return _EVEN
