"""Gaps along one axis of an array, as runs of chunks, and the latest step that is complete.

Only a count is kept for each chunk index along the axis, so the memory is that of the axis.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.auditing.audit_counts import AuditCounts
from parchunk.keys.numbers import Int64Array
from parchunk.metadata.spec import ArraySpec

_NO_RANGES: Int64Array = np.empty((0, 2), np.int64)


@lru_cache(maxsize=64)
def _zeros(size: int, kind: type = np.int64) -> NDArray[Any]:
    """Return zeros that all share, and nobody writes into."""
    return np.broadcast_to(kind(0), size)


@dataclass(frozen=True)
class Gap:
    """A run of neighbouring chunk indices along ``axis``, first to last, that all miss chunks.

    ``start`` and ``stop`` are the run in elements, half-open. ``whole`` says that everything is
    missing there, ``missing`` of ``expected`` otherwise. ``number`` is the first missing chunk's.
    """

    array: str
    axis: int
    dimension: str
    first: int
    last: int
    start: int
    stop: int
    missing: int
    expected: int
    number: int

    @property
    def whole(self) -> bool:
        """Whether no chunk of the run is there."""
        return self.missing == self.expected


@dataclass(slots=True)
class Steps:
    """What is known of each chunk index along the axis that gaps of an array are told along.

    ``missing`` counts chunks that should be there and are not; ``excused`` those that a policy
    does not expect. ``unknown`` marks indices of which some rows could not be read. ``whole`` says
    that nothing of that is known of any.
    """

    spec: ArraySpec
    axis: int
    whole: bool = field(init=False, default=True)
    missing: Int64Array = field(init=False)
    unknown: NDArray[np.bool_] = field(init=False)
    first: Int64Array = field(init=False)
    excused: Int64Array = field(init=False)

    def __post_init__(self) -> None:
        """Start with nothing missing: there may be a hundred thousand arrays that are whole."""
        self.missing = self.excused = self.first = _zeros(self.size)
        self.unknown = _zeros(self.size, bool)

    def _told(self) -> None:
        """Make place for what is told of indices, unless it is there."""
        if self.whole:
            self.whole = False
            self.missing, self.excused = self.missing.copy(), self.excused.copy()
            self.unknown = self.unknown.copy()
            self.first = np.full(self.size, self.spec.reference_total, np.int64)

    @property
    def size(self) -> int:
        """Chunk indices along the axis: 1 for a scalar."""
        return self.spec.reference_grid[self.axis] if self.spec.rank else 1

    @property
    def expected(self) -> int:
        """Chunks at each index."""
        return self.spec.reference_total // self.size if self.size else 0

    @property
    def _inner(self) -> int:
        return prod(self.spec.reference_grid[self.axis + 1 :])

    def lose(self, numbers: Int64Array) -> None:
        """Count missing chunks, numbers rising."""
        if not len(numbers):
            return
        self._told()
        steps = numbers // self._inner % self.size
        low = int(steps.min())
        counts = np.bincount(steps - low)
        self.missing[low : low + len(counts)] += counts
        # Written backwards, the first of equal indices is the one that stays.
        first = np.full(len(counts), self.spec.reference_total, np.int64)
        first[steps[::-1] - low] = numbers[::-1]
        np.minimum(
            self.first[low : low + len(counts)], first, out=self.first[low : low + len(counts)]
        )

    def excuse(self, numbers: Int64Array) -> None:
        """Count missing chunks that a policy does not expect."""
        if len(numbers):
            self._told()
            np.add.at(self.excused, numbers // self._inner % self.size, 1)

    def doubt(self, start: int, stop: int) -> None:
        """Mark the indices that the rows ``[start, stop)`` belong to as not known."""
        if stop <= start:
            return
        self._told()
        low, high = start // self._inner, (stop - 1) // self._inner + 1
        if high - low >= self.size:
            self.unknown[:] = True
        else:
            low, high = low % self.size, (high - 1) % self.size + 1
            if low < high:
                self.unknown[low:high] = True
            else:
                self.unknown[low:] = True
                self.unknown[:high] = True

    def runs(self) -> Iterator[Gap]:
        """Yield the gaps in order; a wholly missing run is told apart from its neighbours."""
        if self.whole or not self.missing.any():
            return
        state = np.where(self.missing == 0, 0, np.where(self.missing == self.expected, 2, 1))
        edges = np.flatnonzero(np.diff(state)) + 1
        starts = np.concatenate(([0], edges)).tolist() if len(state) else []
        stops = [*edges.tolist(), len(state)]
        spec = self.spec
        length = spec.reference_chunks[self.axis] if spec.rank else 1
        extent = spec.shape[self.axis] if spec.rank else 1
        name = (spec.dimension_names[self.axis] if spec.rank else None) or f"axis {self.axis}"
        for low, high in zip(starts, stops, strict=False):
            if state[low]:
                yield Gap(
                    array=spec.name,
                    axis=self.axis,
                    dimension=name,
                    first=low,
                    last=high - 1,
                    start=low * length,
                    stop=min(high * length, extent),
                    missing=int(self.missing[low:high].sum()),
                    expected=(high - low) * self.expected,
                    number=int(self.first[low:high].min()),
                )

    def counts(self, low: int, high: int, lacking: int) -> AuditCounts:
        """Return what is known of the indices from ``low`` to ``high``.

        ``lacking`` chunks of them are in no store; an index that is not known is unread.
        """
        known = ~self.unknown[low:high]
        expected = len(known) * self.expected
        unread = int(np.count_nonzero(~known)) * self.expected
        missing = int(self.missing[low:high][known].sum())
        excused = int(self.excused[low:high][known].sum())
        lacking = min(lacking, expected - unread)
        present = expected - unread - missing - excused - lacking
        return AuditCounts(
            expected=expected,
            present=present,
            missing=missing,
            excused=excused,
            lacking=lacking,
            unread=unread,
        )

    def unjudged(self) -> list[tuple[int, int]]:
        """Return the runs of indices of which gaps say nothing, or not all, both ends included.

        Their chunks are not all read, or some are missing that a policy does not expect.
        """
        if self.whole or not (self.unknown.any() or self.excused.any()):
            return []
        untold = np.concatenate(([False], self.unknown | (self.excused > 0), [False]))
        edges = np.flatnonzero(np.diff(untold.astype(np.int8))).reshape(-1, 2)
        return [(low, high - 1) for low, high in edges.tolist()]

    def incomplete(self) -> Int64Array:
        """Return the element ranges that are not known to be whole, half-open, shape (n, 2)."""
        if self.whole or not (self.unknown.any() or self.missing.any()):
            return _NO_RANGES
        bad = np.concatenate(([False], (self.missing > 0) | self.unknown, [False]))
        edges = np.flatnonzero(np.diff(bad.astype(np.int8)))
        ranges = edges.reshape(-1, 2).astype(np.int64)
        if self.spec.rank:
            ranges = np.minimum(
                ranges * self.spec.reference_chunks[self.axis], self.spec.shape[self.axis]
            )
        return ranges


def largest(gaps: Iterable[Gap], most: int) -> tuple[int, list[Gap]]:
    """Return how many gaps there are, and the ``most`` largest in their order along the axis."""
    count = 0

    def counted() -> Iterator[Gap]:
        nonlocal count
        for gap in gaps:
            count += 1
            yield gap

    kept = heapq.nlargest(most, counted(), key=lambda gap: gap.missing)
    return count, sorted(kept, key=lambda gap: gap.first)


@dataclass(frozen=True)
class Completeness:
    """The latest elements of the split dimension at which every split array is whole.

    ``latest`` is the last such element; before it there may be gaps. ``through`` is the last one
    before the first gap. None where there is none. ``extent`` is the dimension's length.
    """

    dimension: str
    extent: int
    latest: int | None
    through: int | None


def completeness(
    dimension: str, arrays: Iterable[tuple[int, Int64Array]], extent: int
) -> Completeness:
    """Return the latest complete elements, from each array's length and incomplete ranges.

    What lies beyond the end of a shorter array is not complete: it is not there.
    """
    ranges = [np.empty((0, 2), np.int64)]
    for length, incomplete in arrays:
        ranges.append(incomplete)
        if length < extent:
            ranges.append(np.array([[length, extent]], np.int64))
    joined = np.concatenate(ranges)
    joined = joined[np.argsort(joined[:, 0], kind="stable")]
    through = int(joined[0, 0]) - 1 if len(joined) else extent - 1
    latest = extent - 1
    if len(joined):
        # Where the ranges so far end before the next one begins, there is a complete stretch.
        ends = np.maximum.accumulate(joined[:, 1])
        if ends[-1] >= extent:
            begins = joined[1:, 0]
            free = np.flatnonzero(begins > ends[:-1])
            latest = int(begins[free[-1]]) - 1 if len(free) else int(joined[0, 0]) - 1
    return Completeness(
        dimension,
        extent,
        latest if latest >= 0 else None,
        through if through >= 0 else None,
    )
