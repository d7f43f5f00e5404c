"""Time, memory and requests where a store holds very many strays, or very many arrays.

    python -m benchmarks.hostile [--strays N ...] [--arrays N ...]      default: up to a million
                                                                        strays, 10^5 arrays

Each row runs in a process of its own, with in-process listings of computed stores: only OUT is
written. Strays lie beyond the grid among the chunks of an array of ten regions, or below a folder
beside them. Arrays have 96 chunks each, a thousand of them in a group. "MiB" is the growth of the
peak resident size over imports and inputs, the first one until the build has ended, and "build
cpu" the processor seconds of planning and building; "least" are the requests for as many keys, and
"own objects" what lies in OUT beside root and record files.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instruments.measuring import in_process, measured
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import FormulaArray
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_documents, zarr_store
from rich.console import Console
from rich.table import Table

import parchunk
from parchunk.cli.main import run
from parchunk.keys.encoding import KeyEncoding

#: Chunks of the array that has the strays: steps by columns.
STEPS, COLUMNS = 1_000, 10


def opened(store: FormulaStore) -> parchunk.Source:
    return parchunk.Source(store=FormulaListing(store), url="s3://formula/store.zarr")  # type: ignore[arg-type]


def with_strays(kind: str, count: int) -> FormulaStore:
    """Return a store of one array of 10,000 chunks and ``count`` strays."""
    documents = zarr_documents([("t", (STEPS, COLUMNS), (1, 1), ("time", "x"))], separator="/")
    extra = count // STEPS
    if kind == "beyond the grid":
        arrays = [FormulaArray("t", (STEPS, COLUMNS + extra), KeyEncoding("", "/", 2))]
    else:
        arrays = [
            FormulaArray("t", (STEPS, COLUMNS), KeyEncoding("", "/", 2)),
            FormulaArray("t/tmp", (STEPS, extra), KeyEncoding("", "/", 2)),
        ]
    return FormulaStore(arrays, documents)


def with_arrays(count: int, root: str = "") -> FormulaStore:
    """Return a store of ``count`` arrays of 96 chunks, below a ``root`` in its bucket."""
    arrays = [
        (f"g{number // 1000}/a{number}", (8, 12), (1, 1), ("y", "x")) for number in range(count)
    ]
    return zarr_store(arrays, separator="/", root=root)


def build_strays(kind: str, count: int) -> dict[str, Any]:
    source = opened(with_strays(kind, count))
    plan = parchunk.plan(source, split="time", region=STEPS // 10)
    with tempfile.TemporaryDirectory() as folder:

        def build() -> dict[str, Any]:
            result = parchunk.build(plan, f"{folder}/refs.parquet")
            assert result.present == STEPS * COLUMNS
            return {"strays": result.strays, "requests": result.requests}

        return measured(build)


def build_arrays(count: int) -> dict[str, Any]:
    source = opened(with_arrays(count))
    parchunk.plan(opened(with_arrays(1)))  # imports
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = step()
        seconds[name] = time.perf_counter() - began
        return result

    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/refs.parquet"

        def everything() -> dict[str, Any]:
            plan = timed("plan", lambda: parchunk.plan(source))
            built = timed("build", lambda: parchunk.build(plan, out))
            usage = resource.getrusage(resource.RUSAGE_SELF)
            timed("again", lambda: parchunk.build(plan, out))
            with contextlib.redirect_stdout(io.StringIO()):
                assert timed("status", lambda: run(["status", out, "--json"])) == 0
            report = timed("audit", lambda: parchunk.audit(out))
            assert report.present == built.present == 96 * count
            return {
                "requests": built.requests,
                "least": -(-96 * count // 1000),
                "objects": sum(path.is_file() for path in Path(out, ".parchunk").rglob("*")),
                "build_cpu": usage.ru_utime + usage.ru_stime - cpu,
                "build_mib": (usage.ru_maxrss - before.ru_maxrss) / 1024,
                **seconds,
            }

        before = resource.getrusage(resource.RUSAGE_SELF)
        cpu = before.ru_utime + before.ru_stime
        return measured(everything)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strays", nargs="*", type=int, default=[10**4, 10**5, 10**6])
    parser.add_argument("--arrays", nargs="*", type=int, default=[10**3, 10**4, 10**5])
    parser.add_argument("--one", nargs="+", help="measure here, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        kind, count = arguments.one
        made = build_arrays(int(count)) if kind == "arrays" else build_strays(kind, int(count))
        print(json.dumps(made))
        return
    console = Console(width=130, highlight=False)
    table = Table(title="strays beside 10,000 chunks", box=None, title_justify="left")
    for column in ("where", "strays", "seconds", "cpu s", "MiB", "LIST requests"):
        table.add_column(column, justify="left" if column == "where" else "right")
    for kind in ("beyond the grid", "in a folder") if arguments.strays else ():
        for count in arguments.strays:
            one = in_process("benchmarks.hostile", kind, count)
            table.add_row(
                kind,
                f"{one['strays']:,}",
                f"{one['seconds']:.1f}",
                f"{one['cpu_seconds']:.1f}",
                f"{one['mib']:.0f}",
                f"{one['requests']:,}",
            )
    console.print(table)
    names = ("plan", "build", "again", "status", "audit")
    table = Table(title="arrays of 96 chunks; seconds", box=None, title_justify="left")
    for column in (
        "arrays",
        *names,
        "cpu s",
        "MiB",
        "build cpu s",
        "build MiB",
        "LIST requests",
        "least",
        "own objects",
    ):
        table.add_column(column, justify="right")
    for count in arguments.arrays:
        one = in_process("benchmarks.hostile", "arrays", count)
        table.add_row(
            f"{count:,}",
            *(f"{one[name]:.1f}" for name in names),
            f"{one['cpu_seconds']:.1f}",
            f"{one['mib']:.0f}",
            f"{one['build_cpu']:.1f}",
            f"{one['build_mib']:.0f}",
            f"{one['requests']:,}",
            f"{one['least']:,}",
            f"{one['objects']:,}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
