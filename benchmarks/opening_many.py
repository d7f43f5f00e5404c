"""What stock readers take to open the references of very many arrays: their root alone.

    python -m benchmarks.opening_many [--arrays N ...]      default: 10^3, 10^4, 10^5 arrays

The root of references of arrays of 96 chunks, a thousand of them in a group, is written without any
record file, and opened in a process of its own each time: by fsspec alone; one array by zarr-python
without consolidated metadata, and with it, when it parses every array's document; and a group's
thousand by xarray. "MiB" is the growth of the peak resident size over imports.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import fsspec
import xarray
import zarr
from instruments.measuring import in_process, measured
from rich.console import Console
from rich.table import Table

import parchunk
from benchmarks.hostile import opened, with_arrays
from parchunk.out.output import ROOT
from parchunk.out.root import published_root

#: What is opened, by how.
WAYS = ("fsspec", "zarr, one array", "zarr, consolidated", "xarray, one group")


def write_root(out: str) -> dict[str, Any]:
    """Write the root of as many arrays, no chunk of which is missing, as the folder's name says."""
    root = published_root(parchunk.plan(opened(with_arrays(int(Path(out).name)))), ())
    Path(out).mkdir()
    (Path(out) / ROOT).write_bytes(root)
    return {"size": len(root)}


def open_by(way: str, out: str) -> dict[str, Any]:
    """Open the references in ``out`` in one way, and measure it."""
    options = {"fo": out, "remote_protocol": "file"}

    def run() -> dict[str, Any]:
        if way == "fsspec":
            return {"found": len(fsspec.filesystem("reference", **options).cat("g0/a0/.zarray"))}
        if way == "xarray, one group":
            dataset = xarray.open_dataset(
                "reference://",
                engine="zarr",
                group="g0",
                consolidated=True,  # without, nothing is found: fsspec lists no nested stores
                backend_kwargs={"storage_options": options},
            )
            return {"found": len(dataset.variables)}
        consolidated = way == "zarr, consolidated"
        root = zarr.open_group(
            "reference://", mode="r", storage_options=options, use_consolidated=consolidated
        )
        array = root["g0/a0"]
        assert isinstance(array, zarr.Array)
        return {"found": array.shape[0]}

    return measured(run)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arrays", nargs="*", type=int, default=[10**3, 10**4, 10**5])
    parser.add_argument("--one", nargs=2, help="measure here, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        way, out = arguments.one
        print(json.dumps(open_by(way, out) if way in WAYS else write_root(out)))
        return
    table = Table(box=None)
    for column in ("arrays", "root, MiB", "opened by", "seconds", "cpu s", "MiB"):
        table.add_column(column, justify="left" if column == "opened by" else "right")
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.arrays:
            out = Path(folder) / str(count)
            # Elsewhere: the peak of a process begins with that of the one that started it.
            size = in_process("benchmarks.opening_many", "write", out)["size"] / 2**20
            for way in WAYS:
                one = in_process("benchmarks.opening_many", way, out)
                assert one["found"]
                table.add_row(
                    f"{count:,}",
                    f"{size:.1f}",
                    way,
                    f"{one['seconds']:.1f}",
                    f"{one['cpu_seconds']:.1f}",
                    f"{one['mib']:.0f}",
                )
    Console(width=100, highlight=False).print(table)


if __name__ == "__main__":
    main()
