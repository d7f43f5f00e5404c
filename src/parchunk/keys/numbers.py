"""Chunk numbers and chunk indices: one is the other ravelled in C order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]


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


def unravelled(grid: tuple[int, ...], number: int) -> tuple[int, ...]:
    """Return the chunk index of one number."""
    index = []
    for size in reversed(grid):
        number, at = divmod(number, size)
        index.append(at)
    return tuple(reversed(index))
