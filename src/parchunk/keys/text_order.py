"""Text order: where a chunk key stands when the keys of an array are sorted as text.

Object stores list keys in the order of their bytes. ``/`` (0x2F), ``.`` (0x2E) and the end of a
key all sort before ``0`` (0x30), so the chunk keys of an array sorted as text are a nested loop
over its dimensions, each dimension's indices sorted as decimal strings. A key's place in that
order is its *rank*; rank <-> index is mixed-radix arithmetic over one text order an axis:

    size 12:  index      0  1  10  11  2  3  4  5  6  7   8   9
              axis rank  0  1   2   3  4  5  6  7  8  9  10  11

The decimal strings of an axis are a tree (``1`` above ``10`` .. ``19``, each above its own ten),
walked parent first. A subtree's size is one line of arithmetic, so nothing here sorts, and
nothing takes longer than the number of digits.

Two orders that must not be mixed up: a *chunk number* is the index ravelled in C order with
numeric axes, a *rank* is the same with text-ordered axes. On a grid of 12, chunk number 2 has
rank 4.

Everything is pure arithmetic on integers. NumPy functions work in int64 and need grids, and
axes times ten, below 2**63.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def digits(size: int) -> int:
    """Return how many digits the largest index of an axis of ``size`` indices has."""
    return len(str(size - 1))


def axis_rank(size: int, index: int) -> int:
    """Return the place of ``index`` among ``0 .. size - 1`` sorted as decimal strings.

    ``axis_rank(12, 2) == 4``: 0, 1, 10 and 11 come first. IndexError outside the axis.
    """
    if not 0 <= index < size:
        raise IndexError(f"index {index} is outside an axis of {size}")
    return spelled_before(size, str(index), beyond=False)


def axis_index(size: int, rank: int) -> int:
    """Return the index at place ``rank`` among ``0 .. size - 1`` sorted as decimal strings.

    The inverse of `axis_rank`. IndexError outside the axis.
    """
    if not 0 <= rank < size:
        raise IndexError(f"rank {rank} is outside an axis of {size}")
    if rank == 0:
        return 0
    rank -= 1
    below = digits(size)
    first, end = 1, 10
    while True:
        below -= 1
        for node in range(first, end):
            count = subtree(size, node, below)
            if rank < count:
                break
            rank -= count
        if rank == 0:
            return node
        rank -= 1
        first, end = node * 10, node * 10 + 10


def axis_ranks(size: int, indices: Ints) -> Ints:
    """Return `axis_rank` of each of ``indices`` (any shape; not checked against the axis)."""
    lengths = np.ones(indices.shape, np.int64)
    longest = digits(size)
    for exponent in range(1, longest):
        lengths += indices >= 10**exponent
    powers = np.array([10**exponent for exponent in range(longest + 1)], np.int64)
    ranks = np.ones(indices.shape, np.int64)
    for length in range(1, longest + 1):
        # strings of `length` digits that sort before the index: those below `bound`
        cut = indices // powers[np.maximum(lengths - length, 0)]
        bound = cut * powers[np.maximum(length - lengths, 0)]
        bound += lengths > length  # a proper prefix sorts before what it is a prefix of
        ranks += np.maximum(np.minimum(bound, size) - 10 ** (length - 1), 0)
    return np.where(indices == 0, 0, ranks)


def subtree(size: int, node: int, below: int) -> int:
    """Return how many indices of an axis are spelled ``node`` or start with ``node``.

    ``below`` is the number of digits that the longest index has more than ``node``:
    ``subtree(1000, 5, 2) == 111`` (5, 50 .. 59, 500 .. 599). ``node`` is 1 or more, and 0 has
    nothing below it.
    """
    power: int = 10**below
    return (power - 1) // 9 + min(max(size - node * power, 0), power)


def rank_of(grid: Sequence[int], index: Sequence[int]) -> int:
    """Return the rank of the chunk at ``index`` (one integer a dimension); 0 for rank 0."""
    rank = 0
    for size, at in zip(grid, index, strict=True):
        rank = rank * size + axis_rank(size, at)
    return rank


def index_at(grid: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return the chunk index at ``rank``: the inverse of `rank_of`. IndexError outside."""
    if not 0 <= rank < prod(grid):
        raise IndexError(f"rank {rank} is outside the grid {tuple(grid)}")
    index = []
    for size in reversed(grid):
        rank, at = divmod(rank, size)
        index.append(axis_index(size, at))
    return tuple(reversed(index))


def ranks_of(grid: Sequence[int], chunk_numbers: Ints) -> Ints:
    """Return the rank of each chunk number (index ravelled in C order). IndexError outside."""
    total = prod(grid)
    if chunk_numbers.size and (chunk_numbers.min() < 0 or chunk_numbers.max() >= total):
        raise IndexError(f"a chunk number is outside the grid {tuple(grid)}")
    ranks = np.zeros(chunk_numbers.shape, np.int64)
    rest, weight = chunk_numbers, 1
    for size in reversed(grid):
        if size <= 1:  # also keeps an empty grid from dividing by zero
            continue
        rest, at = np.divmod(rest, size)
        if size <= at.size:
            ranks += axis_ranks(size, np.arange(size, dtype=np.int64))[at] * weight
        else:
            ranks += axis_ranks(size, at) * weight
        weight *= size
    return ranks


def numbers_at(grid: Sequence[int], ranks: Ints) -> Ints:
    """Return the chunk number at each rank: the inverse of `ranks_of`. IndexError outside."""
    total = prod(grid)
    if ranks.size and (ranks.min() < 0 or ranks.max() >= total):
        raise IndexError(f"a rank is outside the grid {tuple(grid)}")
    numbers = np.zeros(ranks.shape, np.int64)
    rest, weight = ranks, 1
    for size in reversed(grid):
        if size <= 1:
            continue
        rest, at = np.divmod(rest, size)
        numbers += axis_indices(size, at) * weight
        weight *= size
    return numbers


def axis_indices(size: int, ranks: Ints) -> Ints:
    """Return `axis_index` of each of ``ranks`` (any shape; not checked against the axis)."""
    indices = np.zeros(ranks.shape, np.int64)
    left = ranks - 1  # keys to pass over before the wanted one, from the first below the parent
    parent = np.zeros(ranks.shape, np.int64)
    looking = ranks > 0
    for below in range(digits(size) - 1, -1, -1):
        power = 10**below
        descended = np.zeros(ranks.shape, bool)
        for digit in range(10):
            if not digit and below == digits(size) - 1:
                continue  # 0 has nothing below it, and is rank 0
            node = parent * 10 + digit
            count = (power - 1) // 9 + np.clip(size - node * power, 0, power)
            here = looking & (left < count)
            found = here & (left == 0)
            indices[found] = node[found]
            descended |= here & ~found
            parent = np.where(here, node, parent)
            left = np.where(here, left - 1, left - np.where(looking, count, 0))
            looking &= ~here
        looking = descended
    return indices


def spelled_before(size: int, number: str, *, beyond: bool) -> int:
    """Count the indices of an axis that sort before the digits ``number``.

    ``beyond`` asks for those before ``number`` followed by something above ``9``: then the
    indices that start with ``number`` come before it too. ``size`` is 1 or more, ``number`` any
    string of digits: ``00`` and numbers that no axis has included.
    """
    if not number:
        return size if beyond else 0
    if number[0] == "0":
        return int(beyond or len(number) > 1)
    count = 1  # 0
    length = len(number)
    for shorter in range(1, digits(size) + 1):
        if shorter < length:
            bound = int(number[:shorter]) + 1  # a proper prefix sorts before
        else:
            bound = (int(number) + beyond) * 10 ** (shorter - length)
        count += max(0, min(size, bound) - 10 ** (shorter - 1))
    return count
