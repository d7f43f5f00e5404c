"""Regions by the calendar of many stores: cut at their borders, too, and going on as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from tests.many_stores import Made, write

import parchunk


def store(path: Path, name: str, begin: int, days: int, axis: int = 0, **how: Any) -> Path:
    """Write a store of days, the first of them ``begin`` after 20 January 2001, chunks of two."""
    names, chunks = ["time", "x"], [2, 2]
    values = 1 + np.arange(begin, begin + days)[:, None] + np.arange(4) / 10
    if axis:
        names, chunks, values = names[::-1], chunks[::-1], values.T
    shards = tuple(2 * size for size in chunks) if how.pop("shards", False) else None
    since = np.datetime64("2001-01-20") + np.timedelta64(begin, "D")
    return write(
        path,
        {
            name: Made(values, tuple(names), tuple(chunks), {}, shards),
            "time": Made(np.arange(days), ("time",), (100,), {"units": f"days since {since}"}),
        },
        **{"zarr_format": 3} | how,
    )


def lengthen(path: Path, name: str, begin: int, days: int) -> None:
    """Append days to such a store; what was there is not written again."""
    group = zarr.open_group(path, mode="r+")
    array, time = group[name], group["time"]
    assert isinstance(array, zarr.Array)
    assert isinstance(time, zarr.Array)
    before = array.shape[0]
    array.resize((days, 4))
    array[before:] = 1 + np.arange(begin + before, begin + days)[:, None] + np.arange(4) / 10
    time.resize((days,))
    time[before:] = np.arange(before, days)


def cuts(out: Path | parchunk.Plan) -> tuple[int, ...]:
    return (out if isinstance(out, parchunk.Plan) else parchunk.status(out).plan).cuts


def check(out: Path, paths: list[Path], group: str | None = None) -> None:
    """Compare with what xarray makes of the stores, and the audit with nothing."""
    own = [xarray.open_zarr(path, consolidated=False, chunks=None).load() for path in paths]
    with parchunk.open_dataset(out, group=group) as found:
        xarray.testing.assert_equal(found.load(), xarray.concat(own, "time"))
    assert parchunk.audit(out, against_source=True).findings == ()


@pytest.mark.parametrize(
    "how",
    [{}, {"axis": 1}, {"shards": True}],
    ids=["first", "second", "shards"],
)
def test_months_end_with_stores_and_go_on_with_others(tmp_path: Path, how: dict[str, Any]) -> None:
    """February begins in the first store after 12 days, March in the second after 40."""
    paths = [store(tmp_path / f"{at}", "t", 20 * at, 20, **how) for at in range(2)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, concat="time", region="month"), out)
    assert cuts(out) == (0, 12, 20, 40)
    paths += [store(tmp_path / f"{at}", "t", at, at - 20, **how) for at in (40, 60)]
    parchunk.update(out, paths[2:])
    assert cuts(out) == (0, 12, 20, 40, 60, 72, 100)
    if how.get("axis"):
        check(out, paths)
        return
    # The last one grows, into the month after: its regions stay where they were.
    lengthen(paths[-1], "t", 60, 48)
    done = parchunk.update(out)
    assert cuts(out) == (0, 12, 20, 40, 60, 72, 104 if how.get("shards") else 102, 108)
    check(out, paths)
    assert parchunk.build(done.plan, out).built == 0


def test_regions_know_their_dates_and_stores(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{at}", "t", 20 * at, 20) for at in range(2)]
    parchunk.build(parchunk.plan(paths, concat="time", region="10D"), tmp_path / "out")
    with parchunk.connect(tmp_path / "out") as connection:
        found = connection.sql(
            "SELECT store, start, stop, start_label FROM regions ORDER BY region"
        ).fetchall()
    assert found == [
        (0, 0, 10, "2001-01-20"), (0, 10, 20, "2001-01-30"),
        (1, 20, 30, "2001-02-09"), (1, 30, 40, "2001-02-19"),
    ]  # fmt: skip


def test_coordinates_that_are_data_say_dates_too(tmp_path: Path) -> None:
    paths = []
    for at in range(2):
        time = Made(np.arange(20) + 20 * at, ("time",), (2,), {"units": "days since 2001-01-20"})
        values = Made(np.ones((20, 4)), ("time", "x"), (2, 2))
        paths.append(write(tmp_path / f"{at}", {"t": values, "time": time}, 3))
    plan = parchunk.plan(paths, concat="time", region="month", inline_coordinates=False)
    assert "time" not in plan.stores.kept
    assert cuts(plan) == (0, 12, 20, 40)
    (paths[1] / "time" / "c" / "3").unlink()
    with pytest.raises(parchunk.InputError, match="no coordinate that can be read"):
        parchunk.plan(paths, concat="time", region="month", inline_coordinates=False)


def test_stacked_stores_have_the_dates_of_their_labels(tmp_path: Path) -> None:
    given = {"v": Made(np.arange(4.0), ("x",), (2,))}
    labels = ["2001-01-30", "2001-01-31", "2001-02-01", "2001-02-02"]
    paths = [write(tmp_path / label, given, 3) for label in labels]
    out = tmp_path / "out"
    with pytest.raises(parchunk.InputError, match="have no dates"):
        parchunk.plan(paths, stack="init", region="month")
    plan = parchunk.plan(paths[:3], stack="init", labels=labels[:3], region="month")
    # A store is an element: borders are everywhere.
    assert cuts(plan) == (0, 1, 2, 3)
    parchunk.build(plan, out)
    parchunk.update(out, paths[3], labels=labels[3:])
    assert cuts(out) == (0, 1, 2, 3, 4)
    assert parchunk.audit(out, against_source=True).findings == ()


def test_merged_stores_share_months(tmp_path: Path) -> None:
    """No store ends within them; what is longer than another has months of its own behind."""
    paths = [store(tmp_path / name, name, 0, 40) for name in "tu"]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, merge=True, region="month"), out)
    assert cuts(out) == (0, 12, 40)
    for path in paths:
        lengthen(path, path.name, 0, 80)
    parchunk.update(out)
    assert cuts(out) == (0, 12, 40, 72, 80)
    own = [xarray.open_zarr(path, consolidated=False, chunks=None).load() for path in paths]
    with parchunk.open_dataset(out) as found:
        xarray.testing.assert_equal(found.load(), xarray.merge(own))
    assert parchunk.audit(out, against_source=True).findings == ()
    with parchunk.connect(out) as connection:
        assert connection.sql("SELECT DISTINCT store FROM regions").fetchall() == [(None,)]


def test_series_side_by_side_have_the_borders_of_all(tmp_path: Path) -> None:
    given = {
        "a": [store(tmp_path / f"a{at}", "t", 20 * at, 20) for at in range(2)],
        "b": [store(tmp_path / "b0", "u", 0, 40)],
    }
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(given, concat="time", region="month"), out)
    assert cuts(out) == (0, 12, 20, 40)
    given["a"].append(store(tmp_path / "a2", "t", 40, 30))
    given["b"].append(store(tmp_path / "b1", "u", 40, 30))
    with pytest.raises(parchunk.InputError, match="update again when all have one"):
        parchunk.update(out, f"a={given['a'][-1]}")
    parchunk.update(out, [f"{group}={some[-1]}" for group, some in given.items()])
    assert cuts(out) == (0, 12, 20, 40, 70)
    for group, some in given.items():
        check(out, some, group)
