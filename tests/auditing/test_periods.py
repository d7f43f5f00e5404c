"""Which months are complete: against pandas, in every calendar, and what is said where none are."""

import json

import numpy as np
import pandas
import pytest
import zarr

import parchunk
from parchunk.cli.main import run
from parchunk.report import html_page

STEPS, LENGTH = 300, 7


def write(path, units="hours since 2001-01-01", step=6, **attributes) -> None:
    """Write arrays along time, on the first axis and the second, in chunks of 7 and 5 steps."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    for name, shape, chunks, dims in (
        ("t", (STEPS, 4), (LENGTH, 2), ("time", "x")),
        ("q", (4, STEPS), (4, 5), ("x", "time")),
        ("x", (4,), (4,), ("x",)),
    ):
        array = root.create_array(
            name, shape=shape, chunks=chunks, dtype="f4", dimension_names=dims
        )
        array[...] = 1
    time = root.create_array(
        "time", shape=(STEPS,), chunks=(STEPS,), dtype="i4", dimension_names=("time",),
        attributes={"units": units, **attributes},
    )  # fmt: skip
    time[...] = np.arange(STEPS) * step


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """References of a store that lacks some chunks."""
    folder = tmp_path_factory.mktemp("periods")
    write(folder / "store")
    for key in ("t/c/17/0", "t/c/18/0", "t/c/18/1", "q/c/0/40"):
        (folder / "store" / key).unlink()
    parchunk.build(parchunk.plan(folder / "store", split="time"), folder / "refs")
    return folder


@pytest.mark.parametrize("unit", ["year", "month", "day", "hour"])
def test_periods_are_those_of_pandas(folder, unit):
    report = parchunk.audit(folder / "refs", by=unit)
    with parchunk.connect(folder / "refs") as made:
        rows = made.execute(
            "SELECT array_name, chunk_index[split_axis + 1] AS step, present, "
            "chunks[split_axis + 1] AS length FROM refs JOIN arrays USING (array_name) "
            "WHERE split_axis IS NOT NULL"
        ).df()
        whole = made.execute("SELECT count(*) FROM refs WHERE array_name = 'time'").fetchone()
    assert whole == (1,), "the coordinate is one chunk, of the first period"
    dates = pandas.Timestamp("2001-01-01") + pandas.to_timedelta(rows.step * rows.length * 6, "h")
    shapes = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%Y-%m-%d %H"}
    by = rows.groupby(dates.dt.strftime(shapes[unit])).present.agg(["size", "sum"])
    every = pandas.date_range("2001-01-01", periods=STEPS, freq="6h").strftime(shapes[unit])
    by = by.reindex(dict.fromkeys(every), fill_value=0)
    by.iloc[0] += 1  # the coordinate
    assert [
        (period.name, period.expected, period.present) for period in report.periods.periods
    ] == list(by.itertuples(name=None))
    elements = [(period.start, period.stop) for period in report.periods.periods]
    assert [stop for _, stop in elements[:-1]] == [start for start, _ in elements[1:]]
    assert (elements[0][0], elements[-1][1]) == (0, STEPS)
    assert all(period.unread == 0 for period in report.periods.periods)


def test_months_are_in_json_on_the_terminal_and_on_the_page(folder, capfd):
    out = str(folder / "refs")
    assert run(["audit", out, "--by", "month", "--json"]) == 1
    found = json.loads(capfd.readouterr().out)["by"]
    assert (found["unit"], found["dimension"]) == ("month", "time")
    assert [one["complete"] for one in found["periods"]] == [False, False, True]
    assert found["periods"][0]["missing_by_array"] == {"t": 1}
    assert found["periods"][1]["missing_by_array"] == {"q": 1, "t": 2}
    assert run(["audit", out, "--by", "month"]) == 1
    shown = capfd.readouterr().out
    assert "along time: 1 of 3 months are complete" in shown
    assert "2001-02  124-235" in shown
    assert "t (2), q (1)" in shown
    page = html_page(parchunk.audit(out, by="month"))
    assert "By month" in page
    assert "1 of 3 months are complete" in page


def test_what_is_not_expected_is_not_missing(folder):
    report = parchunk.audit(folder / "refs", by="month", expect=["time=0:120", "x=0:2"])
    assert [period.missing for period in report.periods.periods] == [1, 0, 0]
    assert [period.expected > 0 for period in report.periods.periods] == [True, False, False]


def test_what_is_not_built_is_unread(folder, tmp_path):
    write(tmp_path / "store")
    out = tmp_path / "refs"
    parchunk.build(parchunk.plan(tmp_path / "store", split="time", region=70, record_size=2), out)
    (out / ".parchunk/receipts/t/1.json").unlink()
    periods = parchunk.audit(out, by="month").periods
    assert [period.unread for period in periods.periods] == [16, 4, 0]
    assert "1 of 3 months are complete" in periods.text


def test_other_calendars(tmp_path):
    write(tmp_path / "store", "days since 2000-02-30", 1, calendar="360_day")
    parchunk.build(parchunk.plan(tmp_path / "store", split="time"), tmp_path / "refs")
    names = [p.name for p in parchunk.audit(tmp_path / "refs", by="month").periods.periods]
    assert names == [f"2000-{month:02d}" for month in range(2, 13)]


@pytest.mark.parametrize(
    ("units", "split", "said"),
    [("m", "time", "have no dates"), ("hours since 2000-01-01", "x", "have no dates")],
)
def test_without_dates_it_says_so(tmp_path, units, split, said):
    write(tmp_path / "store", units)
    parchunk.build(parchunk.plan(tmp_path / "store", split=split), tmp_path / "refs")
    read = []
    with pytest.raises(parchunk.InputError, match=said):
        parchunk.audit(tmp_path / "refs", by="month", progress=read.append)
    assert read == [], "refused before record files are read"
    with pytest.raises(parchunk.InputError, match="give year, month, day or hour"):
        parchunk.audit(tmp_path / "refs", by="week")
