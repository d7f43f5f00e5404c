"""Fleets of N workers over stores of 10^9 to 10^11 chunks, simulated: no network, and no chunk.

    python -m benchmarks.fleet [--seed N]

What is exact: the plan, how it is divided, each worker's LIST requests (the planner's own forecast,
on a store in which every chunk exists) and the memory that their sizes take. What is a model: a
LIST takes a time drawn from a lognormal distribution around 0.15 s, a shard's index around 0.1 s,
each worker has 32 under way and writes 400,000 rows/s, and the store answers no more than 5,500
LIST and GET requests a second, which S3 gives a prefix of keys before it has split it. Workers that
are taken away (1 in 50, in the middle of their part) begin it again, for what has no receipt.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from parchunk.cli.prices import GET_PRICE, GET_SECONDS, LIST_PRICE, LIST_SECONDS
from parchunk.cover.dividing import Stretch, divide
from parchunk.cover.forecast import Forecast, forecast_jobs
from parchunk.cover.memory import CHUNK_BYTES, DEFAULT_MEMORY, held_within
from parchunk.cover.scheduling import make_jobs
from parchunk.cover.walks import width_of
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.choice import make_plan
from parchunk.planning.plan import Plan
from parchunk.planning.stretches import partitions_in
from parchunk.stores.manner import Manner
from parchunk.stores.opening import Location

#: Requests that a worker has under way at the same time.
CONCURRENCY = 32
#: Rows that a worker writes in a second.
ROWS = 400_000
#: LIST and GET requests that a prefix of S3 answers in a second before S3 has split it.
LIMIT = 5_500
#: Standard deviation of the logarithm of a request's time.
SPREAD = 0.6
#: How many of the workers are taken away in the middle.
TAKEN = 0.02


@dataclass(frozen=True)
class Store:
    """A store by its grid of chunks: ``inner`` chunks are in each, where it is sharded."""

    name: str
    grid: tuple[int, ...]
    region: int
    inner: int = 1

    def plan(self) -> Plan:
        """Return its plan: the very planner's, of a hierarchy of one array."""
        rank = len(self.grid)
        shape = (self.grid[0] * self.inner, *self.grid[1:])
        spec = ArraySpec(
            name="t",
            zarr_format=3,
            shape=shape,
            chunks=(self.inner, *(1,) * (rank - 1)),
            inner_chunks=(1,) * rank if self.inner > 1 else None,
            dtype="float32",
            itemsize=4,
            dimension_names=("time", *(f"x{axis}" for axis in range(1, rank))),
            keys=KeyEncoding("c", "/", rank),
            attributes={},
            document=document_of(shape, self.inner) if self.inner > 1 else {},
        )
        return make_plan(
            Hierarchy((spec,), ()),
            Location("s3://bucket/store"),
            split="time",
            region=self.region * self.inner,
        )


STORES = (
    Store("10^9, a chunk an hour and tile", (1_000_000, 1_000), 1_000),
    Store("10^10, finer tiles", (1_000_000, 10_000), 100),
    Store("10^11, finer still", (1_000_000, 100_000), 50),
    Store("10^9 in 3.1 M shards", (3_100, 1_000), 10, 320),
)


def document_of(shape: tuple[int, ...], inner: int) -> dict[str, object]:
    """Return the document of a sharded array, as far as planning looks at it."""
    rank = len(shape)
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1] * rank,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "index_codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "crc32c"},
            ],
            "index_location": "end",
        },
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [inner, *[1] * (rank - 1)]},
        },
        "codecs": [sharding],
    }


@dataclass(frozen=True)
class Fleet:
    """What a fleet comes to: seconds, requests beside the least, and what each worker has."""

    workers: int
    makespan: float
    lists: int
    least: int
    gets: int
    imbalance: float
    held: int
    planned: float

    @property
    def price(self) -> float:
        """US dollars for the requests."""
        return (self.lists * LIST_PRICE + self.gets * GET_PRICE) / 1000


def forecast(plan: Plan, manner: Manner, stretch: Stretch) -> tuple[Forecast, int, int]:
    """Return what one worker's stretch costs, its rows, and the bytes of sizes that it holds."""
    most_held = held_within(DEFAULT_MEMORY, plan.record_size, CONCURRENCY)
    partitions = list(partitions_in(plan, stretch.start, stretch.stop))
    jobs = make_jobs(plan, partitions, most_held, width_of(manner, CONCURRENCY))
    rows = sum(partition.rows.total for partition in partitions)
    held = max((job.held for job in jobs), default=0) * CHUNK_BYTES
    return forecast_jobs(plan, jobs), rows, held


def simulate(plan: Plan, workers: int, dice: np.random.Generator) -> Fleet:
    """Divide the plan among workers, and let each take the time that the model draws."""
    manner, began = Manner(), time.monotonic()
    stretches = divide(plan, manner, workers)
    costs = [forecast(plan, manner, stretch) for stretch in stretches]
    planned = time.monotonic() - began
    lists = np.array([cost.requests for cost, _, _ in costs])
    gets = np.array([cost.gets for cost, _, _ in costs])
    rows = np.array([rows for _, rows, _ in costs])
    # Of many draws of one distribution, the sum is about normal: its mean, and its spread.
    spread = np.sqrt(np.expm1(SPREAD**2))
    work = lists * LIST_SECONDS + gets * GET_SECONDS
    noise = spread * np.sqrt(lists * LIST_SECONDS**2 + gets * GET_SECONDS**2)
    reading = np.maximum(work + noise * dice.standard_normal(len(costs)), 0) / CONCURRENCY
    # Rows are written while the next are listed: the slower of both counts.
    seconds = np.maximum(reading, rows / ROWS)
    taken = dice.random(len(costs)) < TAKEN
    # In the middle of a region, which is listed again.
    seconds = seconds + taken * seconds / np.maximum(
        [stretch.stop - stretch.start for stretch in stretches], 1
    )
    # All together may not ask for more than the store answers.
    limited = float((lists.sum() + gets.sum()) / LIMIT)
    return Fleet(
        workers=workers,
        makespan=max(float(seconds.max()), limited),
        lists=int(lists.sum()),
        least=-(-sum(array.spec.total for array in plan.arrays) // manner.page),
        gets=int(gets.sum()),
        imbalance=float(seconds.max() / seconds.mean()),
        held=max(held for _, _, held in costs),
        planned=planned,
    )


def main() -> None:
    """Print what fleets of several sizes come to."""
    parser = argparse.ArgumentParser(description="Simulate fleets of workers.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    arguments = parser.parse_args()
    table = Table(box=None)
    columns = (
        "chunks",
        "workers",
        "minutes",
        "LISTs",
        "/ least",
        "GETs",
        "imbalance",
        "MiB",
        "USD",
    )
    for name in (*columns, "s to plan"):
        table.add_column(name, justify="left" if name == "chunks" else "right")
    for store in STORES:
        plan = store.plan()
        for workers in arguments.workers:
            fleet = simulate(plan, workers, np.random.default_rng(arguments.seed))
            table.add_row(
                store.name,
                f"{workers:,}",
                f"{fleet.makespan / 60:,.1f}",
                f"{fleet.lists:,}",
                f"{fleet.lists / fleet.least:.2f}",
                f"{fleet.gets:,}",
                f"{fleet.imbalance:.2f}",
                f"{fleet.held / (1 << 20):,.0f}",
                f"{fleet.price:,.2f}",
                f"{fleet.planned:.1f}",
            )
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
