"""Chunk sizes of one array in bounded memory: a fine histogram, and the extremes by number.

The histogram's bins are equal in the logarithm, 64 to an octave, and each has its mean, so a median
read off it is within 1.1 % of the true one, for any number of chunks and whatever order they came
in. It is exact where the middle bins hold equal sizes: below 90 bytes, and without compression.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class Outliers:
    """How many sizes lie far from the median, the limits in bytes, and some of them.

    ``examples`` are (chunk number, size), those farthest from the median.
    """

    median: int
    low: int
    high: int
    count: int
    examples: tuple[tuple[int, int], ...]


@dataclass
class Sizes:
    """The sizes met so far. ``bins[b]`` counts sizes in ``2 ** ([b, b + 1) / PER_OCTAVE)``.

    ``fixed`` is the one size that chunks can have, None where they can have any; ``wrong`` counts
    those of another size, and ``wrong_examples`` are the first by number. ``bytes`` are the sums
    of sizes, bin by bin.
    """

    fixed: int | None = None
    wrong: int = 0
    wrong_examples: list[tuple[int, int]] = field(default_factory=list)
    bins: Int64Array = field(default_factory=lambda: np.zeros(BINS, np.int64))
    bytes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(BINS))
    smallest: list[tuple[int, int]] = field(default_factory=list)
    largest: list[tuple[int, int]] = field(default_factory=list)

    def take(self, sizes: Int64Array, numbers: Int64Array) -> None:
        """Add chunks by size and number; all sizes are 1 or more."""
        if not len(sizes):
            return
        if self.fixed is not None:
            other = np.flatnonzero(sizes != self.fixed)
            self.wrong += len(other)
            first = other[np.argsort(numbers[other], kind="stable")[:KEPT]]
            found = zip(numbers[first].tolist(), sizes[first].tolist(), strict=True)
            self.wrong_examples = sorted([*self.wrong_examples, *found])[:KEPT]
        places = (np.log2(sizes) * PER_OCTAVE).astype(np.int64)
        np.minimum(places, BINS - 1, out=places)
        self.bins += np.bincount(places, minlength=BINS)
        self.bytes += np.bincount(places, sizes, minlength=BINS)
        if len(sizes) > 2 * KEPT:
            order = np.argpartition(sizes, (KEPT, len(sizes) - KEPT - 1))
            low, high = order[:KEPT], order[-KEPT:]
        else:
            low = high = np.arange(len(sizes))
        self._keep(
            list(zip(sizes[low].tolist(), numbers[low].tolist(), strict=True)),
            list(zip(sizes[high].tolist(), numbers[high].tolist(), strict=True)),
        )

    def merge(self, other: Sizes) -> None:
        """Add what another one has met."""
        self.bins += other.bins
        self.wrong += other.wrong
        self.wrong_examples = sorted(self.wrong_examples + other.wrong_examples)[:KEPT]
        self.bytes += other.bytes
        self._keep(other.smallest, other.largest)

    def _keep(self, small: list[tuple[int, int]], large: list[tuple[int, int]]) -> None:
        self.smallest = sorted(self.smallest + small)[:KEPT]
        self.largest = sorted(self.largest + large, key=lambda p: (-p[0], p[1]))[:KEPT]

    @property
    def count(self) -> int:
        """Sizes met."""
        return int(self.bins.sum())

    @property
    def median(self) -> int:
        """The median in bytes, within 1.1 %, a half rounded up; 0 when there are no sizes."""
        if not self.count:
            return 0
        # of an even number of sizes the mean of the two in the middle
        low, high = (_bin_of(self.bins, rank) for rank in ((self.count - 1) // 2, self.count // 2))
        low_mean, high_mean = (float(self.bytes[at] / self.bins[at]) for at in (low, high))
        return int((low_mean + high_mean) / 2 + 0.5)

    def outliers(self) -> Outliers | None:
        """Return the sizes far from the median, or None when there are none (or too few sizes).

        Where chunks can have one size only, every other one is wrong and none an outlier.
        """
        if self.count < _LEAST or self.fixed is not None:
            return None
        middle = _median(self.bins)
        spread = np.zeros(BINS, np.int64)
        np.add.at(spread, np.abs(np.arange(BINS) - middle), self.bins)
        far = max(_DEVIATIONS * _MAD * _median(spread), _OCTAVES * PER_OCTAVE)
        places = np.arange(BINS)
        outside = (places < middle - far) | (places > middle + far)
        count = int(self.bins[outside].sum())
        if not count:
            return None
        low = int(2 ** (max(middle - far, 0) / PER_OCTAVE))
        high = int(2 ** ((middle + far + 1) / PER_OCTAVE))
        examples = [(number, size) for size, number in self.smallest if size <= low]
        examples += [(number, size) for size, number in self.largest if size >= high]
        return Outliers(self.median, low, high, count, tuple(examples))

    def histogram(self, most: int = 40) -> list[tuple[int, int, int]]:
        """Return (from, to, count) in bytes: at most ``most`` bins, equal in the logarithm."""
        used = np.flatnonzero(self.bins)
        if not len(used):
            return []
        first, last = int(used[0]), int(used[-1]) + 1
        width = max(-(-(last - first) // most), 1)
        return [
            (
                int(2 ** (start / PER_OCTAVE)),
                int(2 ** ((start + width) / PER_OCTAVE)),
                int(self.bins[start : start + width].sum()),
            )
            for start in range(first, last, width)
        ]


def _median(bins: Int64Array) -> int:
    """Return the bin in which the middle one of all counted values lies."""
    return _bin_of(bins, (int(bins.sum()) - 1) // 2)


def _bin_of(bins: Int64Array, rank: int) -> int:
    """Return the bin of the value that so many others come before."""
    return int(np.searchsorted(np.cumsum(bins), rank, side="right"))
