"""Seconds and peak memory of a whole audit, by the number of references.

    python -m benchmarks.audit [--sizes 1,10,100] [--workers 2]

Sizes are in millions of references; 100 takes some minutes to build first. The store is listed by
formula, so that what is built does not have to exist; 1 chunk in 1,000 is missing. Each audit runs
in a fresh process (Linux), whose peak memory is given above what importing parchunk takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from instruments.synthetic.rules import HashFraction
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store

import parchunk

_STEPS_A_MILLION = 1_000
_CHILD = """
import json, sys
import parchunk.public, parchunk.auditing.against_source
def peak():  # ru_maxrss would start at the parent's, which built
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) << 10
before = peak()
report = parchunk.audit(sys.argv[1], workers=int(sys.argv[2]))
print(json.dumps([report.seconds, peak() - before, report.present, report.missing,
                  report.record_files, report.record_bytes,
                  sum(f.severity == "damage" for f in report.findings)]))
"""


def source(millions: int) -> parchunk.Source:
    """Return a store of so many million chunks in one array."""
    steps = millions * _STEPS_A_MILLION
    store = zarr_store(
        [("t", (steps, 25, 40), (1, 1, 1), ("time", "y", "x"))],
        present=HashFraction(0.999),
    )
    return parchunk.Source(store=FormulaListing(store), url="s3://formula/store.zarr")  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1,10", help="millions of references")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="build here, and use again what is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        columns = ("references", "missing", "record files", "on disk", "seconds", "references/s")
        print(f"| {' | '.join(columns)} | peak RSS above imports |")
        print("|---:|---:|---:|---:|---:|---:|---:|")
        for millions in map(int, arguments.sizes.split(",")):
            out = folder / f"{millions}"
            parchunk.build(parchunk.plan(source(millions)), str(out), trust_listing=True)
            child = subprocess.run(
                [sys.executable, "-c", _CHILD, str(out), str(arguments.workers)],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds, peak, present, missing, files, size, damage = json.loads(child.stdout)
            assert not damage, "a fresh build is not damaged"
            total = present + missing
            print(
                f"| {total:,} | {missing:,} | {files:,} | {size / 2**20:.1f} MiB | {seconds:.1f} | "
                f"{total / seconds:,.0f} | {peak / 2**20:.0f} MiB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
