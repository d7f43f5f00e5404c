"""Stores side by side, and below groups, against xarray's own merge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from tests.many_stores import Made, as_one_store, join, write

from parchunk.errors import InputError
from parchunk.metadata import read_hierarchy
from parchunk.planning.joining.dataset import join_stores
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.members import Member
from parchunk.planning.joining.merging import below
from parchunk.planning.joining.misfits import MisfitError
from parchunk.stores.source import Source

DAYS = {"units": "days since 2000-01-01"}


def variable(path: Path, name: str, zarr_format: int = 2, length: int = 4, first: int = 0) -> Path:
    arrays = {
        name: Made(np.random.default_rng(1).random((length, 2)), ("time", "x"), (2, 2)),
        "time": Made(
            np.arange(first, first + length), ("time",), None, {"units": "days since 2000-01-01"}
        ),
    }
    return write(path, arrays, zarr_format)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_variables_side_by_side(tmp_path: Path, zarr_format: int) -> None:
    paths = [variable(tmp_path / name, name, zarr_format) for name in ("tas", "pr")]
    whole = as_one_store(tmp_path / "all", paths, join(paths, merge=True))
    options = {"consolidated": False, "zarr_format": zarr_format, "chunks": None}
    expected = xarray.merge([xarray.open_zarr(path, **options) for path in paths])
    xarray.testing.assert_equal(xarray.open_zarr(whole, **options), expected)


def test_what_several_have_must_be_the_same(tmp_path: Path) -> None:
    paths = [variable(tmp_path / "a", "tas"), variable(tmp_path / "b", "pr", first=1)]
    with pytest.raises(MisfitError, match="time: has other values in b than in a"):
        join(paths, merge=True)
    joined = join(paths, merge=True, static="first").joined
    assert joined.arrays["time"].stretches[0].store == 0
    assert joined.arrays["pr"].stretches[0].store == 1


def test_a_dimension_of_two_lengths_is_refused(tmp_path: Path) -> None:
    paths = [variable(tmp_path / "a", "tas"), variable(tmp_path / "b", "pr", length=6)]
    with pytest.raises(MisfitError, match="pr: length along time 6 in b, where tas has 4 in a"):
        join(paths, merge=True)


def test_formats_are_not_mixed(tmp_path: Path) -> None:
    paths = [variable(tmp_path / "a", "tas"), variable(tmp_path / "b", "pr", 3)]
    with pytest.raises(MisfitError, match="Zarr format 2 in a, 3 in b"):
        join(paths, merge=True)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_stores_below_groups(tmp_path: Path, zarr_format: int) -> None:
    paths = [
        variable(tmp_path / "a", "tas", zarr_format),
        variable(tmp_path / "b", "pr", zarr_format, length=6),
    ]
    sources = [Source.open(str(path)) for path in paths]
    members = [
        Member(name, below(read_hierarchy(source), name))
        for name, source in zip(("cam/h0", "clm"), sources, strict=True)
    ]
    joined = join_stores(members, sources, Joining(merge=True))
    assert [group.name for group in joined.hierarchy.groups] == ["", "cam", "cam/h0", "clm"]
    assert sorted(joined.joined.arrays) == ["cam/h0/tas", "cam/h0/time", "clm/pr", "clm/time"]


def test_a_group_that_no_folder_can_be_called(tmp_path: Path) -> None:
    hierarchy = read_hierarchy(Source.open(str(variable(tmp_path / "a", "tas"))))
    with pytest.raises(InputError, match=r"\.\.=: a store cannot be put below that group"):
        below(hierarchy, "..")
    assert below(hierarchy, "") is hierarchy


def test_one_store_given_no_word_is_itself(tmp_path: Path) -> None:
    path = variable(tmp_path / "a", "tas")
    hierarchy = read_hierarchy(Source.open(str(path)))
    assert join([path]).hierarchy == hierarchy
    as_one_store(tmp_path / "all", [path], join([path]))


@pytest.mark.parametrize("group", ["tas", "tas/more"])
@pytest.mark.parametrize("how", [{"merge": True}, {"concat": "time", "merge": True}])
def test_no_store_lies_below_an_array(tmp_path: Path, group: str, how: dict[str, Any]) -> None:
    paths = [variable(tmp_path / "a", "tas"), variable(tmp_path / "b", "pr")]
    sources = [Source.open(str(path)) for path in paths]
    members = [
        Member(path.name, below(read_hierarchy(source), name), name)
        for path, source, name in zip(paths, sources, ("", group), strict=True)
    ]
    with pytest.raises(MisfitError, match="tas is an array in a, and a group in "):
        join_stores(members, sources, Joining(**how))
