"""Chunk numbers and chunk indices of many chunks at once, and what Icechunk calls a chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ravel(indices: NDArray[np.int64], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the chunk numbers of indices, shape (n, rank)."""
    numbers = np.zeros(len(indices), np.int64)
    for axis, size in enumerate(grid):
        numbers = numbers * size + indices[:, axis]
    return numbers


def unravel(numbers: NDArray[np.int64], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the chunk indices of numbers, shape (n, rank)."""
    indices = np.empty((len(numbers), len(grid)), np.int64)
    rest = numbers
    for axis in reversed(range(len(grid))):
        rest, indices[:, axis] = np.divmod(rest, grid[axis])
    return indices


def chunk_key(array: str, index: Sequence[int]) -> str:
    """Return the key of a chunk in a repository, where all arrays have the default keys."""
    return "/".join([array, "c", *map(str, index)])
