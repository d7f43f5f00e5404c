"""Shards and inner chunks: which shards rows lie in, and where to cut rows. Integers, no I/O.

Rows of an expanded array count inner chunks in C order of the *inner* grid, while a shard holds a
box of it: a run of rows passes through all shards side by side, and comes back to each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm, prod

import numpy as np

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec


def extents(spec: ArraySpec) -> tuple[int, ...]:
    """Return the number of inner chunks along each dimension of a shard."""
    return tuple(
        size // inner for size, inner in zip(spec.chunks, spec.reference_chunks, strict=True)
    )


def shards_of(spec: ArraySpec, rows: RowSet) -> Int64Array:
    """Return the numbers of the shards in which any of ``rows`` lies, rising."""
    found = []
    inner, shard = spec.reference_grid, extents(spec)
    for box in rows.boxes(inner):
        numbers = np.zeros(1, np.int64)
        for start, stop, size, extent in zip(box.start, box.stop, spec.grid, shard, strict=True):
            along = np.arange(start // extent, -(-stop // extent), dtype=np.int64)
            numbers = (numbers[:, None] * size + along).ravel()
        found.append(numbers)
    if not found:
        return np.empty(0, np.int64)
    return found[0] if len(found) == 1 else np.unique(np.concatenate(found))


def shard_starts(spec: ArraySpec, shards: Int64Array) -> Int64Array:
    """Return the index of each shard's first inner chunk, shape (rank, n)."""
    starts = np.empty((spec.rank, len(shards)), np.int64)
    rest, extent = shards, extents(spec)
    for axis in reversed(range(spec.rank)):
        rest, index = np.divmod(rest, spec.grid[axis])
        starts[axis] = index * extent[axis]
    return starts


def shard_numbers(spec: ArraySpec, rows: Int64Array) -> Int64Array:
    """Return the number of the shard that each row lies in, shape (n,)."""
    numbers = np.zeros(len(rows), np.int64)
    rest, scale = rows, 1
    for inner, size, extent in zip(
        reversed(spec.reference_grid), reversed(spec.grid), reversed(extents(spec)), strict=True
    ):
        rest, index = np.divmod(rest, inner)
        numbers += index // extent * scale
        scale *= size
    return numbers


def inner_slices(spec: ArraySpec, rows: RowSet, most: int, record_size: int) -> Iterator[RowSet]:
    """Cut a region's rows into slices of about ``most`` that end between record files.

    Where that leaves a choice they end between shards too, so that each is looked into once.
    """
    if rows.total > most:
        unit = _unit(spec, rows, most, record_size)
        most = max(most // unit, 1) * unit if unit <= most else most
    return rows.slices(most, record_size)


def ends_within_shards(spec: ArraySpec, rows: RowSet, most: int, record_size: int) -> bool:
    """Whether `inner_slices` cannot but end within shards."""
    return rows.total > most and _unit(spec, rows, most, record_size) > most


def band_axis(spec: ArraySpec) -> int:
    """Return the first axis along which shards have several inner chunks; the rank without one.

    Rows pass through shards in bands along it. What lies beyond the array's edge does not count.
    """
    along = zip(extents(spec), spec.reference_grid, strict=True)
    return next((axis for axis, pair in enumerate(along) if min(pair) > 1), spec.rank)


def _unit(spec: ArraySpec, rows: RowSet, most: int, record_size: int) -> int:
    """Return after how many rows both a record file and all shards begun have ended."""
    grid, axis = spec.reference_grid, band_axis(spec)
    extent = prod(extents(spec)[axis : axis + 1])
    band, line = extent * prod(grid[axis + 1 :]), prod(grid[axis:])
    # The last band of a line is cut by the array's edge: only a whole line ends it, where lines
    # follow each other.
    whole = prod(grid[axis : axis + 1]) % extent == 0
    if rows.count == 1 or rows.run > most:
        return lcm(band if whole or rows.run <= line else line, record_size)
    # `rows` hold only ``run`` of every ``period`` rows; whole runs are whole record files.
    if line <= rows.period:
        return rows.run
    return (band if whole or prod(grid[:axis]) == 1 else line) // rows.period * rows.run
