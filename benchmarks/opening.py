"""What coordinates that are kept in the references save on opening: requests, and seconds.

    python -m benchmarks.opening [--latency SECONDS] [--opens N]

A store on an S3 server on loopback is built with coordinates inline, the default, and without; both
are opened by xarray through stock fsspec, each request to the source delayed by the latency of a
real one. The middle of N opens is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import xarray
import zarr
from instruments.s3_server import S3Bucket, new_bucket, s3_server
from rich.console import Console
from rich.table import Table
from s3fs import S3FileSystem

import parchunk

#: Length and chunk length of the coordinates, and of the dimensions of the field.
COORDINATES = {"time": (87_600, 8_760), "level": (37, 37), "lat": (721, 721), "lon": (1440, 1440)}


class DelayedS3(S3FileSystem):  # type: ignore[misc]
    """s3fs, whose reads are counted and take as long as over a real network."""

    latency: ClassVar[float] = 0.05
    reads: ClassVar[int] = 0

    async def _cat_file(self, *arguments: Any, **options: Any) -> Any:
        type(self).reads += 1
        await asyncio.sleep(self.latency)
        return await super()._cat_file(*arguments, **options)


def write_store(path: Path) -> None:
    """Write the coordinates of a reanalysis, and a field of which no chunk is there."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    for name, (length, chunk) in COORDINATES.items():
        array = root.create_array(name, shape=(length,), chunks=(chunk,), dtype="i8")
        array.attrs["_ARRAY_DIMENSIONS"] = [name]
        if name == "time":
            array.attrs["units"] = "hours since 1990-01-01"
        array[...] = np.arange(length)
    shape = tuple(length for length, _ in COORDINATES.values())
    field = root.create_array("t", shape=shape, chunks=(8760, 37, 721, 1440), dtype="f4")
    field.attrs["_ARRAY_DIMENSIONS"] = list(COORDINATES)


def opened(out: str, bucket: S3Bucket, count: int) -> tuple[float, int]:
    """Return the seconds and the requests of opening the references."""
    seconds = []
    for _ in range(count):
        DelayedS3.clear_instance_cache()
        DelayedS3.reads = 0
        began = time.perf_counter()
        options = {"fo": out, "skip_instance_cache": True, **_remote(bucket)}
        dataset = xarray.open_dataset(
            "reference://",
            engine="zarr",
            backend_kwargs={"consolidated": False, "storage_options": options},
        )
        assert dataset.sizes["time"] == COORDINATES["time"][0]
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), DelayedS3.reads


def _remote(bucket: S3Bucket) -> dict[str, Any]:
    return {"remote_protocol": "s3", "remote_options": {**bucket.fsspec, "asynchronous": True}}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--opens", type=int, default=5)
    arguments = parser.parse_args()
    DelayedS3.latency = arguments.latency
    fsspec.register_implementation("s3", DelayedS3, clobber=True)
    table = Table(title=f"{arguments.latency * 1000:.0f} ms a request", box=None)
    for column in ("coordinates", "requests to the source", "seconds to open"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        write_store(Path(folder) / "store")
        bucket = new_bucket(server.endpoint)
        bucket.upload(Path(folder) / "store", "store")
        for inline in (False, True):
            source = parchunk.Source(bucket.store(), "store", url=f"s3://{bucket.name}/store")
            plan = parchunk.plan(source, inline_coordinates=inline)
            out = f"{folder}/refs-{inline}"
            parchunk.build(plan, out)
            seconds, requests = opened(out, bucket, arguments.opens)
            table.add_row("inline" if inline else "in the source", str(requests), f"{seconds:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
