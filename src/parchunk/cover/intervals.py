"""The cover: which listings meet all the chunks that are wanted, with few LIST requests.

A region is a range of numbers, and a listing runs in text order, so one region is many intervals
of ranks (see `parchunk.keys.text_order`): chunks 2 .. 9 of 100 are ``2``, then ``20`` .. ``29``
which nobody asked for, then ``3``, and so on. The steps, each plain arithmetic on integers:

    regions -> `Box`es of chunk indices -> `rank_intervals`, merged over foreign keys that cost
    less than a request -> `cut` for listings side by side -> `walks`, named by keys

Stores that do not list in order get `directories` instead of walks.

Nothing here does I/O, and nothing enumerates chunks: the work grows with the number of intervals
that come out. Intervals are int64 arrays of shape (n, 2), half-open, sorted and disjoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from math import prod

import numpy as np

from parchunk.cover.digit_tree import Ints, Ranges, axis_intervals, intervals_of_each, merged
from parchunk.keys.boxes import Box, boxes_of_run
from parchunk.keys.text_order import axis_rank

PAGE = 1000
"""Keys in one page of a LIST response: S3 and Google Cloud Storage. Azure sends 5,000."""

_NONE: Ints = np.empty((0, 2), np.int64)


def rank_intervals(grid: Sequence[int], boxes: Iterable[Box], max_gap: int) -> Ints:
    """Return the rank intervals that meet every chunk of ``boxes``: int64, shape (n, 2).

    The intervals are half-open, sorted and disjoint, and each starts and ends at a wanted chunk.
    Wanted chunks with at most ``max_gap`` foreign ranks between them share an interval; more than
    that lie between two intervals. With ``max_gap=0`` the intervals hold the wanted ranks and no
    other. Boxes may overlap, touch, or be empty. ValueError for a box outside the grid.

    The result is what sorting all wanted ranks and splitting at the wide gaps would give, but
    its cost is that of the intervals, not of the chunks: 16 bytes each, and a few times that
    while they are made. It is the caller who decides by ``max_gap`` how many there are: one
    index of the last axis of a 87020 x 127 grid is one interval with ``max_gap=126``, and 87,020
    with 125.
    """
    grid = tuple(grid)
    if max_gap < 0:
        raise ValueError(f"max_gap is {max_gap}: it counts ranks, and cannot be negative")
    found = [_product_intervals(grid, product, max_gap) for product in inner_products(grid, boxes)]
    return merged(np.concatenate(found), max_gap) if found else _NONE.copy()


def intervals_of_each_run(
    grid: Sequence[int], starts: Sequence[int], stops: Sequence[int], max_gap: int
) -> tuple[Ints, Ints]:
    """Return owners, shape (n,), and rank intervals, shape (n, 2), that meet runs of numbers.

    Run ``i`` is the chunk numbers ``[starts[i], stops[i])``. As `rank_intervals` of each, but all
    at once and coarser: an interval may start or end up to ``max_gap`` ranks beside a wanted
    chunk. Intervals are sorted by rank within an owner, and may touch.
    """
    grid = tuple(grid)
    axes = len(grid)
    while axes and prod(grid[axes - 1 :]) <= max_gap + 1:
        axes -= 1
    outer, inner = grid[:axes], prod(grid[axes:])
    # A box of a run is one index on some axes, a range on the next, and whole on the others.
    by_axis: dict[int, list[tuple[int, int, int, int]]] = {}
    for owner, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        if start < stop:
            for box in boxes_of_run(outer, start // inner, -(-stop // inner)):
                axis, base = 0, 0
                while axis < axes - 1 and box[axis][1] - box[axis][0] == 1:
                    base = base * outer[axis] + axis_rank(outer[axis], box[axis][0])
                    axis += 1
                low, high = box[axis] if box else (0, 1)
                by_axis.setdefault(axis, []).append((owner, base, low, high))
    found = [np.empty((0, 3), np.int64)]
    for axis, boxes in by_axis.items():
        owners, bases, lows, highs = np.array(boxes, np.int64).T
        size, within = (outer[axis], prod(grid[axis + 1 :])) if axes else (1, inner)
        boxed, intervals = intervals_of_each(size, lows, highs, max_gap // within)
        intervals = (bases[boxed] * size)[:, None] * within + intervals * within
        found.append(np.column_stack([owners[boxed], intervals]))
    rows = np.concatenate(found)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return rows[:, 0], rows[:, 1:]


def cut(intervals: Ints, pieces: int, least: int, page: int = PAGE) -> Ints:
    """Cut long intervals so that there are about ``pieces`` in all, for listings side by side.

    An interval is cut into nearly equal pieces (they differ by a page or two), each of ``least``
    ranks or more; shorter intervals are left alone, so there can be many more than ``pieces``.
    Cuts fall on whole pages counted from the interval's start: on a dense store they cost no
    request at all, where a cut in the middle of a page costs one. Order is kept, no rank is lost.
    """
    if pieces < 1 or least < 1 or page < 1:
        raise ValueError("pieces, least and page must be 1 or more")
    if len(intervals) == 0:
        return intervals.copy()
    lengths = intervals[:, 1] - intervals[:, 0]
    target = max(least, -(-int(lengths.sum()) // pieces))
    full = lengths // page
    counts = np.minimum((lengths + target // 2) // target, full // -(-least // page))
    counts = np.maximum(counts, 1)
    owner = np.repeat(np.arange(len(intervals)), counts)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = intervals[owner, 0] + nth * full[owner] // counts[owner] * page
    stops = np.append(starts[1:], 0)
    is_last = nth == counts[owner] - 1
    stops[is_last] = intervals[:, 1]
    return np.stack([starts, stops], axis=1)


def requests(intervals: Ints, page: int = PAGE) -> int:
    """Forecast the LIST requests of one walk an interval, on a store where all chunks exist.

    Missing chunks make it fewer, strays more. At least one an interval: a walk over three
    chunks is a request too.
    """
    lengths = intervals[:, 1] - intervals[:, 0]
    return int((-(-lengths // page)).sum())


def least_requests(chunks: int, page: int = PAGE) -> int:
    """Return the fewest LIST requests that can deliver ``chunks`` keys."""
    return -(-chunks // page)


def shares_of_least(chunks: Iterable[int], page: int = PAGE, before: int = 0) -> tuple[int, ...]:
    """Share the fewest LIST requests for several runs of keys out among them.

    ``before`` keys come before them in the same listing: a page is of the run that it begins in,
    so that the shares of all add up.
    """
    ends = list(accumulate(chunks, initial=before))
    requests = [least_requests(end, page) for end in ends]
    return tuple(after - first for first, after in pairwise(requests))


def inner_products(grid: tuple[int, ...], boxes: Iterable[Box]) -> list[tuple[Ranges, ...]]:
    """Join boxes into products of ranges, one sorted, disjoint set of ranges an axis.

    Boxes that differ along one axis become one product: regions that touch are one range, and
    everything wanted is recognised as such. Last axis first, so that slices of chunk numbers
    that follow each other close up into whole rows, and rows into one range.
    """
    products: set[tuple[Ranges, ...]] = set()
    for box in boxes:
        pairs = tuple(zip(box.start, box.stop, strict=True))
        if any(not 0 <= low <= high <= size for size, (low, high) in zip(grid, pairs, strict=True)):
            raise ValueError(f"{box} is outside the grid {grid}")
        if all(low < high for low, high in pairs):
            products.add(tuple((pair,) for pair in pairs))
    for axis in reversed(range(len(grid))):
        alike: dict[tuple[Ranges, ...], list[tuple[int, int]]] = {}
        for product in products:
            alike.setdefault(product[:axis] + product[axis + 1 :], []).extend(product[axis])
        products = {
            (*others[:axis], _union(ranges), *others[axis:]) for others, ranges in alike.items()
        }
    return sorted(products)


def _union(ranges: list[tuple[int, int]]) -> Ranges:
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return tuple(joined)


def _product_intervals(grid: tuple[int, ...], product: tuple[Ranges, ...], max_gap: int) -> Ints:
    """`rank_intervals` of one product of ranges: innermost axis first, then outwards.

    ``block`` holds the intervals of one index of the axis at hand, which spans ``inner`` ranks.
    """
    block: Ints = np.array([[0, 1]], np.int64)
    inner = 1
    for size, ranges in zip(reversed(grid), reversed(product), strict=True):
        first, last = int(block[0, 0]), int(block[-1, 1])
        between = inner - last + first  # foreign ranks between two blocks that follow each other
        if len(block) == 1 and between <= max_gap:
            # blocks that follow each other are one interval: never look into them again
            joined = axis_intervals(size, ranges, (max_gap - between) // inner)
            block = joined * inner + (first, last - inner)
        else:
            wanted = _members(axis_intervals(size, ranges, 0))
            block = (wanted[:, None, None] * inner + block).reshape(-1, 2)
            block = merged(block, max_gap) if between <= max_gap else block
        inner *= size
    return block


def _members(intervals: Ints) -> Ints:
    lengths = intervals[:, 1] - intervals[:, 0]
    before = np.cumsum(lengths) - lengths
    nth = np.arange(int(lengths.sum()), dtype=np.int64)
    members: Ints = nth + np.repeat(intervals[:, 0] - before, lengths)
    return members
