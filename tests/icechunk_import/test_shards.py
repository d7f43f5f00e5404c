"""Sharded arrays in Icechunk: expanded ones as their inner chunks, or whole, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.icechunk_import import compare_with_repo

SHAPE, SHARDS, INNER = (12, 10), (4, 6), (2, 3)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """Sharded arrays, one with one inner chunk a shard, and a plain one; one shard is absent."""
    path = tmp_path / "source"
    root = zarr.open_group(path, mode="w", zarr_format=3)
    values = np.arange(1, 121, dtype="f4").reshape(SHAPE)
    values[4:8, 6:] = np.nan
    values[0:2, 3:6] = np.nan
    names = ("time", "x")
    options = {"shape": SHAPE, "dtype": "f4", "fill_value": np.nan, "dimension_names": names}
    options["config"] = {"write_empty_chunks": False}
    root.create_array("a", chunks=INNER, shards=SHARDS, **options)[...] = values
    root.create_array("single", chunks=SHARDS, shards=SHARDS, **options)[...] = values
    root.create_array("plain", chunks=(4, 5), **options)[...] = values
    return path


@pytest.mark.parametrize("shards", ["expand", "whole"])
def test_sharded_arrays_read_back(sharded, build, opened, indices, assert_equal, tmp_path, shards):
    out = build(sharded, split="time", region=4, shards=shards)
    repo = tmp_path / "repo"
    result = parchunk.to_icechunk(out, str(repo))
    assert [commit.region for commit in result.commits] == [None, 0, 1, 2]
    group = opened(repo)
    assert assert_equal(zarr.open_group(sharded, mode="r"), group) == 3
    assert group["a"].shards == (SHARDS if shards == "whole" else None)
    assert group["a"].chunks == INNER
    assert group["single"].chunks == SHARDS
    grid = (3, 2) if shards == "whole" else (6, 4)
    held = indices(repo, "a")
    assert len(held) == (5 if shards == "whole" else 24 - 4 - 1)
    assert all(t < grid[0] and x < grid[1] for t, x in held)
    assert compare_with_repo(out, str(repo), sample=100).equal
    assert not parchunk.to_icechunk(out, str(repo)).commits


def test_an_inner_chunk_that_differs_is_found(sharded, build, tmp_path):
    repo = tmp_path / "repo"
    out = build(sharded, split="time", region=4)
    parchunk.to_icechunk(out, str(repo))
    session = parchunk.open_icechunk(str(repo)).writable_session("main")
    zarr.open_group(session.store, mode="a")["a"][2:4, 3:6] = 1
    zarr.core.sync.sync(session.store.delete("a/c/5/3"))
    session.commit("another writer")
    found = compare_with_repo(out, str(repo), sample=100).findings
    assert {(f.array, f.region, f.kind, f.chunks) for f in found} == {
        ("a", 0, "type", ((1, 1),)),
        ("a", 2, "missing", ((5, 3),)),
    }
