"""Where chunks are expected, from date to date, and what is said when the dates are not there."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import parchunk
from parchunk.auditing.expected import Expected, parse_expected
from parchunk.auditing.policy import parse_percent
from parchunk.cli.main import run
from parchunk.planning.labels import Labels

UNITS = "hours since 2001-01-01"


def write(path, times, units=UNITS) -> None:
    root = zarr.open_group(path, mode="w", zarr_format=3)
    field = root.create_array(
        "t", shape=(len(times), 2), chunks=(4, 2), dtype="f4", dimension_names=("time", "x")
    )
    field[...] = 1
    time = root.create_array(
        "time", shape=(len(times),), chunks=(1000,), dtype="i4", dimension_names=("time",),
        attributes={"units": units},
    )  # fmt: skip
    time[...] = times


def append(path, steps) -> None:
    root = zarr.open_group(path)
    for name in ("t", "time"):
        before = root[name].shape[0]
        root[name].resize((steps, *root[name].shape[1:]))
        root[name][before:] = np.arange(before, steps) * 6 if name == "time" else 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """References of 60 days of 4 steps, a chunk each day; 2 and 3 February are missing."""
    folder = tmp_path_factory.mktemp("expected")
    write(folder / "store", np.arange(240) * 6)
    for day in (32, 33):
        (folder / f"store/t/c/{day}/0").unlink()
    parchunk.build(parchunk.plan(folder / "store", split="time"), folder / "refs")
    return folder


@pytest.mark.parametrize(
    ("dates", "missing"),
    [
        ("2001-01-01:2001-02-01", 0),
        ("2001-01-01:2001-02-02", 1),
        ("2001-02-03:", 1),
        (":2001-01", 0),
        ("2001-02:2001-02", 2),
        ("2001-02-02T18:2001-02-03T00:00", 2),
        ("2001-02-02 18:00:2001-02-02 18:00", 1),
    ],
)
def test_dates_are_both_included(folder, dates, missing):
    report = parchunk.audit(folder / "refs", expect=f"time={dates}")
    assert (report.missing, report.excused) == (missing, 2 - missing)


def test_dates_are_elements_where_they_are_told_so(folder):
    of_dates = parchunk.audit(folder / "refs", expect="time=2001-01-11:2001-02-02")
    of_elements = parchunk.audit(folder / "refs", expect="time=40:132")
    assert (of_dates.missing, of_dates.excused) == (of_elements.missing, of_elements.excused)


@given(
    st.sampled_from([(24, 10), (6, 16), (1, 16), (6, 19)]),
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from([7, 10, 13, 16, 19])), min_size=2, max_size=2
    ),
    st.booleans(),
)
def test_dates_of_any_length_are_moments(steps, ends, finer):
    """Midnight of a day is an element of daily data, whichever way it is spelled."""
    hours, spelled = steps
    dates = [
        datetime.datetime(2001, 1, 1) + at * datetime.timedelta(hours=hours) for at in range(100)
    ]
    labels = Labels(pa.array([f"{date:%Y-%m-%d %H:%M:%S}"[:spelled] for date in dates]))
    (first, long), (last, short) = sorted(ends)
    start, stop = f"{dates[first]}"[:long], f"{dates[last]}"[:short]
    asked = parse_expected(f"time={start.replace(' ', 'T') if finer else start}:{stop}")
    found = asked.elements("time", labels)
    inside = [
        at for at, date in enumerate(dates) if start <= f"{date}" and f"{date}"[:short] <= stop
    ]
    assert (found.start, found.stop) == (inside[0], inside[-1] + 1)
    assert asked.ends_early(labels) is None


@given(
    st.sampled_from([1, 6, 12, 24, 120, 168]),
    st.integers(3, 60),
    st.integers(0, 24 * 90),
    st.sampled_from([7, 10, 13, 16, 19]),
)
def test_what_ends_early_lacks_an_element_by_the_last_date(hours, count, reach, spelled):
    """Whatever the units in which the last date is said, and the elements are."""
    step = datetime.timedelta(hours=hours)
    dates = [datetime.datetime(2015, 1, 1) + at * step for at in range(count)]
    length = 16 if hours % 24 else 10
    labels = Labels(pa.array([f"{date:%Y-%m-%d %H:%M}"[:length] for date in dates]))
    stop = f"{dates[-1] + datetime.timedelta(minutes=37 * reach)}"[:spelled]
    asked = parse_expected(f"time=:{stop.replace(' ', 'T')}")
    is_missing = f"{dates[-1] + step}"[:spelled] <= stop and f"{dates[-1]}"[:spelled] < stop
    assert asked.ends_early(labels) == (labels.of(count - 1) if is_missing else None)


@pytest.mark.parametrize(
    ("labels", "stop", "is_early"),
    [
        ([f"2015-01-{day:02d}" for day in range(1, 11)], "2015-01-10T23", False),
        ([f"2015-01-{day:02d}" for day in range(1, 11)], "2015-01-10T23:59:59", False),
        ([f"2015-01-{day:02d}" for day in range(1, 11)], "2015-01-11T00:00", True),
        ([f"2015-{month:02d}-01" for month in range(1, 12)], "2015-11-20", False),
        ([f"2015-{month:02d}-01" for month in range(1, 12)], "2015-12-03", True),
        ([f"2015-{month:02d}-01" for month in range(1, 13)], "2015-12-31", False),
        ([f"2015-{month:02d}-01" for month in range(1, 13)], "2016-01-01", True),
        ([f"{year}-01-01" for year in range(2000, 2005)], "2004-12-31", False),
        ([f"{year}-01-01" for year in range(2000, 2005)], "2005-01-01", True),
        ([f"2015-{month:02d}-31" for month in (5, 7, 8)], "2015-09-30", True),  # no such day
        (["2015-02-28", "2015-02-29", "2015-02-30"], "2015-03-01", True),  # of 360 days a year
        (["2015-01-01", "2015-01-02"], "2015-01-03", True),
        (["2015-01-01"], "2015-01-01T12", True),  # no step tells when another would come
        (["2015-01-01", "2015-01-02", "2015-01-09"], "2015-01-11", True),
        (["2015-01-01", "2015-01-02", "2015-01-09"], "2015-01", False),
        ([], "2015-01", False),
    ],
)
def test_uneven_steps_and_dates_of_other_calendars_end_early(labels, stop, is_early):
    asked = parse_expected(f"time=:{stop}")
    found = asked.ends_early(Labels(pa.array(labels, pa.string())))
    assert found == (labels[-1] if is_early else None)


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("time=2002-01-01:", "no element of time is between these dates; there are 2001-01-01 00"),
        ("time=2001-02-01:2001-01-01", "no element of time is between"),
        ("x=2001-01-01:2001-02-01", "dates are known of the split dimension time only"),
        ("tyme=2001-01-01:2001-02-01", "no array has that dimension"),
        ("time=2001-01-01:100", "is not DIM=START:STOP"),
        ("time=2001-1-1:2001-02-01", "is not DIM=START:STOP"),
        ("time=1000000:", "time=1000000:: time has .* elements, .* no chunk would be expected"),
        (["time=:2", "time=2:"], "time=:2 and --expect time=2:: no element is in both"),
    ],
)
def test_dates_that_are_not_there_are_refused(folder, expect, said):
    with pytest.raises(parchunk.InputError, match=said):
        parchunk.audit(folder / "refs", expect=expect)


@pytest.mark.parametrize(
    ("times", "units", "said"),
    [
        (np.arange(8)[::-1], UNITS, "do not rise in time"),
        (np.arange(8), "m", "have no dates"),
    ],
)
def test_coordinates_that_are_no_rising_dates_are_refused(tmp_path, times, units, said):
    write(tmp_path / "store", times, units)
    parchunk.build(parchunk.plan(tmp_path / "store", split="time"), tmp_path / "refs")
    with pytest.raises(parchunk.InputError, match=said):
        parchunk.audit(tmp_path / "refs", expect="time=2001-01-01:2001-02-01")


@pytest.mark.parametrize("dates", [[None, "2001-01-02"], ["2001-01-01", None, "2001-01-03"]])
def test_elements_without_a_date_are_told_as_such(dates):
    """It was said that none has a date where the first has none, or that they do not rise."""
    expected = parse_expected("time=2001-01-01:2001-01-03")
    with pytest.raises(parchunk.InputError, match="of time do not all have a date: give elements"):
        expected.elements("time", Labels(pa.array(dates, pa.string())))


def test_a_dimension_that_ends_before_what_is_expected_is_a_finding(tmp_path):
    write(tmp_path / "store", np.arange(40) * 6)
    parchunk.build(parchunk.plan(tmp_path / "store", split="time", region=8), tmp_path / "refs")
    wanted = "time=2001-01-01:2001-01-12"
    (found,) = [
        item
        for item in parchunk.audit(tmp_path / "refs", expect=wanted).findings
        if item.severity != "notice"
    ]
    assert found.kind == "ends-early"
    assert found.message == ("time ends at 2001-01-10 18:00, and chunks are expected to 2001-01-12")
    append(tmp_path / "store", 48)
    parchunk.update(tmp_path / "refs")
    assert parchunk.audit(tmp_path / "refs", expect=wanted).complete


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("time=0:48", "time has 40 elements, and chunks are expected to 48"),
        ("x=0:1000", "x has 2 elements, and chunks are expected to 1,000"),
        ("time=0:40", None),
        (["time=0:48", "time=8:"], "time has 40 elements, and chunks are expected to 48"),
        (["time=0:48", "time=0:40"], None),  # what they have in common is there
        (["time=0:48", "time=2001-01-01:2001-01-08"], None),
    ],
)
def test_elements_that_are_expected_behind_the_end_are_a_finding(tmp_path, expect, said):
    write(tmp_path / "store", np.arange(40) * 6)
    parchunk.build(parchunk.plan(tmp_path / "store", split="time", region=8), tmp_path / "refs")
    report = parchunk.audit(tmp_path / "refs", expect=expect)
    found = [item.message for item in report.findings if item.kind == "ends-early"]
    assert found == [said] * (said is not None)
    assert report.complete is (said is None)


def test_arrays_that_end_before_what_is_expected_are_named(tmp_path):
    """One that lags behind the others, of as long a dimension as they have."""
    write(tmp_path / "store", np.arange(40) * 6)
    zarr.open_group(tmp_path / "store")["t"].resize((36, 2))
    parchunk.build(parchunk.plan(tmp_path / "store", split="time"), tmp_path / "refs")
    found = parchunk.audit(tmp_path / "refs", expect="time=0:40").findings
    assert [item.message for item in found if item.kind == "ends-early"] == [
        "time has 36 elements, and chunks of t are expected to 40"
    ]


def test_elements_are_as_they_were():
    assert parse_expected("a=b=1:2") == Expected("a=b", 1, 2)
    assert parse_expected("2015=:3") == Expected("2015", 0, 3)


def test_a_percentage_may_have_its_sign(folder, capfd):
    assert parse_percent("1%") == parse_percent(1) == parse_percent(" 1 ") == 1.0
    for value in ("one", "101%", -1, "nan"):
        with pytest.raises(parchunk.InputError, match="--max-missing"):
            parse_percent(value)
    out = str(folder / "refs")
    assert run(["audit", out, "--max-missing", "4%"]) == 0
    assert run(["audit", out, "--max-missing", "3%"]) == 1
    capfd.readouterr()
