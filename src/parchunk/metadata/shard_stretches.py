"""Stretches of shards' indexes: which entries a slice of rows wants, and which are read with them.

A slice is rows in a run, and so is what it wants of each shard's index, which has the inner chunks
in the same order. So no entry is read twice, however many slices meet a shard: what the next ones
want is read later, or *ahead*, as far as there is room for it. Integers, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.shard_grid import band_axis, extents, shard_starts, shards_of
from parchunk.metadata.shards import ENTRY_BYTES, ShardLayout
from parchunk.metadata.spec import ArraySpec

#: What it costs to keep entries of one shard's index, beside themselves, in entries.
_KEEPING = 10


@dataclass(frozen=True)
class Stretches:
    """What a slice wants of the indexes of ``shards``, which rise; shape (n,) each, in entries.

    Wanted are those from ``begin`` to ``end``. What is ``held`` is there already, having been read
    ahead; if that is not enough, all before ``fetched`` is read.
    """

    shards: Int64Array
    begin: Int64Array
    end: Int64Array
    held: Int64Array
    fetched: Int64Array

    def only(self, which: NDArray[np.bool_]) -> Stretches:
        """Return those of some shards."""
        return Stretches(
            self.shards[which],
            self.begin[which],
            self.end[which],
            self.held[which],
            self.fetched[which],
        )

    def requests(self, at_once: int) -> Int64Array:
        """Return the GETs for each shard, of ``at_once`` entries at most."""
        gets: Int64Array = -(-np.maximum(self.end - self.held, 0) // at_once)
        return gets


class IndexSteps:
    """The stretches of one slice after another, which rise and together are ``rows``.

    A GET brings ``at_once`` entries of ``count`` at most, and ``ahead`` are kept altogether until
    they are wanted. Shards that are not there count as if they were, so that it depends on nothing
    else how much is read of one that is.
    """

    def __init__(
        self, spec: ArraySpec, rows: RowSet, count: int, at_once: int, ahead: int = 0
    ) -> None:
        """Begin before the first slice."""
        self._spec = spec
        self._count = count
        self._at_once = at_once
        self._ahead = ahead
        self._stop = _stop(rows)
        self._band = prod(spec.grid[band_axis(spec) + 1 :])
        #: Shards begun: their numbers, how much of each was wanted, and how much was read.
        self._open = np.empty((3, 0), np.int64)

    def next(self, rows: RowSet) -> Stretches:
        """Return what is read for the next slice."""
        shards = shards_of(self._spec, rows)
        begin, held = np.zeros((2, len(shards)), np.int64)
        known = np.isin(self._open[0], shards, assume_unique=True)
        at = np.searchsorted(shards, self._open[0, known])
        begin[at], held[at] = self._open[1:, known]
        others = self._open[:, ~known]
        end = self._end(shards, _stop(rows))
        cut = end < self._count
        wanting = end > held
        kept = int((others[2] - others[1]).sum() + (held - end)[~wanting].sum())
        share = self._share(self._ahead - kept, int(np.count_nonzero(cut & wanting)))
        gets = -(-(end - held) // self._at_once)
        most = np.minimum(end + share * cut, held + gets * self._at_once)
        fetched = np.where(wanting, np.minimum(most, self._count), held)
        still = np.stack([shards, end, fetched])[:, cut]
        self._open = np.concatenate([others, still], axis=1)
        return Stretches(shards, begin, end, held, fetched)

    def _share(self, room: int, shards: int) -> int:
        """Return how many entries may be read ahead of each of so many shards."""
        if not shards:
            return 0
        return max(min(room // shards, self._ahead // self._band) - _KEEPING, 0)

    def _end(self, shards: Int64Array, stop: int) -> Int64Array:
        """Return how many entries of each shard are wanted for rows before ``stop``.

        All, where what is left is wanted by no row.
        """
        starts = shard_starts(self._spec, shards)
        end = _entries_before(self._spec, starts, stop)
        over = end >= _entries_before(self._spec, starts, self._stop)
        # Entries beyond the array's edge are no rows.
        inside = np.zeros(len(shards), np.int64)
        for start, extent, size in zip(
            starts, extents(self._spec), self._spec.reference_grid, strict=True
        ):
            inside = inside * extent + np.minimum(size - start, extent) - 1
        return np.where(over | (end > inside), self._count, end)


def index_requests(layout: ShardLayout, most: int) -> int:
    """Return how many GETs the index of one shard takes, of ``most`` bytes of entries each."""
    return -(-layout.count // (most // ENTRY_BYTES))


def _stop(rows: RowSet) -> int:
    """Return the number after the last of ``rows``."""
    return rows.number(rows.total - 1) + 1 if rows.total else 0


def _entries_before(spec: ArraySpec, starts: Int64Array, number: int) -> Int64Array:
    """Return how many entries of shards stand before the inner chunk ``number``, shape (n,)."""
    grid, extent = spec.reference_grid, extents(spec)
    found = np.zeros(starts.shape[1], np.int64)
    undecided: NDArray[np.bool_] = np.ones(starts.shape[1], bool)
    for axis, start in enumerate(starts):
        inner = prod(grid[axis + 1 :])
        index, number = divmod(number, inner) if inner else (0, 0)
        within = index - start
        found += undecided * np.clip(within, 0, extent[axis]) * prod(extent[axis + 1 :])
        undecided = undecided & (within >= 0) & (within < extent[axis])
    return found
