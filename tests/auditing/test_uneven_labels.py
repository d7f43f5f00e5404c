"""Dates of the split dimension that step over some are told, and no others."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zarr

import parchunk
from parchunk.auditing.uneven_labels import uneven_labels
from parchunk.planning.labels import Labels


def written(path: Path, days: Sequence[int], calendar: str = "standard") -> Path:
    """Write a store of a chunk a date, and its coordinate in days since 2019-12-01."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    shape = (len(days), 2)
    group.create_array("v", shape=shape, chunks=(1, 2), dtype="i4", dimension_names=["time", "x"])
    time = group.create_array(
        "time", shape=shape[:1], chunks=shape[:1], dtype="i4", dimension_names=["time"]
    )
    time.attrs.update({"units": "days since 2019-12-01", "calendar": calendar})
    group["v"][...], time[...] = 1, days
    return path


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, parchunk.Plan]:
    folder = tmp_path_factory.mktemp("calendars")
    return {
        name: parchunk.plan(str(written(folder / name, range(4), name)), split="time")
        for name in ("standard", "noleap")
    }


def hours(*spans: tuple[str, str]) -> list[str]:
    each = [np.arange(first, last, dtype="M8[h]") for first, last in spans]
    return [str(hour).replace("T", " ") + ":00" for hour in np.concatenate(each)]


def dates(unit: str, *spans: tuple[str, str]) -> list[str]:
    each = [np.arange(first, last, dtype=f"M8[{unit}]") for first, last in spans]
    return [str(day) for day in np.concatenate(each).astype("M8[D]")]


MIDDLES = ["2019-01-16 12:00", "2019-02-15 00:00", "2019-03-16 12:00", "2019-04-16 00:00"]
WEEKDAYS = [day for day in dates("D", ("2019-01-01", "2020-01-01")) if np.is_busday(day)]


@pytest.mark.parametrize(
    ("calendar", "labels", "said"),
    [
        (
            "standard",
            ["2020-01-01", "2020-02-01", "2020-04-01", "2020-05-01", "2020-06-01"],
            "time: 3 steps are of 1 month, and 1 longer, over 1 date that would lie between: "
            "2020-02-01 then 2020-04-01",
        ),
        (
            "standard",
            hours(("2019-12-31", "2020-01-02"), ("2020-01-02T05", "2020-02-01")),
            "time: 761 steps are of 1 hour, and 1 longer, over 5 dates that would lie between: "
            "2020-01-01 23:00 then 2020-01-02 05:00",
        ),
        (
            "standard",
            dates("Y", ("1990", "2001"), ("2003", "2010")),
            "time: 16 steps are of 1 year, and 1 longer, over 2 dates that would lie between: "
            "2000-01-01 then 2003-01-01",
        ),
        (
            "noleap",
            dates("D", ("2020-01-01", "2020-02-29"), ("2020-03-02", "2020-03-09")),
            "time: 64 steps are of 1 day, and 1 longer, over 1 date that would lie between: "
            "2020-02-28 then 2020-03-02",
        ),
        (
            "standard",
            [*dates("D", ("2020-01-01", "2020-01-09")), "2020-01-08"],
            "time: dates fall or repeat at 1 place: 2020-01-08 then 2020-01-08",
        ),
        ("standard", dates("M", ("2019-01", "2024-03")), None),
        ("standard", dates("Y", ("1990", "2011")), None),
        ("standard", MIDDLES, None),
        ("standard", WEEKDAYS, None),  # so they are
        ("standard", ["2020-01-01", "2020-01-03", "2020-01-10", "2020-02-11", "2020-02-13"], None),
        ("noleap", dates("D", ("2020-01-01", "2020-02-29"), ("2020-03-01", "2020-03-09")), None),
        ("noleap", ["2020-02-28", "2020-02-29", "2020-03-01"], None),  # another calendar's
        (
            "standard",
            ["2020-01-01", None, "2020-01-03", "2020-01-09"],
            "time: 1 element has no date (NaT or masked): 1",
        ),
        (
            "standard",
            [None, "2020-01-02", None, None, None],
            "time: 4 elements have no date (NaT or masked): 0, 2, 3, ...",
        ),
        ("standard", [None, None, None], None),  # it may be that they were not read
        ("standard", ["1", "2", "4", "5"], None),
        ("standard", ["0001-01-01", "9000-01-01", "9000-01-02"], None),
        ("standard", ["2020-01-01", "2020-01-03"], None),
    ],
)
def test_only_what_is_exactly_so_is_said(
    plans: dict[str, parchunk.Plan], calendar: str, labels: list[str | None], said: str | None
) -> None:
    found = list(uneven_labels(plans[calendar], Labels(pa.array(labels, pa.string()))))
    assert [one.message for one in found] == ([] if said is None else [said])
    assert all(one.severity == "notice" and one.array == "time" for one in found)


def test_a_month_that_no_store_has_is_told_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chunk is missing: the coordinate steps over it."""
    months = [np.datetime64(f"2020-{month:02d}-01") for month in (1, 2, 4, 5, 6)]
    days = [int((month - np.datetime64("2019-12-01")).astype(int)) for month in months]
    source, out = written(tmp_path / "s", days), str(tmp_path / "refs")
    parchunk.build(parchunk.plan(str(source), split="time"), out)
    report = parchunk.audit(out)
    assert report.exit_code == 0
    assert [(one.kind, one.count) for one in report.findings] == [("uneven-labels", 1)]
    assert "2020-02-01 then 2020-04-01" in report.findings[0].message
    then = tmp_path / "then.json"
    then.write_text(json.dumps(report.to_json()))
    with monkeypatch.context() as patch:
        patch.setattr("parchunk.auditing.run.labels_for", lambda *_: Labels())  # cannot be read
        since = parchunk.audit(out, since=then).since
    assert since is not None
    assert (since.mended, [one.kind for one in since.unjudged]) == ((), ["uneven-labels"])
    # As the remedy says.
    written(source, [*days[:2], 91, *days[2:]])
    parchunk.update(out)
    mended = parchunk.audit(out, since=then)
    assert mended.since is not None
    assert [one.kind for one in mended.since.mended] == ["uneven-labels"]
    assert not mended.findings


def test_elements_of_missing_chunks_are_gaps_alone(tmp_path: Path) -> None:
    group = zarr.open_group(written(tmp_path / "s.zarr", range(4)))
    attributes = dict(group["time"].attrs)
    time = group.create_array(
        "time", shape=(4,), chunks=(1,), dtype="i4", dimension_names=["time"], overwrite=True
    )
    time.attrs.update(attributes)
    time[...] = range(4)  # the first is the fill value, of which no chunk is written
    plan = parchunk.plan(str(tmp_path / "s.zarr"), split="time", inline_coordinates=False)
    parchunk.build(plan, tmp_path / "refs")
    assert [one.kind for one in parchunk.audit(tmp_path / "refs").findings] == ["missing-chunks"]
