"""Reading shard indexes side by side: where in their shards a region's inner chunks lie.

One ranged GET a shard. Each task of the pool reads a few shards, decodes them together, and
scatters what it found by row; tasks own different rows, and so need no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import DamagedShardError, SourceError
from parchunk.listing import Cancelled, Patience, Requests, result_unless
from parchunk.metadata.shards import ShardLayout, shard_layout
from parchunk.metadata.spec import ArraySpec
from parchunk.rows import RowSet
from parchunk.shard_grid import extents, shards_of
from parchunk.shard_index import ZERO_SIZED, IndexDamage, decode_indexes
from parchunk.source import Source
from parchunk.store_errors import is_final
from parchunk.tally import Part

Int64Array = NDArray[np.int64]

#: A size that stands for an inner chunk whose shard no listing has shown.
ABSENT_SHARD = 0
#: Shards that one task reads one after another, and bytes of their indexes at most.
_SHARDS = 64
_INDEX_BYTES = 1 << 20
#: Bytes of indexes that tasks may hold together, decoded; beyond, fewer run side by side.
_HELD_BYTES = 64 << 20
#: How many times its bytes a decoded index holds: as read, joined, and in integers.
_DECODED = 8


@dataclass(frozen=True)
class InnerChunks:
    """Where the inner chunks of ``rows`` lie, both in row order, shape (rows.cells,).

    ``sizes`` are in bytes, ABSENT_SHARD, or what `parchunk.shard_index` has instead of sizes;
    ``offsets`` are from the start of the shard.
    """

    rows: RowSet
    offsets: Int64Array
    sizes: Int64Array


@dataclass
class ShardReader:
    """Reads the shards of one array with the threads of ``pool``.

    ``concurrency`` is the number of those threads that an array may use.
    """

    spec: ArraySpec
    source: Source
    pool: Executor
    concurrency: int
    requests: Requests
    patience: Patience
    stop: threading.Event

    def __post_init__(self) -> None:
        """Lay out one shard: where its entries stand among the rows, from its first one."""
        self._layout: ShardLayout = shard_layout(self.spec)
        self._extents = extents(self.spec)
        within = np.indices(self._extents, np.int64).reshape(self.spec.rank, -1)
        self._within = within
        self._steps = self._ravel(within)
        most = _HELD_BYTES // (_DECODED * self._layout.index_bytes)
        self._room = threading.BoundedSemaphore(max(min(self.concurrency, most), 1))

    def read(self, rows: RowSet, shards: Part) -> InnerChunks:
        """Return where the inner chunks of ``rows`` lie; ``shards`` are the listed ones.

        Raises
        ------
        DamagedShardError
            Naming a shard whose index is wrong.
        SourceError
            Naming a shard that cannot be read, or changed since it was listed.
        """
        found = InnerChunks(rows, np.zeros(rows.cells, np.int64), np.zeros(rows.cells, np.int64))
        numbers = shards_of(self.spec, rows)
        listed = shards.vector[shards.rows.positions(numbers)]
        hollow = listed == 1
        if hollow.any():
            for batch in _batches(numbers[hollow], 1 << 20, self._layout.count):
                self._scatter(found, batch, None, np.int64(ZERO_SIZED))
        there = listed > 1
        numbers, sizes = numbers[there], (listed[there] - np.uint64(1)).astype(np.int64)
        share = -(-len(numbers) // (4 * self.concurrency))
        most = max(min(_SHARDS, share, _INDEX_BYTES // self._layout.index_bytes), 1)
        tasks: list[Future[None]] = []
        try:
            for begin in range(0, len(numbers), most):
                end = begin + most
                tasks.append(
                    self.pool.submit(self._take, found, numbers[begin:end], sizes[begin:end])
                )
            for task in tasks:
                result_unless(self.stop, task)
        finally:
            for task in tasks:
                task.cancel()
        return found

    def _take(self, found: InnerChunks, numbers: Int64Array, sizes: Int64Array) -> None:
        with self._room:
            indexes = [
                self._fetch(number, size)
                for number, size in zip(numbers.tolist(), sizes.tolist(), strict=True)
            ]
            self.requests.add(gets=len(indexes))
            try:
                entries = decode_indexes(self._layout, indexes, sizes)
            except IndexDamage as damage:
                self._refuse(int(numbers[damage.shard]), damage.reason)
            self._scatter(found, numbers, entries.offsets, entries.sizes)

    def _fetch(self, number: int, size: int) -> bytes:
        """Return the index of one shard, whose object has ``size`` bytes."""
        length = self._layout.index_bytes
        if size < length:
            self._refuse(number, f"it has {size} bytes, fewer than its index needs ({length})")
        start = 0 if self._layout.index_at == "start" else size - length
        key = self.key(number)
        attempt = 0
        while True:
            if self.stop.is_set():
                raise Cancelled("cancelled")
            attempt += 1
            try:
                index, now = self.source.get_part(key, start, start + length)
                break
            except FileNotFoundError:
                raise SourceError(
                    f"{self.source.describe(key)} was listed and is gone now: the store "
                    "changed meanwhile; run again to resume"
                ) from None
            except SourceError as error:
                if attempt >= self.patience.attempts or _is_final(error):
                    raise
                self.requests.add(retries=1, gets=1)
                self.patience.wait(attempt, self.stop)
        if now != size:
            raise SourceError(
                f"{self.source.describe(key)} was listed with {size} bytes and has {now} now: "
                "the store changed meanwhile; run again to resume"
            )
        return index

    def _scatter(
        self,
        found: InnerChunks,
        shards: Int64Array,
        offsets: Int64Array | None,
        sizes: Int64Array | np.int64,
    ) -> None:
        """Put what the indexes of ``shards`` say into the rows that are wanted of them."""
        starts = np.empty((self.spec.rank, len(shards)), np.int64)
        rest = shards
        for axis in reversed(range(self.spec.rank)):
            rest, index = np.divmod(rest, self.spec.grid[axis])
            starts[axis] = index * self._extents[axis]
        rows = self._ravel(starts)[:, None] + self._steps
        keep: NDArray[np.bool_] | None = None
        for start, within, extent, size in zip(
            starts, self._within, self._extents, self.spec.reference_grid, strict=True
        ):
            # The last shard's entries beyond the array's edge are no rows: as numbers they would
            # be those of the next line.
            if int(start.max()) + extent > size:
                inside = start[:, None] + within < size
                keep = inside if keep is None else keep & inside
        positions = found.rows.positions(rows.ravel()).reshape(rows.shape)
        if int(positions.min()) < 0:
            wanted = positions >= 0
            keep = wanted if keep is None else keep & wanted
        if keep is None:
            found.sizes[positions] = sizes
            if offsets is not None:
                found.offsets[positions] = offsets
        else:
            kept = positions[keep]
            found.sizes[kept] = np.broadcast_to(sizes, rows.shape)[keep]
            if offsets is not None:
                found.offsets[kept] = offsets[keep]

    def _ravel(self, indices: Int64Array) -> Int64Array:
        """Return the row numbers of inner chunk indices, shape (rank, n)."""
        numbers = np.zeros(indices.shape[1], np.int64)
        for index, size in zip(indices, self.spec.reference_grid, strict=True):
            numbers = numbers * size + index
        return numbers

    def key(self, number: int) -> str:
        """Return the key of a shard, by its number."""
        index = []
        for size in reversed(self.spec.grid):
            number, at = divmod(number, size)
            index.append(at)
        return f"{self.spec.name}/{self.spec.keys.tail(index[::-1])}"

    def _refuse(self, number: int, reason: str) -> None:
        raise DamagedShardError(
            f"shard {self.source.describe(self.key(number))} is damaged: {reason}; write it anew "
            f"or delete it, or leave {self.spec.name} out with --exclude, then run again"
        )


def _is_final(error: SourceError) -> bool:
    """Whether trying again cannot help."""
    cause = error.__cause__
    return cause is None or is_final(cause)


def _batches(numbers: Int64Array, cells: int, each: int) -> Iterator[Int64Array]:
    step = max(cells // each, 1)
    for begin in range(0, len(numbers), step):
        yield numbers[begin : begin + step]
