"""Tasks of a build from an inventory: each reads all of it, or its share of what one has sorted.

    python -m benchmarks.inventory_tasks [CHUNKS] [--parts N ...] [--of KIND ...]

An S3 Inventory as of `benchmarks.inventories`. One process plans, sorts the rows and keeps them in
OUT; each task runs in a process of its own, one after another: the first time with those rows, the
second after they were deleted, so that it reads the inventory. Pieces of the rows are those that
all tasks fetched together, and the one that fetched most of them, of all there are. Scratch is what
tasks were seen to have below the system's temporary directory, together and at most; MiB are the
most of one, above imports. Of its processor seconds half a one is what a process takes that is new
to all this.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import zarr
from instruments.measuring import in_process, measured
from rich.console import Console
from rich.table import Table

import parchunk
from benchmarks.inventories import make
from parchunk.out.output import INVENTORY

#: Regions of the store, so that there are enough to share out.
_REGIONS = 32


def bytes_below(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def plan(folder: Path, out: str, parts: int) -> dict[str, object]:
    """Write the tasks of a build of the store in ``folder``, and a picture of OUT as it is then."""

    def run() -> dict[str, object]:
        steps = zarr.open_group(folder / "store.zarr", mode="r")["t"].shape[0]
        made = parchunk.plan(
            folder / "store.zarr",
            inventory=folder / "manifest.json",
            split="time",
            region=max(steps // _REGIONS, 1),
        )
        tasks = parchunk.tasks(made, out, parts=parts)
        for number, task in enumerate(tasks):
            (folder / f"task-{number}").write_bytes(pickle.dumps(task))
        kept = Path(out, INVENTORY)
        pieces = len([*kept.glob("rows-*.parquet")])
        return {"tasks": len(tasks), "kept": bytes_below(kept), "pieces": pieces}

    return measured(run)


def do(folder: Path, number: int) -> dict[str, object]:
    """Do one of the tasks; say how much lies in the temporary directory before that is left."""
    task = pickle.loads((folder / f"task-{number}").read_bytes())
    most = pieces = 0

    def look(_: object) -> None:
        nonlocal most, pieces
        scratch = [*Path(tempfile.gettempdir()).glob("parchunk-inventory-*")]
        most = max(most, *map(bytes_below, scratch), 0)
        pieces = max(pieces, *(len([*path.glob("*.parquet")]) for path in scratch), 0)

    def run() -> dict[str, object]:
        result = parchunk.run_task(task, progress=look)
        return {"built": result.built}

    return {**measured(run), "scratch": most, "pieces": pieces}


def row(
    kind: str, parts: int, rows: str, pieces: int | None, done: list[dict[str, Any]]
) -> list[str]:
    """Return what the tasks of a build took; of so many ``pieces``, where there are some."""
    cpu, fetched = [one["cpu_seconds"] for one in done], [one["pieces"] for one in done]
    return [
        kind,
        str(parts),
        rows,
        "" if pieces is None else f"{sum(fetched)}, {max(fetched)} of {pieces}",
        f"{sum(cpu):.1f}",
        f"{max(cpu):.2f}",
        f"{sum(one['scratch'] for one in done) / 1e6:.1f}",
        f"{max(one['scratch'] for one in done) / 1e6:.1f}",
        f"{max(one['mib'] for one in done):.0f}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chunks", nargs="?", type=int, default=10**6)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--of", nargs="+", default=["Parquet", "CSV"])
    parser.add_argument("--one", nargs="+", help="measure here, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        what, folder, *rest = arguments.one
        call = {"plan": lambda: plan(Path(folder), rest[0], int(rest[1]))}
        call["do"] = lambda: do(Path(folder), int(rest[0]))
        print(json.dumps(call[what]()))
        return
    table = Table(title=f"{arguments.chunks:,} rows", box=None, title_justify="left")
    columns = ("of", "parts", "rows", "pieces", "cpu s", "dearest", "scratch MB", "most", "MiB")
    for column in columns:
        table.add_column(column, justify="right")
    name = "benchmarks.inventory_tasks"
    for kind in arguments.of:
        with tempfile.TemporaryDirectory() as root:
            folder, out = Path(root), f"{root}/refs"
            make(folder, arguments.chunks, kind)
            for parts in arguments.parts:
                shutil.rmtree(out, ignore_errors=True)
                made = in_process(name, "plan", folder, out, parts)
                kept = f"kept, {made['kept'] / 1e6:.1f} MB"
                for rows, pieces in ((kept, made["pieces"]), ("read again", None)):
                    done = [in_process(name, "do", folder, n) for n in range(made["tasks"])]
                    table.add_row(*row(kind, parts, rows, pieces, done))
                    shutil.rmtree(Path(out, INVENTORY))
                    for receipt in Path(out).rglob("receipts/*/*.json"):
                        receipt.unlink()
                    Path(out, INVENTORY).mkdir()
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
