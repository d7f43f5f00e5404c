"""Builds one after another under faults: resident memory and open files over time.

    python -m benchmarks.soak [--minutes N] [--chunks N]

One process builds the same store again and again (by --overwrite) while the server fails now and
then. What stays flat leaks nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

import parchunk
from benchmarks.faults import source_of
from benchmarks.synthetic.faults import Fault
from benchmarks.synthetic.formula import HashFraction, zarr_store
from benchmarks.synthetic.server import serve
from parchunk.group_build import Settings
from parchunk.listing import Patience


def resident() -> int:
    """Return this process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") >> 20


def open_files() -> int:
    """Return how many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def main() -> None:
    """Print a row a build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--chunks", type=int, default=10_000_000)
    arguments = parser.parse_args()
    steps = max(arguments.chunks // 100, 1)
    store = zarr_store(
        [("t", (steps, 100), (1, 1), ("time", "x"))], present={"t": HashFraction(0.9)}
    )
    faults = [Fault(kind, times=None, rate=0.003) for kind in ("503", "cut", "reset", "reset-body")]
    patience = Patience(attempts=20, first_wait=0.01, longest_wait=0.1)
    table = Table(
        title=f"{arguments.chunks:,} chunks a build, --memory 160MiB",
        box=None,
        title_justify="left",
    )
    for column in ("build", "minutes", "retries", "MiB resident", "open files", "threads"):
        table.add_column(column, justify="right")
    began, build = time.monotonic(), 0
    with serve(store, faults=faults) as server, tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - began < arguments.minutes * 60:
            plan = parchunk.plan(source_of(server), split="time")
            result = parchunk.build(
                plan,
                f"{folder}/out",
                overwrite=True,
                memory=160 << 20,
                settings=Settings(patience=patience),
            )
            build += 1
            if result.present != store.array("t").count:
                raise SystemExit(f"build {build}: {result.present} chunks")
            table.add_row(
                str(build),
                f"{(time.monotonic() - began) / 60:.1f}",
                str(result.retries),
                str(resident()),
                str(open_files()),
                str(threading.active_count()),
            )
    Console(width=100, highlight=False).print(table)


if __name__ == "__main__":
    main()
