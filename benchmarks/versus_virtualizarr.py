"""The same in-memory store through VirtualiZarr and through parchunk, in one run.

    python -m benchmarks.versus_virtualizarr [--chunks N] [--rounds K]

The store is obstore's MemoryStore with one real object a chunk. VirtualiZarr reads it with
`ZarrParser` and writes `to_kerchunk(format="parquet")`; "parsing alone" is that without writing;
parchunk plans and builds; "bare listing" drains `store.list(return_arrow=True)` of the same keys
and does nothing. Each is a process of its own, in turn, and the median round counts. "bytes/ref" is
the growth of the peak over imports and store.
Needs virtualizarr (``pip install virtualizarr``).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import warnings

from instruments.measuring import in_process, measured
from obstore.store import MemoryStore
from rich.console import Console
from rich.table import Table

LEVELS = 50
RUNS = ("VirtualiZarr", "VirtualiZarr, parsing alone", "parchunk", "bare listing")


def filled(chunks: int) -> MemoryStore:
    """Return a Zarr v3 store of ``chunks`` chunks of 8 bytes."""
    store = MemoryStore()
    attributes: dict[str, object] = {}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [chunks // LEVELS, LEVELS, 1, 2],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1, 2]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "dimension_names": ["time", "level", "y", "x"],
        "attributes": attributes,
    }
    store.put("s.zarr/zarr.json", json.dumps(group).encode())
    store.put("s.zarr/t/zarr.json", json.dumps(array).encode())
    for step in range(chunks // LEVELS):
        for level in range(LEVELS):
            store.put(f"s.zarr/t/c/{step}/{level}/0/0", b"\0" * 8)
    return store


def with_virtualizarr(store: MemoryStore, folder: str | None) -> dict[str, object]:
    """Read the references with VirtualiZarr, and write them into a folder, if there is one."""
    from obspec_utils.registry import ObjectStoreRegistry
    from virtualizarr.parsers import ZarrParser

    import virtualizarr

    warnings.simplefilter("ignore")
    registry = ObjectStoreRegistry({"memory://store": store})

    def run() -> dict[str, object]:
        dataset = virtualizarr.open_virtual_dataset(
            "memory://store/s.zarr", registry=registry, parser=ZarrParser(), loadable_variables=[]
        )
        if folder:
            dataset.vz.to_kerchunk(f"{folder}/refs.parquet", format="parquet")
        return {"references": math.prod(dataset["t"].data.manifest.shape_chunk_grid)}

    return measured(run)


def with_parchunk(store: MemoryStore, folder: str, concurrency: int) -> dict[str, object]:
    """Write the references with parchunk."""
    import parchunk

    source = parchunk.Source(store=store, prefix="s.zarr", url="memory://s.zarr")

    def run() -> dict[str, object]:
        result = parchunk.build(
            parchunk.plan(source), f"{folder}/refs.parquet", concurrency=concurrency
        )
        return {"references": result.present}

    return measured(run)


def drained(store: MemoryStore) -> dict[str, object]:
    """List the same keys and do nothing."""

    def run() -> dict[str, object]:
        keys = 0
        for batch in store.list("s.zarr/t/c", chunk_size=1000, return_arrow=True):
            keys += batch.num_rows
        return {"references": keys}

    return measured(run)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=250_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=RUNS)
    arguments = parser.parse_args()
    chunks = arguments.chunks // LEVELS * LEVELS
    if arguments.one:
        # A first run on one time step imports what each imports only when it runs.
        for store in (filled(LEVELS), filled(chunks)):
            with tempfile.TemporaryDirectory() as folder:
                if arguments.one == "VirtualiZarr":
                    one = with_virtualizarr(store, folder)
                elif arguments.one == "VirtualiZarr, parsing alone":
                    one = with_virtualizarr(store, None)
                elif arguments.one == "parchunk":
                    one = with_parchunk(store, folder, 8)
                else:
                    one = drained(store)
        print(json.dumps(one))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in RUNS}
    for _ in range(arguments.rounds):
        for name, rounds in found.items():
            rounds.append(in_process("benchmarks.versus_virtualizarr", name, "--chunks", chunks))
    rate = {
        name: statistics.median(one["references"] / one["seconds"] for one in rounds)
        for name, rounds in found.items()
    }
    table = Table(
        title=f"{chunks:,} chunks in memory, median of {arguments.rounds}",
        box=None,
        title_justify="left",
    )
    for column in ("", "k refs/s", "cpu us/ref", "bytes/ref", "x VirtualiZarr", "of bare listing"):
        table.add_column(column, justify="right" if column else "left")
    for name, rounds in found.items():
        cpu = statistics.median(one["cpu_seconds"] / one["references"] for one in rounds)
        memory = statistics.median(one["mib"] * 2**20 / one["references"] for one in rounds)
        table.add_row(
            name,
            f"{rate[name] / 1000:,.0f}",
            f"{cpu * 1e6:.2f}",
            f"{memory:,.0f}",
            f"{rate[name] / rate['VirtualiZarr']:.1f}",
            f"{rate[name] / rate['bare listing']:.2f}",
        )
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
