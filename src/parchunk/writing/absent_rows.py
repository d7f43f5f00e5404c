"""Rows of chunks that no store has, in partitions of which stores have others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.listing.tally import Part
from parchunk.metadata.shard_grid import shard_numbers
from parchunk.metadata.spec import ArraySpec
from parchunk.out.counts import NOTHING, Counts
from parchunk.writing.rows import FileRows

#: Rows of which it is told at once in which shards they lie.
_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class AbsentRows:
    """The rows of one array of which none is there; the vectors of parts are not looked at."""

    spec: ArraySpec

    #: Nothing is asked for.
    requests = 0

    def pieces(self, part: Part) -> Iterator[AbsentPiece]:
        """Yield the rows of a part."""
        yield AbsentPiece(part.rows)

    def counts(self, part: Part) -> Counts:
        """Return how many shards are not there; other objects are rows."""
        if self.spec.inner_chunks is None:
            return NOTHING
        found = np.empty(0, np.int64)
        for begin in range(0, part.rows.total, _AT_ONCE):
            rows = part.rows.numbers(begin, min(begin + _AT_ONCE, part.rows.total))
            found = np.union1d(found, shard_numbers(self.spec, rows))
        return Counts(shards_expected=len(found))


@dataclass(frozen=True)
class AbsentPiece:
    """The rows of a part."""

    rows: RowSet

    def file(self, begin: int, numbers: Int64Array) -> FileRows:
        """Return the rows of one record file: all are missing."""
        zeros = np.zeros(len(numbers), np.int64)
        return FileRows(numbers, np.zeros(len(numbers), bool), zeros, zeros, NOTHING)

    def paths(self, objects: Int64Array, referenced: NDArray[np.bool_]) -> pa.StringArray:
        """Return no paths."""
        return pa.nulls(len(objects), pa.string())

    def fetch(self, rows: FileRows, small: NDArray[np.bool_]) -> list[bytes | None]:
        """Return no bytes."""
        return [None] * len(small)
