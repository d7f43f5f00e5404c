"""Stores whose objects are kept beside their references, and what is kept of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zarr

import parchunk

KINDS = ("none", "time", "etag")
OBJECTS = ".parchunk/objects"


def write(folder: Path, length: int = 12) -> Path:
    """Write a store of an array, a sharded one, and a coordinate; the last chunk is missing."""
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    values = np.arange(1, 4 * length + 1, dtype="i4").reshape(length, 4)
    for name, shards in (("t", None), ("s", (4, 4))):
        array = group.create_array(
            name,
            shape=(length, 4),
            chunks=(2, 2),
            shards=shards,
            dtype="i4",
            compressors=None,
            dimension_names=("time", "x"),
        )
        array[: length - 2] = values[:-2]
    time = group.create_array(
        "time", shape=(length,), chunks=(length,), dtype="i4", dimension_names=("time",)
    )
    time[:] = np.arange(length)
    return folder


def build(source: Path, out: Path, kind: str, **how: Any) -> Path:
    how = {"split": "time", "region": 4, "record_size": 4} | how
    parchunk.build(parchunk.plan(str(source), identity=kind, **how), str(out))
    return out


def write_all(folder: Path) -> Path:
    """Write a store into a folder, and beside it references for each kind of identity."""
    write(folder / "store")
    for kind in KINDS:
        build(folder / "store", folder / kind, kind)
    return folder


def kept(out: Path) -> dict[str, list[Any]]:
    """Return what is kept of each object, by object file."""
    return {
        path.relative_to(out / OBJECTS).as_posix(): pq.read_table(path).column(0).to_pylist()
        for path in sorted((out / OBJECTS).rglob("*.parq"))
    }


def anew(path: Path) -> None:
    """Write a file again with other bytes of the same size, and a time that is later."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[::-1])
    now = path.stat().st_mtime_ns + 5_000_000_000
    os.utime(path, ns=(now, now))


def changed(report: parchunk.AuditReport) -> dict[str, set[tuple[str | None, int | None]]]:
    found: dict[str, set[tuple[str | None, int | None]]] = {}
    for one in report.findings:
        if one.severity == "change":
            found.setdefault(one.kind, set()).add((one.array, one.region))
    return found
