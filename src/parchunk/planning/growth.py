"""What becomes of a plan when its source has grown: the same chunk numbers, and more of them.

Chunks are numbered in C order, so an array may grow along its leading axis, and along no other,
without any chunk getting another number. What becomes of those that did otherwise is said by
`parchunk.planning.renumbering`. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from parchunk.errors import InputError
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.changes import (
    changes_of,
    held_otherwise,
    read_otherwise,
    same_chunks,
    unlike,
)
from parchunk.planning.choice import REGION_REFERENCES, WHOLE_RATIO, is_coordinate, make_plan
from parchunk.planning.joining.segments import segments
from parchunk.planning.plan import MOST_CHUNKS, ArrayPlan, Partition, Plan
from parchunk.planning.refitting import refit


def grown_plan(old: Plan, hierarchy: Hierarchy) -> Plan:
    """Return ``old`` for its source as it is now; its record size stays.

    Its split and its regions stay, too, unless a record file would lie in two of them: see
    `parchunk.planning.refitting.refit`. Every array of the plan returned is aligned.

    Raises
    ------
    InputError
        Naming an array that has more chunks than can be counted; or when none is left.
    """
    if not hierarchy.arrays:
        raise InputError(f"{old.location.url} holds no arrays any more: nothing to reference")
    for spec in hierarchy.arrays:
        if spec.reference_total > MOST_CHUNKS:
            raise InputError(
                f"{spec.name} has {spec.reference_total:,} chunks now, more than a listing could "
                "show: repair its metadata, or leave it out with --exclude if it is new"
            )
    other = changes_of(old, hierarchy).other
    known = {name: array for name, array in old.by_name.items() if name not in other}
    arrays = tuple(
        replace(known[spec.name], spec=spec) if spec.name in known else ArrayPlan(spec)
        for spec in hierarchy.arrays
    )
    grown = replace(old, hierarchy=hierarchy, arrays=arrays)
    if old.split is None:
        return _first_split(grown) or grown
    wanted = {
        array.spec.name: array.axis if array.spec.name in known else axis_of_new(old, array.spec)
        for array in arrays
    }
    return refit(grown, wanted)


@dataclass(frozen=True)
class Carried:
    """A partition all of whose rows are known: those of ``before``, partitions of an older plan."""

    partition: Partition
    before: tuple[Partition, ...]


def carried(old: Plan, new: Plan) -> Iterator[Carried]:
    """Yield the partitions of ``new`` of which ``old`` knew every row, in the same record files.

    Every chunk of them holds what it did: one at the end of an array is written again when the
    array grows, with more in it, and so with another size. Of an array that does not fit its
    regions in ``old`` nothing is known: what was written as its record files may hold other rows.
    """
    for array in new.arrays:
        before = old.by_name.get(array.spec.name)
        if before is None or not before.is_aligned(old.record_size):
            continue
        if unlike(before.spec, array.spec) or read_otherwise(old, array.spec):
            continue
        name, same_stores = array.spec.name, True
        if old.stores is not None and new.stores is not None:
            if old.stores.kept.get(name) != new.stores.kept.get(name):
                continue
            same_stores = not any(held_otherwise(old.stores, new.stores, name))
        if _same_regions(before, array):
            pairs = _of_the_same_number(before, array, old.record_size)
        else:
            pairs = _joined(before, array, old.record_size)
        for partition, parts in pairs:
            if not same_stores and _stretches(old, *parts) != _stretches(new, partition):
                continue  # one of them got the array, or lost it
            if _full(before.spec, array.spec, partition.rows):
                yield Carried(partition, parts)


def going_on(old: Plan, new: Plan) -> Iterator[Carried]:
    """Yield the partitions of ``new`` whose first rows ``old`` knew, all of one partition.

    They are those whose last record file goes on with rows of stores that came: the rows before
    are of the same stores as they were, and end within that file. None where more is kept of
    objects than record files say.
    """
    if new.identity != "none":
        return
    for array in new.arrays:
        before = old.by_name.get(array.spec.name)
        if before is None or not (before.cuts and array.cuts):
            continue
        if not (before.by_first_row and array.by_first_row and _same_regions(before, array)):
            continue
        if unlike(before.spec, array.spec) or read_otherwise(old, array.spec):
            continue
        if any(plan.coordinate_threshold_of(array.spec.name) for plan in (old, new)):
            continue  # other rows may be inlined now
        size = new.record_size
        for was, now in zip(before.partitions(size), array.partitions(size), strict=False):
            known, follow = _stretches(old, was), _stretches(new, now)
            more = follow[len(known) :]
            if (
                known
                and was.rows.total % size
                and follow[: len(known)] == known
                and any(store is not None for store, _, _ in more)
                and _full(before.spec, array.spec, was.rows)
            ):
                yield Carried(now, (was,))


def _stretches(plan: Plan, *partitions: Partition) -> list[tuple[object, int, int]]:
    """Return which store has which rows of partitions, by the first and their number.

    A store is its URL and the group that it is below, as others may have come before it.
    """
    found: list[tuple[object, int, int]] = []
    for partition in partitions:
        for one in segments(plan, partition):
            store = None
            if one.store is not None and plan.stores is not None:
                planned = plan.stores.stores[one.store]
                store = planned.url, planned.below
            rows = one.partition.rows
            found.append((store, rows.number(0), rows.total))
    return found


def _same_regions(before: ArrayPlan, now: ArrayPlan) -> bool:
    """Whether regions of the same number begin at the same chunk; others may have come."""
    if before.cuts and now.cuts:
        return before.axis == now.axis and before.cuts[:-1] == now.cuts[: len(before.cuts) - 1]
    return (before.axis, before.region_chunks) == (now.axis, now.region_chunks)


_Pairs = Iterator[tuple[Partition, tuple[Partition, ...]]]


def _of_the_same_number(before: ArrayPlan, array: ArrayPlan, record_size: int) -> _Pairs:
    """Yield partitions that are what they were; regions are as long as they were."""
    known = zip(
        before.partitions(record_size), array.partitions(record_size), strict=False
    )  # regions that came are left over
    for was, partition in known:
        if _same(was.rows, partition.rows):
            yield partition, (was,)


def _joined(before: ArrayPlan, array: ArrayPlan, record_size: int) -> _Pairs:
    """Yield partitions that are several of those before together; regions are others now."""
    parts: dict[int | None, list[Partition]] = {}
    for was in before.partitions(record_size):
        if was.rows.total:
            parts.setdefault(array.region_of_file(was.rows.number(0)), []).append(was)
    for region, some in parts.items():
        partition = array.partition(region, record_size)
        # They are disjoint: those that lie within it are all of it when they are as many.
        if sum(was.rows.total for was in some) == partition.rows.total and all(
            _within(was.rows, partition.rows) for was in some
        ):
            yield partition, tuple(some)


def _within(some: RowSet, rows: RowSet) -> bool:
    """Whether all of ``some`` are in ``rows``; both are partitions' row sets."""
    if rows.count == 1:
        first, last = some.number(0), some.number(some.total - 1)
        return rows.position(first) is not None and rows.position(last) is not None
    if (some.period, some.first, some.count) == (rows.period, rows.first, rows.count):
        return rows.start <= some.start and some.stop <= rows.stop
    return False


def _first_split(plan: Plan) -> Plan | None:
    """Return a plan with regions for one that was made when every array was a single chunk.

    None while a region would hold all that there is, or where no regions fit the record size.
    """
    if max(array.spec.reference_total for array in plan.arrays) <= REGION_REFERENCES:
        return None
    try:
        made = make_plan(plan.hierarchy, plan.location, record_size=plan.record_size)
    except InputError:
        return None
    if not all(array.is_aligned(plan.record_size) for array in made.arrays):
        return None
    return replace(plan, split=made.split, region_length=made.region_length, arrays=made.arrays)


def axis_of_new(old: Plan, spec: ArraySpec) -> int | None:
    """Return the axis that an array which came is to be split along, with those that are."""
    axis = None if old.split is None else old.split.axis_in(spec)
    if axis is None or spec.grid[axis] <= 1 or is_coordinate(spec, axis):
        return None
    split = [array.spec.reference_total for array in old.arrays if array.axis is not None]
    return axis if spec.reference_total * WHOLE_RATIO >= max(split, default=0) else None


def _same(one: RowSet, other: RowSet) -> bool:
    """Whether two row sets are the same chunk numbers; one run may be said in several ways."""
    if one.total == other.total and (not one.total or one.count == other.count == 1):
        return not one.total or one.number(0) == other.number(0)
    return one == other


def _full(old: ArraySpec, new: ArraySpec, rows: RowSet) -> bool:
    """Whether every chunk of ``rows`` has the number that it had, and holds the same elements."""
    if old.shape == new.shape or not rows.total:
        return True
    same, grid = same_chunks(old, new), new.reference_grid
    if same[1:] != grid[1:] or old.reference_grid[1:] != grid[1:]:
        return False
    return rows.number(rows.total - 1) < same[0] * prod(grid[1:])
