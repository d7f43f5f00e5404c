"""Builds one after another under faults: resident memory and open files over time.

    python -m benchmarks.soak [--minutes N] [--chunks N]

One process builds the same store again and again (by --overwrite) while its server fails. Every
other build has the client that parchunk opens, which retries what it can by itself; in between
comes one that gives up at once, so that parchunk's own retries do the work. A build that ends in
an error is resumed. Every reference is compared after every build, by another process. What stays
flat leaks nothing; the last line says whether it did.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.references import wrong_references
from instruments.synthetic.rules import LeadingRange
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store

import parchunk
from parchunk.building.results import Progress
from parchunk.cover.memory import DEFAULT_CONCURRENCY
from parchunk.errors import ParchunkError
from parchunk.listing.patience import Patience
from parchunk.stores.opening import RETRY

MEMORY = 160 << 20
#: What goes wrong, and with how many of a thousand LIST requests. Each fault is drawn by itself.
RATES = {
    "503": 20.0,
    "429": 5.0,
    "500": 5.0,
    "reset": 5.0,
    "cut": 3.0,
    "reset-body": 3.0,
    "stall": 0.2,
    "drop": 0.3,
    "error-body": 0.03,
    "short": 0.03,
}
PATIENCE = Patience(attempts=20, first_wait=0.01, longest_wait=0.1)
#: Runs of one build, at most: each resumes the one before it.
RUNS = 10
#: MiB by which the second half of a soak may exceed the first: what an allocator's luck is worth.
SLACK = 8
#: Connections that a client may keep open for the next listing, or not: one a listing.
CONNECTIONS = DEFAULT_CONCURRENCY


@dataclass(frozen=True)
class Row:
    """A build: its errors and retries, and what the process held at its peak and afterwards."""

    minutes: float
    runs: int
    retries: int
    peak: int
    resident: int
    files_most: int
    files: int
    threads: int


def status(name: str) -> int:
    """Return a size in MiB from this process's status: VmRSS, or VmHWM, the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) >> 10
    raise SystemExit(f"this system does not tell {name}")


def forget_peak() -> None:
    """Make VmHWM count from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def open_files() -> int:
    """Return how many descriptors this process holds."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (Path.iterdir would be slower)


def source_of(server: Server, patient: bool) -> parchunk.Source:
    """Return the source; its client retries as parchunk's own does, or gives up at once."""
    retry = RETRY | {
        "backoff": {
            "init_backoff": timedelta(milliseconds=10),
            "max_backoff": timedelta(seconds=1),
            "base": 2,
        }
    }
    store = S3Store(
        server.bucket,
        endpoint=server.endpoint,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True, "timeout": "5s"},
        retry_config=retry if patient else {"max_retries": 0},  # type: ignore[arg-type]
    )
    return parchunk.Source(store=store, url=f"s3://{server.bucket}")


def compare(store: FormulaStore, url: str, out: Path, record_size: int) -> None:
    """End with a failure when a reference is lost, invented or wrong. Run in its own process."""
    wrong = wrong_references(store.array("t"), url, out, record_size)
    if wrong:
        raise SystemExit(f"{wrong} wrong references")


def build(store: FormulaStore, server: Server, out: Path, number: int, began: float) -> Row:
    """Build once, whatever it takes, and compare every reference."""
    forget_peak()
    runs = files_most = 0
    seen: list[int] = []  # retries of each run, those of runs that failed included

    def look(progress: Progress) -> None:
        nonlocal files_most
        files_most = max(files_most, open_files())
        seen[-1] = progress.retries

    overwrite = True
    while True:
        runs += 1
        seen.append(0)
        try:
            source = source_of(server, patient=number % 2 == 0)
            plan = parchunk.plan(source, split="time")
            parchunk.build(
                plan,
                str(out),
                overwrite=overwrite,
                memory=MEMORY,
                patience=PATIENCE,
                progress=look,
            )
            break
        except ParchunkError as error:
            print(f"build {number}, run {runs}: {error}", flush=True)
            overwrite = (out / ".zmetadata").exists()  # of the build before this one
            if runs == RUNS:
                raise SystemExit(f"build {number} did not end well in {RUNS} runs") from None
    row = Row(
        (time.monotonic() - began) / 60,
        runs,
        sum(seen),
        status("VmHWM"),
        status("VmRSS"),
        files_most,
        open_files(),
        threading.active_count(),
    )
    child = multiprocessing.get_context("spawn").Process(
        target=compare, args=(store, f"s3://{server.bucket}", out, plan.record_size)
    )
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f"build {number}: references differ from the formula")
    child.close()
    return row


def verdict(rows: Sequence[Row]) -> str:
    """Compare the second half of the builds with the first; the very first one warms up."""
    rows = rows[1:]
    half = len(rows) // 2
    if not half:
        return "too few builds for a verdict: give more --minutes"
    first, second = rows[:half], rows[half:]
    measures = {
        "MiB at the peak": ("peak", SLACK),
        "MiB after a build": ("resident", SLACK),
        "open files at most": ("files_most", CONNECTIONS),
        "open files after a build": ("files", CONNECTIONS),
        "threads after a build": ("threads", 0),
    }
    said, flat = [], True
    for name, (field, slack) in measures.items():
        early = max(getattr(row, field) for row in first)
        late = max(getattr(row, field) for row in second)
        flat &= late <= early + slack
        said.append(f"{name} {early} then {late}")
    return f"{'FLAT' if flat else 'NOT FLAT'} (highest in each half): {', '.join(said)}"


def main() -> None:
    """Print a row a build, what befell the server's answers, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--chunks", type=int, default=10_000_000)
    arguments = parser.parse_args()
    steps = max(arguments.chunks // 100, 1)
    store = zarr_store(
        [("t", (steps, 100), (1, 1), ("time", "x"))],
        present={"t": LeadingRange(0, steps * 9 // 10)},
    )
    faults = [
        Fault(kind, times=None, rate=rate / 1000, seed=seed, seconds=6)  # type: ignore[arg-type]
        for seed, (kind, rate) in enumerate(RATES.items())
    ]
    columns = "build minutes runs retries MiB-peak MiB-after files-most files-after threads"
    rows: list[Row] = []
    befallen: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    with serve(store, faults=faults) as server, tempfile.TemporaryDirectory() as folder:
        parchunk.plan(source_of(server, patient=True), split="time")  # imports what is lazy
        print(
            f"{store.array('t').total:,} chunks a build, --memory {MEMORY >> 20}MiB; "
            f"{status('VmRSS')} MiB and {open_files()} open files before the first"
        )
        print(columns, flush=True)
        while time.monotonic() - began < arguments.minutes * 60:
            row = build(store, server, Path(folder) / "out", len(rows), began)
            rows.append(row)
            cells = (len(rows), f"{row.minutes:.1f}", *list(row.__dict__.values())[1:])
            print(
                *(
                    str(cell).rjust(len(name))
                    for cell, name in zip(cells, columns.split(), strict=True)
                ),
                flush=True,
            )
        befallen.update(server.counts()["faults"])
    print(f"befallen: {', '.join(f'{kind} {befallen[kind]:,}' for kind in RATES)}")
    if missed := [kind for kind in RATES if not befallen[kind]]:
        print(f"never struck: {', '.join(missed)}")
    print(f"retries of parchunk: {sum(row.retries for row in rows):,}; 0 references wrong")
    print(verdict(rows))


if __name__ == "__main__":
    main()
