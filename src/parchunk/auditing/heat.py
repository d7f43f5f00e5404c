"""A picture of one array's chunk grid in few cells: each says what all its chunks are.

Across goes the axis that gaps are told along, down all other axes ravelled. A cell holds counts
and not samples, so that one missing chunk among a million still marks its cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array

#: The most cells across and down.
ACROSS, DOWN = 120, 24


#: What all share whose counts are not kept.
_NO_CELLS: NDArray[np.signedinteger] = np.zeros((0, 0), np.int64)
_NO_BYTES: NDArray[np.floating] = np.zeros((0, 0))


#: Whole numbers by how much they hold.
_KINDS = tuple((np.iinfo(kind).max, np.dtype(kind)) for kind in ("i1", "i2", "i4", "i8"))


def least(counts: NDArray[np.signedinteger]) -> NDArray[np.signedinteger]:
    """Return counts, none of them negative, in the fewest bytes that hold them."""
    most = int(counts.max(initial=0))
    return counts.astype(next(kind for limit, kind in _KINDS if most <= limit))


#: Chunks of which cells are kept, at most.
_FEW = 1_024


@lru_cache(maxsize=64)
def _none(shape: tuple[int, ...], kind: type = np.int64) -> NDArray[Any]:
    """Return zeros that all share."""
    return np.broadcast_to(kind(0), shape)


@dataclass(slots=True)
class Heat:
    """Counts by cell, each of shape (down, across).

    ``apart`` are chunks that are not there and need not be: not expected, or in no store.
    """

    grid: tuple[int, ...]
    axis: int
    across: int = field(init=False)
    down: int = field(init=False)
    seen: NDArray[np.signedinteger] = field(init=False)
    present: NDArray[np.signedinteger] = field(init=False)
    apart: NDArray[np.signedinteger] = field(init=False)
    bytes: NDArray[np.floating] = field(init=False)

    def __post_init__(self) -> None:
        """Make the cells: fewer than chunks only where chunks are too many."""
        self.across = min(self.steps, ACROSS)
        self.down = min(self.others, DOWN)
        shape = (self.down, self.across)
        self.seen = self.present = self.apart = _none(shape)
        self.bytes = _none(shape, np.float64)

    def drop(self) -> None:
        """Keep no counts: what is left says along which axis, and how many chunks there are."""
        self.seen = self.present = self.apart = _NO_CELLS
        self.bytes = _NO_BYTES

    @property
    def kept(self) -> bool:
        """Whether the counts are there: not of all of very many arrays."""
        return self.seen.shape == (self.down, self.across)

    @property
    def steps(self) -> int:
        """Chunks across."""
        return self.grid[self.axis] if self.grid else 1

    @property
    def others(self) -> int:
        """Chunks down: all axes but the one across, ravelled."""
        return prod(self.grid) // self.steps if self.steps else 0

    @property
    def expected(self) -> NDArray[np.int64]:
        """How many chunks each cell stands for, shape (down, across)."""
        wide = np.bincount(
            np.arange(self.steps) * self.across // max(self.steps, 1), minlength=self.across
        )
        # Rows of cells take equal shares but for rounding; counted without a vector of them all.
        edges = -(-np.arange(self.down + 1) * self.others // max(self.down, 1))
        return np.diff(edges)[:, None] * wide[None, :]

    def merge(self, other: Heat) -> None:
        """Add what another one has met."""
        # In 64 bits: what is settled may be in fewer.
        whole = self.present is self.seen and other.present is other.seen
        self.seen = np.add(self.seen, other.seen, dtype=np.int64)
        self.present = self.seen if whole else np.add(self.present, other.present, dtype=np.int64)
        self.apart = np.add(self.apart, other.apart, dtype=np.int64)
        self.bytes = self.bytes + other.bytes

    def settle(self) -> None:
        """Keep no counts twice, and in no more bytes than they need, now that all is met.

        There may be a hundred thousand arrays.
        """
        if self.present is self.seen or np.array_equal(self.present, self.seen):
            self.present = self.seen = least(self.seen)
        else:
            self.present, self.seen = least(self.present), least(self.seen)
        self.apart = least(self.apart) if self.apart.any() else _none(self.apart.shape)
        short = self.bytes.astype(np.float32)
        if (short == self.bytes).all():
            self.bytes = short

    @property
    def missing(self) -> NDArray[np.int64]:
        """How many chunks of each cell should be there and are not, of those that were seen."""
        missing: NDArray[np.int64] = self.seen.astype(np.int64) - self.present - self.apart
        return missing

    def take(
        self, first: int, sizes: NDArray[np.int64], apart: NDArray[np.int64] | None = None
    ) -> None:
        """Add neighbouring chunks from number ``first``; size 0 says that one is not there.

        ``apart`` are the numbers of those that need not be.
        """
        place = (self.grid, self.axis, self.down, self.across, first, len(sizes))
        cells, met = (_cells_of_few if len(sizes) <= _FEW else _cells_of)(*place)
        count, shape = self.down * self.across, (self.down, self.across)
        there = sizes > 0
        whole = self.present is self.seen and bool(there.all())
        self.seen = self.seen + met
        if whole:  # no counts twice
            self.present = self.seen
        else:
            some = np.bincount(cells[there], minlength=count).reshape(shape)
            self.present = self.present + some
        if apart is not None and len(apart):
            off = np.bincount(cells[apart - first], minlength=count).reshape(shape)
            self.apart = self.apart + off
        weighed = np.bincount(cells, weights=sizes, minlength=count).reshape(shape)
        self.bytes = self.bytes + weighed


def _cells_of(
    grid: tuple[int, ...], axis: int, down: int, across: int, first: int, chunks: int
) -> tuple[Int64Array, Int64Array]:
    """Return the cells of so many neighbouring chunks, and how many each cell has of them."""
    steps = grid[axis] if grid else 1
    numbers = np.arange(first, first + chunks, dtype=np.int64)
    inner = prod(grid[axis + 1 :]) if grid else 1
    step, other = np.divmod(numbers, inner)
    if axis:
        outer, step = np.divmod(step, steps)
        other += outer * inner
    cells = step * across // steps
    if down > 1:
        cells += other * down // (prod(grid) // steps) * across
    return cells, np.bincount(cells, minlength=down * across).reshape(down, across)


# Of very many small arrays, most are alike.
_cells_of_few = lru_cache(maxsize=64)(_cells_of)
