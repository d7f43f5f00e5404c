"""Row sets: which rows of an array's references a partition owns, as integers only.

Rows are chunk numbers (chunk indices ravelled in C order). A region of the leading axis is one
run of them; a region of a later axis is one run for every index before that axis, all of the same
length and evenly spaced. One small value says both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from parchunk.keys.boxes import Box, boxes_of_numbers
from parchunk.keys.numbers import Int64Array


@dataclass(frozen=True, slots=True)
class RowSet:
    """The chunk numbers ``j * period + [start, stop)`` for ``first <= j < first + count``.

    Positions ``0 .. total`` go through them in rising order. A partition of axis 0 has
    ``count == 1``, and its ``period`` does not matter then.
    """

    period: int
    start: int
    stop: int
    first: int = 0
    count: int = 1

    @property
    def run(self) -> int:
        """Rows in one run."""
        return self.stop - self.start

    @property
    def total(self) -> int:
        """Rows in all."""
        return self.count * self.run

    def numbers(self, begin: int, end: int) -> Int64Array:
        """Return the chunk numbers at positions ``begin`` to ``end``, shape (end - begin,)."""
        positions = np.arange(begin, end, dtype=np.int64)
        if self.count == 1:
            positions += self.first * self.period + self.start
            return positions
        run, within = np.divmod(positions, self.run)
        numbers: Int64Array = (self.first + run) * self.period + (self.start + within)
        return numbers

    def number(self, position: int) -> int:
        """Return the chunk number at one position."""
        run, within = divmod(position, self.run)
        return (self.first + run) * self.period + self.start + within

    def position(self, number: int) -> int | None:
        """Return the position of a chunk number, or None when it is not in the set."""
        run, within = divmod(number, self.period)
        run -= self.first
        if self.count == 1:
            run, within = 0, number - self.first * self.period
        if 0 <= run < self.count and self.start <= within < self.stop:
            return run * self.run + within - self.start
        return None

    def positions(self, numbers: Int64Array) -> Int64Array:
        """Return the position of every chunk number, shape (n,); -1 for those not in the set."""
        if self.count == 1:
            within = numbers - (self.first * self.period + self.start)
            return np.where((within >= 0) & (within < self.run), within, -1)
        runs, within = np.divmod(numbers, self.period)
        runs -= self.first
        within -= self.start
        inside = (runs >= 0) & (runs < self.count) & (within >= 0) & (within < self.run)
        return np.where(inside, runs * self.run + within, -1)

    def boxes(self, grid: tuple[int, ...]) -> tuple[Box, ...]:
        """Return the chunk-index boxes that hold exactly these rows."""
        if not self.total:
            return ()
        if self.count == 1:
            base = self.first * self.period
            return boxes_of_numbers(grid, base + self.start, base + self.stop)
        axis = axis_of_period(grid, self.period)
        inner = prod(grid[axis + 1 :])
        outer = boxes_of_numbers(grid[:axis], self.first, self.first + self.count)
        low, high = self.start // inner, self.stop // inner
        return tuple(
            Box(
                (*box.start, low, *(0 for _ in grid[axis + 1 :])),
                (*box.stop, high, *grid[axis + 1 :]),
            )
            for box in outer
        )

    def slices(self, most: int, record_size: int) -> Iterator[RowSet]:
        """Cut into sets of at most ``most`` rows (at least one record file), in row order.

        Every cut falls between two record files, so that slices can be written one by one.
        """
        if self.total <= most:
            yield self
        elif self.count > 1 and self.run <= most:
            step = most // self.run
            for first in range(0, self.count, step):
                count = min(step, self.count - first)
                yield RowSet(self.period, self.start, self.stop, self.first + first, count)
        else:
            step = max(most // record_size, 1) * record_size
            for run in range(self.first, self.first + self.count):
                for start in range(self.start, self.stop, step):
                    stop = min(start + step, self.stop)
                    yield RowSet(self.period, start, stop, run, 1)


def axis_of_period(grid: tuple[int, ...], period: int) -> int:
    """Return the axis whose indices run through once within ``period`` chunk numbers."""
    # From the back: an axis of one index before it has the same period, and nothing to cut.
    for axis in reversed(range(len(grid))):
        if prod(grid[axis:]) == period:
            return axis
    raise ValueError(f"no axis of {grid} has period {period}")


class Places:
    """Where chunk numbers stand in disjoint row sets of one period.

    Row sets are the fields of a coarse table: their ranges within a period make its columns, their
    runs its rows.
    """

    def __init__(self, row_sets: Sequence[RowSet]) -> None:
        self._period = row_sets[0].period
        if any(rows.period != self._period for rows in row_sets):
            raise ValueError("row sets of one array have one period")
        self._alone = row_sets[0] if len(row_sets) == 1 else None
        self._flat = all(rows.count == 1 and rows.first == 0 for rows in row_sets)
        if self._alone is not None:
            return
        self._starts = np.array([rows.start for rows in row_sets], np.int64)
        self._stops = np.array([rows.stop for rows in row_sets], np.int64)
        self._firsts = np.array([rows.first for rows in row_sets], np.int64)
        self._ends = self._firsts + np.array([rows.count for rows in row_sets], np.int64)
        self._columns = np.unique(self._starts)
        self._rows = int(self._ends.max())
        keys = np.searchsorted(self._columns, self._starts) * self._rows + self._firsts
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        whole = self._starts[1:] == self._stops[:-1]
        self._adjoining = self._flat and bool(whole.all())

    def of(
        self, numbers: Int64Array
    ) -> tuple[Int64Array | None, Int64Array, NDArray[np.bool_] | None]:
        """Return owners (None: the only row set), offsets in the owner, and which are owned.

        The mask is None when all are; values of numbers that are not mean nothing.
        """
        if self._flat:
            run, within = None, numbers
        else:
            run, within = np.divmod(numbers, self._period)
        if self._alone is not None:
            rows = self._alone
            mine = (within >= rows.start) & (within < rows.stop)
            offsets = within - rows.start
            if run is not None:
                mine &= (run >= rows.first) & (run < rows.first + rows.count)
                offsets += (run - rows.first) * rows.run
            return None, offsets, None if np.count_nonzero(mine) == len(mine) else mine
        if self._adjoining:
            owners = np.searchsorted(self._starts, within, side="right") - 1
            mine = (within >= self._starts[0]) & (within < self._stops[-1])
        else:
            column = np.searchsorted(self._columns, within, side="right") - 1
            key = column * self._rows + (0 if run is None else np.minimum(run, self._rows - 1))
            owners = self._order[np.searchsorted(self._keys, key, side="right") - 1]
            mine = (within >= self._starts[owners]) & (within < self._stops[owners])
            if run is not None:
                mine &= (run >= self._firsts[owners]) & (run < self._ends[owners])
        offsets = within - self._starts[owners]
        if run is not None:
            offsets += (run - self._firsts[owners]) * (self._stops - self._starts)[owners]
        return owners, offsets, None if mine.all() else mine
