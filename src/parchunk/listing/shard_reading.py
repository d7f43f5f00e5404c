"""Reading shard indexes side by side: where in their shards a region's inner chunks lie.

One ranged GET a shard, or several where its index is very long. Each task of the pool reads a few
shards, decodes them together, and scatters what it found by row; tasks own different rows, and so
need no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import NoReturn

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from parchunk.errors import DamagedShardError, SourceError
from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.tally import Part
from parchunk.listing.waiting import result_unless
from parchunk.metadata.chunk_keys import object_key
from parchunk.metadata.shard_grid import extents, shards_of
from parchunk.metadata.shard_index import (
    ZERO_SIZED,
    IndexDamage,
    InnerSizes,
    decode_indexes,
    decode_stretch,
)
from parchunk.metadata.shard_spans import spans
from parchunk.metadata.shards import ENTRY_BYTES, ShardLayout, shard_layout
from parchunk.metadata.spec import ArraySpec
from parchunk.stores.explaining import is_final
from parchunk.stores.source import Source

#: Shards that one task reads one after another, and bytes of their indexes at most.
_SHARDS = 64
_INDEX_BYTES = 1 << 20
#: Bytes of indexes that tasks may hold together, decoded; beyond, fewer run side by side.
_HELD_BYTES = 64 << 20
#: How many times its bytes a decoded index holds: as read, joined, and in integers.
_DECODED = 8


@dataclass(frozen=True)
class InnerChunks:
    """Where the inner chunks of ``rows`` lie, both in row order, shape (rows.total,).

    ``offsets`` are from the start of the shard. ``shards`` are the numbers of those that are there,
    rising, ``lengths`` their bytes, and ``versions`` tell whether one has changed since.
    """

    rows: RowSet
    offsets: Int64Array
    sizes: InnerSizes
    shards: Int64Array
    lengths: Int64Array
    versions: Int64Array


@dataclass(frozen=True)
class _Stretch:
    """Neighbouring entries of an index: where each one's inner chunk stands in its shard.

    ``within`` are inner chunk indices from the shard's first, shape (rank, entries), ``steps`` the
    same as row numbers.
    """

    within: Int64Array
    steps: Int64Array

    @property
    def count(self) -> int:
        """Return the number of entries."""
        return len(self.steps)


@dataclass
class ShardReader:
    """Reads the shards of one array with the threads of ``pool``.

    ``concurrency`` is the number of those threads that an array may use, ``index_bytes`` how much
    of one index is read at once: whole entries.
    """

    spec: ArraySpec
    source: Source
    pool: Executor
    concurrency: int
    requests: Requests
    patience: Patience
    stop: threading.Event
    index_bytes: int

    def __post_init__(self) -> None:
        """Lay out one shard."""
        self._layout: ShardLayout = shard_layout(self.spec)
        self._extents = extents(self.spec)
        self._at_once = self.index_bytes // ENTRY_BYTES
        self._first = self._entries(0, min(self._layout.count, self._at_once))
        most = _HELD_BYTES // (_DECODED * min(self._layout.index_bytes, self.index_bytes))
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
        numbers = shards_of(self.spec, rows)
        listed = shards.vector[shards.rows.positions(numbers)]
        hollow, there = numbers[listed.zero_sized], listed.present
        numbers, sizes = numbers[there], listed.sizes[there]
        found = InnerChunks(
            rows,
            np.zeros(rows.total, np.int64),
            InnerSizes.unknown(rows.total),
            numbers,
            sizes,
            np.zeros(len(numbers), np.int64),
        )
        for first in range(0, self._layout.count, self._at_once) if len(hollow) else ():
            stretch = self._entries(first, min(self._layout.count - first, self._at_once))
            for batch in _batches(hollow, self._at_once, stretch.count):
                self._scatter(found, batch, stretch, None, np.int64(ZERO_SIZED))
        share = -(-len(numbers) // (4 * self.concurrency))
        most = max(min(_SHARDS, share, _INDEX_BYTES // self._layout.index_bytes), 1)
        tasks: list[Future[None]] = []
        try:
            for begin in range(0, len(numbers), most):
                some = slice(begin, begin + most)
                tasks.append(
                    self.pool.submit(
                        self._take, found, numbers[some], sizes[some], found.versions[some]
                    )
                )
            for task in tasks:
                result_unless(self.stop, task)
        finally:
            for task in tasks:
                task.cancel()
        return found

    def _take(
        self, found: InnerChunks, numbers: Int64Array, sizes: Int64Array, versions: Int64Array
    ) -> None:
        with self._room:
            if self._layout.index_bytes > self.index_bytes:
                for at, (number, size) in enumerate(
                    zip(numbers.tolist(), sizes.tolist(), strict=True)
                ):
                    versions[at] = self._take_long(found, number, size)
                return
            indexes = []
            for at, (number, size) in enumerate(zip(numbers.tolist(), sizes.tolist(), strict=True)):
                start = self._index_start(number, size)
                index, versions[at] = self._get(
                    number, start, start + self._layout.index_bytes, size
                )
                indexes.append(index)
            self.requests.add(gets=len(indexes))
            try:
                entries = decode_indexes(self._layout, indexes, sizes)
            except IndexDamage as damage:
                self._refuse(int(numbers[damage.shard]), damage.reason)
            self._scatter(found, numbers, self._first, entries.offsets, entries.sizes)

    def _take_long(self, found: InnerChunks, number: int, size: int) -> int:
        """Take the index of one shard, stretch by stretch; return the shard's version."""
        start = self._index_start(number, size)
        table = self._layout.count * ENTRY_BYTES
        version: int | None = None
        checksum, rest = 0, b""
        for begin in range(0, self._layout.index_bytes, self.index_bytes):
            end = min(begin + self.index_bytes, self._layout.index_bytes)
            data, now = self._get(number, start + begin, start + end, size)
            self.requests.add(gets=1)
            if version not in (None, now):
                raise self._changed(number)
            version = now
            entries, more = data[: max(table - begin, 0)], data[max(table - begin, 0) :]
            checksum, rest = google_crc32c.extend(checksum, entries), rest + more
            if not entries:
                continue
            first = begin // ENTRY_BYTES
            try:
                decoded = decode_stretch(self._layout, entries, first, size)
            except IndexDamage as damage:
                self._refuse(number, damage.reason)
            stretch = self._entries(first, len(entries) // ENTRY_BYTES)
            self._scatter(found, np.array([number]), stretch, decoded.offsets, decoded.sizes)
        if self._layout.checksum and checksum != int.from_bytes(rest, "little"):
            self._refuse(number, "the checksum of its index is wrong")
        return version or 0

    def _index_start(self, number: int, size: int) -> int:
        """Return where the index of a shard of ``size`` bytes begins."""
        length = self._layout.index_bytes
        if size < length:
            self._refuse(number, f"it has {size} bytes, fewer than its index needs ({length})")
        return 0 if self._layout.index_at == "start" else size - length

    def _get(self, number: int, start: int, stop: int, size: int) -> tuple[bytes, int]:
        """Return a part of a shard, and a number that is another when the shard was rewritten.

        Raises
        ------
        SourceError
            When the shard cannot be read, or has not ``size`` bytes any more.
        """
        key = object_key(self.spec, number)
        try:
            data, now, version = self.patience.tried(
                lambda: self.source.get_part(key, start, stop),
                _is_final,
                lambda: self.requests.add(retries=1, gets=1),
                self.stop,
            )
        except FileNotFoundError:
            raise SourceError(
                f"{self.source.describe(key)} was listed and is gone now: the store "
                "changed meanwhile; run again to resume"
            ) from None
        if now != size:
            raise SourceError(
                f"{self.source.describe(key)} was listed with {size} bytes and has {now} now: "
                "the store changed meanwhile; run again to resume"
            )
        if len(data) != stop - start:
            raise self._changed(number)
        return data, hash(version)

    def chunks(
        self,
        found: InnerChunks,
        rows: Int64Array,
        shards: Int64Array,
        offsets: Int64Array,
        sizes: Int64Array,
    ) -> Iterator[tuple[int, bytes]]:
        """Yield ``rows`` and the bytes of their inner chunks, one shard after another.

        Rows are places in ``shards``, ``offsets`` and ``sizes``, which say where each one lies.

        Raises
        ------
        SourceError
            When a shard cannot be read, or is not the one whose index is in ``found``.
        """
        rows = rows[np.lexsort((offsets[rows], shards[rows]))]
        edges = np.flatnonzero(np.diff(shards[rows])) + 1
        for of_shard in np.split(rows, edges) if len(rows) else ():
            number = int(shards[of_shard[0]])
            at = int(np.searchsorted(found.shards, number))
            for span in spans(of_shard.tolist(), offsets, sizes):
                data, version = self._get(number, span.start, span.stop, int(found.lengths[at]))
                if version != found.versions[at]:
                    raise self._changed(number)
                for row in span.rows:
                    begin = int(offsets[row]) - span.start
                    yield row, data[begin : begin + int(sizes[row])]

    def _changed(self, number: int) -> SourceError:
        """Return the error of a shard that is not the one whose index was read."""
        shard = self.source.describe(object_key(self.spec, number))
        return SourceError(f"{shard} changed while it was read: run again to resume")

    def _entries(self, first: int, count: int) -> _Stretch:
        """Return where some entries of an index stand among the rows, from the shard's first."""
        within = (
            np.stack(
                np.unravel_index(np.arange(first, first + count, dtype=np.int64), self._extents)
            )
            if self._extents
            else np.zeros((0, count), np.int64)
        )
        return _Stretch(within, self._ravel(within))

    def _scatter(
        self,
        found: InnerChunks,
        shards: Int64Array,
        stretch: _Stretch,
        offsets: Int64Array | None,
        sizes: Int64Array | np.int64,
    ) -> None:
        """Put what a stretch of the indexes of ``shards`` says into the rows wanted of it."""
        starts = np.empty((self.spec.rank, len(shards)), np.int64)
        rest = shards
        for axis in reversed(range(self.spec.rank)):
            rest, index = np.divmod(rest, self.spec.grid[axis])
            starts[axis] = index * self._extents[axis]
        rows = self._ravel(starts)[:, None] + stretch.steps
        keep: NDArray[np.bool_] | None = None
        for start, within, extent, size in zip(
            starts, stretch.within, self._extents, self.spec.reference_grid, strict=True
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
            found.sizes.codes[positions] = sizes
            if offsets is not None:
                found.offsets[positions] = offsets
        else:
            kept = positions[keep]
            found.sizes.codes[kept] = np.broadcast_to(sizes, rows.shape)[keep]
            if offsets is not None:
                found.offsets[kept] = offsets[keep]

    def _ravel(self, indices: Int64Array) -> Int64Array:
        """Return the row numbers of inner chunk indices, shape (rank, n)."""
        numbers = np.zeros(indices.shape[1], np.int64)
        for index, size in zip(indices, self.spec.reference_grid, strict=True):
            numbers = numbers * size + index
        return numbers

    def _refuse(self, number: int, reason: str) -> NoReturn:
        """Raise for a shard that is not what it should be."""
        shard = self.source.describe(object_key(self.spec, number))
        raise DamagedShardError(
            f"shard {shard} is damaged: {reason}; write it anew or delete it, or leave "
            "the array out with --exclude, then run again"
        )


def _is_final(error: Exception) -> bool:
    """Whether trying again cannot help."""
    cause = error.__cause__
    return cause is None or is_final(cause)


def _batches(numbers: Int64Array, total: int, each: int) -> Iterator[Int64Array]:
    step = max(total // each, 1)
    for begin in range(0, len(numbers), step):
        yield numbers[begin : begin + step]
