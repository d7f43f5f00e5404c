"""Builds against a server that fails: nothing lost, nothing doubled, nothing wrong.

    python -m benchmarks.faults [--seeds N] [--first N]

Each seed draws a store, what goes wrong, and how often. The build is run, and run again while it
ends in an error, at most some times; every reference is then compared with the formula that the
server lists by. A build that ends in a clear error each time has lost nothing either, and is
counted apart; a wrong, lost or doubled reference ends the script.
"""

from __future__ import annotations

import argparse
import collections
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from obstore.store import S3Store
from rich.console import Console
from rich.table import Table

import parchunk
from benchmarks.synthetic.faults import Fault, Kind
from benchmarks.synthetic.formula import FormulaStore, zarr_store
from benchmarks.synthetic.server import Server, serve
from parchunk.errors import ParchunkError
from parchunk.group_build import Settings
from parchunk.listing import Patience

KINDS: tuple[Kind, ...] = (
    "429",
    "500",
    "503",
    "reset",
    "cut",
    "reset-body",
    "stall",
    "error-body",
    "no-token",
    "short",
    "drop",
    "repeat-page",
    "swap-pages",
    "reverse",
    "ignore-start-after",
    "expired-token",
)
RUNS = 8


def draw(seed: int) -> tuple[FormulaStore, Fault]:
    """Return the store and the fault of a seed; every kind comes in turn."""
    chance = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    grid = chance.choice([(40_000,), (200, 150), (9, 60, 50), (1200, 25)])
    dims = ("time", "y", "x")[: len(grid)]
    store = zarr_store([("t", grid, (1,) * len(grid), dims), ("t_air", (3000,), (1,), ("time",))])
    once = chance.random() < 0.3
    fault = Fault(
        kind,
        first=chance.randrange(4),
        times=1 if once else chance.randrange(2, 30),
        rate=1.0 if once else chance.choice([0.1, 0.3]),
        seed=seed,
        seconds=0.2,
    )
    return store, fault


def source_of(server: Server) -> parchunk.Source:
    """Return the source, whose client is impatient: faults are to reach parchunk."""
    store = S3Store(
        server.bucket,
        endpoint=server.endpoint,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True, "timeout": "2s"},
        retry_config={"max_retries": 1},  # type: ignore[typeddict-item]
    )
    return parchunk.Source(store=store, url=f"s3://{server.bucket}")


def wrong_references(store: FormulaStore, out: Path, record_size: int, name: str) -> int:
    """Return how many references of an array are lost, invented or wrong."""
    array = store.array(name)
    sizes = array.expected_sizes()
    wrong = 0
    for start in range(0, len(sizes), record_size):
        rows = pq.read_table(out / name / f"refs.{start // record_size}.parq")
        wanted = sizes[start : start + record_size]
        if rows.num_rows != len(wanted):
            wrong += abs(rows.num_rows - len(wanted))
            continue
        paths = rows.column("path").to_pylist()
        found = np.where([path is not None for path in paths], np.asarray(rows.column("size")), 0)
        wrong += int((found != np.maximum(wanted, 0)).sum())
        keys = {path for path in paths if path is not None}
        wrong += sum(path is not None for path in paths) - len(keys)
    return wrong


def run(seed: int) -> tuple[str, str, int, int]:
    """Build under the fault of a seed: (kind, outcome, runs, retries)."""
    store, fault = draw(seed)
    retries = 0
    with (
        serve(store, faults=[fault], process=False) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        out = Path(folder) / "out"
        patience = Patience(attempts=4, first_wait=0.01, longest_wait=0.05)
        for attempt in range(1, RUNS + 1):
            try:
                plan = parchunk.plan(source_of(server), split="time")
                result = parchunk.build(
                    plan, str(out), concurrency=4, settings=Settings(patience=patience)
                )
            except ParchunkError as error:
                if "\n" in str(error) or (out / ".zmetadata").exists():
                    raise SystemExit(f"seed {seed}: published, or not one line: {error}") from None
                continue
            retries = result.retries
            for name in ("t", "t_air"):
                wrong = wrong_references(store, out, plan.record_size, name)
                if wrong:
                    raise SystemExit(f"seed {seed} ({fault}): {wrong} wrong references in {name}")
            befallen = sum(server.counts()["faults"].values())
            return fault.kind, "exact" if befallen else "exact, not befallen", attempt, retries
    return fault.kind, "clear error each time", RUNS, retries


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=112)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    rows: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    began = time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        kind, outcome, runs, retries = run(seed)
        rows[kind].update({outcome: 1, "runs": runs, "retries": retries})
    table = Table(
        title=f"{arguments.seeds} builds under faults, {time.monotonic() - began:.0f} s: "
        "0 references lost, doubled or wrong",
        box=None,
        title_justify="left",
    )
    columns = ("exact", "exact, not befallen", "clear error each time", "runs", "retries")
    table.add_column("fault")
    for column in columns:
        table.add_column(column, justify="right")
    for kind in sorted(rows):
        table.add_row(kind, *(str(rows[kind][column]) for column in columns))
    Console(width=110, highlight=False).print(table)


if __name__ == "__main__":
    main()
