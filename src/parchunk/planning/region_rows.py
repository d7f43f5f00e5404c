"""Chunk numbers of regions: which rows of an array the span of an axis is."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from parchunk.keys.row_sets import RowSet


@lru_cache(maxsize=1_024)  # very many arrays are alike, and hold one value
def whole(total: int) -> RowSet:
    """Return all chunk numbers of an array of ``total`` chunks."""
    return RowSet(max(total, 1), 0, total)


def span(grid: tuple[int, ...], axis: int, low: int, high: int) -> RowSet:
    """Return the chunk numbers from index ``low`` to ``high`` along ``axis``."""
    inner = prod(grid[axis + 1 :])
    return RowSet(max(grid[axis] * inner, 1), low * inner, high * inner, 0, prod(grid[:axis]))


@lru_cache(maxsize=1_024)
def run(grid: tuple[int, ...], axis: int, low: int, high: int, record_size: int) -> RowSet:
    """Return the chunk numbers of the region from ``low`` to ``high`` along ``axis``.

    On axis 0 they are those of whole record files: of those that begin in the region.
    """
    size = grid[axis]
    if low == 0 and high == size:
        # One run, which may be cut anywhere: its record files need not end where the axis does.
        return whole(prod(grid))
    inner = prod(grid[axis + 1 :])
    outer = prod(grid[:axis])
    start, stop = low * inner, high * inner
    if outer == 1:
        total = prod(grid)
        start = min(-(-start // record_size) * record_size, total)
        stop = min(-(-stop // record_size) * record_size, total)
    return RowSet(max(size * inner, 1), start, stop, 0, outer)
