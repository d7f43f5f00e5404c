"""What each store has of a partition: record files of many stores may hold rows of several.

A partition is whole record files. Where stores lie along rows (`ArrayPlan.by_first_row`), the last
file of a region holds rows of the stores behind it, too, and a file may hold all rows of a small
store. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import prod

from parchunk.keys.row_sets import RowSet
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.plan import ArrayPlan, Partition, Plan


@dataclass(frozen=True, slots=True)
class Segment:
    """What one store has of a partition; where ``store`` is None no store has these chunks.

    ``partition`` has the key of the partition that the rows belong to, and their numbers in the
    dataset. Either they begin with a record file and go through whole ones, of which the last may
    go on in the next store, or they are all in one file, which another store has begun.
    """

    store: int | None
    partition: Partition


def segments(plan: Plan, partition: Partition) -> Iterator[Segment]:
    """Yield the segments of a partition in the order of their rows, which they are all of.

    A partition without rows has none.
    """
    if not partition.rows.total:
        return
    array = plan.by_name[partition.array]
    stores = plan.stores
    if (
        stores is not None
        and stores.place(partition.array).axis is not None
        and (array.cuts and array.by_first_row)
    ):
        yield from _along_rows(plan, stores, array, partition)
    else:
        yield Segment(plan.store_of(partition), partition)


def straddle(plan: Plan, partitions: Iterable[Partition]) -> bool:
    """Whether any of these partitions has rows of several stores."""
    if plan.stores is None:
        return False
    found = (islice(segments(plan, partition), 2) for partition in partitions)
    return any(len(list(parts)) > 1 for parts in found)


def _along_rows(
    plan: Plan, stores: StoreSet, array: ArrayPlan, partition: Partition
) -> Iterator[Segment]:
    spec, axis = array.spec, array.axis
    assert axis is not None
    inner, chunk = prod(spec.reference_grid[axis + 1 :]), spec.reference_chunks[axis]
    series = stores.place(spec.name).series
    rows, size = partition.rows, plan.record_size
    begin = rows.first * rows.period + rows.start
    end = begin + rows.total
    while begin < end:
        element = begin // inner * chunk
        last = stores.stores[stores.store_at(element, series)].stop
        stop = min(-(-last // chunk) * inner, end)
        if begin % size:
            stop = min(stop, begin // size * size + size)
        some = RowSet(rows.period, begin, stop)
        yield Segment(
            stores.store_of(spec.name, element), replace(partition, rows=some, objects=some)
        )
        begin = stop
