"""Strays of partitions whose receipts become those of another plan.

A stray belongs to the partition of the next chunk after it in text order, and where an array grew
that may be a chunk that came: ``1.tmp`` stands before ``2`` of five chunks, and before ``10`` of
twenty. So each goes where a listing of the array as it is now counts it, and what is a chunk by
now is none. Chunks are written before the metadata says that there are more of them.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.keys.parsing import parse_paths
from parchunk.keys.row_sets import Places, RowSet
from parchunk.keys.space import KeySpace
from parchunk.listing.strays import KEPT, Strays, encode_strays, owners_of
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt, strays_path
from parchunk.planning.growth import Carried
from parchunk.planning.joining.segments import segments
from parchunk.planning.joining.store_view import StoreView, own_array
from parchunk.planning.plan import Partition, PartitionKey, Plan

#: Which store of a plan, by what stays when others come before it; None: there is but one.
_Store = tuple[str, str] | None
#: Strays of one array that are held by name, about: those of partitions beyond are listed again.
MOST_NAMED = 50 * KEPT
#: What is kept of each.
_NAMES = ["path", "size", "reason"]


@dataclass(frozen=True)
class CarriedStrays:
    """The strays of a partition by reason, and the file of those that are kept by name.

    There is no ``file`` where none are kept, or where it lies where it belongs already.
    """

    reasons: Mapping[str, int]
    file: bytes | None = None


@dataclass
class KnownStrays:
    """The strays that ``receipts`` of ``old`` tell of, by the partitions of ``new`` they belong to.

    ``output`` is where those of ``old`` are kept by name.
    """

    old: Plan
    new: Plan
    receipts: Mapping[PartitionKey, Receipt]
    output: Output
    _arrays: dict[str, _Moved] = field(default_factory=dict)

    def of(
        self, item: Carried, known: Sequence[Receipt], *, in_place: bool = False
    ) -> CarriedStrays | None:
        """Return the strays of a partition that is carried over; None: it is to be listed.

        So it is where not all of them are known by name, which might be another's by now, or where
        they cannot be read. With ``in_place`` they need not be where they lie.
        """
        partition = item.partition
        moved = self._moved(partition.array)
        before = {part.key for part in item.before}
        came = moved.owned.get(partition.key, {})
        # Where chunks went, what stood before one of them stands before another's now.
        unknown = moved.unknown if moved.shorter else moved.unknown & before
        if unknown or came.keys() - before:
            return None
        reasons: Counter[str] = Counter()
        together, changed = Strays(), False
        same = in_place and strays_path(item.before[0]) == strays_path(partition)
        for part, receipt in zip(item.before, known, strict=True):
            if part.key in moved.told:
                mine = came.get(part.key, Strays())
                changed |= mine.count != receipt.strays
                together.merge(mine)
                reasons += mine.reasons
                continue
            reasons += Counter(receipt.stray_reasons)
            if receipt.strays and not (same and len(known) == 1):
                table = _kept(self.output, part, receipt)
                if table is None:
                    return None
                together.add(table)
        lies_there = same and len(known) == 1 and not changed
        data = encode_strays(partition.array, together) if together.count else None
        return CarriedStrays(dict(sorted(reasons.items())), None if lies_there else data)

    def owners(self, array: str) -> set[PartitionKey] | None:
        """Return the partitions that strays of an array belong to; None: not all are known."""
        moved = self._moved(array)
        return None if moved.unknown else set(moved.owned)

    def _moved(self, name: str) -> _Moved:
        if name not in self._arrays:
            self._arrays = {name: self._reckoned(name)}  # one at a time: they may be many
        return self._arrays[name]

    def _reckoned(self, name: str) -> _Moved:
        """Return where the strays of an array are now, as far as they may have moved."""
        before, now = self.old.by_name[name], self.new.by_name[name]
        sizes = zip(before.spec.grid, now.spec.grid, strict=True)
        moved = _Moved(shorter=any(size < was for was, size in sizes))
        if before.spec.grid == now.spec.grid:
            return moved
        owners: dict[_Store, _Owners] = {}
        named = 0
        for part in before.partitions(self.old.record_size):
            receipt = self.receipts.get(part.key)
            if not (moved.shorter if receipt is None else receipt.strays):
                continue
            stores = dict(_stores_of(self.old, part))
            if all(_space(self.new, name, store) == was for store, was in stores.items()):
                continue
            if receipt is None or len(stores) > 1 or named >= MOST_NAMED:
                moved.unknown.add(part.key)  # of several: nobody has noted which they are of
                continue
            (store,) = stores
            if store not in owners:
                owners[store] = _owners(self.new, name, store)
            table = _kept(self.output, part, receipt)
            if table is None or len(table) < receipt.strays:
                moved.unknown.add(part.key)
                continue
            named += len(table)
            moved.told.add(part.key)
            for key, some in owners[store].shared_out(table):
                moved.owned.setdefault(key, {})[part.key] = some
        return moved


@dataclass
class _Moved:
    """Of an array: partitions of before whose strays are ``told``, or ``unknown``.

    ``owned`` has those that are told, by their partition now and the one before. ``shorter``: the
    array is so along some axis, so that those that are unknown may be any partition's.
    """

    shorter: bool = False
    told: set[PartitionKey] = field(default_factory=set)
    unknown: set[PartitionKey] = field(default_factory=set)
    owned: dict[PartitionKey, dict[PartitionKey, Strays]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Owners:
    """The partitions of an array that have objects of one store, by the keys that those have."""

    space: KeySpace
    row_sets: Sequence[RowSet]
    keys: Sequence[PartitionKey]

    def shared_out(self, strays: pa.Table) -> Iterable[tuple[PartitionKey, Strays]]:
        """Yield partitions and those of some strays that are theirs; none of what is a chunk."""
        tails = strays["path"].combine_chunks()
        others = parse_paths(tails, "", self.space).others
        strays = strays.take(pa.array(others))
        if not (strays.num_rows and self.row_sets):
            return
        owners = owners_of(self.space, Places(self.row_sets), strays["path"].combine_chunks())
        for owner in np.unique(owners[owners >= 0]).tolist():
            some = Strays()
            some.add(strays.filter(pa.array(owners == owner)))
            yield self.keys[owner], some


def _stores_of(plan: Plan, partition: Partition) -> Iterable[tuple[_Store, KeySpace | None]]:
    """Yield the stores that have objects of a partition, and the keys that those have."""
    name = partition.array
    if plan.stores is None:
        yield None, _space(plan, name, None)
        return
    for segment in segments(plan, partition):
        if segment.store is not None:
            one = plan.stores.stores[segment.store]
            yield (one.url, one.below), _space(plan, name, (one.url, one.below))


def _space(plan: Plan, array: str, store: _Store) -> KeySpace | None:
    """Return the keys that objects of an array have in a store; None: it is not asked for it."""
    if store is None:
        return plan.by_name[array].spec.space
    view = _view(plan, array, store)
    return None if view is None else view.specs[array].space


def _view(plan: Plan, array: str, store: _Store) -> StoreView | None:
    """Return what one of many stores has of an array; None: it has not, or is not there."""
    if plan.stores is None:
        return None
    for number, one in enumerate(plan.stores.stores):
        if (one.url, one.below) == store:
            own = own_array(plan.stores, number, plan.by_name[array].spec)
            return None if own is None else StoreView(plan, number, "", {array: own})
    return None


def _owners(plan: Plan, array: str, store: _Store) -> _Owners:
    """Return the partitions of an array that have objects of a store."""
    planned = plan.by_name[array]
    partitions = [p for p in planned.partitions(plan.record_size) if p.objects.total]
    if store is None:
        row_sets = [partition.objects for partition in partitions]
        return _Owners(planned.spec.space, row_sets, [partition.key for partition in partitions])
    view = _view(plan, array, store)
    if view is None:
        return _Owners(planned.spec.space, (), ())
    own = [
        (view.partition(segment.partition).objects, partition.key)
        for partition in partitions
        for segment in segments(plan, partition)
        if segment.store == view.store
    ]
    return _Owners(view.specs[array].space, [rows for rows, _ in own], [key for _, key in own])


def _kept(output: Output, partition: Partition, receipt: Receipt) -> pa.Table | None:
    """Return the strays of a partition that are kept by name; None where they are not those.

    So it is where they are damaged, or already those of more partitions together, whose receipt
    was yet to be written.
    """
    data = output.get(strays_path(partition)) or b""
    try:
        table = pq.read_table(io.BytesIO(data)).select(_NAMES)
    except (pa.ArrowException, OSError, KeyError):
        return None
    return table if len(table) == min(receipt.strays, KEPT) else None
