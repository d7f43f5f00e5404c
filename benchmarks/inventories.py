"""Time and memory of whole builds from inventories: sorted by DuckDB, then as from a listing.

    python -m benchmarks.inventories [CHUNKS ...] [--memory SIZE]      default: 1 and 10 million

An S3 Inventory of a store of UFS-Replay's shape, shuffled, in parts of a million rows, of Parquet
and of CSV.gz. Each size runs in a process of its own; the inventory is made before. "MiB" is the
growth of the peak resident size over the imports.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import zarr
from instruments.measuring import in_process, measured
from rich.console import Console
from rich.table import Table

import parchunk

#: Rows of a part.
_PART = 1_000_000
_COLUMNS = "Bucket, Key, Size, LastModifiedDate"


def make(folder: Path, chunks: int, kind: str) -> None:
    """Write a store's metadata, and an inventory of about ``chunks`` chunks of it."""
    steps = max(chunks // 127, 1)
    total = steps * 127
    store = zarr.open_group(folder / "store.zarr", mode="w", zarr_format=3)
    store.create_array(
        "t",
        shape=(steps, 127, 768, 1536),
        chunks=(1, 1, 768, 1536),
        dtype="f4",
        dimension_names=("time", "pfull", "grid_yt", "grid_xt"),
    )
    documents = [
        f"('store.zarr/{path.relative_to(folder / 'store.zarr')}', {path.stat().st_size})"
        for path in sorted((folder / "store.zarr").rglob("zarr.json"))
    ]
    parts = []
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order=false")
        for at, begin in enumerate(range(0, total, _PART)):
            # Neighbours in the store are far apart in the inventory, and in other parts.
            rows = (
                f"SELECT 'store.zarr/t/c/' || (n // 127) || '/' || (n % 127) || '/0/0' AS key, "
                f"4000000 + n % 1000 AS size FROM (SELECT (i * 7919 + 13) % {total} AS n "
                f"FROM range({begin}, {min(begin + _PART, total)}) r(i))"
            )
            if at == 0:
                rows += f" UNION ALL SELECT * FROM (VALUES {', '.join(documents)}) v(key, size)"
            ending = "parquet" if kind == "Parquet" else "csv.gz"
            how = "FORMAT parquet" if kind == "Parquet" else "HEADER false, COMPRESSION gzip"
            path = folder / f"part-{at}.{ending}"
            connection.execute(
                "COPY (SELECT 'bucket' AS bucket, key, size, "
                f"'2026-01-01T00:00:00.000Z' AS last_modified_date FROM ({rows})) "
                f"TO '{path}' ({how})"
            )
            parts.append({"key": path.name, "size": path.stat().st_size})
    manifest = {
        "sourceBucket": "bucket",
        "creationTimestamp": "1767225600000",
        "fileFormat": kind,
        "fileSchema": _COLUMNS,
        "files": parts,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def build(folder: Path, memory: str) -> dict[str, object]:
    """Build the references of the store in ``folder`` from its inventory."""

    def run() -> dict[str, object]:
        began = time.perf_counter()
        plan = parchunk.plan(
            folder / "store.zarr", inventory=folder / "manifest.json", memory=memory
        )
        sorting = time.perf_counter() - began
        result = parchunk.build(plan, folder / "refs.parquet", memory=memory)
        return {"references": result.present, "missing": result.missing, "sorting": sorting}

    return measured(run)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chunks", nargs="*", default=[10**6, 10**7])
    parser.add_argument("--memory", default="512MiB")
    parser.add_argument("--one", action="store_true", help="measure here, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(build(Path(arguments.chunks[0]), arguments.memory)))
        return
    table = Table(title="whole builds from inventories", box=None, title_justify="left")
    for column in ("references", "of", "seconds", "sorting", "cpu s", "k refs/s", "MiB"):
        table.add_column(column, justify="right")
    for chunks in map(int, arguments.chunks):
        for kind in ("Parquet", "CSV"):
            with tempfile.TemporaryDirectory() as folder:
                make(Path(folder), chunks, kind)
                one: dict[str, Any] = in_process(
                    "benchmarks.inventories", folder, "--memory", arguments.memory
                )
            table.add_row(
                f"{one['references']:,}",
                kind,
                f"{one['seconds']:.1f}",
                f"{one['sorting']:.1f}",
                f"{one['cpu_seconds']:.1f}",
                f"{one['references'] / one['seconds'] / 1000:,.0f}",
                f"{one['mib']:.0f}",
            )
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
