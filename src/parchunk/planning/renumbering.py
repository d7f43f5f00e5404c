"""Arrays whose chunks have other numbers: which rows were known under which, and which are new.

Chunks that hold what they did are a box of the new grid, from its origin, and a box of the old one.
Everything beyond is in slabs, one for each axis along which the array became longer or shorter: of
a table that grew along both axes, the columns that came, and the rows that came. They overlap where
both did. No I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.planning.changes import same_chunks
from parchunk.planning.plan import ArrayPlan, Partition, span_partition


@dataclass(frozen=True)
class Renumbered:
    """One array, as it was planned ``before`` and is ``now``; ``record_size`` is that of both."""

    before: ArrayPlan
    now: ArrayPlan
    record_size: int

    @cached_property
    def known(self) -> tuple[int, ...]:
        """How many chunks along each axis, from 0 on, hold what they did."""
        return same_chunks(self.before.spec, self.now.spec)

    def slabs(self, most: int) -> Iterator[Partition]:
        """Yield what is not known, in pieces of at most ``most`` objects, or one layer of them."""
        spec = self.now.spec
        for axis, (low, size) in enumerate(zip(self.known, spec.reference_grid, strict=True)):
            unit = spec.chunks[axis] // spec.reference_chunks[axis]
            layer = max(prod((*spec.grid[:axis], *spec.grid[axis + 1 :])), 1)
            step = max(most // layer, 1) * unit
            for start in range(low, size, step):
                yield span_partition(spec, axis, start, min(start + step, size))

    def takes(self, unknown: Collection[Partition]) -> list[Partition]:
        """Return the partitions of the array now that need none of ``unknown``, those of before.

        An array that did not fit its regions has none, as its record files may hold other rows.
        """
        if not self.before.is_aligned(self.record_size) or not prod(self.known):
            return []
        extents = self._extents(unknown)
        return [
            partition
            for partition in self.now.partitions(self.record_size)
            if not self._meet(partition, extents).any()
        ]

    def parts_of(self, partition: Partition, before: Sequence[Partition]) -> list[Partition]:
        """Return which of ``before`` may have had rows of a partition."""
        found = np.flatnonzero(self._meet(partition, self._extents(before)))
        return [before[at] for at in found.tolist()]

    def _extents(self, before: Collection[Partition]) -> Int64Array:
        """Return where partitions lay along the axis that they were split along, shape (n, 2)."""
        axis, grid = self.before.axis, self.before.spec.reference_grid
        found = [(0, 1) if axis is None else _extent(one.rows, grid, axis) for one in before]
        return np.array(found, np.int64).reshape(-1, 2)

    def _meet(self, partition: Partition, extents: Int64Array) -> NDArray[np.bool_]:
        """Return which of them may have had rows of a partition, shape (n,)."""
        axis = self.before.axis
        if axis is None:
            return np.ones(len(extents), bool)
        low, high = _extent(partition.rows, self.now.spec.reference_grid, axis)
        high = min(high, self.known[axis])
        return (extents[:, 0] < high) & (extents[:, 1] > low)


def _extent(rows: RowSet, grid: tuple[int, ...], axis: int) -> tuple[int, int]:
    """Return between which indices along an axis all rows of a partition lie, or more."""
    boxes = rows.boxes(grid)
    if not boxes:
        return 0, 0
    return min(box.start[axis] for box in boxes), max(box.stop[axis] for box in boxes)
