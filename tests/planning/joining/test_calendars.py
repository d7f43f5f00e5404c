"""Days and dates in CF's calendars, against Python's own, and counted one by one."""

from __future__ import annotations

import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parchunk.planning.joining.calendars import CALENDARS, REFORM, date_of, days_of
from parchunk.planning.joining.time_units import UNITS, is_time, parse_time_units

ALL = sorted(set(CALENDARS.values()))
LEAP = {
    "julian": lambda year: year % 4 == 0,
    "noleap": lambda year: False,
    "all_leap": lambda year: True,
    "proleptic_gregorian": lambda year: year % 4 == 0 and (year % 100 > 0 or year % 400 == 0),
}


@given(st.dates())
def test_the_gregorian_calendar_is_pythons(date: datetime.date) -> None:
    days = days_of("proleptic_gregorian", date.year, date.month, date.day)
    assert days == date.toordinal() - 1
    assert date_of("proleptic_gregorian", days) == (date.year, date.month, date.day)


@pytest.mark.parametrize("calendar", ALL)
@given(st.integers(0, 4_000_000))
def test_dates_and_days_are_each_others_inverse(calendar: str, days: int) -> None:
    assert days_of(calendar, *date_of(calendar, days)) == days


@pytest.mark.parametrize("calendar", ALL)
def test_days_follow_each_other(calendar: str) -> None:
    dates = [date_of(calendar, days) for days in range(366 * 9)]
    for one, other in pairwise(dates):
        assert other[2] == one[2] + 1 or (other[2] == 1 and other > one)
    assert len(set(dates)) == len(dates)


@pytest.mark.parametrize("calendar", sorted(LEAP))
def test_leap_years(calendar: str) -> None:
    for year in (4, 100, 400, 1900, 2000, 2001, 2004):
        length = days_of(calendar, year + 1, 1, 1) - days_of(calendar, year, 1, 1)
        assert length == 365 + LEAP[calendar](year)


def test_the_360_day_calendar_has_equal_months() -> None:
    assert date_of("360_day", days_of("360_day", 2000, 2, 30) + 1) == (2000, 3, 1)


def test_the_standard_calendar_leaps_from_the_4th_to_the_15th_of_october_1582() -> None:
    assert days_of("standard", 1582, 10, 15) == REFORM
    assert date_of("standard", REFORM - 1) == (1582, 10, 4)
    with pytest.raises(ValueError, match="1582-10-10"):
        days_of("standard", 1582, 10, 10)


@pytest.mark.parametrize(
    ("calendar", "date"), [("noleap", (2000, 2, 29)), ("360_day", (2000, 1, 31))]
)
def test_dates_that_a_calendar_lacks(calendar: str, date: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="has no"):
        days_of(calendar, *date)


@pytest.mark.parametrize("calendar", sorted(CALENDARS))
def test_cftime_agrees(calendar: str) -> None:
    cftime = pytest.importorskip("cftime")
    for days in range(0, 1_000_000, 997):
        year, month, day = date_of(CALENDARS[calendar], days)
        units = "days since 0001-01-01"
        found = cftime.date2num(
            cftime.datetime(year, month, day, calendar=calendar), units, calendar
        )
        first = days_of(CALENDARS[calendar], 1, 1, 1)
        assert found == days - first


@given(
    st.sampled_from(["D", "h", "m", "s", "ms", "us"]),
    st.datetimes(datetime.datetime(1611, 1, 1), datetime.datetime(2300, 1, 1)),
    st.integers(-(10**4), 10**4),
)
def test_moments_are_numpys(unit: str, since: datetime.datetime, value: int) -> None:
    spelled = {"D": "days", "h": "hr", "m": "min", "s": "Seconds", "ms": "msec", "us": "us"}[unit]
    units = parse_time_units(f"{spelled} since {since.isoformat(sep=' ')}", "gregorian")
    epoch = parse_time_units("days since 1970-01-01", None).origin
    expected = np.datetime64(since, "us") + np.timedelta64(value, unit)
    moment = units.origin - epoch + value * units.length
    assert moment == int(expected.astype("datetime64[us]").astype(np.int64)) * 1000
    assert units.text(value).startswith(str(expected)[:10])


@pytest.mark.parametrize(
    "reference",
    ["2000-01-01", "2000-1-1 00:00:00.0", "2000-01-01T00:00:00Z", "2000-01-01 01:00 +01:00",
     "1999-12-31 23:00:00 -0100", "2000-01-01 00:00:00 UTC", "2000-01-01 00"],
)  # fmt: skip
def test_spellings_of_one_date(reference: str) -> None:
    units = parse_time_units(f"hours since {reference}", None)
    assert units.means_the_same(parse_time_units("h since 2000-01-01", "standard"))


@pytest.mark.parametrize(
    ("units", "calendar", "reason"),
    [
        ("months since 2000-01-01", None, "one length"),
        ("days since yesterday", None, "no date"),
        ("days since 2000-01-01 24:00", None, "no time of day"),
        ("days since 2000-01-01 00:60", None, "no time of day"),
        ("days since 2000-01-01 00:00:60", None, "no time of day"),
        ("days since 2000-02-30", None, "has no"),
        ("days since 2000-01-01", "lunar", "not known"),
        ("K", None, "no time"),
    ],
)
def test_units_that_cannot_be_read(units: str, calendar: str | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_time_units(units, calendar)


def test_what_is_a_time() -> None:
    assert is_time("days since 2000-01-01")
    assert not is_time("days")
    assert not is_time(None)
    lengths = list(UNITS.values())
    assert all(longer % shorter == 0 for longer, shorter in pairwise(lengths))
