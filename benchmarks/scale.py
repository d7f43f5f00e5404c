"""Time and memory of whole builds from a million chunks to a billion, with in-process listings.

    python -m benchmarks.scale [CHUNKS ...]      default: 1, 10 and 100 million

Each size runs in a process of its own at the default memory bound: listing (synthetic, as Arrow
batches of one page), references, record files on disk (in a temporary folder), receipts, root.
"MiB" is the growth of the peak resident size over the imports.
"""

from __future__ import annotations

import argparse
import json
import tempfile

from instruments.measuring import in_process, measured
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from rich.console import Console
from rich.table import Table

import parchunk


def build(chunks: int, concurrency: int) -> dict[str, object]:
    """Build references of about ``chunks`` chunks of UFS-Replay's shape."""
    steps = max(chunks // 127, 1)
    dims = ("time", "pfull", "grid_yt", "grid_xt")
    store = zarr_store([("t", (steps, 127, 768, 1536), (1, 1, 768, 1536), dims)])
    listing = FormulaListing(store)
    source = parchunk.Source(store=listing, url="s3://formula/store.zarr")  # type: ignore[arg-type]
    # The first listing of all imports what parchunk imports when it runs.
    parchunk.plan(source)
    with tempfile.TemporaryDirectory() as folder:

        def run() -> dict[str, object]:
            result = parchunk.build(
                parchunk.plan(source), f"{folder}/refs.parquet", concurrency=concurrency
            )
            return {
                "references": result.present,
                "requests": result.requests,
                "least": result.requests_least,
            }

        return measured(run)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chunks", nargs="*", type=int, default=[10**6, 10**7, 10**8])
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--one", action="store_true", help="measure here, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(build(arguments.chunks[0], arguments.concurrency)))
        return
    table = Table(title="whole builds, in-process listing", box=None, title_justify="left")
    for column in ("references", "seconds", "cpu s", "k refs/s", "MiB", "LIST requests", "least"):
        table.add_column(column, justify="right")
    for chunks in arguments.chunks:
        one = in_process("benchmarks.scale", chunks, "--concurrency", arguments.concurrency)
        table.add_row(
            f"{one['references']:,}",
            f"{one['seconds']:.1f}",
            f"{one['cpu_seconds']:.1f}",
            f"{one['references'] / one['seconds'] / 1000:,.0f}",
            f"{one['mib']:.0f}",
            f"{one['requests']:,}",
            f"{one['least']:,}",
        )
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
