"""Make a small Zarr store, reference it, and open the references: python quickstart.py [FOLDER]."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr

import parchunk


def main(folder: Path) -> None:
    store = folder / "store.zarr"
    root = zarr.open_group(store, mode="w", zarr_format=3)
    values = np.random.default_rng(0).normal(size=(100, 20, 30)).astype("f4")
    array = root.create_array(
        "t",
        shape=values.shape,
        chunks=(1, 10, 30),
        dtype="f4",
        dimension_names=("time", "y", "x"),
    )
    array[:] = values

    plan = parchunk.plan(str(store), split="time", region=25)
    result = parchunk.build(plan, str(folder / "refs.parquet"))
    print(f"{result.present} of {result.expected} chunks referenced in {len(plan.regions)} regions")

    with parchunk.open_dataset(result.url) as dataset:
        print(dataset)
        assert np.array_equal(dataset["t"].values, values)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
