"""Values of several units in one: exactly the moments that they were, whole numbers whole."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parchunk.planning.joining.encoding import InexactError, TimedValues, in_common_units
from parchunk.planning.joining.time_units import TimeUnits, parse_time_units

CALENDARS = ["standard", "noleap", "360_day", "proleptic_gregorian", "julian", "all_leap"]


def timed(values: object, units: str, calendar: str | None = None) -> TimedValues:
    return TimedValues(np.asarray(values), parse_time_units(units, calendar))


def moments(values: np.ndarray, units: TimeUnits) -> list[Fraction]:
    return [units.origin + Fraction(value) * units.length for value in values.tolist()]


UNITS = st.sampled_from(["days", "hours", "minutes", "seconds", "milliseconds", "weeks"])
CLOCKS = st.sampled_from(["", " 06:00", " 00:30:00", " 00:00:01.5"])


@given(
    st.sampled_from(CALENDARS),
    st.lists(
        st.tuples(
            st.lists(st.integers(-(10**5), 10**5), max_size=5),
            UNITS,
            st.integers(1600, 2400),
            CLOCKS,
            st.sampled_from(["<i4", "<i8", "<f8"]),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_whole_numbers_stay_the_same_moments(calendar: str, made: list[tuple]) -> None:
    parts = [
        timed(np.array(values, dtype), f"{unit} since {year}-02-03{clock}", calendar)
        for values, unit, year, clock, dtype in made
    ]
    values, units = in_common_units(parts)
    for part, some in zip(parts, values, strict=True):
        assert moments(some, units) == moments(part.values, part.units)
        if all(one.values.dtype.kind == "i" for one in parts):
            assert some.dtype.kind == "i"


@given(
    st.lists(st.integers(0, 24 * 40), min_size=1, max_size=20),
    st.integers(0, 400),
    st.sampled_from([24, 24 * 60, 24 * 3600]),
)
def test_fractions_of_days_are_rounded_only_as_floats_are(
    steps: list[int], apart: int, per_day: int
) -> None:
    first = timed(np.array(steps) / per_day, "days since 2000-01-01")
    month, day = 1 + apart // 28 % 12, 1 + apart % 28
    other = timed(np.array(steps) / per_day, f"days since 2001-{month:02d}-{day:02d}")
    values, units = in_common_units([first, other])
    for part, some in zip([first, other], values, strict=True):
        exact = moments(part.values, part.units)
        for moment, expected in zip(moments(some, units), exact, strict=True):
            assert abs(moment - expected) < 1000  # nanoseconds


def test_units_that_mean_the_same_change_nothing() -> None:
    parts = [
        timed([0.1, 0.7], "days since 2000-01-01"),
        timed([3.3], "day since 2000-1-1 00:00:00", "gregorian"),
    ]
    values, units = in_common_units(parts)
    assert values[0] is parts[0].values
    assert str(units) == "days since 2000-01-01"


def test_halves_stay_floats_in_the_first_units() -> None:
    values, units = in_common_units(
        [timed([0.5], "days since 2000-01-01"), timed([0.25], "days since 2000-02-01")]
    )
    assert [some.tolist() for some in values] == [[0.5], [31.25]]
    assert str(units) == "days since 2000-01-01"


def test_the_standard_calendar_is_the_gregorian_one_since_1582() -> None:
    later = [
        timed([0], "days since 1990-01-01", "standard"),
        timed([0], "days since 1990-02-01", "proleptic_gregorian"),
    ]
    values, units = in_common_units(later)
    assert [some.tolist() for some in values] == [[0], [31]]
    assert units.calendar == "standard"
    earlier = [
        timed([0], "days since 1500-01-01", "standard"),
        timed([0], "days since 1500-02-01", "proleptic_gregorian"),
    ]
    with pytest.raises(InexactError, match="calendars"):
        in_common_units(earlier)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (
            [timed([0], "days since 2000-01-01", "noleap"), timed([0], "days since 2000-01-01")],
            "calendars",
        ),
        (
            [
                timed(np.array([1e-7], "<f4"), "days since 2000-01-01"),
                timed(np.array([1e-7], "<f4"), "days since 2050-01-01"),
            ],
            "fractions",
        ),
        (
            [
                timed([2**62], "seconds since 2000-01-01"),
                timed([0], "milliseconds since 2000-01-01 00:00:00.001"),
            ],
            "64 bits",
        ),
        (
            [timed(["a"], "days since 2000-01-01"), timed(["b"], "days since 2000-01-02")],
            "no number",
        ),
    ],
)
def test_what_no_units_hold_is_refused(parts: list[TimedValues], reason: str) -> None:
    with pytest.raises(InexactError, match=reason):
        in_common_units(parts)


def test_masked_values_do_not_count() -> None:
    masked = TimedValues(
        np.array([-9999, 24]),
        parse_time_units("hours since 2000-01-02", None),
        np.array([True, False]),
    )
    values, units = in_common_units([timed([0, 1], "days since 2000-01-01"), masked])
    assert values[1][1] == 2
    assert str(units) == "days since 2000-01-01"
