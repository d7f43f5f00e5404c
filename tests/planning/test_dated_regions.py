"""Regions by the calendar: planned, built, grown, audited, and refused where there are no dates."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import xarray
import zarr

import parchunk
from parchunk.cli.main import run

#: 12-hourly steps from 10 January 2001 on.
UNITS = "hours since 2001-01-10"


def write(path: Path, steps: int, calendar: str = "standard", axis: int = 0, **how: Any) -> Path:
    """Write a store of two steps a day, or append to it; chunks of a day, and of two."""
    new = not path.exists()
    root = zarr.open_group(path, mode="a", zarr_format=3)
    for name, chunk in (("t", 1), ("g/u", 2)):
        shape, chunks, names = [1, 4], [chunk, 2], ["time", "x"]
        if axis:
            shape, chunks, names = shape[::-1], chunks[::-1], names[::-1]
        if new:
            root.create_array(
                name, shape=tuple(shape), chunks=tuple(chunks), dtype="f4", fill_value=np.nan,
                dimension_names=names, **how,
            )  # fmt: skip
        array = root[name]
        assert isinstance(array, zarr.Array)
        start = 0 if new else array.shape[axis]
        array.resize((4, steps) if axis else (steps, 4))
        values = np.arange(start, steps, dtype="f4")[:, None] + np.arange(4, dtype="f4") / 10
        array[(slice(None), slice(start, None)) if axis else slice(start, None)] = (
            values.T if axis else values
        )
    if new:
        root.create_array(
            "time", shape=(1,), chunks=(50,), dtype="i4", dimension_names=("time",),
            attributes={"units": UNITS, "calendar": calendar},
        )  # fmt: skip
    time = root["time"]
    assert isinstance(time, zarr.Array)
    time.resize((steps,))
    time[:] = np.arange(steps) * 12
    return path


def starts(steps: int, frequency: str, first: str = "2001-01-10") -> list[int]:
    """Return where pandas sees periods begin, along chunks of two steps."""
    times = pandas.date_range(first, periods=steps, freq="12h")
    codes = times.to_period(frequency).asi8
    begins = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist()]
    return sorted({-(-begin // 2) * 2 for begin in begins if -(-begin // 2) * 2 < steps})


def regions(plan: parchunk.Plan) -> list[tuple[int, int]]:
    return [(region.start, region.stop) for region in plan.regions]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a year and more, of whose arrays only the dates are written.

    It begins at noon: periods begin amid chunks of two steps.
    """
    store = write(tmp_path_factory.mktemp("long") / "s.zarr", 1)
    for name in ("t", "g/u", "time"):
        array = zarr.open_array(store, path=name, mode="r+")
        array.resize((801, *array.shape[1:]))
    array[:] = np.arange(1, 802) * 12
    return store


@pytest.mark.parametrize(("region", "frequency"), [("year", "Y"), ("month", "M"), ("day", "D")])
def test_regions_are_periods(long: Path, region: str, frequency: str) -> None:
    plan = parchunk.plan(long, region=region)
    begins = starts(801, frequency, "2001-01-10 12:00")
    assert regions(plan) == list(zip(begins, [*begins[1:], 801], strict=True))
    assert parchunk.plan(long, region=20).split == plan.split


def test_periods_that_share_a_region_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arrays of other chunks leave fewer regions than there are periods."""
    store = write(tmp_path / "s.zarr", 40)
    assert parchunk.plan(store, region="day").notes == ()
    zarr.open_group(store)["g"].create_array(
        "v", shape=(40,), chunks=(7,), dtype="f4", dimension_names=["time"]
    )[:] = 1  # fmt: skip
    plan = parchunk.plan(store, region="day")
    assert regions(plan) == [(0, 14), (14, 28), (28, 40)]
    (note,) = plan.notes
    assert note == (
        "20 periods of day lie in 3 regions, as regions begin where chunks of all arrays do: every "
        "14 elements of time, with chunks of 1 (t), 2 (g/u), 7 (g/v); --exclude leaves arrays out "
        "that are better built apart"
    )
    assert parchunk.plan(store, region="day", exclude="g/v").notes == ()
    # Of arrays that are chunked alike none can be left out.
    (alone,) = parchunk.plan(store, region="day", exclude=["t", "g/u"]).notes
    assert alone.endswith("every 7 elements of time, with chunks of 7 (g/v)")
    out = str(tmp_path / "out")
    assert run(["build", str(store), out, "--region", "day", "--no-progress"]) == 0
    assert f"note: {note}" in capsys.readouterr().out


def test_so_many_days_count_from_the_first(tmp_path: Path) -> None:
    store = write(tmp_path / "s.zarr", 150, "360_day")
    plan = parchunk.plan(store, region="31D")
    assert regions(plan) == [(0, 62), (62, 124), (124, 150)]
    months = parchunk.plan(store, region="month")
    # 30 days each, of which 21 are left of the first.
    assert regions(months) == [(0, 42), (42, 102), (102, 150)]


@pytest.mark.parametrize(
    ("axis", "how", "grown"),
    [
        (0, {}, (117, 118, 160, 240)),
        (1, {}, (117, 160)),
        (0, {"shards": (2, 4)}, (117, 240)),
    ],
    ids=["first", "second", "shards"],
)
def test_they_are_built_grown_and_read(
    tmp_path: Path,
    axis: int,
    how: dict[str, Any],
    grown: tuple[int, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, out = write(tmp_path / "s.zarr", 100, axis=axis, **how), tmp_path / "out"
    built = ["build", str(store), str(out), "--region", "month", "--no-progress"]
    built += ["--record-size", "1"] * axis  # which ends wherever a row of the array does
    assert run(built) == 0
    assert run(built) == 0
    assert "0 built now" in capsys.readouterr().out
    for steps in grown:
        write(store, steps, axis=axis, **how)
        done = parchunk.update(out)
        begins = starts(steps, "M")
        assert [region.start for region in done.plan.regions] == begins
        report = parchunk.audit(out, against_source=True, by="month")
        assert report.findings == ()
        assert report.periods is not None
        assert [p.start for p in report.periods.periods] == [*begins] or steps == 117
        with (
            parchunk.open_dataset(out) as found,
            xarray.open_zarr(store, consolidated=False, chunks=None) as own,
        ):
            xarray.testing.assert_equal(found.load(), own.load())
    with parchunk.connect(out) as connection:
        labels = connection.execute("SELECT start_label FROM regions ORDER BY region").fetchall()
    assert labels[1][0].startswith("2001-02-01")
    fresh = parchunk.build(parchunk.plan(store, region="month"), tmp_path / "fresh")
    if fresh.plan.record_size == done.plan.record_size:
        files = {path.relative_to(out): path.read_bytes() for path in out.rglob("refs.*.parq")}
        assert files == {
            path.relative_to(tmp_path / "fresh"): path.read_bytes()
            for path in (tmp_path / "fresh").rglob("refs.*.parq")
        }


def test_months_stay_where_arrays_grow_along_another_axis_shrink_and_go(
    tmp_path: Path,
) -> None:
    """What is written is what a fresh build writes; other chunks would have others."""
    store, out = write(tmp_path / "s.zarr", 160), tmp_path / "out"
    before = parchunk.build(parchunk.plan(store, region="month"), out).plan
    root = zarr.open_group(store, mode="a")
    field, other, time = root["t"], root["g/u"], root["time"]
    for array in (field, other, time):
        assert isinstance(array, zarr.Array)
    field.resize((160, 7))
    field[:, 4:] = np.ones((160, 3))
    assert parchunk.update(out).plan.cuts == before.cuts
    for array in (field, other, time):
        array.resize((130, *array.shape[1:]))
    shutil.rmtree(store / "g/u")
    with pytest.raises(parchunk.InputError, match="give --allow-gone --allow-shrink"):
        parchunk.update(out)
    done = parchunk.update(out, allow_shrink=True, allow_gone=True)
    assert regions(done.plan) == [(0, 44), (44, 100), (100, 130)]
    size = done.plan.record_size
    fresh = parchunk.plan(store, region="month", record_size=size)
    parchunk.build(fresh, tmp_path / "fresh")
    ours, wanted = (
        {path.relative_to(at): path.read_bytes() for path in at.rglob("refs.*.parq")}
        for at in (out, tmp_path / "fresh")
    )
    assert ours == wanted
    assert parchunk.audit(out, against_source=True, by="month").findings == ()
    shutil.rmtree(store / "t")
    root.create_array("t", shape=(130, 7), chunks=(2, 7), dtype="f4", dimension_names=["time", "x"])
    with pytest.raises(parchunk.InputError, match=r"another kind \(t has .* \(month\) begin where"):
        parchunk.update(out)


def test_an_array_that_came_with_chunks_of_another_length_is_whole(tmp_path: Path) -> None:
    store, out = write(tmp_path / "s.zarr", 100), tmp_path / "out"
    parchunk.build(parchunk.plan(store, region="month"), out)
    root = zarr.open_group(store, mode="a")
    for name, chunk in (("odd", 3), ("even", 2)):
        root.create_array(
            name, shape=(100,), chunks=(chunk,), dtype="i4", dimension_names=("time",)
        )[...] = 1
    plan = parchunk.update(out).plan
    assert (plan.by_name["odd"].axis, plan.by_name["even"].regions) == (None, 2)
    assert parchunk.audit(out, against_source=True).findings == ()


def test_months_that_record_files_do_not_end_with_are_refused(tmp_path: Path) -> None:
    """Of shards a record file lies in one region; what is said to do makes one that does."""
    store, out = write(tmp_path / "s.zarr", 100, shards=(2, 4)), tmp_path / "out"
    built = ["build", str(store), str(out), "--region", "month", "--no-progress"]
    assert run([*built, "--record-size", "44"]) == 0
    write(store, 160)
    with pytest.raises(parchunk.InputError, match=r"within a record file of 44 rows: build anew"):
        parchunk.update(out)
    assert parchunk.audit(out).complete
    assert run([*built, "--overwrite"]) == 0
    assert [region.start for region in parchunk.status(out).plan.regions] == starts(160, "M")


def test_only_later_months_are_listed(tmp_path: Path) -> None:
    store, out = write(tmp_path / "s.zarr", 300), tmp_path / "out"
    parchunk.build(parchunk.plan(store, region="month"), out)
    write(store, 310)
    done = parchunk.update(out)
    assert {receipt.region for receipt in done.receipts} >= set(range(5))
    assert done.built <= 2 + 2 + 1  # of two arrays the last month, and the coordinate
    (out / ".zmetadata").unlink()
    (out / ".parchunk/receipts/t/1.json").unlink()
    assert parchunk.build(done.plan, out).built == 1


def test_a_plan_says_what_its_regions_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = write(tmp_path / "s.zarr", 100)
    assert run(["plan", str(store), "--region", "month", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["period"], document["cuts"]) == ("month", [0, 44, 100])
    parchunk.build(parchunk.plan(store, region="month"), tmp_path / "out")
    for other in (44, "day"):
        with pytest.raises(parchunk.InputError, match=r"region length|regions of other lengths"):
            parchunk.build(parchunk.plan(store, region=other), tmp_path / "out")


def test_a_first_element_without_a_date_is_told_as_such(tmp_path: Path) -> None:
    """It was said that the elements are such as None."""
    store = write(tmp_path / "s.zarr", 100)
    time = zarr.open_array(store, path="time", mode="r+")
    time.attrs["missing_value"] = int(np.asarray(time[0]))
    with pytest.raises(parchunk.InputError, match=r"have no dates \(not all have one\): give"):
        parchunk.plan(store, region="month")


def test_elements_without_dates_are_waited_for(tmp_path: Path) -> None:
    """A producer appends to one array after the other."""
    store, out = write(tmp_path / "s.zarr", 100), tmp_path / "out"
    parchunk.build(parchunk.plan(store, region="31D"), out)
    zarr.open_group(store)["t"].resize((160, 4))
    with pytest.raises(parchunk.InputError, match="not all have one"):
        parchunk.update(out)
    assert parchunk.audit(out).complete
    write(store, 160)
    assert regions(parchunk.update(out).plan) == [(0, 62), (62, 124), (124, 160)]


def test_a_coordinate_with_other_dates_moves_no_region(tmp_path: Path) -> None:
    store, out = write(tmp_path / "s.zarr", 100), tmp_path / "out"
    before = parchunk.build(parchunk.plan(store, region="month"), out).plan.cuts
    write(store, 160)
    zarr.open_group(store)["time"].attrs["units"] = "hours since 2001-01-02"
    plan = parchunk.update(out).plan
    assert plan.cuts[: len(before) - 1] == before[:-1]
    assert parchunk.audit(out).complete


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("week", "give a length in elements, year, month, day, or days such as 31D"),
        ("0D", "give a length in elements, year"),
        ("1.5", "give a length in elements, year"),
    ],
)
def test_what_is_no_period(tmp_path: Path, region: str, said: str) -> None:
    store = write(tmp_path / "s.zarr", 8)
    with pytest.raises(parchunk.InputError, match=said):
        parchunk.plan(store, region=region)
    assert run(["plan", str(store), "--region", region]) == 2


def test_what_has_no_dates(tmp_path: Path) -> None:
    for name, change, said in (
        ("none", lambda root: root.attrs, "it has no coordinate that can be read"),
        ("plain", lambda root: root["time"].attrs.pop("units"), "they are such as '0'"),
        ("back", lambda root: root["time"].set_basic_selection(3, 0), "do not rise in time"),
        (
            "falling",
            lambda root: root["time"].set_basic_selection(..., np.arange(8)[::-1] * 12),
            "do not rise in time",
        ),
    ):
        store = write(tmp_path / name, 8)
        root = zarr.open_group(store, mode="a")
        if name == "none":
            del root["time"]
        elif name == "plain":
            attributes = dict(root["time"].attrs)
            root["time"].attrs.put({"calendar": attributes["calendar"]})
        else:
            change(root)
        with pytest.raises(parchunk.InputError, match=said):
            parchunk.plan(store, region="day")
