"""A store's chunk numbers in the dataset of many stores: one shift, or one for every run of them.

Stores that follow each other along axis ``k`` have the same grid but for that axis. So a number
``j * period + p`` of one of them, ``period`` being the numbers in one index before the axis, is
``j * whole_period + p + shift`` in the dataset.
"""

from __future__ import annotations

from dataclasses import dataclass

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the chunk numbers of one array in one store lie among the dataset's."""

    period: int
    whole_period: int
    shift: int

    def numbers(self, own: Int64Array) -> Int64Array:
        """Return the dataset's numbers of a store's own, shape (n,)."""
        if self.period == self.whole_period:
            return own + self.shift
        runs = own // self.period
        return own + runs * (self.whole_period - self.period) + self.shift

    def own(self, numbers: Int64Array) -> Int64Array:
        """Return the store's own numbers of the dataset's: the inverse of `numbers`."""
        if self.period == self.whole_period:
            return numbers - self.shift
        runs = (numbers - self.shift) // self.whole_period
        return numbers - runs * (self.whole_period - self.period) - self.shift

    def own_rows(self, rows: RowSet) -> RowSet:
        """Return the store's own rows of the dataset's, all of which are in the store."""
        start = rows.start - self.shift
        return RowSet(self.period, start, start + rows.run, rows.first, rows.count)


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows of one array are written: what OUT calls it, and how many rows it has there.

    Without a ``placement`` rows are written as they are numbered. Those of ``gathered`` are written
    alone, one after another: into files that are named after their first position among them.
    """

    array: str
    total: int
    placement: Placement | None = None
    gathered: RowSet | None = None

    def numbers(self, rows: Int64Array) -> Int64Array:
        """Return OUT's numbers of rows, shape (n,)."""
        if self.gathered is not None:
            return self.gathered.positions(rows)
        return rows if self.placement is None else self.placement.numbers(rows)

    def own(self, numbers: Int64Array) -> Int64Array:
        """Return the numbers that a store has for OUT's: the inverse of `numbers`."""
        return numbers if self.placement is None else self.placement.own(numbers)
