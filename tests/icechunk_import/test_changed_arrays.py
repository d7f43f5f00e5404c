"""A repository follows arrays that grew along any axis, became shorter, and moved."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.errors import InputError

icechunk = pytest.importorskip("icechunk")


def check(out: Path, repo: Path, source: Path) -> None:
    parchunk.to_icechunk(str(out), str(repo))
    session = parchunk.open_icechunk(str(repo)).readonly_session("main")
    read = zarr.open_array(session.store, path="a", mode="r")
    np.testing.assert_array_equal(read[...], zarr.open_array(source / "a", mode="r")[...])
    assert not parchunk.audit(str(out), icechunk=str(repo)).findings


def test_a_repository_follows(tmp_path: Path) -> None:
    source, out, repo, new = (tmp_path / name for name in ("s.zarr", "refs", "repo", "new.zarr"))
    array = zarr.create_array(
        source / "a", shape=(8, 4), chunks=(1, 1), dtype="i4", dimension_names=["t", "x"]
    )
    zarr.open_group(source, mode="a")
    array[...] = 1 + np.arange(32).reshape(8, 4)
    parchunk.build(parchunk.plan(str(source), split="t", region=4, record_size=4), str(out))
    check(out, repo, source)
    array.resize((8, 6))
    array[:, 4:] = 7
    parchunk.update(str(out))
    check(out, repo, source)
    array.resize((6, 3))
    parchunk.update(str(out), allow_shrink=True)
    check(out, repo, source)
    shutil.copytree(source, new)
    parchunk.relocate(str(out), new)
    with pytest.raises(InputError, match="no virtual chunk container"):
        parchunk.to_icechunk(str(out), str(repo))
    opened = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    config = opened.config
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(f"file://{new}/", icechunk.local_filesystem_store(f"{new}/"))
    )
    opened.reopen(config=config).save_config()
    shutil.rmtree(source)
    check(out, repo, new)
