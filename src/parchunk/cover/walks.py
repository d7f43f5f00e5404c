"""Walks: one listing each, over an interval of ranks, named by keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

import numpy as np

from parchunk.cover import intervals
from parchunk.cover.digit_tree import Ints
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.row_sets import RowSet
from parchunk.keys.space import KeySpace
from parchunk.stores.manner import Manner

#: A walk is cut in pieces for listings side by side, but not shorter than this many pages...
LEAST_PAGES = 20

#: ...and not longer than this many: what a piece has completed is written and given back.
MOST_PAGES = 50


@dataclass(frozen=True)
class Width:
    """How walks over a store are cut, and how many are under way.

    They are cut in ``pieces`` or more; ``window`` of them may be under way before the first has
    passed; a ``page`` is so many keys. ``together`` says whether one walk may list several arrays:
    where it ends early and each request that is saved counts.
    """

    pieces: int
    window: int
    page: int
    together: bool = False


def width_of(manner: Manner, concurrency: int) -> Width:
    """Return how walks of a store are cut for ``concurrency`` listings side by side.

    There are more pieces than listings, as pieces of a sparse array are of unequal length, and
    some may be ahead of a slow one. A store in memory copies all its later keys for each listing,
    so there every cut would cost a whole one.
    """
    if manner.in_memory:
        return Width(1, 1, manner.page)
    # A walk of keys that are asked for one by one has nothing to share.
    together = (manner.remote or manner.frozen) and manner.ordered
    return Width(4 * concurrency, 2 * concurrency, manner.page, together)


def needed_ranks(
    grid: tuple[int, ...], row_sets: Sequence[RowSet], spans: Ints, page: int
) -> list[dict[int, int]]:
    """Return, for each row set, the walks that it needs and the rank that each must pass.

    There is a walk for each of ``spans``, and it is named by its position.
    """
    starts, stops = spans[:, 0], spans[:, 1]
    found: list[dict[int, int]] = [{} for _ in row_sets]
    # Coarse: to wait for a walk in vain costs less than to tell thousands of spans apart.
    owners, needed = _intervals_of_each(grid, row_sets, LEAST_PAGES * page)
    # Walks are disjoint and rise, so those an interval meets stand side by side.
    firsts = np.searchsorted(stops, needed[:, 0], side="right")
    lasts = np.searchsorted(starts, needed[:, 1], side="left")
    for owner, first, last, stop in zip(
        owners.tolist(), firsts.tolist(), lasts.tolist(), needed[:, 1].tolist(), strict=True
    ):
        needs = found[owner]
        for walk in range(first, last):
            needs[walk] = max(min(stop, int(stops[walk])), needs.get(walk, 0))
    return found


def _intervals_of_each(
    grid: tuple[int, ...], row_sets: Sequence[RowSet], max_gap: int
) -> tuple[Ints, Ints]:
    """Return owners and rank spans that meet all chunks of each of ``row_sets``."""
    if all(rows.count == 1 for rows in row_sets):
        begins = [rows.first * rows.period + rows.start for rows in row_sets]
        ends = [begin + rows.total for begin, rows in zip(begins, row_sets, strict=True)]
        return intervals.intervals_of_each_run(grid, begins, ends, max_gap)
    each = [intervals.rank_intervals(grid, rows.boxes(grid), max_gap) for rows in row_sets]
    owners = np.repeat(np.arange(len(each)), [len(spans) for spans in each])
    return owners, np.concatenate(each)


def intervals_of(grid: tuple[int, ...], row_sets: Sequence[RowSet], width: Width) -> Ints:
    """Return the intervals of ranks that hold all of ``row_sets``, shape (n, 2), rising.

    Row sets are disjoint.
    """
    total = prod(grid)
    if total and sum(rows.total for rows in row_sets) == total:
        spans = np.array([[0, total]], np.int64)
    else:
        boxes = [box for rows in row_sets for box in rows.boxes(grid)]
        # Foreign keys up to a page cost no more than the request that skipping them would need.
        spans = intervals.rank_intervals(grid, boxes, max_gap=width.page)
    if not len(spans) or width.pieces == 1:
        return spans
    ranks = int((spans[:, 1] - spans[:, 0]).sum())
    pieces = max(width.pieces, -(-ranks // (MOST_PAGES * width.page)))
    return intervals.cut(spans, pieces, LEAST_PAGES * width.page, width.page)


@dataclass(frozen=True)
class Walk:
    """One listing over the ranks ``[start, stop)`` of an array, in a store that lists in order.

    ``prefix``, ``offset`` and ``last`` are relative to the array's path, without a trailing
    slash. The walk meets the keys below ``prefix`` that sort after ``offset`` (None: from the
    first one) up to and including ``last`` (None: to the end of the prefix). ``last`` may be
    missing from the store: stop at the first key that is not below it, and drop that key if it is
    above.

    ``final`` is the last chunk's key, also where ``last`` is None: once it has come, no chunk can
    be left out at the end. ``origin`` is the offset at which the array begins, None for the
    beginning of ``prefix``.
    """

    start: int
    stop: int
    prefix: str
    offset: str | None
    last: str | None
    final: str | None = field(default=None, compare=False)
    origin: str | None = field(default=None, compare=False)
    space: KeySpace | None = field(default=None, compare=False, repr=False)

    def key(self, rank: int) -> str:
        """Return the key of a rank of the array, for a walk made by `walk`."""
        assert self.space is not None, "walks over several arrays have no ranks"
        return self.space.key_at(rank)


@lru_cache(maxsize=64)
def walk(space: KeySpace, start: int, stop: int) -> Walk:
    """Return the walk over the ranks ``[start, stop)``. ValueError when empty or outside.

    A walk meets every key, chunk or stray, whose `parchunk.keys.space.KeySpace.position` is in
    ``[start, stop)``, and the walk that ends at the last rank also what sorts after the last
    chunk. So walks that together hold every rank meet every key exactly once. It starts after the
    chunk key *before* its first chunk, not at its first chunk: ``0.tmp`` sorts between ``0`` and
    ``1``, and would be met by neither neighbour otherwise.

    The prefix is the marker ``c`` when ``/`` follows it, else empty, and never narrower. In a
    store that lists in order, ``offset`` and ``last`` bound a walk exactly at no cost, while the
    prefix ``c/5`` would lose a stray of the walk that starts at ``c/5/0``: ``c/5.tmp`` sorts
    before that chunk and after the one before it, but is not below ``c/5``. What stands beside
    ``c/`` (``zarr.json``) is not met, and need not be. The one chunk of an array of rank 0 is
    ``c`` itself, which is not *below* ``c``: there the prefix is empty.

    Some are kept: of very many small arrays, most are alike.
    """
    if not 0 <= start < stop <= space.total:
        raise ValueError(f"ranks {start}..{stop} are no walk over the grid {space.grid}")
    final = space.key_at(stop - 1)
    return Walk(
        start,
        stop,
        prefix=chunk_directory(space.encoding),
        offset=space.key_at(start - 1) if start else None,
        last=final if stop < space.total else None,
        final=final,
        space=space,
    )


def named_walks(space: KeySpace, intervals: Ints) -> list[Walk]:
    """Return one `walk` an interval, in their order."""
    return [walk(space, start, stop) for start, stop in intervals.tolist()]


def chunk_directory(encoding: KeyEncoding) -> str:
    """Return the directory, relative to the array, that holds all chunk keys and little else."""
    return encoding.marker if encoding.separator == "/" and encoding.rank else ""
