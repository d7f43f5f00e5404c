"""What a record file of OUT holds, for comparisons with the source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.auditing.record_check import RecordJob
from parchunk.keys.numbers import Int64Array
from parchunk.out.inlined import lengths
from parchunk.out.output import Output
from parchunk.out.record_files import record_path


@dataclass(frozen=True)
class HeldRows:
    """The rows of a record file: sizes of chunks, 0 where one is missing, and where each begins.

    ``raw`` has the bytes of the inlined, or is of no rows where they were not asked for.
    """

    sizes: Int64Array
    offsets: Int64Array
    inlined: NDArray[np.bool_]
    raw: pa.Array

    def part(self, begin: int, end: int) -> HeldRows:
        """Return some of the rows."""
        rows = slice(begin, end)
        raw = self.raw.slice(begin, end - begin) if len(self.raw) else self.raw
        return HeldRows(self.sizes[rows], self.offsets[rows], self.inlined[rows], raw)

    @property
    def ends(self) -> Int64Array:
        """Where each referenced chunk ends in its object."""
        return self.offsets + self.sizes


def read_held(
    output: Output, array: str, job: RecordJob, with_bytes: bool = False
) -> HeldRows | None:
    """Return what a record file gives; None if it is unreadable."""
    data = output.get(record_path(array, job.index))
    try:
        # Not read_table, whose scan of a data set takes five times as long for a hundred rows.
        with pq.ParquetFile(pa.BufferReader(data or b"")) as file:
            table = file.read(["path", "offset", "size", "raw"], use_threads=False)
        sizes = np.asarray(table["size"]).astype(np.int64)
        offsets = np.asarray(table["offset"]).astype(np.int64)
        path, raw = table["path"], table["raw"]
        held = np.where(np.asarray(path.is_valid()), sizes, 0) if path.null_count else sizes
        inlined = np.zeros(len(raw), bool)
        if raw.null_count < len(raw):
            inlined = np.asarray(raw.is_valid())
            held = np.where(inlined, lengths(raw), held)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    if len(held) != job.rows:
        return None
    return HeldRows(held, offsets, inlined, raw if with_bytes else raw.slice(0, 0))
