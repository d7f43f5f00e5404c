"""Runs that `benchmarks.icechunk` measures, each in a process of its own: `measure` starts one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import parchunk
import parchunk.public  # so that its imports are not counted
from parchunk.icechunk_import.importing import MEMORY
from parchunk.metadata.spec import ArraySpec
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Partition

Measurement = dict[str, Any]


def _peak() -> int:
    """Return this process's peak memory in KiB; getrusage also counts the parent's at its fork."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError("no VmHWM in /proc/self/status: run this on Linux")


def run_parchunk(out: str, repo: str, memory: int = MEMORY) -> dict[str, Any]:
    """Import with parchunk; seconds of each commit's whole work."""
    import icechunk

    icechunk.set_logs_filter("error")
    import zarr  # noqa: F401 (so that its import is not counted)

    at: list[tuple[float, float]] = []
    before, began, busy = _peak(), time.perf_counter(), time.process_time()
    result = parchunk.to_icechunk(
        out,
        repo,
        memory=memory,
        progress=lambda _: at.append((time.perf_counter(), time.process_time())),
    )
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    return {
        "references": result.references,
        "seconds": seconds,
        "cpu": cpu,
        "memory": _peak() - before,
        "each": [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise([(began, busy), *at])],
    }


def run_bare(out: str, repo: str, splitting: str = "same") -> dict[str, Any]:
    """Make the same commits with icechunk alone, from arrays that are in memory before.

    ``splitting`` of manifests is the same as parchunk's, at every "region", or icechunk's default.
    """
    import icechunk
    from parchunk.icechunk_import import adapter
    from parchunk.icechunk_import.locations import Container
    from parchunk.icechunk_import.repository import split_manifests
    from parchunk.metadata.to_v3 import v3_documents
    from parchunk.out.opening import open_output
    from parchunk.out.plan_file import load_plan
    from parchunk.reading.rows import finished_receipts

    icechunk.set_logs_filter("error")
    output = open_output(out)
    plan = load_plan(output)
    (array,) = plan.arrays
    receipts = finished_receipts(output, plan)
    container = Container.of(plan.location)
    documents = v3_documents(plan.hierarchy)
    data = [_arrays_of(out, array.spec, receipts[part.key], part) for part in plan.partitions()]
    before, began, busy = _peak(), time.perf_counter(), time.process_time()
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(container.virtual_chunk_container())
    if splitting == "same":
        split_manifests(config, plan)
    elif splitting == "region":
        condition, dimension = icechunk.ManifestSplitCondition, icechunk.ManifestSplitDimCondition
        rule = (dimension.Axis(array.axis), array.region_chunks)
        config.manifest = icechunk.ManifestConfig(
            splitting=icechunk.ManifestSplittingConfig(
                ((condition.path_matches("^/air$"), (rule,)),)
            )
        )
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(repo), config=config)
    session = repository.writable_session("main")
    adapter.put(
        session.store,
        {
            "zarr.json": json.dumps(documents.groups[""]).encode(),
            "air/zarr.json": json.dumps(documents.arrays["air"]).encode(),
        },
    )
    session.commit("hierarchy")
    each = []
    for grid, first, locations, offsets, lengths, modified in data:
        start, start_cpu = time.perf_counter(), time.process_time()
        session = repository.writable_session("main")
        failed = _set_references(session.store, grid, first, locations, offsets, lengths, modified)
        assert failed is None
        session.commit("region")
        each.append((time.perf_counter() - start, time.process_time() - start_cpu))
    return {
        "references": sum(len(part[2]) for part in data),
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - busy,
        "memory": _peak() - before,
        "each": each,
    }


def _arrays_of(
    out: str, spec: ArraySpec, receipt: Receipt, partition: Partition
) -> tuple[Any, ...]:
    """Return a region's grid, its first chunk along the first axis, and its references' columns."""
    import pyarrow.parquet as pq

    from parchunk.icechunk_import import adapter

    files = [f"{out}/air/refs.{file.index}.parq" for file in receipt.record_files]
    table = pq.read_table(files)
    inner = spec.total // spec.grid[0]
    return (
        (partition.rows.total // inner, *spec.grid[1:]),
        partition.rows.start // inner,
        table["path"].to_pylist(),
        table["offset"].to_numpy().astype(np.uint64),
        table["size"].to_numpy().astype(np.uint64),
        adapter.whole_second_after(receipt.last_modified or 0),
    )


def _set_references(
    store: Any,
    grid: tuple[int, ...],
    first: int,
    locations: list[str],
    offsets: np.ndarray,
    lengths: np.ndarray,
    modified: Any,
) -> Any:
    """Set a region's references as this version of icechunk takes them best; return what failed."""
    import icechunk

    if hasattr(store, "set_virtual_refs_arr"):
        return store.set_virtual_refs_arr(
            "/air",
            grid,
            locations,
            offsets,
            lengths,
            arr_offset=(first, *(0 for _ in grid[1:])),
            checksum=modified,
        )
    index = np.stack(np.unravel_index(np.arange(len(locations)), grid), axis=1)
    index[:, 0] += first
    return store.set_virtual_refs(
        "/air",
        [
            icechunk.VirtualChunkSpec(*spec, last_updated_at_checksum=modified)
            for spec in zip(
                index.tolist(), locations, offsets.tolist(), lengths.tolist(), strict=True
            )
        ],
    )


def run_parser(out: str, kind: str) -> dict[str, Any]:
    """Parse all references with RegionParser, or with VirtualiZarr's own parser."""
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import KerchunkParquetParser

    from parchunk.virtualizarr.parser import RegionParser

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    before, began, busy = _peak(), time.perf_counter(), time.process_time()
    if kind == "kerchunk":
        store = KerchunkParquetParser()(f"file://{out}", registry)
    else:
        store = RegionParser()(f"file://{out}", registry)
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    array = store._group.arrays["air"]
    return {
        "references": int(array.manifest._paths.size),
        "seconds": seconds,
        "cpu": cpu,
        "memory": _peak() - before,
    }


def measure(call: str, *arguments: Any) -> Measurement:
    """Run one of the functions above in a process of its own."""
    code = (
        "import json, sys; from benchmarks import icechunk_runs as here; "
        "print(json.dumps(getattr(here, sys.argv[1])(*json.loads(sys.argv[2]))))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, call, json.dumps(arguments)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
