"""Boxes of chunk indices: what a run of chunk numbers is, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Box:
    """A box of the chunk grid: ``start[k] <= index[k] < stop[k]`` on every axis ``k``.

    In chunks, not in elements. The box of rank 0 is ``Box((), ())`` and holds one chunk.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]


def boxes_of_numbers(grid: Sequence[int], start: int, stop: int) -> tuple[Box, ...]:
    """Split the chunk numbers ``[start, stop)`` into at most ``2 * rank - 1`` disjoint boxes.

    Chunk numbers are in C order, and so are the boxes. Of a 4 x 10 grid, ``[5, 32)`` is half of
    row 0, rows 1 and 2, and the first two chunks of row 3. ValueError outside the grid.
    """
    if not 0 <= start <= stop <= prod(grid):
        raise ValueError(f"chunk numbers {start}..{stop} are outside the grid {tuple(grid)}")
    return tuple(
        Box(tuple(low for low, _ in box), tuple(high for _, high in box))
        for box in boxes_of_run(tuple(grid), start, stop)
    )


def boxes_of_run(grid: tuple[int, ...], start: int, stop: int) -> list[tuple[tuple[int, int], ...]]:
    """As `boxes_of_numbers`, each box as (start, stop) along every axis."""
    if start == stop:
        return []
    if not grid:
        return [()]
    inner = prod(grid[1:])
    first, skipped = divmod(start, inner)
    last, kept = divmod(stop, inner)
    if first == last:
        return [((first, first + 1), *box) for box in boxes_of_run(grid[1:], skipped, kept)]
    boxes: list[tuple[tuple[int, int], ...]] = []
    if skipped:
        boxes += [((first, first + 1), *box) for box in boxes_of_run(grid[1:], skipped, inner)]
        first += 1
    if first < last:
        boxes.append(((first, last), *((0, size) for size in grid[1:])))
    if kept:
        boxes += [((last, last + 1), *box) for box in boxes_of_run(grid[1:], 0, kept)]
    return boxes
