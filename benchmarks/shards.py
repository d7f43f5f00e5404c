"""Shard indexes a second and inner references a second, against a loop of zarr's own reader.

    python -m benchmarks.shards [--shards 20000] [--json]

Both read the same local shards (16 x 16 inner chunks each, index at the end with a checksum). The
loop is what a script would do: for every shard, zarr-python's index reader, then one reference for
each inner chunk that is there. Ours is `parchunk.build`, with all that a build does: it lists the
shards, reads their indexes, and writes, checks and publishes record files.
"Times by CPU" compares seconds of CPU time, which neighbours on the machine disturb less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from zarr.codecs import BytesCodec, ShardingCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore, StorePath

import parchunk
from parchunk.cover.limits import USUAL
from parchunk.listing.index_reading import IndexReading
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.shard_reading import ShardReader
from parchunk.listing.size_vector import SizeVector
from parchunk.listing.strays import Strays
from parchunk.listing.tally import Part

EXTENT = 16
LOOP_SHARDS = 300


def make_store(root: Path, shards: int) -> int:
    """Write an array of ``shards`` shards whose inner chunks are 1 in 8 empty; return how many are.

    By hand: zarr-python is slow at writing small inner chunks.
    """
    group = zarr.open_group(root, mode="w", zarr_format=3)
    rows = max(int(shards**0.5), 1)
    columns = -(-shards // rows)
    group.create_array(
        "a",
        shape=(rows * EXTENT, columns * EXTENT),
        chunks=(EXTENT, EXTENT),
        dtype="u1",
        fill_value=255,
        serializer=ShardingCodec(chunk_shape=(1, 1), codecs=(BytesCodec(),)),
        filters=[],
        compressors=[],
    )
    random = np.random.default_rng(0)
    data = b"\x01" * (EXTENT * EXTENT)
    present = 0
    for row in range(rows):
        (root / f"a/c/{row}").mkdir(parents=True)
        for column in range(columns):
            index = np.empty((EXTENT * EXTENT, 2), "<u8")
            index[:, 0] = np.arange(EXTENT * EXTENT)
            index[:, 1] = 1
            empty = random.random(EXTENT * EXTENT) < 0.125
            index[empty] = 2**64 - 1
            present += int((~empty).sum())
            raw = index.tobytes()
            checksum = google_crc32c.value(raw).to_bytes(4, "little")
            (root / f"a/c/{row}/{column}").write_bytes(data + raw + checksum)
    return present


async def loop(root: Path, shards: int) -> int:
    """Make references of ``shards`` shards one after another with zarr's index reader."""
    array: Any = zarr.open_group(root, mode="r")["a"]
    (codec,) = array.metadata.codecs
    grid = tuple(-(-size // EXTENT) for size in array.shape)
    store = await LocalStore.open(root, read_only=True)
    prototype = default_buffer_prototype()
    references: dict[str, tuple[str, int, int]] = {}
    for number in range(shards):
        row, column = np.unravel_index(number, grid)
        path = f"a/c/{row}/{column}"
        index = await _load_index(codec, StorePath(store, path), prototype)
        for entry in np.ndindex(EXTENT, EXTENT):
            where = index.get_chunk_slice(entry)
            if where is not None:
                inner = (row * EXTENT + entry[0], column * EXTENT + entry[1])
                references[f"a/{inner[0]}.{inner[1]}"] = (path, where[0], where[1] - where[0])
    return len(references)


async def _load_index(codec: Any, where: StorePath, prototype: Any) -> Any:
    """Call zarr's private reader, whose arguments differ from release to release."""
    load = codec._load_shard_index_maybe
    names = load.__code__.co_varnames[1 : load.__code__.co_argcount]
    known = {
        "byte_getter": where,
        "chunks_per_shard": (EXTENT, EXTENT),
        "prototype": prototype,
    }
    return await load(*(known.get(name, known["chunks_per_shard"]) for name in names))


def read_only(plan: parchunk.Plan, concurrency: int) -> None:
    """Read and decode all shard indexes, and write nothing."""
    assert plan.source is not None
    (array,) = plan.arrays
    with ThreadPoolExecutor(concurrency) as pool:
        reader = ShardReader(
            array.spec,
            plan.source,
            pool,
            concurrency,
            Requests(),
            Patience(),
            threading.Event(),
            USUAL.index_bytes,
        )
        size = EXTENT * EXTENT * 17 + 4
        for partition in plan.partitions():
            shards = partition.objects.total
            sizes = SizeVector(np.zeros(shards, np.uint64))
            sizes.note(np.arange(shards), np.full(shards, size, np.uint64))
            part = Part(partition.objects, sizes, None, Strays(), 0)
            IndexReading(reader, partition.rows, part, 0).read(partition.rows)


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what a call returns, its seconds, and those of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def measure(shards: int, concurrency: int) -> dict[str, Any]:
    """Time both, and return their rates."""
    root = Path(tempfile.mkdtemp(prefix="parchunk-shards-"))
    try:
        present = make_store(root / "s.zarr", shards)
        few = min(LOOP_SHARDS, shards)
        made, loop_wall, loop_cpu = timed(lambda: asyncio.run(loop(root / "s.zarr", few)))
        plan = parchunk.plan(str(root / "s.zarr"))
        _, read_wall, read_cpu = timed(lambda: read_only(plan, concurrency))
        result, wall, cpu = timed(
            lambda: parchunk.build(plan, str(root / "refs"), concurrency=concurrency)
        )
        assert result.present == present, (result.present, present)
        size = sum(f.bytes for receipt in result.receipts for f in receipt.record_files)
        there, each = result.gets, present / result.gets
        return {
            "shards": there,
            "bytes_per_reference": size / present,
            "rates": {
                f"loop of zarr {zarr.__version__}": [few / loop_wall, few / loop_cpu, made / few],
                "parchunk, indexes only": [there / read_wall, there / read_cpu, each],
                "parchunk build": [there / wall, there / cpu, each],
            },
        }
    finally:
        shutil.rmtree(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.shards, options.concurrency)
    if options.json:
        print(json.dumps({**found, "cpus": os.cpu_count(), "zarr": zarr.__version__}))
        return
    print(f"{found['shards']:,} shards of 256 inner chunks, {os.cpu_count()} CPUs, local disk")
    print(f"{'':26}{'indexes/s':>12}{'references/s':>14}{'times':>8}{'times by CPU':>14}")
    loop_wall, loop_cpu, _ = next(iter(found["rates"].values()))
    for name, (wall, cpu, each) in found["rates"].items():
        print(
            f"{name:26}{wall:12,.0f}{wall * each:14,.0f}{wall / loop_wall:8.1f}"
            f"{cpu / loop_cpu:14.1f}"
        )
    print(f"{found['bytes_per_reference']:.1f} bytes a reference on disk")


if __name__ == "__main__":
    main()
