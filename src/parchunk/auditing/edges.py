"""Chunks at the ends of an array, of which it fills a part: they compress to less than others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.metadata.spec import ArraySpec


class Edges:
    """Which chunks of a grid reach beyond the array's end, and how much of them the array fills."""

    def __init__(self, spec: ArraySpec) -> None:
        """Prepare for the chunks that references of an array point at."""
        #: Of each axis that ends within a chunk: the chunks of one index, those along it, the share
        #: of the last of them. Where there is but one, all chunks of the array are alike.
        self._ends: list[tuple[int, int, float]] = []
        within = 1
        sized = zip(spec.shape, spec.reference_chunks, spec.reference_grid, strict=True)
        for extent, size, count in reversed([*sized]):
            if count > 1 and extent % size:
                self._ends.append((within, count, extent % size / size))
            within *= count

    def shares(self, numbers: Int64Array) -> NDArray[np.float64] | None:
        """Return how much of each chunk the array fills, 1 for all of it; None where all are full.

        Shape (n,), as the chunk ``numbers``.
        """
        found: NDArray[np.float64] | None = None
        for within, count, share in self._ends:
            last = numbers // within % count == count - 1
            if last.any():
                found = np.ones(len(numbers)) if found is None else found
                found[last] *= share
        return found
