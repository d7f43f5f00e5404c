"""Series of stores side by side, each joined along the dimension: groups, variables, updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from tests.many_stores import Made, assert_views_agree, write

import parchunk
from parchunk.errors import InputError


def store(
    path: Path,
    name: str,
    begin: int,
    length: int,
    chunk: int = 2,
    zarr_format: int = 2,
    **more: Any,
) -> Path:
    """Write a store of hours ``begin`` to ``begin + length``, in units of its own."""
    values = np.random.default_rng(begin).random((length, 3))
    since = f"hours since 2000-01-{1 + begin // 24:02d} {begin % 24:02d}:00"
    return write(
        path,
        {
            name: Made(values, ("time", "y"), (chunk, 3), {"units": "K"}),
            "time": Made(np.arange(length), ("time",), (4,), {"units": since}),
            "y": Made(np.arange(3.0), ("y",)),
            **more,
        },
        zarr_format,
    )


def opened(path: Path, zarr_format: int = 2) -> xarray.Dataset:
    return xarray.open_zarr(path, consolidated=False, zarr_format=zarr_format, chunks=None).load()


def joined(paths: list[Path], zarr_format: int = 2) -> xarray.Dataset:
    return xarray.concat(
        [opened(path, zarr_format) for path in paths], "time", data_vars="minimal",
        coords="minimal", compat="override", join="override", combine_attrs="override",
    )  # fmt: skip


def check(out: Path, group: str | None, wanted: xarray.Dataset) -> None:
    xarray.testing.assert_equal(parchunk.open_dataset(out, group=group).load(), wanted)


def harmful(out: Path, against_source: bool = True) -> list[str]:
    report = parchunk.audit(out, against_source=against_source)
    return [found.kind for found in report.findings if found.severity != "gap"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_groups_are_joined_each(tmp_path: Path, zarr_format: int) -> None:
    cam = [store(tmp_path / f"cam{i}", "air", 6 * i, 6, 2, zarr_format) for i in range(2)]
    clm = [store(tmp_path / "clm", "soil", 0, 15, 5, zarr_format)]
    given = [f"cam={cam[0]}", f"land/clm={clm[0]}", f"cam={cam[1]}"]
    plan = parchunk.plan(given, concat="time", region=10)
    by_group = parchunk.plan({"cam": cam, "land/clm": clm}, concat="time", region=10)
    assert by_group.arrays == plan.arrays
    assert [(s.below, s.start, s.stop) for s in plan.stores.stores] == [
        ("cam", 0, 6), ("cam", 6, 12), ("land/clm", 0, 15),
    ]  # fmt: skip
    assert plan.cuts == (0, 6, 15)
    assert plan.by_name["land/clm/soil"].cuts == (0, 2, 3)  # 5 to 10 begins before 6
    out = tmp_path / "out"
    result = parchunk.build(plan, out)
    assert (result.present, result.missing) == (result.expected, 0)
    check(out, "cam", joined(cam, zarr_format))
    check(out, "land/clm", opened(clm[0], zarr_format))
    assert harmful(out) == []
    con = parchunk.connect(out)
    assert con.sql("SELECT DISTINCT store FROM regions").fetchall() == [(None,)]
    assert_views_agree(con)
    for receipt in (out / ".parchunk" / "receipts").rglob("[12].json"):
        receipt.unlink()
    assert parchunk.build(parchunk.plan(given, concat="time", region=10), out).built == 2


@pytest.mark.parametrize("later", [0, 1])
def test_gaps_have_dates_where_all_series_have_the_same(tmp_path: Path, later: int) -> None:
    given = [
        f"{group}={store(tmp_path / f'{group}{at}', 'air', 6 * at + begin, 6)}"
        for group, begin in (("cam", 0), ("clm", later))
        for at in range(2)
    ]
    (tmp_path / "clm1" / "air" / "1.0").unlink()
    parchunk.build(parchunk.plan(given, concat="time"), tmp_path / "out")
    report = parchunk.audit(tmp_path / "out")
    (gap,) = (found.message for found in report.findings)
    assert ("2000-01-01 08:00 to 2000-01-01 09:00" in gap) == (later == 0)
    assert (len(report.labels) == 12) == (later == 0)


def test_borders_of_one_series_may_be_within_chunks_of_another(tmp_path: Path) -> None:
    cam = [store(tmp_path / f"cam{i}", "air", 2 * i, 2 + 8 * (i == 3)) for i in range(4)]
    clm = store(tmp_path / "clm", "soil", 0, 14, 8)
    out = tmp_path / "out"
    plan = parchunk.plan({"cam": cam, "clm": clm}, concat="time")
    assert plan.by_name["clm/soil"].cuts == (0, 1, 1, 1, 2)
    result = parchunk.build(plan, out)
    assert (result.present, result.missing) == (result.expected, 0)
    check(out, "cam", joined(cam))
    check(out, "clm", opened(clm))
    assert harmful(out) == []
    pytest.importorskip("icechunk")
    imported = parchunk.to_icechunk(out, tmp_path / "repo")
    assert [commit.region for commit in imported.commits] == [None, 0, 1, 2, 3]
    repo = parchunk.open_icechunk(tmp_path / "repo")
    for group, paths in (("cam", cam), ("clm", [clm])):
        session = repo.readonly_session("main").store
        found = xarray.open_zarr(session, group=group, consolidated=False, chunks=None)
        xarray.testing.assert_equal(found.load(), joined(paths))


def test_groups_take_in_stores_and_growth(tmp_path: Path) -> None:
    cam = [store(tmp_path / f"cam{i}", "air", 4 * i, 4) for i in range(3)]
    clm = [store(tmp_path / f"clm{i}", "soil", 4 * i, 4) for i in range(3)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan({"cam": cam[:2], "clm": clm[:1]}, concat="time"), out)
    result = parchunk.update(out, [f"clm={clm[1]}", f"cam={cam[2]}"])
    check(out, "cam", joined(cam))
    check(out, "clm", joined(clm[:2]))
    assert harmful(out) == []
    assert result.built == 6  # a region of each, and of each all of time and y
    store(clm[1], "soil", 4, 6)
    parchunk.update(out)
    check(out, "clm", joined(clm[:2]))
    ice = store(tmp_path / "ice", "ice", 0, 4)
    parchunk.update(out, f"ice={ice}")
    check(out, "ice", opened(ice))
    check(out, "cam", joined(cam))
    assert harmful(out, against_source=False) == []
    with pytest.raises(InputError, match=r"clm/soil: is not in .*cam0"):
        parchunk.update(out, f"clm={cam[0]}")
    early = store(tmp_path / "early", "soil", 8, 4)
    with pytest.raises(InputError, match=r"clm/time overlaps: .*clm1 holds .*early after it"):
        parchunk.update(out, f"clm={early}")


def test_stacks_below_groups_have_labels_in_the_order_given(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / name, {"air": Made(np.full((2, 2), ord(name)), ("y", "x"), (1, 2))})
    given = [f"one={tmp_path / 'a'}", f"two={tmp_path / 'c'}", f"one={tmp_path / 'b'}"]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(given, stack="run", labels="A,C,B"), out)
    found = parchunk.open_dataset(out, group="one").load()
    assert found.run.values.tolist() == ["A", "B"]
    assert found.air.values[:, 0, 0].tolist() == [ord("a"), ord("b")]
    write(tmp_path / "d", {"air": Made(np.full((2, 2), ord("d")), ("y", "x"), (1, 2))})
    parchunk.update(out, f"one={tmp_path / 'd'}", labels="D")
    found = parchunk.open_dataset(out, group="one").load()
    assert found.run.values.tolist() == ["A", "B", "D"]
    assert found.air.values[:, 0, 0].tolist() == [ord("a"), ord("b"), ord("d")]
    assert parchunk.open_dataset(out, group="two").run.values.tolist() == ["C"]


def test_variables_are_joined_and_merged(tmp_path: Path) -> None:
    paths = [
        store(tmp_path / f"{name}_{i}", name, 4 * i, 4 + i, 2)
        for name in ("tas", "pr") for i in range(2)
    ]  # fmt: skip
    wanted = xarray.merge([joined(paths[:2]), joined(paths[2:])])
    plan = parchunk.plan(f"{tmp_path}/*_?", concat="time", merge=True)
    assert plan.stores.series == (2, 2)
    out = tmp_path / "out"
    parchunk.build(plan, out)
    check(out, None, wanted)
    assert harmful(out) == []
    later = [store(tmp_path / f"{name}_1", name, 4, 6, 2) for name in ("tas", "pr")]
    parchunk.update(out)
    check(out, None, xarray.merge([joined([paths[0], later[0]]), joined([paths[2], later[1]])]))
    store(tmp_path / "aaa_0", "aaa", 0, 10)
    parchunk.update(out)
    found = parchunk.open_dataset(out).load()
    xarray.testing.assert_equal(
        found.aaa, opened(tmp_path / "aaa_0").aaa.assign_coords(found.aaa.coords)
    )
    assert harmful(out) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"begin": 1},
            'time: attribute units .* 00:00" in .*tas_0 and 1 more, .* 01:00" in .*pr_0 and 1 more',
        ),
        ({"length": 2}, "time.* 8 in .*tas_0|pr: length along time 6 in .*pr_0"),
        ({"y": Made(np.arange(3.0) + 1, ("y",))}, "y: has other values in .*pr_0"),
    ],
)
def test_variables_that_do_not_go_together(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    paths = [store(tmp_path / f"tas_{i}", "tas", 4 * i, 4) for i in range(2)]
    for i in range(2):
        kept = {"begin": 4 * i, "length": 4} | (change if i or "length" not in change else {})
        if "begin" in change:
            kept["begin"] = 4 * i + 1
        paths.append(store(tmp_path / f"pr_{i}", "pr", **kept))
    with pytest.raises(InputError, match=words):
        parchunk.plan(paths, concat="time", merge=True)


def test_stores_of_half_the_arrays_are_in_no_series(tmp_path: Path) -> None:
    one = store(tmp_path / "a", "tas", 0, 4)
    more = {"pr": Made(np.ones((4, 3)), ("time", "y"), (2, 3))}
    both = store(tmp_path / "b", "tas", 4, 4, **more)
    with pytest.raises(InputError, match="both have tas, and only one of them pr"):
        parchunk.plan([one, both], concat="time", merge=True)


def test_merged_stores_grow_and_come(tmp_path: Path) -> None:
    paths = [store(tmp_path / "in" / name, name, 0, 4) for name in ("pr", "tas")]
    plan = parchunk.plan(f"{tmp_path}/in/*", merge=True, region=2)
    out = tmp_path / "out"
    parchunk.build(plan, out)
    store(paths[0], "pr", 0, 8)
    with pytest.raises(InputError, match=r"length along time 4 in .*tas, where pr has 8 in .*pr"):
        parchunk.update(out)
    store(paths[1], "tas", 0, 8)
    paths.insert(0, store(tmp_path / "in" / "hus", "hus", 0, 8))
    parchunk.update(out)
    check(out, None, xarray.merge([opened(path) for path in paths]))
    assert harmful(out, against_source=False) == []
    store(paths[0], "hus", 0, 8, tas=Made(np.ones((8, 3)), ("time", "y"), (2, 3)))
    with pytest.raises(InputError, match=r"did more than grow|tas"):
        parchunk.update(out)


def test_groups_side_by_side_grow_and_come(tmp_path: Path) -> None:
    paths = [store(tmp_path / name, name, 0, 4) for name in ("pr", "tas")]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan({"a": paths[0], "b": paths[1]}), out)
    store(paths[0], "pr", 0, 6)
    hus = store(tmp_path / "hus", "hus", 0, 4)
    parchunk.update(out, f"c={hus}")
    for group, path in (("a", paths[0]), ("b", paths[1]), ("c", hus)):
        check(out, group, opened(path))
    assert harmful(out, against_source=False) == []
