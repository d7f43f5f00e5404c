"""Builds against a server that fails: nothing lost, nothing doubled, nothing wrong.

    python -m benchmarks.faults [--seeds N] [--first N]

Each seed draws a store, with gaps or without, what goes wrong, on which requests and how often;
some draw a second fault beside the first. The build is run, and run again while it ends in an
error, at most some times; every reference is then compared with the formula that the server lists
by. A build that ends in a clear error each time has lost nothing either, and is counted apart; a
wrong, lost or doubled reference ends the script, and so does a kind of fault that never struck.
"""

from __future__ import annotations

import argparse
import collections
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from instruments.synthetic.faults import ANY_METHOD, Fault, Kind
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.references import wrong_references
from instruments.synthetic.rules import HashFraction
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store
from rich.console import Console
from rich.table import Table

import parchunk
from parchunk.errors import ParchunkError
from parchunk.listing.patience import Patience

KINDS: tuple[Kind, ...] = get_args(Kind)
RUNS = 8


@dataclass(frozen=True)
class Trial:
    """What a seed draws: ``page`` is the server's own page size."""

    store: FormulaStore
    faults: tuple[Fault, ...]
    page: int


@dataclass(frozen=True)
class Outcome:
    """What came of a trial; ``struck`` counts the requests befallen, by kind."""

    trial: Trial
    exact: bool
    runs: int
    retries: int
    struck: dict[str, int]


def draw(seed: int) -> Trial:
    """Return the trial of a seed; every kind comes in turn."""
    chance = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    grid = chance.choice([(40_000,), (200, 150), (9, 60, 50), (1200, 25)])
    if kind == "ignore-start-after":
        grid = (40_000,)  # long enough for a second walk, which begins after a key
    dims = ("time", "y", "x")[: len(grid)]
    store = zarr_store(
        [("t", grid, (1,) * len(grid), dims), ("t_air", (3000,), (1,), ("time",))],
        present=HashFraction(0.98, seed) if chance.random() < 0.3 else None,
    )
    faults = [draw_fault(kind, chance)]
    if chance.random() < 0.3:
        faults.append(draw_fault(chance.choice(KINDS), chance))
    return Trial(store, tuple(faults), chance.choice([1000, 300]))


def draw_fault(kind: Kind, chance: random.Random) -> Fault:
    """Return a fault of a kind: once, now and then, or from some request on for a while."""
    rate, times = chance.choice([(1.0, 1), (0.1, 200), (0.3, 100), (1.0, 6)])
    # A listing starts anew some times only, where it goes on many times.
    first = 0 if kind == "ignore-start-after" else chance.randrange(4)
    return Fault(
        kind,
        first=first,
        times=times,
        rate=1.0 if kind == "ignore-start-after" else rate,
        seed=chance.randrange(1 << 30),
        on=chance.choice(["LIST", "LIST", "LIST", "GET"]) if kind in ANY_METHOD else "LIST",
        seconds=0.2,
    )


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


def run(seed: int) -> Outcome:
    """Build under the faults of a seed, and compare every reference."""
    trial = draw(seed)
    patience = Patience(attempts=4, first_wait=0.01, longest_wait=0.05)
    runs, retries, exact = 0, 0, False
    with (
        serve(trial.store, faults=trial.faults, page=trial.page, process=False) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        out = Path(folder) / "out"
        while runs < RUNS and not exact:
            runs += 1
            try:
                plan = parchunk.plan(source_of(server), split="time")
                result = parchunk.build(plan, str(out), concurrency=4, patience=patience)
            except ParchunkError as error:
                if "\n" in str(error) or (out / ".zmetadata").exists():
                    raise SystemExit(f"seed {seed}: published, or not one line: {error}") from None
                continue
            retries, exact = result.retries, True
            for array in trial.store.arrays:
                wrong = wrong_references(array, f"s3://{server.bucket}", out, plan.record_size)
                if wrong:
                    raise SystemExit(
                        f"seed {seed} ({trial.faults}): {wrong} wrong references in {array.name}"
                    )
        return Outcome(trial, exact, runs, retries, server.counts()["faults"])


def main() -> None:
    """Print the table; fail when a kind never struck."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=11 * len(KINDS))
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    rows: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    struck: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        outcome = run(seed)
        kind = outcome.trial.faults[0].kind
        struck.update(outcome.struck)
        end = "exact" if outcome.exact else "clear error each time"
        end = end if outcome.struck else "exact, not struck"
        rows[kind].update({end: 1, "runs": outcome.runs, "retries": outcome.retries})
    table = Table(
        title=f"{arguments.seeds} builds under faults, {time.monotonic() - began:.0f} s: "
        "0 references lost, doubled or wrong",
        box=None,
        title_justify="left",
    )
    columns = ("exact", "exact, not struck", "clear error each time", "runs", "retries")
    table.add_column("fault")
    table.add_column("struck", justify="right")
    for column in columns:
        table.add_column(column, justify="right")
    for kind in KINDS:
        table.add_row(kind, str(struck[kind]), *(str(rows[kind][column]) for column in columns))
    Console(width=110, highlight=False).print(table)
    if missed := [kind for kind in KINDS if not struck[kind]]:
        raise SystemExit(
            f"never struck, so nothing is said of them: {', '.join(missed)}; give more --seeds "
            f"than {arguments.seeds} ({len(KINDS)} draw each kind once, not all of which strike)"
        )


if __name__ == "__main__":
    main()
