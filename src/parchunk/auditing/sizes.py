"""Chunk sizes of one array in bounded memory: a fine histogram, and the extremes by number.

The histogram's bins are equal in the logarithm, 64 to an octave, and each has its mean, so a median
read off it is within 1.1 % of the true one, for any number of chunks and whatever order they came
in. It is exact where the middle bins hold equal sizes: below 90 bytes, and without compression.

A chunk of which the array fills a share has a size anywhere between that share of the usual one and
all of it, as what fills it up compresses well or not: it is no outlier there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parchunk.auditing.heat import least
from parchunk.keys.numbers import Int64Array

#: Bins in a factor of two, and octaves: sizes up to 2**48 bytes.
PER_OCTAVE = 64
BINS = 48 * PER_OCTAVE
#: Smallest and largest chunks that are kept by number.
KEPT = 5
#: An outlier is this many robust standard deviations from the median, in the logarithm...
_DEVIATIONS = 8.0
#: ...and at least this many octaves: compression alone varies sizes by a factor of some.
_OCTAVES = 2.0
#: Fewer chunks than this have no usual size.
_LEAST = 20
#: The standard deviation of a normal distribution is this many times its MAD.
_MAD = 1.4826
#: What all share that have met nothing.
_NONE: Int64Array = np.zeros(0, np.int64)
_NO_BYTES: NDArray[np.float64] = np.zeros(0)
_NO_SMALL: list[tuple[int, int, int]] = []
_NO_EXAMPLES: list[tuple[int, int]] = []


@dataclass(frozen=True)
class Outliers:
    """How many sizes lie far from the median, the limits in bytes, and some of them.

    ``examples`` are (chunk number, size), those farthest from the median. ``low`` is the limit of
    full chunks, of others their share of it.
    """

    median: int
    low: int
    high: int
    count: int
    examples: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Sizes:
    """The sizes met so far.

    ``fixed`` is the one size that chunks can have, None where they can have any; ``wrong`` counts
    those of another size, and ``wrong_examples`` are the first by number.

    ``counts`` are of sizes in ``2 ** ([b, b + 1) / PER_OCTAVE)`` for each bin ``b`` of ``bins``,
    which rise, and ``bytes`` their sums, shape (n,) each: only bins that hold some, as there may be
    a hundred thousand arrays. ``edges`` are of chunks of which the array fills a part, in order:
    ``BINS`` times the bin of the size, and the bin of the size that a full one would have;
    ``edge_counts`` is how many have both. ``smallest`` are (size of a full one, number, size), and
    ``largest`` (size, number).
    """

    fixed: int | None = None
    wrong: int = 0
    wrong_examples: list[tuple[int, int]] = field(default_factory=list)
    bins: NDArray[np.signedinteger] = field(default_factory=lambda: _NONE)
    counts: NDArray[np.signedinteger] = field(default_factory=lambda: _NONE)
    bytes: NDArray[np.float64] = field(default_factory=lambda: _NO_BYTES)
    edges: NDArray[np.signedinteger] = field(default_factory=lambda: _NONE)
    edge_counts: NDArray[np.signedinteger] = field(default_factory=lambda: _NONE)
    smallest: list[tuple[int, int, int]] = field(default_factory=list)
    largest: list[tuple[int, int]] = field(default_factory=list)
    _median: int | None = None
    _count: int | None = None

    def take(
        self, sizes: Int64Array, numbers: Int64Array, shares: NDArray[np.float64] | None = None
    ) -> None:
        """Add chunks by size and number; all sizes are 1 or more.

        ``shares`` is how much of each the array fills (`Edges.shares`), None for all of all.
        """
        if not len(sizes):
            return
        if self.fixed is not None:
            other = np.flatnonzero(sizes != self.fixed)
            self.wrong += len(other)
            first = other[np.argsort(numbers[other], kind="stable")[:KEPT]]
            found = zip(numbers[first].tolist(), sizes[first].tolist(), strict=True)
            self.wrong_examples = sorted([*self.wrong_examples, *found])[:KEPT]
        places = _bins_of(sizes)
        full = sizes
        if shares is not None:
            part = np.flatnonzero(shares < 1)
            as_full = (sizes[part] / shares[part]).astype(np.int64)
            self._add_edges(*_counted(places[part] * BINS + _bins_of(as_full)))
            full = sizes.copy()
            full[part] = as_full
        low = int(places.min())
        places -= low
        counts = np.bincount(places)
        used = np.flatnonzero(counts)
        sums: NDArray[np.float64] = np.bincount(places, sizes).astype(np.float64, copy=False)
        self._add(used + low, counts[used], sums[used])
        most = _ends(sizes)
        least = most if full is sizes else _ends(full)
        columns = (full[least], numbers[least], sizes[least])
        small = list(zip(*(column.tolist() for column in columns), strict=True))
        self._keep(small, list(zip(sizes[most].tolist(), numbers[most].tolist(), strict=True)))

    def merge(self, other: Sizes) -> None:
        """Add what another one has met."""
        self._add(other.bins, other.counts, other.bytes)
        self._add_edges(other.edges, other.edge_counts)
        self.wrong += other.wrong
        self.wrong_examples = sorted(self.wrong_examples + other.wrong_examples)[:KEPT]
        self._keep(other.smallest, other.largest)

    def settle(self) -> None:
        """Keep what pictures and the median need, now that all is met, in as few bytes as will do.

        There may be a hundred thousand arrays. Nothing can be added from now on.
        """
        self._median, self.bytes = self.median, _NO_BYTES
        self.bins, self.counts = least(self.bins), least(self.counts)
        self.edges = self.edge_counts = _NONE
        self.smallest, self.largest = _NO_SMALL, _NO_EXAMPLES
        self.wrong_examples = self.wrong_examples or _NO_EXAMPLES

    def drop(self) -> None:
        """Keep the median and how many there are, and no histogram, of what is settled."""
        self._count, self.bins, self.counts = self.count, _NONE, _NONE

    def _add(self, bins: Int64Array, counts: Int64Array, sums: NDArray[np.float64]) -> None:
        if not len(self.bins):
            self.bins, self.counts, self.bytes = bins, counts, sums
            return
        both, place = np.unique(np.concatenate([self.bins, bins]), return_inverse=True)
        mine, theirs = place[: len(self.bins)], place[len(self.bins) :]
        found, together = np.zeros(len(both), np.int64), np.zeros(len(both))
        found[mine], together[mine] = self.counts, self.bytes
        found[theirs] += counts
        together[theirs] += sums
        self.bins, self.counts, self.bytes = both, found, together

    def _add_edges(self, edges: Int64Array, counts: Int64Array) -> None:
        if not len(edges):
            return
        if not len(self.edges):
            self.edges, self.edge_counts = edges, counts
            return
        both, place = np.unique(np.concatenate([self.edges, edges]), return_inverse=True)
        found = np.bincount(place, np.concatenate([self.edge_counts, counts]), len(both))
        self.edges, self.edge_counts = both, found.astype(np.int64)

    def _keep(self, small: list[tuple[int, int, int]], large: list[tuple[int, int]]) -> None:
        self.smallest = sorted(self.smallest + small)[:KEPT]
        self.largest = sorted(self.largest + large, key=lambda p: (-p[0], p[1]))[:KEPT]

    @property
    def count(self) -> int:
        """Sizes met."""
        if self._count is not None:
            return self._count
        return int(self.counts.sum())

    @property
    def median(self) -> int:
        """The median in bytes, within 1.1 %, a half rounded up; 0 when there are no sizes."""
        if self._median is not None:
            return self._median
        return self._median_of(self.counts) if self.count else 0

    def _median_of(self, counts: NDArray[np.signedinteger]) -> int:
        """Return the median of some of the sizes, as many of each bin."""
        count = int(counts.sum())
        # of an even number of sizes the mean of the two in the middle
        middle = counts.cumsum().searchsorted(((count - 1) // 2, count // 2), "right")
        low_mean, high_mean = (self.bytes[middle] / self.counts[middle]).tolist()
        return int((low_mean + high_mean) / 2 + 0.5)

    def outliers(self) -> Outliers | None:
        """Return the sizes far from the median, or None when there are none (or too few sizes).

        Where chunks can have one size only, every other one is wrong and none an outlier.
        """
        total = self.count
        if total < _LEAST or self.fixed is not None:
            return None
        if self.bins[-1] - self.bins[0] <= _OCTAVES * PER_OCTAVE:
            return None  # none can be so far from any other
        of_parts, as_full = np.divmod(self.edges, BINS)
        # What is usual is told by full chunks, where there are enough: most may lie at an end.
        full = self.counts.copy()
        np.subtract.at(full, self.bins.searchsorted(of_parts), self.edge_counts)
        if full.sum() < _LEAST:
            full = self.counts
        rank = (int(full.sum()) - 1) // 2
        middle = int(self.bins[_place_of(full, rank)])
        distances = np.abs(self.bins - middle)
        order = distances.argsort(kind="stable")
        usual = int(distances[order[_place_of(full[order], rank)]])
        far = max(_DEVIATIONS * _MAD * usual, _OCTAVES * PER_OCTAVE)
        count = int(self.counts[distances > far].sum())
        usual_part = (of_parts < middle - far) & (as_full >= middle - far)
        count -= int(self.edge_counts[usual_part].sum())
        if not count:
            return None
        low = int(2 ** (max(middle - far, 0) / PER_OCTAVE))
        high = int(2 ** ((middle + far + 1) / PER_OCTAVE))
        examples = [(number, size) for full, number, size in self.smallest if full <= low]
        examples += [(number, size) for size, number in self.largest if size >= high]
        return Outliers(self._median_of(full), low, high, count, tuple(examples))

    def histogram(self, most: int = 40) -> list[tuple[int, int, int]]:
        """Return (from, to, count) in bytes: at most ``most`` bins, equal in the logarithm."""
        if not len(self.bins):
            return []
        bins = self.bins.astype(np.int64)
        first, last = int(bins[0]), int(bins[-1]) + 1
        width = max(-(-(last - first) // most), 1)
        starts = range(first, last, width)
        counts = np.bincount((bins - first) // width, self.counts, minlength=len(starts))
        return [
            (int(2 ** (start / PER_OCTAVE)), int(2 ** ((start + width) / PER_OCTAVE)), int(count))
            for start, count in zip(starts, counts.tolist(), strict=True)
        ]


def _bins_of(sizes: Int64Array) -> Int64Array:
    places: Int64Array = (np.log2(sizes) * PER_OCTAVE).astype(np.int64)
    return np.minimum(places, BINS - 1, out=places)


def _counted(values: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return what values there are, in order, and how many of each; sorting takes longer."""
    low = values.min()
    if values.max() - low > 16 * len(values):
        return np.unique(values, return_counts=True)
    counts = np.bincount(values - low)
    used = np.flatnonzero(counts)
    return used + low, counts[used]


def _ends(values: Int64Array) -> NDArray[np.intp]:
    """Return the places of the `KEPT` least values and the `KEPT` greatest ones, in no order."""
    if len(values) <= 2 * KEPT:
        return np.arange(len(values))
    order = np.argpartition(values, (KEPT, len(values) - KEPT - 1))
    return np.concatenate((order[:KEPT], order[-KEPT:]))


def _place_of(counts: NDArray[np.signedinteger], rank: int) -> int:
    """Return which of these counts has the value that so many others come before."""
    return int(counts.cumsum().searchsorted(rank, side="right"))
