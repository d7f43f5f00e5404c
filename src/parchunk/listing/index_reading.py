"""Reading the indexes of shards side by side, for one slice of rows after another.

Threads take shards by turns, so that all of them have something to read until the last shard. Each
decodes a few indexes together, and scatters what it found by row; they own different rows, and so
need no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import google_crc32c
import numpy as np

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.listing.inner_chunks import InnerChunks, Placing
from parchunk.listing.shard_reading import ShardReader
from parchunk.listing.tally import Part
from parchunk.listing.waiting import result_unless
from parchunk.metadata.shard_index import ZERO_SIZED, IndexDamage, decode
from parchunk.metadata.shard_stretches import IndexSteps, Stretches
from parchunk.metadata.shards import ENTRY_BYTES, ShardLayout

#: Shards whose indexes are decoded together, and bytes of these, at most.
_SHARDS = 64
_BATCH_BYTES = 1 << 20
#: Bytes of indexes that threads may have read together, and as many that may be decoded.
_HELD_BYTES = 32 << 20
#: How many times its bytes an index takes while it is decoded.
_DECODED = 7


class IndexReading:
    """Reads what the indexes of ``shards`` say of ``rows``, slice by slice, which rise.

    What slices to come want is read ``ahead``, as far as it is of so many bytes. It goes on where
    it stopped in each index; after an error it cannot.
    """

    def __init__(self, reader: ShardReader, rows: RowSet, shards: Part, ahead: int) -> None:
        """Begin before the first slice. ``shards`` are the listed ones."""
        self._reader = reader
        self._layout: ShardLayout = reader.layout
        self._shards = shards
        self._at_once = reader.index_bytes // ENTRY_BYTES
        count, entries = self._layout.count, ahead // ENTRY_BYTES
        self._steps = IndexSteps(reader.spec, rows, count, self._at_once, entries)
        self._placing = Placing(reader.spec, count, self._at_once)
        #: Shards begun: their numbers, the checksums of what was read of them, their versions.
        self._begun = np.empty((3, 0), np.int64)
        self._kept: dict[int, bytes] = {}
        get = min(self._layout.index_bytes, reader.index_bytes)
        self._batch_bytes = max(min(_BATCH_BYTES, _HELD_BYTES // reader.concurrency), get)
        self._decoding = threading.BoundedSemaphore(
            max(_HELD_BYTES // (_DECODED * self._batch_bytes), 1)
        )

    def read(self, rows: RowSet) -> InnerChunks:
        """Return where the inner chunks of the next slice lie.

        Raises
        ------
        DamagedShardError
            Naming a shard whose index is wrong.
        SourceError
            Naming a shard that cannot be read, or changed since it was listed.
        """
        wanted = self._steps.next(rows)
        listed = self._shards.vector[self._shards.rows.positions(wanted.shards)]
        there = listed.present
        hollow, wanted = wanted.shards[listed.zero_sized], wanted.only(there)
        found = InnerChunks.unknown(rows, wanted.shards, listed.sizes[there])
        self._place_hollow(found, hollow)
        slice_ = _Slice(wanted, found)
        known = np.isin(self._begun[0], wanted.shards, assume_unique=True)
        at = np.searchsorted(wanted.shards, self._begun[0, known])
        slice_.checksums[at], found.versions[at] = self._begun[1:, known]
        self._read(slice_)
        still = np.stack([wanted.shards, slice_.checksums, found.versions])
        still = still[:, wanted.end < self._layout.count]
        self._begun = np.concatenate([self._begun[:, ~known], still], axis=1)
        return found

    def _read(self, slice_: _Slice) -> None:
        most = min(self._reader.concurrency, max(_HELD_BYTES // self._batch_bytes, 1))
        count = min(len(slice_.wanted.shards), most)
        work = [self._reader.pool.submit(self._take, slice_) for _ in range(count)]
        try:
            for at, each in enumerate(work):
                # Once the first has ended no shard is left for those that have yet to begin: they
                # may stand behind another array's, which takes all threads for long.
                if not (at and each.cancel()):
                    result_unless(self._reader.stop, each)
        finally:
            slice_.turns.end()
            for each in work:
                each.cancel()

    def _take(self, slice_: _Slice) -> None:
        """Take shards of a slice by turns until there are no more."""
        batch = _Batch()
        try:
            for at in slice_.turns:
                for first, entries in self._entries(slice_, at):
                    if not batch.goes_with(first, len(entries)):
                        self._flush(slice_.found, batch)
                        batch = _Batch()
                    batch.add(at, first, entries)
                    del entries
                    if batch.is_full(self._batch_bytes):
                        self._flush(slice_.found, batch)
                        batch = _Batch()
            self._flush(slice_.found, batch)
        except BaseException:
            slice_.turns.end()
            raise

    def _entries(self, slice_: _Slice, at: int) -> Iterator[tuple[int, bytes]]:
        """Yield what is wanted of one index, in its order: the first entry's number, and bytes."""
        number, end = int(slice_.wanted.shards[at]), int(slice_.wanted.end[at])
        position, checksum = int(slice_.wanted.begin[at]), int(slice_.checksums[at])
        for data in self._brought(slice_, at):
            entries = data[: (end - position) * ENTRY_BYTES]
            rest = data[len(entries) :]
            del data  # several megabytes, and a copy of them
            first, position = position, position + len(entries) // ENTRY_BYTES
            if self._layout.checksum:
                checksum = google_crc32c.extend(checksum, entries)
                if position == self._layout.count and checksum != int.from_bytes(rest, "little"):
                    self._reader.refuse(number, "the checksum of its index is wrong")
            if rest and position < self._layout.count:
                self._kept[number] = rest
            if entries:
                yield first, entries
        slice_.checksums[at] = checksum

    def _brought(self, slice_: _Slice, at: int) -> Iterator[bytes]:
        """Yield the bytes of one index from the first entry wanted on, those kept and those read.

        The checksum comes with the last entry.
        """
        wanted = slice_.wanted
        number = int(wanted.shards[at])
        held, fetched = int(wanted.held[at]), int(wanted.fetched[at])
        if number in self._kept:
            yield self._kept.pop(number)
        for first in range(held, fetched, self._at_once):
            yield self._got(slice_.found, at, first, min(first + self._at_once, fetched))

    def _got(self, found: InnerChunks, at: int, first: int, last: int) -> bytes:
        """Return entries of one index, which must be of the version that others were of."""
        number, size = int(found.shards[at]), int(found.lengths[at])
        start = self._reader.index_start(number, size)
        stop = last * ENTRY_BYTES
        if last == self._layout.count:
            stop = self._layout.index_bytes
        data, now = self._reader.get(number, start + first * ENTRY_BYTES, start + stop, size)
        self._reader.requests.add(gets=1)
        if first and now != found.versions[at]:
            raise self._reader.changed(number)
        found.versions[at] = now
        return data

    def _flush(self, found: InnerChunks, batch: _Batch) -> None:
        """Decode a batch, and put what it says into rows."""
        if not batch.shards:
            return
        numbers, sizes = found.shards[batch.shards], found.lengths[batch.shards]
        with self._decoding:
            try:
                entries = decode(self._layout, batch.stretches, batch.first, sizes)
            except IndexDamage as damage:
                self._reader.refuse(int(numbers[damage.shard]), damage.reason)
            count = entries.sizes.shape[1]
            self._placing.place(found, numbers, batch.first, count, entries.sizes, entries.offsets)

    def _place_hollow(self, found: InnerChunks, hollow: Int64Array) -> None:
        """Note that shards without any bytes are there, and hold nothing."""
        for first in range(0, self._layout.count, self._at_once) if len(hollow) else ():
            count = min(self._layout.count - first, self._at_once)
            step = max(self._at_once // count, 1)
            for begin in range(0, len(hollow), step):
                some = hollow[begin : begin + step]
                self._placing.place(found, some, first, count, np.int64(ZERO_SIZED))


class _Turns:
    """Numbers below ``count``, each for one thread."""

    def __init__(self, count: int) -> None:
        self._next, self._count = 0, count
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        while True:
            with self._lock:
                at = self._next
                self._next += 1
            if at >= self._count:
                return
            yield at

    def end(self) -> None:
        """Give out no more."""
        with self._lock:
            self._count = 0


@dataclass
class _Slice:
    """A slice that is being read: what it wants, what was found, and whose turn it is.

    ``checksums`` are of what was read of each index, in the slices before this one, too.
    """

    wanted: Stretches
    found: InnerChunks
    checksums: Int64Array = field(init=False)
    turns: _Turns = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the first shard."""
        count = len(self.wanted.shards)
        self.checksums, self.turns = np.zeros(count, np.int64), _Turns(count)


@dataclass
class _Batch:
    """The same entries of the indexes of several shards, which are places among the slice's."""

    first: int = 0
    shards: list[int] = field(default_factory=list)
    stretches: list[bytes] = field(default_factory=list)

    def goes_with(self, first: int, size: int) -> bool:
        """Whether entries from ``first`` on, of ``size`` bytes, can be decoded with these."""
        return not self.shards or (first == self.first and size == len(self.stretches[0]))

    def is_full(self, most: int) -> bool:
        """Whether no more go in, where there may be ``most`` bytes."""
        count = len(self.shards)
        return count >= _SHARDS or (count + 1) * len(self.stretches[0]) > most

    def add(self, shard: int, first: int, entries: bytes) -> None:
        """Add what was read of one index."""
        self.first = first
        self.shards.append(shard)
        self.stretches.append(entries)
