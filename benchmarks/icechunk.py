"""Print how fast references go into Icechunk, beside the bare icechunk calls on the same arrays.

``python -m benchmarks.icechunk [references] [rounds]``

The references are those of a synthetic store, listed over loopback. Every measurement has a
process of its own; memory is its peak above what it had before the first reference was set. What
is compared takes turns, and which of a pair goes first changes, so that whatever else the machine
does hits both; shares are medians of the pairs, by the clock and by processor time.

Both make the same commits with the same manifest splitting. The bare calls set a region at once,
from lists and arrays that are in memory before; parchunk reads and checks record files, and sets
at most 100,000 references at a time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store

import parchunk
from parchunk.icechunk_import.importing import MEMORY
from parchunk.metadata.spec import ArraySpec
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Partition

REGIONS_OF_MILLION = 4
ROUNDS = 11
GROWTH_ROUNDS = 3
COMMITS = 50
REFERENCES_A_COMMIT = 20_000
Measurement = dict[str, Any]


def build_references(
    folder: Path,
    steps: int,
    rest: tuple[int, ...],
    region: int,
    names: Sequence[str] = ("air",),
) -> str:
    """Build the references of arrays of ``steps`` x ``rest`` chunks; return OUT."""
    dimensions = ("time", "level", "y", "x")
    shape = (steps, *(64 * size for size in rest))
    chunks = (1, *(64 for _ in rest))
    store = zarr_store(
        [(name, shape, chunks, dimensions[: 1 + len(rest)]) for name in names],
        # Uncompressed: VirtualiZarr 2.5 takes a v2 compressor, a JSON object, for a list, and so
        # reads none; 2.8 does. (Its own writer puts all codecs among the filters.)
        size="exact",
    )
    out = str(folder / f"refs-{steps}-{region}-{len(names)}-{len(names[0])}")
    with serve(store) as server:
        options = {
            "endpoint": server.store_kwargs()["endpoint"],
            "region": "us-east-1",
            "skip_signature": "true",
        }
        plan = parchunk.plan(
            f"s3://{server.bucket}", split="time", region=region, store_options=options
        )
        parchunk.build(plan, out, trust_listing=True)
    return out


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


def run_bare(out: str, repo: str, default_splitting: bool = False) -> dict[str, Any]:
    """Make the same commits with icechunk alone, from arrays that are in memory before."""
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
    if not default_splitting:
        split_manifests(config, plan)
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
        "import json, sys; from benchmarks import icechunk as here; "
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


def in_turns(
    rounds: int, measures: Sequence[Callable[[int], Measurement]]
) -> list[list[Measurement]]:
    """Run measurements in turns, in another order each time; return the rounds of each."""
    found: list[list[Measurement]] = [[] for _ in measures]
    for number in range(rounds):
        for turn in range(len(measures)):
            which = (turn + number) % len(measures)
            found[which].append(measures[which](number))
    return found


def print_rates(name: str, runs: Sequence[Measurement]) -> None:
    """Print one line of a table of rates, medians of some runs."""
    seconds, cpu, memory = (
        statistics.median(run[key] for run in runs) for key in ("seconds", "cpu", "memory")
    )
    references = runs[0]["references"]
    print(
        f"{name:26} {references:>10,} {seconds:>8.2f} s {references / seconds:>10,.0f} refs/s "
        f"{cpu:>8.2f} s of processor {memory / 1024:>6,.0f} MiB"
    )


def print_shares(than: Sequence[Measurement], runs: Sequence[Measurement]) -> None:
    """Print how the rate of some runs compares with that of others, pair by pair."""
    for what, key in (("by the clock", "seconds"), ("by processor time", "cpu")):
        shares = sorted(a[key] / b[key] for a, b in zip(than, runs, strict=True))
        print(
            f"{what:>26}: {statistics.median(shares):.2f} (median of {len(shares)} pairs, "
            f"{shares[0]:.2f} to {shares[-1]:.2f})"
        )


def print_growth(name: str, runs: Sequence[Measurement]) -> None:
    """Print what the first and the last regions took, of each its wall and processor time."""
    for which, what in enumerate(("wall", "processor")):
        ends = []
        for run in runs:
            times = [each[which] for each in run["each"]]
            ends.append((statistics.median(times[1:6]), statistics.median(times[-5:])))
        ratios = sorted(last / first for first, last in ends)
        first, last = (statistics.median(end) for end in zip(*ends, strict=True))
        print(
            f"{name:26} {what:>9}: first {first:.3f}, last {last:.3f}, last / first "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def print_memory(folder: Path) -> None:
    """Print the least bound that imports of one region each are taken for, and their peaks."""
    print("\nmemory of one region, MiB above the imports; with the least bound that is taken")
    for steps, names in (
        (100, ("air",)),
        (400, ("air",)),
        (100, ("air", "rain", "snow", "wind")),
        (200, ("a" * 150,)),
    ):
        out = build_references(folder, steps, (10, 10, 10), steps, names)
        length, bound = least_bound(out)
        found = measure("run_parchunk", out, str(folder / f"held-{steps}-{len(names)}"), bound)
        print(
            f"{found['references']:>10,} references, {len(names)} arrays, locations of {length:>3} "
            f"bytes: bound {bound >> 20:>4}, peak {found['memory'] / 1024:>4.0f}, "
            f"{found['memory'] * 1024 / found['references']:>5,.0f} bytes a reference"
        )


def least_bound(out: str) -> tuple[int, int]:
    """Return the bytes of a location, and the least bound that OUT's first region fits."""
    from parchunk.icechunk_import.locations import Container
    from parchunk.icechunk_import.memory import budget, location_length
    from parchunk.icechunk_import.planned_commits import plan_commits
    from parchunk.metadata.to_v3 import v3_documents
    from parchunk.out.opening import open_output
    from parchunk.out.plan_file import load_plan
    from parchunk.reading.rows import finished_receipts

    output = open_output(out)
    plan = load_plan(output)
    receipts = finished_receipts(output, plan)
    container = Container.of(plan.location)
    work = plan_commits(plan, receipts, v3_documents(plan.hierarchy), container, True)
    found = budget(plan, receipts, container, work, MEMORY)
    return location_length(container, plan.arrays[0].spec), found.enough(0) << 20


def main(references: int = 1_000_000, rounds: int = ROUNDS) -> None:
    """Print the tables."""
    import icechunk

    print(f"icechunk {icechunk.__version__}, Python {sys.version.split()[0]}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = max(references // 1000, 4)
        out = build_references(folder, steps, (10, 10, 10), -(-steps // REGIONS_OF_MILLION))
        print(f"set + commit, {REGIONS_OF_MILLION} regions; medians of {rounds} rounds")
        bare, ours = in_turns(
            rounds,
            (
                lambda i: measure("run_bare", out, str(folder / f"bare-{i}")),
                lambda i: measure("run_parchunk", out, str(folder / f"ours-{i}")),
            ),
        )
        print_rates("bare icechunk calls", bare)
        print_rates("parchunk.to_icechunk", ours)
        print("parchunk's rate by that of the bare calls:")
        print_shares(bare, ours)

        print(
            f"\n{COMMITS} successive regions of {REFERENCES_A_COMMIT:,} references; seconds, "
            f"medians of five regions and {GROWTH_ROUNDS} rounds"
        )
        out50 = build_references(folder, COMMITS * 20, (10, 10, 10), 20)
        calls: dict[str, Callable[[int], Measurement]] = {
            "parchunk.to_icechunk": lambda i: measure(
                "run_parchunk", out50, str(folder / f"fifty-{i}")
            ),
            "bare, the same splitting": lambda i: measure(
                "run_bare", out50, str(folder / f"split-{i}")
            ),
            "bare, default splitting": lambda i: measure(
                "run_bare", out50, str(folder / f"plain-{i}"), True
            ),
        }
        for label, runs in zip(calls, in_turns(GROWTH_ROUNDS, [*calls.values()]), strict=True):
            print_growth(label, runs)
        print("the very first region is left out: it opens files for the first time")

        print_memory(folder)

        if find_spec("virtualizarr"):
            print("\nparsing for VirtualiZarr, the same files; medians of three rounds")
            small = build_references(folder, 100, (10, 10, 10), 100)
            theirs, region = in_turns(
                3,
                (
                    lambda _: measure("run_parser", small, "kerchunk"),
                    lambda _: measure("run_parser", small, "region"),
                ),
            )
            print_rates("KerchunkParquetParser", theirs)
            print_rates("RegionParser", region)
            print("RegionParser's rate by that of KerchunkParquetParser:")
            print_shares(theirs, region)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
