"""What a listing does not show, read again: shard indexes, and the chunks that were inlined.

Only of objects that have not changed since the build as far as a listing tells: what the
references say otherwise of those is damage. Above a bound a sample is read, another one each time,
so that nobody can know beforehand what will be left out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from parchunk.auditing.held_rows import HeldRows, read_held
from parchunk.auditing.objects import objects_of
from parchunk.auditing.receipt_check import Audited
from parchunk.cover.jobs import Expansion
from parchunk.errors import DamagedShardError
from parchunk.keys.numbers import Int64Array
from parchunk.keys.placement import Target
from parchunk.keys.row_sets import RowSet
from parchunk.listing.index_reading import IndexReading
from parchunk.listing.inner_chunks import InnerChunks
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.shard_reading import ShardReader
from parchunk.listing.size_vector import SizeVector
from parchunk.listing.tally import Part
from parchunk.metadata.chunk_keys import object_key
from parchunk.metadata.shard_grid import inner_slices, shard_numbers, shards_of
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import original
from parchunk.out.output import Output
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source

#: Inlined chunks that are asked for before the next ones.
_FETCHED = 1_000


@dataclass(frozen=True)
class MostRead:
    """How much of each kind is all read again: ``objects`` and ``size`` bytes; beyond, so many."""

    objects: int = 10_000
    size: int = 1 << 30

    def share(self, count: int, size: int) -> float:
        """Return which part of ``count`` objects of ``size`` bytes together is read."""
        return min(1.0, self.objects / max(count, 1), self.size / max(size, 1))


#: What is read again unless a test has another.
ALL_OF_LITTLE = MostRead()


@dataclass
class Reread:
    """How many objects of one kind were ``read`` again, ``of`` those that could have been."""

    read: int = 0
    of: int = 0

    @classmethod
    def total(cls, counts: Iterable[Reread]) -> Reread:
        """Return several counts as one."""
        every = list(counts)
        return cls(sum(one.read for one in every), sum(one.of for one in every))


@dataclass(frozen=True)
class Contradicted:
    """Numbers of objects (chunks, or shards) that the references say other things of.

    ``index``: shards whose index has other entries; ``bytes``: objects of which other bytes are
    inlined; ``unreadable``: shards whose index is damaged now, though it cannot have been.
    """

    index: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    bytes: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    unreadable: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(len(self.index) or len(self.bytes) or len(self.unreadable))

    def without(self, numbers: Int64Array) -> Contradicted:
        """Return these but for some, of which index or bytes were found to be others."""
        return replace(
            self,
            index=np.setdiff1d(self.index, numbers),
            bytes=np.setdiff1d(self.bytes, numbers),
        )

    @classmethod
    def joined(cls, found: Sequence[Contradicted]) -> Contradicted:
        """Return those of several parts of one partition, rising, each of them once."""
        return cls(
            *(
                np.unique(np.concatenate([np.empty(0, np.int64), *arrays]))
                for arrays in (
                    [one.index for one in found],
                    [one.bytes for one in found],
                    [one.unreadable for one in found],
                )
            )
        )


@dataclass(frozen=True)
class Shares:
    """Which parts, of 1, of the indexes of shards and of inlined chunks are read again."""

    indexes: float
    inlined: float

    @classmethod
    def of(cls, plan: Plan, done: Sequence[Audited], most_read: MostRead) -> Shares:
        """Return those of all partitions together that are ``done``, by how much there is."""
        count = size = inlined = inlined_size = 0
        for item in done:
            spec = plan.by_name[item.partition.array].spec
            if item.receipt is not None and item.receipt.inlined:
                inlined += item.receipt.inlined
                largest = plan.inline_threshold_of(spec.name)
                inlined_size += min(item.receipt.inlined * largest, item.receipt.bytes)
            objects = objects_of(spec)
            there = objects.shards(item.partition)
            if item.receipt is not None:
                there = min(there, item.receipt.shards_present)
            count += there
            size += there * objects.index_bytes
        return cls(most_read.share(count, size), most_read.share(inlined, inlined_size))


class ContentReader:
    """Reads objects of the source again with the threads of ``pool``; counts what it reads.

    Several threads may ask at the same time.
    """

    def __init__(
        self,
        plan: Plan,
        source: Source,
        pool: Executor,
        concurrency: int,
        requests: Requests,
        stop: threading.Event,
        shares: Shares,
    ) -> None:
        self._plan, self._source, self._pool = plan, source, pool
        self._concurrency, self._requests, self._stop = concurrency, requests, stop
        self._shares = shares
        self.indexes, self.inlined = Reread(), Reread()
        self._random = np.random.default_rng()
        self._lock = threading.Lock()

    def check_chunks(
        self, spec: ArraySpec, numbers: Int64Array, held: HeldRows, unchanged: NDArray[np.bool_]
    ) -> Int64Array:
        """Return the numbers of chunks of which other bytes are inlined in a record file."""
        if not held.inlined.any():
            return np.empty(0, np.int64)
        rows = self._some(np.flatnonzero(unchanged & held.inlined), self.inlined)
        found = []
        for begin in range(0, len(rows), _FETCHED):
            some = rows[begin : begin + _FETCHED].tolist()
            keys = [object_key(spec, int(numbers[row])) for row in some]
            for row, data in zip(some, self._pool.map(self._source.get, keys), strict=True):
                if data != original(held.raw[row].as_py()):
                    found.append(int(numbers[row]))
        return np.array(found, np.int64)

    def of(self, source: Source) -> ContentReader:
        """Return a reader of another store of the plan, with the same share and counts."""
        other = copy(self)
        other._source = source
        return other

    def check_shards(
        self,
        item: Audited,
        spec: ArraySpec,
        rows: RowSet,
        target: Target,
        output: Output,
        part: Part,
        unchanged: NDArray[np.bool_],
        expansion: Expansion,
    ) -> Contradicted:
        """Compare a partition's references with the indexes of its ``unchanged`` shards.

        ``spec`` and ``rows`` are as the store has them, which ``target`` turns into OUT's. ``part``
        has the shards as they are listed now. ``expansion`` says how much is read at once.
        """
        chosen = self._some(np.flatnonzero(unchanged), self.indexes)
        found: list[Contradicted] = []
        shards = replace(part, vector=part.vector.only(chosen))
        reader = ShardReader(
            spec, self._source, self._pool, self._concurrency, self._requests, Patience(),
            self._stop, expansion.index_bytes,
        )  # fmt: skip
        jobs = {job.index: job for job in item.jobs(self._plan.record_size)}
        slices = inner_slices(spec, rows, expansion.rows, self._plan.record_size)
        reading = IndexReading(reader, rows, shards, expansion.ahead_bytes)
        for some in slices if len(chosen) else ():
            try:
                inner = reading.read(some)
            except DamagedShardError:
                inner, damaged = _read_sound(reader, rows, some, shards)
                found.append(Contradicted(unreadable=damaged))
                reading = IndexReading(reader, rows, shards, expansion.ahead_bytes)
            for begin in range(0, some.total, self._plan.record_size):
                end = min(begin + self._plan.record_size, some.total)
                numbers = some.numbers(begin, end)
                of = shard_numbers(spec, numbers)
                looked = np.isin(of, inner.shards)
                if not looked.any():
                    continue
                job = jobs[int(target.numbers(numbers[:1])[0]) // self._plan.record_size]
                held = read_held(output, item.partition.array, job, with_bytes=True)
                if held is None:
                    continue  # damage, which is reported as that
                wrong = looked & _differs(held, inner, slice(begin, end))
                kept = np.flatnonzero(looked & ~wrong & held.inlined)
                kept = self._some(kept, self.inlined)
                altered = _altered(reader, inner, begin, of, kept, held)
                found.append(Contradicted(np.unique(of[wrong]), altered))
        return Contradicted.joined(found)

    def _some(self, places: Int64Array, counted: Reread) -> Int64Array:
        """Return the places that are read again, all of them or a sample; count both."""
        share = self._shares.indexes if counted is self.indexes else self._shares.inlined
        chosen = places if share >= 1 else places[self._random.random(len(places)) < share]
        with self._lock:
            counted.of += len(places)
            counted.read += len(chosen)
        return chosen


def _read_sound(
    reader: ShardReader, whole: RowSet, rows: RowSet, shards: Part
) -> tuple[InnerChunks, Int64Array]:
    """Return where the inner chunks of ``rows`` lie, and the shards whose index is damaged.

    The rows are a slice of the ``whole``.
    """

    def read(places: SizeVector) -> InnerChunks:
        return IndexReading(reader, whole, replace(shards, vector=places), 0).read(rows)

    numbers = shards_of(reader.spec, rows)
    places = shards.rows.positions(numbers)
    there = shards.vector[places].present
    numbers, places = numbers[there], places[there]
    damaged = np.zeros(len(numbers), bool)
    for at in range(len(numbers)):
        try:
            read(shards.vector.only(places[at : at + 1]))
        except DamagedShardError:
            damaged[at] = True
    return read(shards.vector.without(places[damaged])), numbers[damaged]


def _differs(held: HeldRows, inner: InnerChunks, rows: slice) -> NDArray[np.bool_]:
    """Return which rows of a record file do not say what the indexes say."""
    known, offsets = inner.sizes[rows], inner.offsets[rows]
    elsewhere = (held.sizes != known.sizes) | (~held.inlined & (held.offsets != offsets))
    differs: NDArray[np.bool_] = np.where(known.present, elsewhere, held.sizes > 0)
    return differs


def _altered(
    reader: ShardReader,
    inner: InnerChunks,
    begin: int,
    shards: Int64Array,
    rows: Int64Array,
    held: HeldRows,
) -> Int64Array:
    """Return the shards that have other bytes than ``rows`` of a record file have inlined."""
    looked = slice(begin, begin + len(shards))
    offsets, sizes = inner.offsets[looked], inner.sizes[looked].sizes
    altered = [
        int(shards[row])
        for row, chunk in reader.chunks(inner, rows, shards, offsets, sizes)
        if chunk != original(held.raw[row].as_py())
    ]
    return np.unique(np.array(altered, np.int64))
