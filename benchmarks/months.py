"""Months that share no divisor: record files of several stores, beside those of one store each.

    python -m benchmarks.months [--months N] [--columns M] [--rounds K]

N stores of 672 to 744 hourly steps, a chunk each, of M columns, are listed in the process itself
and built in three ways in turn, each time in a process of its own; the median round counts. "each
in one store" has the largest record size of which every store is whole files, "across stores" the
one that is chosen, and "one store" is of the same chunks. Planning is in the time. "MiB" is the
growth of the peak over the imports.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Any

from instruments.measuring import in_process, measured
from instruments.synthetic.neighbours import periods, side_by_side
from instruments.synthetic.twin import FormulaListing
from rich.console import Console
from rich.table import Table

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
WAYS = ("each in one store", "across stores", "one store")


def once(way: str, months: int, columns: int) -> dict[str, Any]:
    """Return what building so many months takes, and what came of it."""
    import parchunk

    hours = [24 * DAYS[at % 12] for at in range(months)]
    if way == "one store":
        hours = [sum(hours)]
    begins = accumulate(hours, initial=0)
    listing: Any = FormulaListing(
        side_by_side(
            periods(
                [f"era5/{at:06}.zarr"],
                [("air", (steps, columns), (1, 1), ("time", "x"))],
                steps,
                begin=begin,
            )
            for at, (steps, begin) in enumerate(zip(hours, begins, strict=False))
        )
    )
    sources = [
        parchunk.Source(listing, f"era5/{at:06}.zarr", f"s3://bucket/era5/{at:06}.zarr")
        for at in range(len(hours))
    ]
    # What a day of hours has is what all borders share.
    size = 24 * columns if way == "each in one store" else None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "refs.parquet"

        def run() -> dict[str, Any]:
            plan = parchunk.plan(sources, concat="time", record_size=size)
            result = parchunk.build(plan, out)
            return {"references": result.present - len(plan.stores.kept), "rows": plan.record_size}

        found = measured(run)
        files = list(out.glob("air/refs.*.parq"))
        found["files"] = len(files)
        found["mb"] = sum(file.stat().st_blocks * 512 for file in files) / 1e6
    return found


def main() -> None:
    """Print the table, or one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--one", choices=WAYS)
    parser.add_argument("--months", type=int, default=120)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(once(given.one, given.months, given.columns)))
        return
    sizes = ("--months", given.months, "--columns", given.columns)
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way, each in found.items():
            each.append(in_process("benchmarks.months", way, *sizes))
    table = Table(
        title=f"{given.months:,} months of {given.columns:,} columns, median of {given.rounds}",
        box=None,
        title_justify="left",
    )
    columns = ("", "record files", "rows in one", "MB on disk", "k refs/s", "MiB")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for way, each in found.items():
        middle = {key: statistics.median(one[key] for one in each) for key in each[0]}
        table.add_row(
            way,
            f"{middle['files']:,.0f}",
            f"{middle['rows']:,.0f}",
            f"{middle['mb']:.1f}",
            f"{middle['references'] / middle['seconds'] / 1000:,.0f}",
            f"{middle['mib']:.0f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
