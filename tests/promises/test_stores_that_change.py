"""Stores that did more than come behind the others: taken in beside what readers see."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from tests.many_stores import Made, write

import parchunk
from parchunk.planning.changes import seen_otherwise


def store(path: Path, begin: int, steps: int, **how: Any) -> Path:
    """Write a store of hours, of ``y`` columns in chunks of ``chunk`` along both."""
    axis, y, chunk = how.get("axis", 0), how.get("y", 4), how.get("chunk", 2)
    values = 1 + np.arange(begin, begin + steps)[:, None] * 100 + np.arange(y)
    names = ["time", "y"]
    if axis:
        values, names = values.T, names[::-1]
    shards = (2 * chunk, 2 * chunk) if how.get("shards") else None
    units = {"units": f"hours since 2000-01-01 {begin:02d}:00"}
    arrays = {
        name: Made(values, tuple(names), (chunk, chunk), {}, shards)
        for name in how.get("names", "t")
    }
    arrays["time"] = Made(np.arange(steps), ("time",), None, units)
    arrays["y"] = Made(np.arange(y), ("y",))
    return write(path, arrays, 3)


def joined(paths: list[Path]) -> xarray.Dataset:
    own = [xarray.open_zarr(path, consolidated=False, chunks=None).load() for path in paths]
    return xarray.concat(own, "time", data_vars="minimal", combine_attrs="override")


def check(out: Path, wanted: xarray.Dataset) -> None:
    with parchunk.open_dataset(out) as found:
        xarray.testing.assert_equal(found.load(), wanted)
    assert [found.kind for found in parchunk.audit(out, against_source=True).findings] == []


def files(out: Path) -> dict[Path, bytes]:
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("refs.*.parq")}


@pytest.mark.parametrize("how", [{}, {"shards": True}, {"axis": 1}], ids=str)
def test_other_dimensions_grow_in_all_stores(tmp_path: Path, how: dict[str, Any]) -> None:
    paths = [store(tmp_path / f"{at}", 8 * at, 8, **how) for at in range(2)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, concat="time"), out)
    store(paths[0], 0, 8, y=8, **how)
    with pytest.raises(parchunk.InputError, match="length along y"):
        parchunk.update(out)
    store(paths[1], 8, 8, y=8, **how)
    paths.append(store(tmp_path / "2", 16, 8, y=8, **how))
    done = parchunk.update(out, paths[2])
    assert any("open it again" in note for note in done.notes)
    check(out, joined(paths))
    size = done.plan.record_size
    parchunk.build(parchunk.plan(paths, concat="time", record_size=size), tmp_path / "fresh")
    assert files(tmp_path / "fresh") == files(out)


def test_stores_of_other_chunks_are_listed_anew(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{at}", 8 * at, 8) for at in range(2)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, concat="time"), out)
    for at, path in enumerate(paths):
        store(path, 8 * at, 8, chunk=4)
    done = parchunk.update(out)
    assert any("t has other metadata" in note for note in done.notes)
    check(out, joined(paths))


def test_merged_stores_whose_coordinate_is_one_chunk_grow(tmp_path: Path) -> None:
    paths = [store(tmp_path / name, 0, 4, names=name) for name in "tu"]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, merge=True), out)
    for path in paths:
        store(path, 0, 8, names=path.name)
    done = parchunk.update(out)
    assert done.built == len(done.receipts) == 6  # of each variable a region without a record file
    own = [xarray.open_zarr(path, consolidated=False, chunks=None).load() for path in paths]
    check(out, xarray.merge(own))


def test_a_store_that_is_gone_is_left_out_as_its_refusal_says(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{at}", 8 * at, 8) for at in range(3)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, concat="time"), out)
    with pytest.raises(parchunk.InputError, match="nothing is there") as misspelled:
        parchunk.update(out, str(tmp_path / "misspelled"))
    assert "gone for good" not in str(misspelled.value)
    shutil.rmtree(paths[2])
    with pytest.raises(parchunk.InputError, match=rf"{paths[2]}: nothing.*anew \(--overwrite"):
        parchunk.update(out)
    parchunk.build(parchunk.plan(paths[:2], concat="time"), out, overwrite=True)
    check(out, joined(paths[:2]))


def test_what_stores_lost_is_taken_out_where_that_is_allowed(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{at}", 8 * at, 8, names="tu") for at in range(2)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, concat="time", region=2), out)
    for name in ("t", "u", "time"):
        array = zarr.open_array(paths[1] / name, mode="r+")
        array.resize((5, *array.shape[1:]))
    with pytest.raises(parchunk.InputError, match="5 elements, 8 before, which --allow-shrink"):
        parchunk.update(out)
    parchunk.update(out, allow_shrink=True)
    check(out, joined(paths))
    for path in paths:
        shutil.rmtree(path / "u")
    with pytest.raises(parchunk.InputError, match=r"u is gone.*--allow-gone"):
        parchunk.update(out)
    parchunk.update(out, allow_gone=True)
    check(out, joined(paths))
    assert not (out / "u").exists()


def test_nor_does_damage_of_the_others_say_to_run_an_update_that_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / f"{at}.zarr" for at in range(2)]
    for path in paths:
        made = zarr.open_group(path, mode="w", zarr_format=3).create_array(
            "v", shape=(8, 3), shards=(4, 3), chunks=(1, 3), dtype="i4",
            dimension_names=("time", "x"),
        )  # fmt: skip
        made[:] = 1
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    shard = paths[0] / "v/c/0/0"
    then = shard.stat()
    shard.write_bytes(shard.read_bytes()[:10])
    os.utime(shard, ns=(then.st_atime_ns, then.st_mtime_ns))
    shutil.rmtree(paths[1])
    found = parchunk.audit(tmp_path / "out", against_source=True).findings
    assert "wrong-offset" in {one.kind for one in found}
    assert not any("run parchunk update" in one.remedy for one in found)


def test_a_store_that_was_withdrawn_is_named_and_nothing_else(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{at}.zarr", 4 * at, 4) for at in range(4)]
    pattern, out = str(tmp_path / "*.zarr"), tmp_path / "out"
    parchunk.build(parchunk.plan(pattern, concat="time"), out)
    with pytest.raises(parchunk.InputError, match=r"\(stores by a pattern, in quotes there, named"):
        parchunk.build(parchunk.plan(paths, concat="time"), out)
    paths[1].rename(tmp_path / "withdrawn")
    with pytest.raises(parchunk.InputError, match=rf"\({paths[1]} is gone\): references cannot be"):
        parchunk.update(out)
    # No update takes that in, so that nothing says to run one.
    told = {one.kind: one.remedy for one in parchunk.audit(out, against_source=True).findings}
    assert "no update is made" in told["gone-chunks"]
    assert not any("run parchunk update" in remedy for remedy in told.values())
    with pytest.raises(parchunk.InputError, match=rf"\(only there: 1 store \({paths[1]}\)\)"):
        parchunk.build(parchunk.plan(pattern, concat="time"), out)
    parchunk.build(parchunk.plan(pattern, concat="time"), out, overwrite=True)
    with parchunk.open_dataset(out) as found:
        xarray.testing.assert_equal(found.load(), joined([paths[0], *paths[2:]]))
    paths[2].rename(tmp_path / "aside")
    store(paths[1], 4, 4)
    with pytest.raises(parchunk.InputError, match=rf"{paths[2]} is gone; {paths[3]} is not where"):
        parchunk.update(out)


def test_an_array_that_one_store_lost_is_said(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{at}", 8 * at, 8, names="tu") for at in range(2)]
    out = tmp_path / "out"
    before = parchunk.plan(paths, concat="time", join="outer")
    parchunk.build(before, out)
    shutil.rmtree(paths[1] / "u")
    # One that a killed update saw so is not taken for what it was when it is there again.
    between = parchunk.plan(paths, concat="time", join="outer")
    assert seen_otherwise(before, between, before) == ("u",)
    with pytest.raises(parchunk.InputError, match=rf"u is gone from {paths[1]}.*--allow-gone"):
        parchunk.update(out)
    parchunk.update(out, gaps=False, allow_gone=True)
    with parchunk.open_dataset(out) as found:
        xarray.testing.assert_equal(found.t.load(), joined(paths).t)
        assert not found.u[8:].any()
        assert found.u[:8].all()
    assert [one.kind for one in parchunk.audit(out, against_source=True).findings] == ["lacking"]
    # It comes back, and is not what it was.
    store(paths[1], 8, 8, names="tu")
    parchunk.update(out, gaps=False, regions=range(2))
    check(out, joined(paths))


def test_an_array_that_came_may_have_longer_chunks_than_regions(tmp_path: Path) -> None:
    """A chunk is in the region of its first element, and the plan is one that can be read."""
    paths = [store(tmp_path / f"{at}", 8 * at, 8) for at in range(2)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, concat="time", region=2), out)
    for at, path in enumerate(paths):
        zarr.open_group(path, mode="r+").create_array(
            "new",
            data=1 + at + np.arange(32).reshape(8, 4),
            chunks=(4, 2),
            dimension_names=["time", "y"],
        )
    assert parchunk.update(out).plan.cuts == (0, 2, 4, 6, 8, 10, 12, 14, 16)
    check(out, joined(paths))
