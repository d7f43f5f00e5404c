"""Strays: listed objects that are no chunk of the grid, and why."""

from __future__ import annotations

import io
import re
from collections import Counter
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


class Strays:
    """The strays of a partition: all counted by reason, the first KEPT in key order kept."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self._held: list[Stray] = []
        #: No stray after this one can be among the first.
        self._last: Stray | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return self.reasons.total()

    def add(self, stray: Stray) -> None:
        """Count a stray, and keep it while it may be one of the first."""
        self.reasons[stray.reason] += 1
        self._keep(stray)

    def merge(self, others: Strays) -> None:
        """Count and keep those of ``others`` too."""
        self.reasons.update(others.reasons)
        for stray in others._held:
            self._keep(stray)

    def merge_again(self, others: Strays) -> None:
        """Count and keep those of ``others``, a second listing's, that are not known by name.

        Beyond the KEPT known by name, none can be told from one that the first listing counted.
        """
        known = set(self._held)
        for stray in others._held:
            if stray not in known and (self._last is None or stray < self._last):
                known.add(stray)
                self.add(stray)

    def kept(self) -> list[Stray]:
        """Return the first KEPT strays in key order."""
        return sorted(self._held)[:KEPT]

    def _keep(self, stray: Stray) -> None:
        if self._last is not None and stray > self._last:
            return
        self._held.append(stray)
        if len(self._held) >= 2 * KEPT:  # sorted once in KEPT times
            self._held = self.kept()
            self._last = self._held[-1]


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


def encode_strays(array: str, strays: Strays) -> bytes:
    """Return the Parquet file that keeps the first KEPT strays of a partition, in key order."""
    kept = strays.kept()
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
