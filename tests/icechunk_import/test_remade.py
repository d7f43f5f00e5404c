"""Whole arrays may get other chunks: a coordinate that is kept inline is one, which grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from tests.many_stores import Made, write

import parchunk


def month(folder: Path, number: int, days: int) -> Path:
    arrays = {
        "air": Made(np.arange(days * 4).reshape(days, 4) + 100 * number, ("time", "x"), (2, 4)),
        "time": Made(
            np.arange(days), ("time",), None, {"units": f"days since 2024-{number:02}-01"}
        ),
    }
    return write(folder / f"{number:02}.zarr", arrays, 3)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for number, days in ((1, 30), (2, 28)):
        month(tmp_path / "in", number, days)
    parchunk.build(parchunk.plan(f"{tmp_path}/in/*.zarr", concat="time"), tmp_path / "out")
    return tmp_path / "out"


def take_in_a_month(out: Path) -> None:
    month(out.parent / "in", 3, 31)
    parchunk.update(out)


def read(repo: Path, **session: Any) -> xarray.Dataset:
    store = parchunk.open_icechunk(repo).readonly_session(**session).store
    return xarray.open_zarr(store, consolidated=False, chunks=None).load()


def test_an_update_with_a_coordinate_that_grew_is_imported(
    out: Path, tmp_path: Path, indices: Any
) -> None:
    repo = tmp_path / "repo"
    parchunk.to_icechunk(out, repo)
    before = parchunk.open_icechunk(repo).lookup_branch("main")
    old = read(repo, branch="main")
    take_in_a_month(out)
    cut_short = parchunk.to_icechunk(out, repo, regions=[0])
    assert [commit.region for commit in cut_short.commits] == [None]
    assert read(repo, branch="main").time.size == 89
    parchunk.to_icechunk(out, repo)
    assert indices(repo, "time") == {(0,)}
    xarray.testing.assert_identical(read(repo, branch="main"), parchunk.open_dataset(out).load())
    xarray.testing.assert_identical(read(repo, snapshot_id=before), old)
    assert parchunk.to_icechunk(out, repo).commits == ()
    report = parchunk.audit(out, icechunk=str(repo))
    assert not [one for one in report.findings if one.severity not in ("gap", "notice")]


def test_readers_of_a_published_branch_see_it_whole(out: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    parchunk.to_icechunk(out, repo, publish=True)
    take_in_a_month(out)
    parchunk.to_icechunk(out, repo, publish=True, regions=[])
    assert read(repo, branch="main").sizes == {"time": 58, "x": 4}
    assert parchunk.to_icechunk(out, repo, publish=True).published
    xarray.testing.assert_identical(read(repo, branch="main"), parchunk.open_dataset(out).load())


def test_another_data_type_and_rank_of_a_whole_array(tmp_path: Path, build: Any) -> None:
    """As of references that are built anew from a source that was written anew."""
    repo = tmp_path / "repo"
    for values in (np.arange(6.0), np.arange(4, dtype="i2").reshape(2, 2)):
        arrays = {
            "air": Made(np.arange(8), ("time",), (1,)),
            "mask": Made(values, tuple("yx"[: values.ndim]), (1,) * values.ndim),
        }
        source = write(tmp_path / "source", arrays, 3)
        parchunk.to_icechunk(build(source, split="time", region=4), repo)
        np.testing.assert_array_equal(read(repo, branch="main")["mask"].values, values)


@pytest.mark.parametrize("when", ["before", "since"])
def test_what_others_made_is_not_replaced(out: Path, tmp_path: Path, when: str) -> None:
    """Nor what they made in the place of an import's."""
    repo = tmp_path / "repo"
    parchunk.to_icechunk(out, repo, exclude=["time"] if when == "before" else [])
    session = parchunk.open_icechunk(repo).writable_session("main")
    root = zarr.open_group(session.store)
    theirs = root.create_array("time", shape=(58,), chunks=(7,), dtype="i8", overwrite=True)
    theirs[:] = 5
    session.commit("theirs")
    take_in_a_month(out)
    said = "that is not parchunk's" if when == "before" else "of other chunks"
    with pytest.raises(parchunk.InputError, match=f"'time' {said}"):
        parchunk.to_icechunk(out, repo)
    held = zarr.open_group(parchunk.open_icechunk(repo).readonly_session("main").store, mode="r")
    assert held["time"][...].tolist() == [5] * 58
