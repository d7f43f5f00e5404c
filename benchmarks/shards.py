"""Shard indexes a second and inner references a second, against a loop of zarr's own reader.

    python -m benchmarks.shards [--shards 20000] [--json]
    python -m benchmarks.shards --latency 0.03 [--shards 2000]
    python -m benchmarks.shards --long [--memory 160MiB]

Both read the same local shards (16 x 16 inner chunks each, index at the end with a checksum). The
loop is what a script would do: for every shard, zarr-python's index reader, then one reference for
each inner chunk that is there. Ours is `parchunk.build`, with all that a build does: it lists the
shards, reads their indexes, and writes, checks and publishes record files.
"Times by CPU" compares seconds of CPU time, which neighbours on the machine disturb less.

With ``--latency`` the same shards lie on an S3 server on loopback that takes so long to answer.
"bare" is obstore alone: as many threads, each of which gets one index after another.

``--long`` builds an array of one shard of 2 M inner chunks, and counts the GETs for its index.
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
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.server import serve
from obstore.store import S3Store
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
LONG = 2_000_000
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


def remote(shards: int, latency: float, concurrency: int) -> dict[str, Any]:
    """Return the indexes a second and the CPU microseconds for each, of bare GETs and of ours."""
    with tempfile.TemporaryDirectory(prefix="parchunk-shards-") as folder:
        make_store(Path(folder) / "s.zarr", shards)
        objects = objects_below(Path(folder))
        keys = [key for key in objects if not key.endswith(".json")]
        length = EXTENT * EXTENT * 16 + 4

        def get(key: str) -> int:
            end = len(objects[key])
            result = store.get(key, options={"range": (end - length, end)})
            return len(bytes(result.bytes()))

        def bare() -> None:
            with ThreadPoolExecutor(concurrency) as pool:
                assert set(pool.map(get, keys)) == {length}

        with serve(FormulaStore([], objects), latency=latency) as server:
            store = S3Store(server.bucket, **server.store_kwargs())
            plan = parchunk.plan(parchunk.Source(store, "s.zarr", f"s3://{server.bucket}/s.zarr"))
            calls = {
                "bare": bare,
                "parchunk, indexes only": lambda: read_only(plan, concurrency),
                "parchunk build": lambda: parchunk.build(
                    plan, f"{folder}/refs", concurrency=concurrency
                ),
            }
            found = {}
            for name, call in calls.items():
                server.reset()
                _, wall, cpu = timed(call)
                count = len(keys)
                found[name] = [count / wall, cpu / count * 1e6, server.counts()["GET"]]
    return {"shards": len(keys), "rates": found}


def objects_below(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, by their path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def long_index(memory: str) -> dict[str, Any]:
    """Count the GETs of a build of one shard of 2 M inner chunks, and the bytes they brought."""
    with tempfile.TemporaryDirectory(prefix="parchunk-shards-") as folder:
        group = zarr.open_group(f"{folder}/s.zarr", mode="w", zarr_format=3)
        group.create_array(
            "a", shape=(LONG,), chunks=(1,), shards=(LONG,), dtype="u1", compressors=None
        )
        entries = np.ones((LONG, 2), "<u8")
        entries[:, 0] = np.arange(LONG)
        index = entries.tobytes()
        checksum = google_crc32c.value(index).to_bytes(4, "little")
        objects = objects_below(Path(folder))
        objects["s.zarr/a/c/0"] = bytes(LONG) + index + checksum
        with serve(FormulaStore([], objects)) as server:
            store = S3Store(server.bucket, **server.store_kwargs())
            plan = parchunk.plan(parchunk.Source(store, "s.zarr", f"s3://{server.bucket}/s.zarr"))
            server.reset()
            result = parchunk.build(plan, f"{folder}/refs", memory=memory)
            read = server.counts()["bytes"]
    assert result.present == LONG
    least = -(-len(index) // USUAL.index_bytes)
    return {"index_bytes": len(index) + 4, "read": read, "gets": result.gets, "least": least}


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


def show_remote(shards: int, latency: float, as_json: bool) -> None:
    """Print rates beside those of bare GETs, for some concurrencies."""
    found = {count: remote(shards, latency, count) for count in (8, 32, 64)}
    if as_json:
        print(json.dumps(found))
        return
    print(f"{shards:,} shards, {latency * 1000:.0f} ms a request")
    print(f"{'concurrency':>11}{'':26}{'GETs/s':>10}{'of bare':>9}{'us of CPU':>11}{'GETs':>8}")
    for concurrency, one in found.items():
        bare = one["rates"]["bare"][0]
        for name, (rate, cpu, gets) in one["rates"].items():
            print(
                f"{concurrency:11}  {name:24}{rate:10,.0f}{rate / bare:9.2f}{cpu:11,.0f}{gets:8,}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--latency", type=float)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--memory", default="160MiB")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.long:
        print(json.dumps(long_index(options.memory)))
        return
    if options.latency is not None:
        show_remote(options.shards, options.latency, options.json)
        return
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
