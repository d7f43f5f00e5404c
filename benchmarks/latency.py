"""What listings side by side bring when each LIST request takes 50 ms.

    python -m benchmarks.latency [--chunks N] [--latency SECONDS]

A synthetic S3 server on loopback answers; concurrency 1 lists a part of the store only (its rate
is what counts). "bare" is `obstore.list` of the same keys over as many streams, nothing done.
"""

from __future__ import annotations

import argparse
import tempfile
import time

from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rates import keys_with_obstore
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store
from rich.console import Console
from rich.table import Table

import parchunk


def store_of(chunks: int) -> FormulaStore:
    """Return a store of about ``chunks`` chunks."""
    return zarr_store(
        [("t", (max(chunks // 127, 1), 127, 10, 10), (1, 1, 10, 10), ("time", "z", "y", "x"))]
    )


def build_rate(server: Server, concurrency: int) -> tuple[float, int]:
    """Return references a second of a build, and its LIST requests as the server counts them."""
    source = parchunk.Source(
        S3Store(server.bucket, **server.store_kwargs()), url=f"s3://{server.bucket}"
    )
    with tempfile.TemporaryDirectory() as folder:
        plan = parchunk.plan(source)
        server.reset()
        began = time.perf_counter()
        result = parchunk.build(plan, f"{folder}/refs", concurrency=concurrency)
        return result.present / (time.perf_counter() - began), server.counts()["LIST"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=4_000_000)
    parser.add_argument("--latency", type=float, default=0.05)
    arguments = parser.parse_args()
    table = Table(
        title=f"{arguments.latency * 1000:.0f} ms a LIST request", box=None, title_justify="left"
    )
    for column in (
        "concurrency",
        "keys",
        "k refs/s",
        "speed-up",
        "bare k keys/s",
        "of bare",
        "LIST requests",
    ):
        table.add_column(column, justify="right")
    first = 0.0
    for concurrency in (1, 8, 32, 128):
        # Enough for each stream to have 20 pages or more, and a few seconds for the slow ones.
        chunks = min(arguments.chunks, 200_000 * min(concurrency, 32))
        store = store_of(chunks)
        with serve(store, latency=arguments.latency) as server:
            rate, requests = build_rate(server, concurrency)
            array = store.array("t")
            each = -(-array.total // concurrency)
            bare = keys_with_obstore(server, array, concurrency, each)
        first = first or rate
        table.add_row(
            str(concurrency),
            f"{chunks:,}",
            f"{rate / 1000:,.0f}",
            f"{rate / first:.1f}",
            f"{bare / 1000:,.0f}",
            f"{rate / bare:.2f}",
            f"{requests:,}",
        )
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
