"""Whether chunks are in the place where references are to go: some of every array and store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from parchunk.building.rewriting import Rewriting
from parchunk.building.store_paths import StoreObjects
from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.chunk_keys import object_key
from parchunk.metadata.shard_grid import shard_numbers
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt
from parchunk.out.record_files import digest
from parchunk.out.record_reader import RecordReader
from parchunk.planning.joining.segments import segments
from parchunk.planning.plan import ArrayPlan, PartitionKey, Plan
from parchunk.stores.source import Source

#: Chunks that are looked at side by side.
_AT_ONCE = 8
#: Record files of an array in a store that chunks are taken from, at most, where these have some.
_FILES = 5


@dataclass(frozen=True)
class Wanted:
    """An object that is to be there: of ``size`` bytes, or, not ``exactly``, of so many or more.

    With a ``digest``, it holds those bytes: they are kept in the references.
    """

    source: Source
    key: str
    size: int
    exactly: bool
    digest: str | None = None

    def require(self) -> None:
        """Refuse the place where it is not."""
        content = None if self.digest is None else self.source.get(self.key)
        size = self.source.size_of(self.key) if content is None else len(content)
        where = self.source.describe(self.key)
        if size is None or (size != self.size if self.exactly else size < self.size):
            what = "is not there" if size is None else f"has {size} bytes there, not {self.size}"
            raise InputError(
                f"{where} {what}: nothing was touched; copy what is missing, or run parchunk "
                "update first where chunks were written anew"
            )
        if content is not None and digest(content) != self.digest:
            raise InputError(
                f"{where} holds other bytes there than the references keep of it: nothing was "
                "touched; copy it again, or run parchunk update first where it was written anew"
            )


@dataclass(frozen=True)
class Sample:
    """What is looked at: the references in ``output``, of ``plan``, whose chunks ``source`` has.

    About ``most`` chunks are, and one of every array and of every store that has any.
    """

    plan: Plan
    source: Source
    receipts: Mapping[PartitionKey, Receipt]
    output: Output
    most: int
    rewriting: Rewriting

    def require(self, stores: Sequence[int] | None = None) -> int:
        """Refuse a place where one is not; return how many were looked at.

        Of many stores only the ``stores`` are, where they are given.
        """
        wanted = list(self._wanted(stores))
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="relocate") as pool:
            for _ in pool.map(Wanted.require, wanted):
                pass
        return len(wanted)

    def _wanted(self, stores: Sequence[int] | None) -> Iterator[Wanted]:
        each = max(self.most // max(len(self.plan.arrays), 1), 1)
        seen: set[int] = set()
        left: list[tuple[ArrayPlan, int, list[RowSet]]] = []
        for array in self.plan.arrays:
            rows = self._rows(array)
            those = [at for at in sorted(rows) if stores is None or at in stores]
            chosen = {those[at] for at in _spread(len(those), each)}
            for store in those:
                if store not in chosen:
                    left.append((array, store, rows[store]))
                    continue
                for one in self._some(array, store, rows[store], max(each // len(chosen), 1)):
                    seen.add(store)
                    yield one
        for array, store, some in left:
            if store not in seen:
                for one in self._some(array, store, some, 1):
                    seen.add(store)
                    yield one

    def _rows(self, array: ArrayPlan) -> dict[int, list[RowSet]]:
        """Return the rows of an array that each store has; one store is number 0."""
        found: dict[int, list[RowSet]] = {}
        for partition in array.partitions(self.plan.record_size):
            for one in segments(self.plan, partition):
                if one.store is not None and one.partition.rows.total:
                    found.setdefault(one.store, []).append(one.partition.rows)
        return found

    def _some(
        self, array: ArrayPlan, store: int, rows: Sequence[RowSet], most: int
    ) -> Iterator[Wanted]:
        """Yield some objects of an array in a store, from all over it."""
        size = self.plan.record_size
        present = {
            file.index: file
            for partition in array.partitions(size)
            for file in self.receipts[partition.key].record_files
            if file.present
        }
        pieces = [
            (some, begin)
            for some in rows
            for begin in range(0, some.total, size)
            if some.number(begin) // size in present
        ]
        picked = _spread(len(pieces), _FILES if self.plan.stores is None else min(most, _FILES))
        share, taken = -(-most // max(len(picked), 1)), 0
        # Where those have none of this store, the others may.
        for at in [*picked, *sorted(set(range(len(pieces))) - set(picked))]:
            if taken and at not in picked:
                return
            some, begin = pieces[at]
            numbers = some.numbers(begin, min(begin + size, some.total))
            numbers = numbers[np.isin(numbers // size, list(present))]
            files = [present[index] for index in np.unique(numbers // size).tolist()]
            reader = self.rewriting.reader(self.output, array.spec.name, files, size)
            for one in self._of(array, store, numbers, reader, share):
                taken += 1
                yield one

    def _of(
        self, array: ArrayPlan, store: int, numbers: Int64Array, reader: RecordReader, share: int
    ) -> Iterator[Wanted]:
        spec = array.spec
        rows = reader.take(numbers)
        kept = rows.inlined >= 0
        chosen = np.concatenate(
            [
                some[_spread(len(some), share)]
                for some in (np.flatnonzero(~kept & (rows.sizes > 0)), np.flatnonzero(kept))
            ]
        )
        chosen.sort()
        expanded = spec.inner_chunks is not None
        # Where in its shard an inner chunk lies that is kept, the references do not say.
        digests = [] if expanded else map(digest, reader.inlined(numbers[chosen[kept[chosen]]]))
        of_kept = iter(digests)
        objects = numbers[chosen]
        if expanded:
            objects = shard_numbers(spec, objects)
        source, own = self.source, spec
        if self.plan.stores is not None:
            found = StoreObjects(self.plan, spec.name, self.source)
            source, view, objects = found.within(store, objects)
            own = view.specs[spec.name]
        for row, number in zip(chosen.tolist(), objects.tolist(), strict=True):
            end = int(rows.inlined[row] if kept[row] else rows.offsets[row] + rows.sizes[row])
            held = next(of_kept, None) if kept[row] else None
            yield Wanted(source, object_key(own, number), end, not expanded, held)


def _spread(count: int, most: int) -> list[int]:
    """Return up to ``most`` of the numbers below ``count``, from the first to the last."""
    if not count:
        return []
    return sorted({int(at) for at in np.linspace(0, count - 1, most)})
