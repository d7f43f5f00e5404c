"""LIST requests to reference real and awkward stores, beside the least and the naive ways.

    python -m benchmarks.requests [--quick]

Every figure in the columns "together" and "one by one" is counted while a synthetic listing is
followed to its end, page by page (`instruments.synthetic.twin`); ``--quick`` takes parchunk's
forecast instead. "together" is what a build does within the default memory bound; "one by one"
forces a job for each region, as when regions are left to workers that share nothing. The last
rows are of very many small arrays, whose "regions" are the arrays.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import FormulaArray
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from rich.console import Console
from rich.table import Table

from parchunk import Source
from parchunk import plan as make_plan
from parchunk.cover import intervals
from parchunk.cover.forecast import forecast_jobs
from parchunk.cover.jobs import Job, Member, Unit
from parchunk.cover.key_ranges import ranges_of
from parchunk.cover.limits import Terms
from parchunk.cover.memory import DEFAULT_CONCURRENCY, DEFAULT_MEMORY, held_within
from parchunk.cover.scheduling import make_jobs
from parchunk.cover.walks import Walk, Width, named_walks, width_of
from parchunk.keys.encoding import KeyEncoding
from parchunk.listing.many_arrays import follow_ranges
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.walker import Listing
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy
from parchunk.planning.choice import RECORD_ROWS
from parchunk.planning.plan import ArrayPlan, Plan, Split
from parchunk.stores.manner import Manner
from parchunk.stores.opening import Location

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


#: Label, arrays, and the grid of each.
MANY = [
    ("HRRR-Zarr fields, 96 chunks", 3_000, (8, 12)),
    ("100,000 arrays of 96 chunks", 100_000, (8, 12)),
    ("10,000 arrays of one chunk", 10_000, (1, 1)),
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


def alone(plan: Plan, width: Width) -> list[Job]:
    """Return a job for each region."""
    terms = Terms(1 << 62, width, plan.record_size)
    jobs = []
    for partition in plan.partitions():
        spec, total = plan.by_name[partition.array].spec, partition.rows.total
        passes = terms.passes(spec, [(Unit(0, partition.rows),)])
        jobs.append(terms.job(Member(spec, (partition,), passes, total)))
    return jobs


def many(arrays: int, grid: tuple[int, ...]) -> FormulaStore:
    """Return a store of many fields of one grid, 150 a level, as HRRR-Zarr has them."""
    fields = [(f"{n // 150}_mb/F{n % 150}", grid, (1,) * len(grid), "yx") for n in range(arrays)]
    return zarr_store(fields)


def made(_: Plan, jobs: Sequence[Job], listing: FormulaListing) -> int:
    """Follow all walks to their ends; return the pages that were fetched."""
    source = Source(store=listing, url="s3://formula/store")  # type: ignore[arg-type]
    listing.reset()
    for job in jobs:
        follower = Listing(source, job.array, Requests(), Patience(), threading.Event())
        if job.together:
            ranges = [
                found
                for at, member in enumerate(job.members)
                for found in ranges_of(member.spec, member.passes[0].spans, at)
            ]
            for _ in follow_ranges(follower, ranges):
                pass
            continue
        for walk in _walks([job]):
            for _ in follower.follow(walk):
                pass
    return int(listing.requests)


def forecast(plan: Plan, jobs: Sequence[Job], _: FormulaListing) -> int:
    """Return parchunk's own forecast."""
    return forecast_jobs(plan, jobs).requests


def _walks(jobs: Sequence[Job]) -> list[Walk]:
    return [
        walk
        for job in jobs
        for member in job.members
        for walked in member.passes
        for walk in named_walks(member.spec.space, walked.spans)
    ]


def naive(case: Case, regions: int) -> tuple[int | None, int]:
    """Return requests for a prefix an index (None: there is none such) and for list-and-filter."""
    total, page = prod(case.grid), intervals.PAGE
    below = prod(case.grid[case.axis + 1 :])
    prefixes = prod(case.grid[: case.axis + 1])
    return (
        prefixes * -(-below // page) if case.style.separator == "/" else None,
        regions * -(-total // page),
    )


Count = Callable[[Plan, Sequence[Job], FormulaListing], int]


def _counted(plan: Plan, least: int, listing: FormulaListing, count: Count) -> list[str]:
    """Return the requests of all regions together and one by one, beside the least."""
    width = width_of(Manner(), DEFAULT_CONCURRENCY)
    most_held = held_within(DEFAULT_MEMORY, plan.record_size, DEFAULT_CONCURRENCY)
    jobs = make_jobs(plan, plan.partitions(), most_held, width)
    together = count(plan, jobs, listing)
    apart = count(plan, alone(plan, width), listing)
    walks = len(jobs) if any(job.together for job in jobs) else len(_walks(jobs))
    return [
        f"{least:,}",
        f"{together:,}",
        f"{together / least:.3f}",
        f"{walks:,}",
        f"{apart:,}",
        f"{apart / least:.2f}",
    ]


def _row_of_case(case: Case, count: Count) -> list[str]:
    plan = plan_of(case)
    spec = plan.arrays[0].spec
    listing = FormulaListing(FormulaStore([FormulaArray("v", case.grid, spec.keys)]))
    prefixes, filtered = naive(case, len(plan.regions))
    return [
        case.label,
        f"{case.style.marker}{case.style.separator}",
        f"{len(plan.regions):,}",
        *_counted(plan, intervals.least_requests(spec.total), listing, count),
        "-" if prefixes is None else f"{prefixes:,}",
        f"{filtered:,}",
    ]


def _row_of_many(label: str, arrays: int, grid: tuple[int, ...], count: Count) -> list[str]:
    listing = FormulaListing(many(arrays, grid))
    plan = make_plan(Source(store=listing, url="s3://formula/store"))  # type: ignore[arg-type]
    least = intervals.least_requests(plan.chunks)
    return [label, ".", f"{arrays:,}", *_counted(plan, least, listing, count), "-", "-"]


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
    count = forecast if quick else made
    for case in CASES:
        table.add_row(*_row_of_case(case, count))
    for label, arrays, grid in MANY:
        table.add_row(*_row_of_many(label, arrays, grid, count))
    Console(width=150, highlight=False).print(table)


if __name__ == "__main__":
    main()
