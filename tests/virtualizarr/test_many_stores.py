"""Regions of many stores, as VirtualiZarr's manifests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray
from tests.many_stores import Made, write

import parchunk

pytest.importorskip("virtualizarr")
icechunk = pytest.importorskip("icechunk")

from obspec_utils.registry import ObjectStoreRegistry  # noqa: E402
from obstore.store import LocalStore  # noqa: E402

from parchunk.virtualizarr import RegionParser  # noqa: E402
from virtualizarr import open_virtual_dataset  # noqa: E402


def test_regions_of_many_stores_are_appended_one_after_another(tmp_path: Path) -> None:
    paths, begin = [], 0
    for at, length in enumerate((4, 2, 6)):
        values = np.random.default_rng(at).random((length, 6)) + 1
        days = np.arange(begin, begin + length)
        arrays = {
            "air": Made(values, ("time", "x"), (1, 3)),
            "time": Made(days, ("time",), (1,), {"units": "days since 2000-01-01"}),
            "x": Made(np.arange(6.0), ("x",)),
        }
        paths.append(write(tmp_path / "source" / f"{at}.zarr", arrays, 3))
        begin += length
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, concat="time", inline_coordinates=False), out)
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    whole = RegionParser()(f"file://{out}", registry)._group.arrays["air"]
    assert whole.shape == (12, 6)
    found = {key: entry["path"] for key, entry in whole.manifest.dict().items()}
    assert found["0.0"] == f"file://{paths[0]}/air/c/0/0"
    assert found["5.1"] == f"file://{paths[1]}/air/c/1/1"
    assert found["11.1"] == f"file://{paths[2]}/air/c/5/1"
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(
            f"file://{tmp_path}/source/", icechunk.local_filesystem_store(f"{tmp_path}/source")
        )
    )
    storage = icechunk.local_filesystem_storage(str(tmp_path / "repo"))
    repo = icechunk.Repository.create(storage, config=config)
    for region in range(3):
        session = repo.writable_session("main")
        part = open_virtual_dataset(
            f"file://{out}", registry=registry, parser=RegionParser(region=region)
        )
        part.vz.to_icechunk(session.store, **({"append_dim": "time"} if region else {}))
        session.commit(f"region {region}")
    store = parchunk.open_icechunk(tmp_path / "repo").readonly_session("main").store
    ours = xarray.open_zarr(store, consolidated=False, chunks=None).load()
    xarray.testing.assert_equal(ours, parchunk.open_dataset(out).load())
