"""LIST requests to reference real and awkward stores, beside the least and the naive ways.

    python -m benchmarks.requests [--quick]

Every figure in the columns "together" and "one by one" is counted while a synthetic listing is
followed to its end, page by page (`benchmarks.synthetic.twin`); ``--quick`` takes parchunk's
forecast instead. "together" is what a build does within the default memory bound; "one by one"
forces a group for each region, as when regions are left to workers that share nothing.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from rich.console import Console
from rich.table import Table

from benchmarks.synthetic.formula import FormulaArray, FormulaStore
from benchmarks.synthetic.twin import FormulaListing
from parchunk import Source, cover
from parchunk.build import DEFAULT_CONCURRENCY, DEFAULT_MEMORY
from parchunk.groups import (
    Group,
    Unit,
    Width,
    make_groups,
    vector_cells,
    walks_over,
    width_of,
)
from parchunk.keys import KeyEncoding
from parchunk.listing import Listing, Patience, Requests
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy
from parchunk.plan import ArrayPlan, Plan, Split
from parchunk.planner import RECORD_ROWS
from parchunk.stores import Location

DOT, SLASH, V3 = KeyEncoding("", ".", 0), KeyEncoding("", "/", 0), KeyEncoding("c", "/", 0)
AXES = "tzyx"


@dataclass(frozen=True)
class Case:
    """A grid split along ``axis`` into regions of ``region`` chunks."""

    label: str
    grid: tuple[int, ...]
    style: KeyEncoding
    axis: int
    region: int


CASES = [
    Case("UFS-Replay 3-D", (87020, 127, 1, 1), DOT, 0, 8000),
    Case("UFS-Replay 2-D", (87020, 1, 1), DOT, 0, 8000),
    Case("ARCO-ERA5, 1 M regions", (1323648, 1, 1, 1), DOT, 0, 1_000_000),
    Case("ARCO-ERA5, 50 k regions", (1323648, 1, 1, 1), DOT, 0, 50_000),
    Case("MUR-SST", (1289, 11, 10), DOT, 0, 200),
    Case("NWM 2.1", (547, 93), DOT, 0, 100),
    Case("AEF shards", (7, 1, 454, 979), V3, 2, 100),
    Case("UFS-Replay 3-D, v3", (87020, 127, 1, 1), V3, 0, 8000),
    Case("1000 x 50 x 50 on 0", (1000, 50, 50), SLASH, 0, 100),
    Case("1000 x 50 x 50 on 1", (1000, 50, 50), SLASH, 1, 10),
    Case("1000 x 50 x 50 on 2", (1000, 50, 50), SLASH, 2, 10),
    Case("10 x 300 x 300 on 0", (10, 300, 300), DOT, 0, 2),
    Case("10 x 300 x 300 on 1", (10, 300, 300), DOT, 1, 50),
    Case("10 x 300 x 300 on 2", (10, 300, 300), DOT, 2, 50),
]


def plan_of(case: Case) -> Plan:
    """Return the plan of one array with the case's grid, made by hand."""
    rank = len(case.grid)
    encoding = KeyEncoding(case.style.marker, case.style.separator, rank)
    spec = ArraySpec(
        name="v",
        zarr_format=2,
        shape=case.grid,
        chunks=(1,) * rank,
        dtype="<f4",
        itemsize=4,
        dimension_names=tuple(AXES[:rank]),
        keys=encoding,
        attributes={},
        document={},
    )
    inner = prod(case.grid[case.axis + 1 :])
    aligned = inner * case.region
    record = next(n for n in range(min(aligned, RECORD_ROWS), 0, -1) if aligned % n == 0)
    return Plan(
        location=Location("s3://formula/store"),
        group="",
        hierarchy=Hierarchy((spec,), (GroupSpec("", 2, {}, {}),)),
        split=Split(AXES[case.axis]),
        region_length=case.region,
        record_size=record,
        inline_threshold=0,
        arrays=(ArrayPlan(spec, case.axis, case.region),),
    )


def alone(plan: Plan) -> list[Group]:
    """Return a group for each region."""
    return [Group(p.array, (p,), ((Unit(0, p.rows),),), p.rows.cells) for p in plan.partitions()]


def made(plan: Plan, groups: Sequence[Group], width: Width, listing: FormulaListing) -> int:
    """Follow all walks of the groups to their ends; return the pages that were fetched."""
    spec = plan.arrays[0].spec
    follower = Listing(
        Source(store=listing, url="s3://formula/store"),  # type: ignore[arg-type]
        "v",
        width.page,
        Requests(),
        Patience(),
        threading.Event(),
    )
    listing.reset()
    for row_sets in _passes(groups):
        for walk in walks_over(spec, row_sets, width):
            for _ in follower.follow(walk):
                pass
    return int(listing.requests)


def forecast(plan: Plan, groups: Sequence[Group], width: Width) -> int:
    """Return parchunk's own forecast for the groups."""
    from parchunk.groups import forecast_groups as forecast_of

    return forecast_of(plan, groups, width).requests


def _passes(groups: Sequence[Group]) -> Iterator[list]:  # type: ignore[type-arg]
    for group in groups:
        for units in group.passes:
            yield [unit.rows for unit in units]


def naive(case: Case, regions: int) -> tuple[int | None, int]:
    """Return requests for a prefix an index (None: there is none such) and for list-and-filter."""
    total, page = prod(case.grid), cover.PAGE
    below = prod(case.grid[case.axis + 1 :])
    prefixes = prod(case.grid[: case.axis + 1])
    return (
        prefixes * -(-below // page) if case.style.separator == "/" else None,
        regions * -(-total // page),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="forecast instead of following")
    quick = parser.parse_args().quick
    table = Table(
        title="LIST requests over all regions (pages of 1,000 keys)",
        box=None,
        pad_edge=False,
        title_justify="left",
    )
    for column in (
        "store",
        "keys",
        "regions",
        "least",
        "together",
        "ratio",
        "walks",
        "one by one",
        "ratio",
        "prefix an index",
        "list all, filter",
    ):
        table.add_column(column, justify="left" if column in ("store", "keys") else "right")
    for case in CASES:
        plan = plan_of(case)
        spec = plan.arrays[0].spec
        store = FormulaStore([FormulaArray("v", case.grid, spec.keys)])
        listing = FormulaListing(store)
        width = width_of(listing, DEFAULT_CONCURRENCY)
        cells = vector_cells(DEFAULT_MEMORY, plan.record_size, DEFAULT_CONCURRENCY)
        groups = make_groups(plan, plan.partitions(), cells, width)
        walks = sum(len(walks_over(spec, row_sets, width)) for row_sets in _passes(groups))
        least = cover.least_requests(spec.total)
        count = forecast if quick else lambda *args, listing=listing: made(*args, listing)
        together, apart = count(plan, groups, width), count(plan, alone(plan), width)
        prefixes, filtered = naive(case, len(plan.regions))
        table.add_row(
            case.label,
            f"{case.style.marker}{case.style.separator}",
            f"{len(plan.regions):,}",
            f"{least:,}",
            f"{together:,}",
            f"{together / least:.3f}",
            f"{walks:,}",
            f"{apart:,}",
            f"{apart / least:.2f}",
            "-" if prefixes is None else f"{prefixes:,}",
            f"{filtered:,}",
        )
    Console(width=150, highlight=False).print(table)


if __name__ == "__main__":
    main()
