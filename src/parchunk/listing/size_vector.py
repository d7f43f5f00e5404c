"""Size vectors: what listings have shown of a row set's chunks, in 8 bytes a chunk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array

_ONE = np.uint64(1)


class SizeVector:
    """The sizes of chunks in row order; a chunk that no listing has shown is absent.

    Held as the size plus 1: so memory that nobody has written to says that all are absent. A slice
    is a view, and shows what is noted later.
    """

    __slots__ = ("_codes",)

    def __init__(self, memory: NDArray[np.uint64]) -> None:
        """Take zeroed memory, one integer a chunk: all are absent."""
        self._codes = memory

    def __len__(self) -> int:
        """Return the number of chunks, absent ones included."""
        return len(self._codes)

    def __getitem__(self, rows: slice | Int64Array) -> SizeVector:
        """Return the vector of some rows."""
        return SizeVector(self._codes[rows])

    def note(self, rows: Int64Array, sizes: NDArray[np.uint64]) -> int:
        """Note what a listing shows of some rows; return how many of them were absent.

        Of several sizes of one chunk the largest stays: a marker beside a chunk shares its key, on
        a store without order in one batch, too.
        """
        codes, before = sizes + _ONE, self._codes[rows]
        self._codes[rows] = np.maximum(before, codes)
        if np.count_nonzero(self._codes[rows] < codes):
            np.maximum.at(self._codes, rows, codes)
        return len(before) - int(np.count_nonzero(before))

    def counted(self, rows: Int64Array, sizes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which of some sizes, noted before, are those that count."""
        found: NDArray[np.bool_] = np.equal(self._codes[rows], sizes + _ONE)
        return found

    @property
    def absent(self) -> NDArray[np.bool_]:
        """Which chunks no listing has shown."""
        return np.equal(self._codes, 0)

    @property
    def listed_count(self) -> int:
        """How many chunks a listing has shown, zero-sized ones included."""
        return int(np.count_nonzero(self._codes))

    @property
    def zero_sized(self) -> NDArray[np.bool_]:
        """Which chunks were listed without any bytes: no reader can decode them."""
        return np.equal(self._codes, _ONE)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which chunks were listed with bytes."""
        return np.greater(self._codes, _ONE)

    @property
    def sizes(self) -> Int64Array:
        """The bytes of each chunk, 0 where it is not present."""
        return (np.maximum(self._codes, _ONE) - _ONE).view(np.int64)

    def only(self, rows: Int64Array) -> SizeVector:
        """Return a vector of its own in which all other rows are absent."""
        codes = np.zeros_like(self._codes)
        codes[rows] = self._codes[rows]
        return SizeVector(codes)

    def without(self, rows: Int64Array) -> SizeVector:
        """Return a vector of its own in which these rows are absent."""
        codes = self._codes.copy()
        codes[rows] = 0
        return SizeVector(codes)
