"""From a Zarr store to an Icechunk repository opened with xarray, without copying a chunk.

    python examples/store_to_icechunk.py [FOLDER]

Makes a store, builds its references, imports them with one commit a region, and opens the result.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray

import parchunk


def make_store(path: Path) -> None:
    """Write ten days of hourly fields."""
    hours = np.arange(240)
    field = np.random.default_rng(0).normal(285, 5, (240, 18, 36)).astype("f4")
    dataset = xarray.Dataset(
        {"t2m": (("time", "lat", "lon"), field, {"units": "K"})},
        coords={
            "time": ("time", hours, {"units": "hours since 2026-01-01"}),
            "lat": np.linspace(-85, 85, 18),
            "lon": np.arange(36) * 10.0,
        },
    )
    encoding = {"t2m": {"chunks": (1, 9, 18)}, "time": {"chunks": (240,)}}
    dataset.to_zarr(path, encoding=encoding, zarr_format=3, consolidated=False, mode="w")


def main(folder: Path) -> None:
    store, out, repo = folder / "store.zarr", str(folder / "refs.parquet"), str(folder / "repo")
    make_store(store)

    # list the store once, a day a region
    plan = parchunk.plan(str(store), split="time", region=24)
    parchunk.build(plan, out, overwrite=True)

    # import: offline, a commit a region; readers of main see nothing until all are in
    result = parchunk.to_icechunk(out, repo, publish=True)
    print(f"{len(result.commits)} commits, {result.references:,} references")

    # a second import finds everything in
    assert parchunk.to_icechunk(out, repo, publish=True).commits == ()

    session = parchunk.open_icechunk(repo).readonly_session("main")
    opened = xarray.open_zarr(session.store, consolidated=False, chunks=None)
    original = xarray.open_zarr(store, consolidated=False, chunks=None)
    xarray.testing.assert_identical(opened.load(), original.load())
    print(opened)
    for commit in list(parchunk.open_icechunk(repo).ancestry(branch="main"))[:3]:
        print(f"{commit.id} {commit.message}")


if __name__ == "__main__":
    import icechunk

    icechunk.set_logs_filter("error")
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "example-icechunk").resolve()
    target.mkdir(parents=True, exist_ok=True)
    main(target)
