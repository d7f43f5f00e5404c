"""Updates of many stores: by those that came, and what is in their way."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import xarray
import zarr
from tests.many_stores import MONTHS, months, opened, stock

import parchunk


def check_update(out: Path, paths: list[Path]) -> None:
    """OUT is what a build anew makes, and what xarray joins."""
    expected = xarray.concat(
        [opened(path, 2) for path in paths], "time", data_vars="minimal", coords="minimal",
        compat="override", join="override", combine_attrs="override",
    )  # fmt: skip
    xarray.testing.assert_equal(stock(out), expected)
    assert not [f for f in parchunk.audit(out).findings if f.severity != "gap"]


def test_update_takes_in_stores_that_came_and_what_the_last_one_grew(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    paths = months(folder, MONTHS | {"lengths": [4, 4, 4, 4, 2]})
    later = [path.rename(tmp_path / path.name) for path in paths[2:]]
    plan = parchunk.plan(f"{folder}/*.zarr", concat="time")
    parchunk.build(plan, tmp_path / "out")
    assert parchunk.update(tmp_path / "out", gaps=False).plan.fingerprint == plan.fingerprint
    later[0].rename(paths[2])
    result = parchunk.update(tmp_path / "out", gaps=False)
    assert [store.url for store in result.plan.stores.stores] == [str(p) for p in paths[:3]]
    assert result.built == 4  # the new region of two arrays, and time and y
    check_update(tmp_path / "out", paths[:3])
    both = [later[1], later[2]]
    parchunk.update(tmp_path / "out", both)
    check_update(tmp_path / "out", [*paths[:3], *both])
    parchunk.update(tmp_path / "out", both)
    months(tmp_path / "again", MONTHS | {"lengths": [4, 4, 4, 4, 4]})
    shutil.rmtree(both[1])
    (tmp_path / "again" / "4.zarr").rename(both[1])
    parchunk.update(tmp_path / "out")
    check_update(tmp_path / "out", [*paths[:3], *both])


def test_what_did_more_than_come_behind_is_refused(tmp_path: Path) -> None:
    paths = months(tmp_path / "in", MONTHS | {"lengths": [4, 4, 4]})
    parchunk.build(parchunk.plan(paths[1:], concat="time"), tmp_path / "out")
    with pytest.raises(parchunk.InputError, match="steps backwards"):
        parchunk.update(tmp_path / "out", paths[0])
    shutil.rmtree(paths[1])
    with pytest.raises(parchunk.InputError, match=r"1\.zarr"):
        parchunk.update(tmp_path / "out")
    parchunk.build(parchunk.plan(paths[2]), tmp_path / "one")
    with pytest.raises(parchunk.InputError, match="is of one store"):
        parchunk.update(tmp_path / "one", paths[0])


def test_stacks_grow_by_stores_with_labels(tmp_path: Path) -> None:
    paths = months(tmp_path / "in", MONTHS | {"lengths": [4, 4, 4, 4]})
    for path in paths:
        shutil.rmtree(path / "time")
    plan = parchunk.plan(paths[:2], stack="member", labels="a,b")
    parchunk.build(plan, tmp_path / "out")
    with pytest.raises(parchunk.InputError, match="2 labels for 3 stores"):
        parchunk.update(tmp_path / "out", paths[2])
    # The same once more changes nothing, as when it is run again; labels are those of each store.
    pattern = f"{tmp_path}/in/[23].zarr"
    for again, labels in ((pattern, "c,d"), (pattern, "c,d"), (paths[3], "d")):
        parchunk.update(tmp_path / "out", again, labels=labels)
    found = stock(tmp_path / "out")
    assert found.member.values.tolist() == ["a", "b", "c", "d"]
    wanted = xarray.concat([opened(path, 2) for path in paths], "member", combine_attrs="override")
    xarray.testing.assert_equal(found.drop_vars("member"), wanted)


def test_globs_of_a_plan_need_match_nothing_any_more(tmp_path: Path) -> None:
    """Those that an update is given must."""
    paths = months(tmp_path / "in", MONTHS | {"lengths": [4, 4, 4]})
    later, out = paths[2].rename(tmp_path / "later"), tmp_path / "out"
    plan = parchunk.plan(paths[:2], concat="time", include=["air", "y"], exclude="rain")
    parchunk.build(plan, out)
    later.rename(paths[2])
    for path in paths:
        shutil.rmtree(path / "rain")
        shutil.rmtree(path / "y")
    with pytest.raises(parchunk.InputError, match="--exclude snow matches no array of any"):
        parchunk.update(out, paths[2], exclude="snow")
    with pytest.raises(parchunk.InputError, match="--allow-gone"):
        parchunk.update(out, paths[2])
    assert list(parchunk.update(out, paths[2], allow_gone=True).plan.by_name) == ["air"]
    assert parchunk.update(out).plan.exclude == ("rain",)


def test_what_a_pattern_brought_is_labelled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said again when all is done, and when it was cut short before the plan was written."""
    *_, last = months(tmp_path / "in", MONTHS | {"lengths": [4, 4, 4]})
    for path in (tmp_path / "in").iterdir():
        shutil.rmtree(path / "time")
    later, out = last.rename(tmp_path / "later"), tmp_path / "out"
    parchunk.build(parchunk.plan(f"{tmp_path}/in/*.zarr", stack="member", labels="a,b"), out)
    later.rename(last)
    with pytest.raises(parchunk.InputError, match="2 labels for 3 stores"):
        parchunk.update(out, labels="b")
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            parchunk.update(out, labels="c")
    for _ in range(2):
        assert parchunk.update(out, labels="c").plan.stores.joining.labels == ("a", "b", "c")


def test_an_update_that_does_not_fit_says_what_an_update_can_do(tmp_path: Path) -> None:
    paths = months(tmp_path / "in", MONTHS | {"holes": False})
    parchunk.build(parchunk.plan(paths[:2], concat="time"), tmp_path / "out")
    shutil.rmtree(paths[2] / "air")
    with pytest.raises(parchunk.InputError, match=r"air: is not in .*build with other options \("):
        parchunk.update(tmp_path / "out", [paths[2]])


def test_an_update_names_the_store_in_its_way_and_goes_on_without_it(tmp_path: Path) -> None:
    """What a build may be told (--static first) an update may not; a pattern finds it each time."""
    paths = months(tmp_path / "in", MONTHS | {"holes": False})
    third = paths[2].rename(tmp_path / paths[2].name)
    pattern = str(tmp_path / "in" / "*.zarr")
    parchunk.build(parchunk.plan(pattern, concat="time"), tmp_path / "out")
    third.rename(paths[2])
    zarr.open_group(paths[2])["y"][...] = 99
    said = f"keep {paths[2]} where {pattern} does not find it; or build with other options ("
    with pytest.raises(parchunk.InputError, match=re.escape(said)) as refused:
        parchunk.update(tmp_path / "out")
    assert str(refused.value).endswith("OUT): --static first takes those of the first store that "
                                       "has them")  # fmt: skip
    paths[2].rename(third)
    assert parchunk.update(tmp_path / "out").missing == 0
    with pytest.raises(parchunk.InputError, match=re.escape(f"; or update without {third};")):
        parchunk.update(tmp_path / "out", [third])


def test_an_array_that_is_there_is_not_left_out_below_a_group_either(tmp_path: Path) -> None:
    """Globs are for names in stores: ``rain`` is that of ``cam/rain``, which was taken for gone."""
    for name in ("cam", "clm"):
        root = zarr.open_group(tmp_path / f"{name}.zarr", mode="w", zarr_format=2)
        for array in ("air", "rain"):
            root.create_array(array, shape=4, chunks=2, dtype="i4")[...] = 1
    out = tmp_path / "out"
    stores = {name: str(tmp_path / f"{name}.zarr") for name in ("cam", "clm")}
    parchunk.build(parchunk.plan(stores), out)
    with pytest.raises(parchunk.InputError, match=r"--exclude rain: cam/rain is in .*/out already"):
        parchunk.update(out, exclude="rain", allow_gone=True)
    with pytest.raises(parchunk.InputError, match=r"--exclude cam/rain matches no array of any"):
        parchunk.update(out, exclude="cam/rain", allow_gone=True)
    zarr.open_group(tmp_path / "cam.zarr", mode="r+").create_array("hail", shape=4, dtype="i4")
    assert {*parchunk.update(out, exclude="hail").plan.by_name} == {
        "cam/air", "cam/rain", "clm/air", "clm/rain",
    }  # fmt: skip
