"""Stores that follow each other as one dataset: VirtualiZarr and parchunk in one run; planning.

    python -m benchmarks.many_stores [--stores N] [--chunks M] [--rounds K] [--planned N,N]

First N stores of M chunks each, served by the synthetic S3 server. VirtualiZarr reads them with
`open_virtual_mfdataset` and writes `to_kerchunk(format="parquet")`; parchunk plans and builds. Each
is a process of its own, in turn, and the median round counts. Requests are those that the server
has counted from the first document to the last, metadata and coordinates among them. "MiB" is the
growth of the peak over the imports.

Then what planning costs a store, at each of ``--planned`` stores of 20 arrays, listed and read in
the process itself; there "MiB" is what Python allocates while it plans, at most. Needs virtualizarr
(``pip install virtualizarr``).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import tracemalloc
import warnings
from typing import Any

from instruments.measuring import in_process, measured
from instruments.synthetic.neighbours import periods
from instruments.synthetic.server import Server, serve
from instruments.synthetic.twin import FormulaListing
from obstore.store import S3Store
from rich.console import Console
from rich.table import Table

STEPS = 4


def named(count: int) -> list[str]:
    """Return where so many stores lie in their bucket."""
    return [f"era5/{at:06}.zarr" for at in range(count)]


def with_virtualizarr(server: Server, names: list[str], folder: str) -> dict[str, Any]:
    """Write the references with VirtualiZarr."""
    from obspec_utils.registry import ObjectStoreRegistry
    from virtualizarr.parsers import ZarrParser

    import virtualizarr

    warnings.simplefilter("ignore")
    bucket = S3Store(server.bucket, **server.store_kwargs())
    registry = ObjectStoreRegistry({f"s3://{server.bucket}": bucket})

    def run() -> dict[str, Any]:
        dataset = virtualizarr.open_virtual_mfdataset(
            [f"s3://{server.bucket}/{name}" for name in names],
            registry=registry,
            parser=ZarrParser(),
            loadable_variables=["time"],
            combine="nested",
            concat_dim="time",
            coords="minimal",
            compat="override",
        )
        dataset.vz.to_kerchunk(f"{folder}/refs.parquet", format="parquet")
        return {"references": len(dataset["air"].data.manifest.dict())}

    return measured(run)


def with_parchunk(server: Server, names: list[str], folder: str) -> dict[str, Any]:
    """Write the references with parchunk."""
    import parchunk

    bucket = S3Store(server.bucket, **server.store_kwargs())
    sources = [parchunk.Source(bucket, name, f"s3://{server.bucket}/{name}") for name in names]

    def run() -> dict[str, Any]:
        plan = parchunk.plan(sources, concat="time")
        result = parchunk.build(plan, f"{folder}/refs.parquet")
        return {"references": result.present - 1, "chunk_lists": result.requests}

    return measured(run)


def once(who: str, stores: int, chunks: int) -> dict[str, Any]:
    """Return what one of the two needs for so many stores, after a first run on two of them."""
    arrays = [("air", (STEPS, chunks // STEPS), (1, 1), ("time", "x"))]
    one = with_virtualizarr if who == "virtualizarr" else with_parchunk
    found: dict[str, Any] = {}
    for count in (2, stores):  # the first one imports what each imports only when it runs
        names = named(count)
        with (
            serve(periods(names, arrays, STEPS)) as server,
            tempfile.TemporaryDirectory() as folder,
        ):
            found = one(server, names, folder)
            counts = server.counts()
            found.update(lists=counts["LIST"], gets=counts["GET"])
    return found


def planned(stores: int) -> dict[str, Any]:
    """Return what planning so many stores of 20 arrays takes."""
    import parchunk
    from parchunk.cli.plan import describe

    arrays = [(f"variable{at:02}", (STEPS, 10), (1, 1), ("time", "x")) for at in range(19)]
    names = named(stores)
    bucket: Any = FormulaListing(periods(names, arrays, STEPS))
    sources = [parchunk.Source(bucket, name, f"s3://bucket/{name}") for name in names]

    def run() -> dict[str, Any]:
        shown = describe(parchunk.plan(sources, concat="time"))
        return {"forecast": shown["list_requests"], "least": shown["list_requests_least"]}

    describe(parchunk.plan(sources[:2], concat="time"))  # imports what is imported only then
    found = measured(run)
    # The documents that the process itself serves took more than planning does: what Python
    # allocates while it plans is counted, in a second run that this makes slow.
    tracemalloc.start()
    run()
    return {**found, "mib": tracemalloc.get_traced_memory()[1] / 2**20}


def compared(stores: int, chunks: int, rounds: int) -> Table:
    """Return the table of VirtualiZarr and parchunk on the same stores."""
    found: dict[str, list[dict[str, Any]]] = {"virtualizarr": [], "parchunk": []}
    for _ in range(rounds):
        for who, each in found.items():
            sizes = ("--stores", stores, "--chunks", chunks)
            each.append(in_process("benchmarks.many_stores", who, *sizes))
    table = Table(
        title=f"{stores:,} stores of {chunks:,} chunks, median of {rounds}",
        box=None,
        title_justify="left",
    )
    for column in ("", "k refs/s", "s", "MiB", "LIST", "of them chunks", "GET"):
        table.add_column(column, justify="right" if column else "left")
    for who, each in found.items():
        middle = {
            key: statistics.median(one[key] for one in each)
            for key in ("references", "seconds", "mib", "lists", "gets")
        }
        table.add_row(
            who,
            f"{middle['references'] / middle['seconds'] / 1000:,.1f}",
            f"{middle['seconds']:,.1f}",
            f"{middle['mib']:,.0f}",
            f"{middle['lists']:,.0f}",
            f"{each[0].get('chunk_lists', '')}",
            f"{middle['gets']:,.0f}",
        )
    return table


def plans(counts: list[int]) -> Table:
    """Return the table of what planning costs a store."""
    table = Table(title="planning stores of 20 arrays", box=None, title_justify="left")
    for column in (
        "stores",
        "cpu s",
        "cpu ms a store",
        "MiB",
        "KiB a store",
        "LIST forecast",
        "least",
    ):
        table.add_column(column, justify="right")
    for count in counts:
        one = in_process("benchmarks.many_stores", "plan", "--stores", count)
        table.add_row(
            f"{count:,}",
            f"{one['cpu_seconds']:,.1f}",
            f"{one['cpu_seconds'] / count * 1000:.1f}",
            f"{one['mib']:,.0f}",
            f"{one['mib'] * 1024 / count:,.1f}",
            f"{one['forecast']:,}",
            f"{one['least']:,}",
        )
    return table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stores", type=int, default=1_000)
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--planned", default="500,2000")
    parser.add_argument("--one", choices=["virtualizarr", "parchunk", "plan"])
    arguments = parser.parse_args()
    if arguments.one == "plan":
        print(json.dumps(planned(arguments.stores)))
        return
    if arguments.one:
        print(json.dumps(once(arguments.one, arguments.stores, arguments.chunks)))
        return
    console = Console(width=120, highlight=False)
    console.print(compared(arguments.stores, arguments.chunks, arguments.rounds))
    console.print(plans([int(count) for count in arguments.planned.split(",") if count]))


if __name__ == "__main__":
    main()
