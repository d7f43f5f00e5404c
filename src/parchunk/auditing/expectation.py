"""Which chunks of one array are expected: those within bounds, and in no box that is to be empty.

A bound is (axis, first, end) in chunk indices, half-open; a box is several of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array

Bound = tuple[int, int, int]
Box = tuple[Bound, ...]


@dataclass(frozen=True)
class Expectation:
    """What a policy expects of an array whose chunk grid is ``grid``."""

    grid: tuple[int, ...]
    bounds: Box = ()
    empty: tuple[Box, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether every chunk is expected."""
        return not (self.bounds or self.empty)

    def of(self, numbers: Int64Array) -> NDArray[np.bool_]:
        """Return which chunk numbers are expected, shape (n,)."""
        mask = inside(numbers, self.grid, self.bounds)
        for box in self.empty:
            mask &= ~inside(numbers, self.grid, box)
        return mask

    def along(self, axis: int) -> Int64Array:
        """Return how many chunks are expected at each index along an axis, shape (size,)."""
        order = [axis, *(other for other in range(len(self.grid)) if other != axis)]
        whole = _ranges((), self.grid, order)
        within = _met(whole, _ranges(self.bounds, self.grid, order))
        boxes = [_met(within, _ranges(box, self.grid, order)) for box in self.empty]
        found = np.zeros(self.grid[axis], np.int64)
        low, high = within[0]
        found[low:high] = prod(stop - start for start, stop in within[1:])
        for start, stop, here in _stretches(boxes):
            found[start:stop] -= _covered(here)
        return found


def inside(
    numbers: Int64Array, grid: tuple[int, ...], bounds: Sequence[Bound]
) -> NDArray[np.bool_]:
    """Return which chunk numbers lie within all bounds, shape (n,)."""
    mask = np.ones(len(numbers), bool)
    for axis, first, end in bounds:
        inner = int(np.prod(grid[axis + 1 :], dtype=np.int64))
        index = numbers // inner % grid[axis]
        mask &= (index >= first) & (index < end)
    return mask


#: Half-open ranges, one for each of some axes.
_Ranges = tuple[tuple[int, int], ...]


def _ranges(box: Box, grid: tuple[int, ...], order: Sequence[int]) -> _Ranges:
    """Return the range of each axis in ``order`` that a box is of."""
    found = [(0, size) for size in grid]
    for axis, first, end in box:
        low, high = found[axis]
        found[axis] = max(low, first), max(min(high, end), max(low, first))
    return tuple(found[axis] for axis in order)


def _met(one: _Ranges, other: _Ranges) -> _Ranges:
    pairs = zip(one, other, strict=True)
    return tuple((max(a, c), max(min(b, d), max(a, c))) for (a, b), (c, d) in pairs)


def _stretches(boxes: Sequence[_Ranges]) -> list[tuple[int, int, list[_Ranges]]]:
    """Return where along the first axis the same boxes are, each with the rest of its ranges."""
    full = [box for box in boxes if all(low < high for low, high in box)]
    ends = sorted({end for box in full for end in box[0]})
    return [
        (start, stop, [box[1:] for box in full if box[0][0] <= start and stop <= box[0][1]])
        for start, stop in pairwise(ends)
    ]


def _covered(boxes: Sequence[_Ranges]) -> int:
    """Return how many indices lie in any of the boxes; of no axes there is one, in each of them."""
    if not boxes:
        return 0
    if not boxes[0]:
        return 1
    return sum((stop - start) * _covered(here) for start, stop, here in _stretches(boxes))
