"""Inner chunks: where in their shards those of some rows lie, as the shards' indexes have it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.shard_grid import extents, shard_starts
from parchunk.metadata.shard_index import InnerSizes
from parchunk.metadata.spec import ArraySpec


@dataclass(frozen=True)
class InnerChunks:
    """Where the inner chunks of ``rows`` lie, both in row order, shape (rows.total,).

    ``offsets`` are from the start of the shard. ``shards`` are the numbers of those that are there,
    rising, ``lengths`` their bytes, and ``versions`` tell whether one has changed since.
    """

    rows: RowSet
    offsets: Int64Array
    sizes: InnerSizes
    shards: Int64Array
    lengths: Int64Array
    versions: Int64Array

    @classmethod
    def unknown(cls, rows: RowSet, shards: Int64Array, lengths: Int64Array) -> InnerChunks:
        """Return those of ``rows`` before any index was read: as of absent shards."""
        total, none = rows.total, np.zeros(len(shards), np.int64)
        return cls(
            rows, np.zeros(total, np.int64), InnerSizes.unknown(total), shards, lengths, none
        )


class Placing:
    """Puts what indexes say into the rows of inner chunks; of any rows, by any thread."""

    def __init__(self, spec: ArraySpec, count: int, at_once: int) -> None:
        """Lay out one shard of ``count`` inner chunks, of which ``at_once`` are placed together."""
        self._spec = spec
        self._extents = extents(spec)
        self._first = self._stretch(0, min(count, at_once))

    def place(
        self,
        found: InnerChunks,
        shards: Int64Array,
        first: int,
        count: int,
        sizes: Int64Array | np.int64,
        offsets: Int64Array | None = None,
    ) -> None:
        """Put what the entries ``first`` to ``first + count`` of some shards say where it belongs.

        ``sizes`` and ``offsets`` have the shape (shards, count); one size is that of all.
        """
        within, steps = self._first
        if first or count != len(steps):
            within, steps = self._stretch(first, count)
        starts = shard_starts(self._spec, shards)
        rows = self._ravel(starts)[:, None] + steps
        keep: NDArray[np.bool_] | None = None
        for start, step, extent, size in zip(
            starts, within, self._extents, self._spec.reference_grid, strict=True
        ):
            # The last shard's entries beyond the array's edge are no rows: as numbers they would
            # be those of the next line.
            if int(start.max()) + extent > size:
                inside = start[:, None] + step < size
                keep = inside if keep is None else keep & inside
        positions = found.rows.positions(rows.ravel()).reshape(rows.shape)
        if int(positions.min()) < 0:
            wanted = positions >= 0
            keep = wanted if keep is None else keep & wanted
        if keep is None:
            found.sizes.codes[positions] = sizes
            if offsets is not None:
                found.offsets[positions] = offsets
        else:
            kept = positions[keep]
            found.sizes.codes[kept] = np.broadcast_to(sizes, rows.shape)[keep]
            if offsets is not None:
                found.offsets[kept] = offsets[keep]

    def _stretch(self, first: int, count: int) -> tuple[Int64Array, Int64Array]:
        """Return where entries stand from their shard's first: as indices, and as row numbers.

        Their shapes are (rank, count) and (count,).
        """
        numbers = np.arange(first, first + count, dtype=np.int64)
        within = (
            np.stack(np.unravel_index(numbers, self._extents))
            if self._extents
            else np.zeros((0, count), np.int64)
        )
        return within, self._ravel(within)

    def _ravel(self, indices: Int64Array) -> Int64Array:
        """Return the row numbers of inner chunk indices, shape (rank, n)."""
        numbers = np.zeros(indices.shape[1], np.int64)
        for index, size in zip(indices, self._spec.reference_grid, strict=True):
            numbers = numbers * size + index
        return numbers
