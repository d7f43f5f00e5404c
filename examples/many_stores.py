"""Many stores as one dataset: months of a reanalysis, and initialisations of a forecast.

    python examples/many_stores.py [FOLDER | s3://BUCKET/PREFIX]

Makes three monthly stores in FOLDER as producers write them (each with its own ``units`` of time),
joins the first two, takes in the third, and imports all of it into an Icechunk repository. Then
stacks initialisations, one of which is still being written, and completes them. In a bucket all of
it is done there: stores, references and repository; endpoint and credentials are the environment's.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec

import numpy as np
import zarr

import parchunk


def make_month(path: str, month: int, days: int) -> None:
    root = zarr.open_group(path, mode="w", zarr_format=3)
    hours = root.create_array(
        "time",
        shape=(24 * days,),
        chunks=(24 * days,),
        dtype="i8",
        dimension_names=["time"],
        attributes={"units": f"hours since 2024-{month:02d}-01", "standard_name": "time"},
    )
    hours[:] = np.arange(24 * days)
    air = root.create_array(
        "air",
        shape=(24 * days, 19, 36),
        chunks=(24, 19, 36),
        dtype="f4",
        dimension_names=["time", "lat", "lon"],
        attributes={"units": "K"},
    )
    air[:] = 280 + month + np.random.default_rng(month).random(air.shape)


def make_forecast(path: str, steps: int) -> None:
    root = zarr.open_group(path, mode="a", zarr_format=3)
    rain = root.require_array(
        "rain",
        shape=(10, 19, 36),
        chunks=(1, 19, 36),
        dtype="f4",
        fill_value=float("nan"),
        dimension_names=["step", "lat", "lon"],
    )
    rain[:steps] = np.random.default_rng(1).random((steps, 19, 36))


def forecasts(folder: str) -> None:
    make_forecast(f"{folder}/2024010100.zarr", 10)
    make_forecast(f"{folder}/2024010112.zarr", 7)  # three steps are still to come
    refs = f"{folder}/forecasts.parquet"
    initialised = ["2024-01-01T00:00", "2024-01-01T12:00"]
    plan = parchunk.plan(f"{folder}/*.zarr", stack="init", labels=initialised)
    parchunk.build(plan, refs)
    for array in parchunk.audit(refs).arrays:
        for label in array.gap_labels:
            print(f"{array.array} is not complete: {label}")
    make_forecast(f"{folder}/2024010112.zarr", 10)
    result = parchunk.update(refs)  # lists again what had gaps
    print(f"{result.missing} chunks missing of {len(plan.stores.stores)} initialisations")


def main(folder: str) -> None:
    make_month(f"{folder}/era5/01.zarr", 1, 31)
    make_month(f"{folder}/era5/02.zarr", 2, 29)
    refs = f"{folder}/refs.parquet"
    plan = parchunk.plan(f"{folder}/era5/*.zarr", concat="time")
    result = parchunk.build(plan, refs)
    print(f"{result.present} of {result.expected} chunks of {len(plan.stores.stores)} stores")

    make_month(f"{folder}/era5/03.zarr", 3, 31)  # the next month comes
    result = parchunk.update(refs)
    print(f"{result.present} of {result.expected} chunks after the update")

    months = parchunk.open_dataset(refs).air.resample(time="MS").mean(...)
    print(", ".join(f"{value:.1f} K" for value in months.values))
    if find_spec("icechunk"):
        imported = parchunk.to_icechunk(refs, f"{folder}/repo")
        print(f"{len(imported.commits)} commits in an Icechunk repository")
    forecasts(f"{folder}/forecasts")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as name:
            main(name)
