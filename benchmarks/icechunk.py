"""Print how fast references go into Icechunk, beside the bare icechunk calls on the same arrays.

``python -m benchmarks.icechunk [references] [rounds]``

The references are those of a synthetic store, listed over loopback. Every measurement has a
process of its own; memory is its peak above what it had before the first reference was set. What
is compared takes turns, and which of a pair goes first changes, so that whatever else the machine
does hits both; shares are medians of the pairs, by the clock and by processor time.

Both make the same commits with the same manifest splitting. The bare calls set a region at once,
from lists and arrays that are in memory before; parchunk reads and checks record files, and sets
at most 100,000 references at a time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store

import parchunk
from benchmarks.icechunk_runs import Measurement, measure
from parchunk.icechunk_import.importing import MEMORY

REGIONS_OF_MILLION = 4
ROUNDS = 11
GROWTH_ROUNDS = 3
COMMITS = 50
REFERENCES_A_COMMIT = 20_000
#: Regions of this many references, and how many of them.
SMALL = (96, 462)


def build_references(
    folder: Path,
    steps: int,
    rest: tuple[int, ...],
    region: int,
    names: Sequence[str] = ("air",),
) -> str:
    """Build the references of arrays of ``steps`` x ``rest`` chunks; return OUT."""
    dimensions = ("time", "level", "y", "x")
    shape = (steps, *(64 * size for size in rest))
    chunks = (1, *(64 for _ in rest))
    store = zarr_store(
        [(name, shape, chunks, dimensions[: 1 + len(rest)]) for name in names],
        # Uncompressed: VirtualiZarr 2.5 takes a v2 compressor, a JSON object, for a list, and so
        # reads none; 2.8 does. (Its own writer puts all codecs among the filters.)
        size="exact",
    )
    out = str(folder / f"refs-{steps}-{region}-{len(names)}-{len(names[0])}")
    with serve(store) as server:
        options = {
            "endpoint": server.store_kwargs()["endpoint"],
            "region": "us-east-1",
            "skip_signature": "true",
        }
        plan = parchunk.plan(
            f"s3://{server.bucket}", split="time", region=region, store_options=options
        )
        parchunk.build(plan, out, trust_listing=True)
    return out


def in_turns(
    rounds: int, measures: Sequence[Callable[[int], Measurement]]
) -> list[list[Measurement]]:
    """Run measurements in turns, in another order each time; return the rounds of each."""
    found: list[list[Measurement]] = [[] for _ in measures]
    for number in range(rounds):
        for turn in range(len(measures)):
            which = (turn + number) % len(measures)
            found[which].append(measures[which](number))
    return found


def print_rates(name: str, runs: Sequence[Measurement]) -> None:
    """Print one line of a table of rates, medians of some runs."""
    seconds, cpu, memory = (
        statistics.median(run[key] for run in runs) for key in ("seconds", "cpu", "memory")
    )
    references = runs[0]["references"]
    print(
        f"{name:26} {references:>10,} {seconds:>8.2f} s {references / seconds:>10,.0f} refs/s "
        f"{cpu:>8.2f} s of processor {memory / 1024:>6,.0f} MiB"
    )


def print_shares(than: Sequence[Measurement], runs: Sequence[Measurement]) -> None:
    """Print how the rate of some runs compares with that of others, pair by pair."""
    for what, key in (("by the clock", "seconds"), ("by processor time", "cpu")):
        shares = sorted(a[key] / b[key] for a, b in zip(than, runs, strict=True))
        print(
            f"{what:>26}: {statistics.median(shares):.2f} (median of {len(shares)} pairs, "
            f"{shares[0]:.2f} to {shares[-1]:.2f})"
        )


def print_growth(name: str, runs: Sequence[Measurement]) -> None:
    """Print what the first and the last regions took, of each its wall and processor time."""
    for which, what in enumerate(("wall", "processor")):
        ends = []
        for run in runs:
            times = [each[which] for each in run["each"]]
            ends.append((statistics.median(times[1:6]), statistics.median(times[-5:])))
        ratios = sorted(last / first for first, last in ends)
        first, last = (statistics.median(end) for end in zip(*ends, strict=True))
        print(
            f"{name:26} {what:>9}: first {first:.3f}, last {last:.3f}, last / first "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def print_small_regions(folder: Path) -> None:
    """Print what commits of many small regions take, by how manifests are split."""
    references, regions = SMALL
    out = build_references(folder, regions, (references,), 1)
    print(f"\n{regions} successive regions of {references} references; seconds, of one round")
    for label, run, *how in (
        ("parchunk.to_icechunk", "run_parchunk"),
        ("bare, the same splitting", "run_bare"),
        ("bare, split at regions", "run_bare", "region"),
        ("bare, default splitting", "run_bare", "default"),
    ):
        repo = folder / f"small-{'-'.join(label.split())}"
        found = measure(run, out, str(repo), *how)
        print_growth(label, [found])
        size = sum(path.stat().st_size for path in repo.rglob("*") if path.is_file())
        print(f"{'':26} {found['cpu']:.1f} s of processor in all, {size / 1e6:.1f} MB in REPO")


def print_memory(folder: Path) -> None:
    """Print the least bound that imports of one region each are taken for, and their peaks."""
    print("\nmemory of one region, MiB above the imports; with the least bound that is taken")
    for steps, names in (
        (100, ("air",)),
        (400, ("air",)),
        (100, ("air", "rain", "snow", "wind")),
        (200, ("a" * 150,)),
    ):
        out = build_references(folder, steps, (10, 10, 10), steps, names)
        length, bound = least_bound(out)
        found = measure("run_parchunk", out, str(folder / f"held-{steps}-{len(names)}"), bound)
        print(
            f"{found['references']:>10,} references, {len(names)} arrays, locations of {length:>3} "
            f"bytes: bound {bound >> 20:>4}, peak {found['memory'] / 1024:>4.0f}, "
            f"{found['memory'] * 1024 / found['references']:>5,.0f} bytes a reference"
        )


def least_bound(out: str) -> tuple[int, int]:
    """Return the bytes of a location, and the least bound that OUT's first region fits."""
    from parchunk.icechunk_import.locations import Container
    from parchunk.icechunk_import.memory import budget, location_length
    from parchunk.icechunk_import.planned_commits import plan_commits
    from parchunk.metadata.to_v3 import v3_documents
    from parchunk.out.opening import open_output
    from parchunk.out.plan_file import load_plan
    from parchunk.reading.rows import finished_receipts

    output = open_output(out)
    plan = load_plan(output)
    receipts = finished_receipts(output, plan)
    container = Container.of(plan.location)
    work = plan_commits(plan, receipts, v3_documents(plan.hierarchy), container, True)
    found = budget(plan, receipts, container, work, MEMORY)
    return location_length(container, plan.arrays[0].spec), found.enough(0) << 20


def main(references: int = 1_000_000, rounds: int = ROUNDS) -> None:
    """Print the tables."""
    import icechunk

    print(f"icechunk {icechunk.__version__}, Python {sys.version.split()[0]}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = max(references // 1000, 4)
        out = build_references(folder, steps, (10, 10, 10), -(-steps // REGIONS_OF_MILLION))
        print(f"set + commit, {REGIONS_OF_MILLION} regions; medians of {rounds} rounds")
        bare, ours = in_turns(
            rounds,
            (
                lambda i: measure("run_bare", out, str(folder / f"bare-{i}")),
                lambda i: measure("run_parchunk", out, str(folder / f"ours-{i}")),
            ),
        )
        print_rates("bare icechunk calls", bare)
        print_rates("parchunk.to_icechunk", ours)
        print("parchunk's rate by that of the bare calls:")
        print_shares(bare, ours)

        print(
            f"\n{COMMITS} successive regions of {REFERENCES_A_COMMIT:,} references; seconds, "
            f"medians of five regions and {GROWTH_ROUNDS} rounds"
        )
        out50 = build_references(folder, COMMITS * 20, (10, 10, 10), 20)
        calls: dict[str, Callable[[int], Measurement]] = {
            "parchunk.to_icechunk": lambda i: measure(
                "run_parchunk", out50, str(folder / f"fifty-{i}")
            ),
            "bare, the same splitting": lambda i: measure(
                "run_bare", out50, str(folder / f"split-{i}")
            ),
            "bare, default splitting": lambda i: measure(
                "run_bare", out50, str(folder / f"plain-{i}"), "default"
            ),
        }
        for label, runs in zip(calls, in_turns(GROWTH_ROUNDS, [*calls.values()]), strict=True):
            print_growth(label, runs)
        print("the very first region is left out: it opens files for the first time")

        print_small_regions(folder)
        print_memory(folder)

        if find_spec("virtualizarr"):
            print("\nparsing for VirtualiZarr, the same files; medians of three rounds")
            small = build_references(folder, 100, (10, 10, 10), 100)
            theirs, region = in_turns(
                3,
                (
                    lambda _: measure("run_parser", small, "kerchunk"),
                    lambda _: measure("run_parser", small, "region"),
                ),
            )
            print_rates("KerchunkParquetParser", theirs)
            print_rates("RegionParser", region)
            print("RegionParser's rate by that of KerchunkParquetParser:")
            print_shares(theirs, region)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
