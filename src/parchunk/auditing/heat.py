"""A picture of one array's chunk grid in few cells: each says what all its chunks are.

Across goes the axis that gaps are told along, down all other axes ravelled. A cell holds counts
and not samples, so that one missing chunk among a million still marks its cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

#: The most cells across and down.
ACROSS, DOWN = 120, 24


#: What all share whose counts are not kept.
_NO_CELLS: NDArray[np.signedinteger] = np.zeros((0, 0), np.int64)
_NO_BYTES: NDArray[np.floating] = np.zeros((0, 0))


def least(counts: NDArray[np.signedinteger]) -> NDArray[np.signedinteger]:
    """Return counts, none of them negative, in the fewest bytes that hold them."""
    return counts.astype(np.min_scalar_type(-1 - int(counts.max(initial=0))))


@lru_cache(maxsize=64)
def _none(shape: tuple[int, ...]) -> NDArray[np.signedinteger]:
    """Return zeros that all share."""
    return np.broadcast_to(np.int64(0), shape)


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
        self.seen = np.zeros(shape, np.int64)
        self.present = np.zeros(shape, np.int64)
        self.apart = np.zeros(shape, np.int64)
        self.bytes = np.zeros(shape, np.float64)

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
        self.seen = np.add(self.seen, other.seen, dtype=np.int64)
        self.present = np.add(self.present, other.present, dtype=np.int64)
        self.apart = np.add(self.apart, other.apart, dtype=np.int64)
        self.bytes = self.bytes + other.bytes

    def settle(self) -> None:
        """Keep no counts twice, and in no more bytes than they need, now that all is met.

        There may be a hundred thousand arrays.
        """
        if np.array_equal(self.present, self.seen):
            self.present = self.seen = least(self.seen)
        else:
            self.present, self.seen = least(self.present), least(self.seen)
        self.apart = least(self.apart) if self.apart.any() else _none(self.apart.shape)
        short = self.bytes.astype(np.float32)
        if np.array_equal(short, self.bytes):
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
        numbers = np.arange(first, first + len(sizes), dtype=np.int64)
        inner = prod(self.grid[self.axis + 1 :]) if self.grid else 1
        step, other = np.divmod(numbers, inner)
        if self.axis:
            outer, step = np.divmod(step, self.steps)
            other += outer * inner
        column = step * self.across // self.steps
        cells = (
            column if self.down == 1 else other * self.down // self.others * self.across + column
        )
        count, shape = self.down * self.across, (self.down, self.across)
        met = np.bincount(cells, minlength=count).reshape(shape)
        self.seen = self.seen + met
        there = sizes > 0
        if not there.all():
            met = np.bincount(cells[there], minlength=count).reshape(shape)
        self.present = self.present + met
        if apart is not None and len(apart):
            off = np.bincount(cells[apart - first], minlength=count).reshape(shape)
            self.apart = self.apart + off
        weighed = np.bincount(cells, weights=sizes, minlength=count).reshape(shape)
        self.bytes = self.bytes + weighed
