"""Strays: listed objects that are no chunk of the grid, and why."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.metadata.spec import ArraySpec

#: Strays of one partition that are kept by name; all are counted.
KEPT = 10_000

#: Zarr's own documents, which every array folder holds.
_METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})
_NUMBERS = re.compile(r"[0-9]+")

SCHEMA = pa.schema(
    [
        pa.field("array", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, order=True)
class Stray:
    """A listed object below an array: its ``path`` there, its size in bytes, the reason."""

    path: str
    size: int
    reason: str


def reason_of(spec: ArraySpec, tail: str, size: int) -> str | None:
    """Return why the object at ``tail`` is a stray, or None for Zarr's own metadata."""
    if tail in _METADATA:
        return None
    if spec.keys.index(tail) is not None:
        return "outside the grid"
    if size == 0 and _is_marker(spec, tail):
        return "directory marker"
    canonical = _NUMBERS.sub(lambda match: match.group().lstrip("0") or "0", tail)
    if canonical != tail and spec.keys.index(canonical) is not None:
        return "not a canonical number"
    return "not a chunk key"


def _is_marker(spec: ArraySpec, tail: str) -> bool:
    """Whether ``tail`` is a directory above chunk keys: some first segments of one."""
    example = spec.keys.tail((0,) * spec.rank).split("/")
    segments = tail.split("/") if tail else []
    return len(segments) < len(example) and all(
        segment == wanted or (wanted.isdecimal() and segment.isdecimal())
        for segment, wanted in zip(segments, example, strict=False)
    )


def encode_strays(array: str, strays: Sequence[Stray]) -> bytes:
    """Return the Parquet file that keeps the first KEPT strays of a partition, in key order."""
    kept = sorted(strays)[:KEPT]
    table = pa.Table.from_arrays(
        [
            pa.array([array] * len(kept), pa.string()),
            pa.array([stray.path for stray in kept], pa.string()),
            pa.array([stray.size for stray in kept], pa.int64()),
            pa.array([stray.reason for stray in kept], pa.string()),
        ],
        schema=SCHEMA,
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue()
