"""The workflow of VirtualiZarr's issue 894: append a native Zarr store to Icechunk by regions.

    python examples/append_with_virtualizarr.py [FOLDER]

VirtualiZarr does the writing; `parchunk.virtualizarr.RegionParser` gives it one region at a time,
from references that were listed beforehand in bounded memory.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore

import icechunk
import parchunk
from parchunk.virtualizarr.parser import RegionParser
from virtualizarr import open_virtual_dataset


def make_store(path: Path) -> None:
    """Write twelve months of daily fields."""
    field = np.random.default_rng(0).normal(285, 5, (360, 18, 36)).astype("f4")
    dataset = xarray.Dataset(
        {"sst": (("time", "lat", "lon"), field, {"units": "K"})},
        coords={"time": ("time", np.arange(360), {"units": "days since 2026-01-01"})},
    )
    encoding = {"sst": {"chunks": (1, 9, 18)}, "time": {"chunks": (360,)}}
    dataset.to_zarr(path, encoding=encoding, zarr_format=3, consolidated=False, mode="w")


def main(folder: Path) -> None:
    store, out = folder / "store.zarr", str(folder / "refs.parquet")
    make_store(store)
    plan = parchunk.plan(str(store), split="time", region=30)
    parchunk.build(plan, out, overwrite=True)

    config = icechunk.RepositoryConfig.default()
    prefix = f"file://{store}/"
    container = icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(str(store)))
    config.set_virtual_chunk_container(container)
    storage = icechunk.local_filesystem_storage(str(folder / "appended"))
    repo = icechunk.Repository.create(storage, config=config)

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    for region in range(len(plan.regions)):
        session = repo.writable_session("main")
        vds = open_virtual_dataset(
            f"file://{out}", registry=registry, parser=RegionParser(region=region)
        )
        if region == 0:
            vds.vz.to_icechunk(session.store)
        else:
            vds.vz.to_icechunk(session.store, append_dim="time")
        session.commit(f"region {region}")

    session = parchunk.open_icechunk(str(folder / "appended")).readonly_session("main")
    opened = xarray.open_zarr(session.store, consolidated=False, chunks=None)
    original = xarray.open_zarr(store, consolidated=False, chunks=None)
    xarray.testing.assert_equal(opened.load(), original.load())
    print(f"{len(plan.regions)} regions appended")
    print(opened)


if __name__ == "__main__":
    icechunk.set_logs_filter("error")
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "example-virtualizarr").resolve()
    target.mkdir(parents=True, exist_ok=True)
    main(target)
