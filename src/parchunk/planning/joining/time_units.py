"""CF's units of time: ``hours since 1900-01-01`` in a calendar, as exact numbers of nanoseconds.

By hand, as what is wanted is a shift between two dates in whole numbers, of any length. cftime has
microseconds and an object for each value; xarray decodes to 64 bits of nanoseconds or to cftime,
and chooses other units and data types when it encodes. Both are what the tests compare with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from parchunk.planning.joining.calendars import CALENDARS, REFORM, date_of, days_of

#: Nanoseconds of each unit, the longest first; each is a multiple of all that follow it.
UNITS = {
    "weeks": 604_800_000_000_000,
    "days": 86_400_000_000_000,
    "hours": 3_600_000_000_000,
    "minutes": 60_000_000_000,
    "seconds": 1_000_000_000,
    "milliseconds": 1_000_000,
    "microseconds": 1_000,
    "nanoseconds": 1,
}
_SPELLED = {
    "week": "weeks", "d": "days", "day": "days", "h": "hours", "hr": "hours", "hrs": "hours",
    "hour": "hours", "min": "minutes", "mins": "minutes", "minute": "minutes", "s": "seconds",
    "sec": "seconds", "secs": "seconds", "second": "seconds", "ms": "milliseconds",
    "msec": "milliseconds", "msecs": "milliseconds", "millisec": "milliseconds",
    "millisecs": "milliseconds", "millisecond": "milliseconds", "us": "microseconds",
    "microsec": "microseconds", "microsecs": "microseconds", "microsecond": "microseconds",
    "ns": "nanoseconds", "nanosecond": "nanoseconds", **{unit: unit for unit in UNITS},
}  # fmt: skip
_SINCE = re.compile(r"\s*(?P<unit>[a-z]+)\s+since\s+(?P<reference>\S.*?)\s*", re.I | re.S)
_DATE = re.compile(
    r"(?P<year>\d{1,6})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:(?:T|\s+)(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})"
    r"(?:\.(?P<part>\d{0,9})0*)?)?)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)?",
    re.I,
)
_DAY = UNITS["days"]


@dataclass(frozen=True)
class TimeUnits:
    """``unit`` is a key of `UNITS`, ``origin`` the nanoseconds from the calendar's first day.

    ``reference`` is the date as it is written: two may be written differently and be one.
    """

    unit: str
    origin: int
    calendar: str
    reference: str

    @property
    def length(self) -> int:
        """Nanoseconds of one unit."""
        return UNITS[self.unit]

    def __str__(self) -> str:
        """Return what the attribute ``units`` says."""
        return f"{self.unit} since {self.reference}"

    def means_the_same(self, other: TimeUnits) -> bool:
        """Whether every number is the same moment in both."""
        return (self.unit, self.origin, self.calendar) == (
            other.unit,
            other.origin,
            other.calendar,
        )

    def finer(self) -> tuple[TimeUnits, ...]:
        """Return these units, and those with a shorter unit since the same date."""
        units = list(UNITS)
        return tuple(replace(self, unit=unit) for unit in units[units.index(self.unit) :])

    def text(self, value: Any) -> str:
        """Return a number in these units as a date, to the second where it has a time of day."""
        try:
            moment = self.origin + round(value * self.length)
        except (OverflowError, ValueError):
            return str(value)
        days, left = divmod(moment, _DAY)
        first = days_of(self.calendar, 1, 1, 1)
        if days < first or days > 4_000_000_000:
            return f"{value} {self}"
        year, month, day = date_of(self.calendar, days)
        seconds = left // UNITS["seconds"]
        date = f"{year:04d}-{month:02d}-{day:02d}"
        if not left:
            return date
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
        return f"{date} {clock}" + (f":{seconds % 60:02d}" if seconds % 60 else "")


def is_time(units: object) -> bool:
    """Whether the attribute ``units`` says how long after a date something is."""
    return isinstance(units, str) and _SINCE.fullmatch(units) is not None


def parse_time_units(units: object, calendar: object) -> TimeUnits:
    """Return what the attributes ``units`` and ``calendar`` mean; no calendar is the standard one.

    Raises
    ------
    ValueError
        With the reason: months and years have no one length, a calendar may not be known.
    """
    match = _SINCE.fullmatch(units) if isinstance(units, str) else None
    if match is None:
        raise ValueError("they are no time since a date")
    name = str("standard" if calendar is None else calendar).lower()
    if name not in CALENDARS:
        raise ValueError(f"the calendar {name!r:.40} is not known")
    unit = _SPELLED.get(match["unit"] if match["unit"] in _SPELLED else match["unit"].lower())
    if unit is None:
        raise ValueError(f"{match['unit']!r:.40} is not of one length")
    date = _DATE.fullmatch(match["reference"])
    if date is None:
        raise ValueError(f"{match['reference']!r:.40} is no date")
    clock = [int(date[part] or 0) for part in ("hour", "minute", "second")]
    if clock[0] > 23 or max(clock[1:]) > 59:
        raise ValueError(f"{match['reference']!r:.40} has no time of day")
    days = days_of(CALENDARS[name], int(date["year"]), int(date["month"]), int(date["day"]))
    seconds = (clock[0] * 60 + clock[1]) * 60 + clock[2] - _zone(date["zone"])
    part = int((date["part"] or "").ljust(9, "0"))
    origin = days * _DAY + seconds * UNITS["seconds"] + part
    return TimeUnits(unit, origin, CALENDARS[name], match["reference"])


def one_calendar(units: list[TimeUnits], lowest: list[int]) -> list[TimeUnits]:
    """Return the units in the first one's calendar, where that changes no date.

    The standard and the Gregorian calendar are one from 15 October 1582 on; ``lowest`` are the
    nanoseconds of the earliest moment of each.

    Raises
    ------
    ValueError
        When they are of calendars that count days in another way.
    """
    first = units[0].calendar
    if all(one.calendar == first for one in units):
        return units
    if any(one.calendar not in ("standard", "proleptic_gregorian") for one in units) or any(
        min(low, one.origin) < REFORM * _DAY for one, low in zip(units, lowest, strict=True)
    ):
        raise ValueError("calendars that count days in another way")
    return [replace(one, calendar=first) for one in units]


def _zone(text: str | None) -> int:
    """Return the seconds that a time zone is ahead of UTC."""
    if text is None or text.upper() in ("Z", "UTC", "GMT"):
        return 0
    hours, _, minutes = text[1:].partition(":")
    if not minutes and len(hours) > 2:
        hours, minutes = hours[:-2], hours[-2:]
    seconds = int(hours) * 3600 + int(minutes or 0) * 60
    return -seconds if text[0] == "-" else seconds
