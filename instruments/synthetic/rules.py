"""Rules of a formula store: which chunks are there, and how many bytes each has."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Mask = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
"""A rule of presence: ``(chunk numbers, grid) -> bool``, vectorised and deterministic."""

SizeRule = Callable[[np.ndarray], np.ndarray]
"""A rule of sizes: ``chunk numbers -> bytes``, vectorised and deterministic."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_CODES = 4096


def _mixed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 well-mixed bits for each number."""
    shift = (seed * 0x632BE59BD9B4E019 + 1) % 2**64
    bits = (numbers.astype(np.uint64) + np.uint64(shift)) * _GOLDEN
    return (bits ^ (bits >> np.uint64(32))) * _MIX


@dataclass(frozen=True)
class HashedSizes:
    """Sizes from ``low`` to ``high`` inclusive, drawn by chunk number from 4,096 values.

    ``zeros`` is the share of chunks that are zero bytes long. Neighbouring numbers have unlike
    sizes, so that a size put into the wrong place shows.
    """

    low: int = 1_000
    high: int = 99_999
    seed: int = 0
    zeros: float = 0.0

    @cached_property
    def values(self) -> np.ndarray:
        """The sizes that occur, by code (int64)."""
        values = self.low + np.arange(_CODES, dtype=np.int64) * (self.high - self.low) // 4095
        values[: round(self.zeros * _CODES)] = 0
        return values

    def codes(self, numbers: np.ndarray) -> np.ndarray:
        """Return each chunk's place in ``values``."""
        return (_mixed(numbers, self.seed) >> np.uint64(52)).view(np.int64)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Return each chunk's size in bytes (int64)."""
        return self.values[self.codes(numbers)]


HASHED_SIZES = HashedSizes()


@dataclass(frozen=True)
class ConstantSize:
    """Every chunk has ``size`` bytes."""

    size: int

    @property
    def values(self) -> np.ndarray:
        """The one size."""
        return np.array([self.size], dtype=np.int64)

    def codes(self, numbers: np.ndarray) -> np.ndarray:
        """Return zeros: each chunk's place in ``values``."""
        return np.zeros(len(numbers), dtype=np.int64)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Return each chunk's size in bytes (int64)."""
        return np.full(len(numbers), self.size, dtype=np.int64)


@dataclass(frozen=True)
class LeadingRange:
    """Present are the chunks whose index along axis 0 lies in ``[start, stop)``.

    As ARCO-ERA5 is: preallocated from 1900 to 2050, written from 1940 on.
    """

    start: int
    stop: int

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present."""
        inner = math.prod(grid[1:])
        return (numbers >= self.start * inner) & (numbers < self.stop * inner)


@dataclass(frozen=True)
class HashFraction:
    """Present is about this ``fraction`` of the chunks, drawn by chunk number."""

    fraction: float
    seed: int = 0

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present."""
        return _mixed(numbers, self.seed + 1) >> np.uint64(32) < int(self.fraction * 2**32)


@dataclass(frozen=True)
class Without:
    """Present are all chunks but those with these chunk ``numbers``."""

    numbers: tuple[int, ...]

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present."""
        return ~np.isin(numbers, self.numbers)


@dataclass(frozen=True)
class Nothing:
    """No chunk is present: the array has metadata only."""

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present: none."""
        return np.zeros(len(numbers), dtype=bool)


@dataclass(frozen=True)
class Both:
    """Present are the chunks that both rules call present."""

    one: Mask
    other: Mask

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present."""
        return self.one(numbers, grid) & self.other(numbers, grid)
