"""The plan of many stores: regions that end at their borders, and one record size for all.

Integers only, as `parchunk.planning.choice` is for one store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import gcd, lcm, prod

from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.choice import (
    LEAST_ROWS,
    RECORD_ROWS,
    REGION_REFERENCES,
    check_wishes,
    divisors,
    make_plan,
)
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.plan import MOST_PARTITIONS, ArrayPlan, Plan, Split
from parchunk.stores.opening import Location

#: Record files of a dataset that are few enough, however small.
SPOILER_FILES = 10_000
#: Record files that end with regions may be so many times smaller than others.
UNEVEN = 4
#: Stores of which each has regions of its own, however small.
STORES_APART = 250


def plan_stores(
    hierarchy: Hierarchy,
    stores: StoreSet,
    location: Location,
    *,
    group: str = "",
    split: str | int | None = None,
    region: int | None = None,
    record_size: int | None = None,
    inline_threshold: int = 0,
    stores_apart: int = STORES_APART,
) -> Plan:
    """Return the plan of stores that are joined; ``location`` is the folder above all of them.

    Stores along a dimension are split along it, and a region is (a part of) one store's; of more
    than ``stores_apart``, small neighbours share one. Merged stores are planned as one is.

    Raises
    ------
    InputError
        For another split, a region or record size that does not fit, or too many partitions.
    """
    dimension = stores.joining.dimension
    if dimension is None:
        made = make_plan(
            hierarchy,
            location,
            group=group,
            split=split,
            region=region,
            record_size=record_size,
            inline_threshold=inline_threshold,
        )
        return replace(made, stores=stores)
    check_wishes(region, record_size, inline_threshold)
    if split is not None and str(split) != dimension:
        raise InputError(
            f"--split {split}: stores lie along {dimension}, and so do the regions: leave it out"
        )
    members = [
        (spec, place.axis)
        for spec in hierarchy.arrays
        if (place := stores.place(spec.name)).axis is not None and spec.name not in stores.kept
    ]
    if not members:
        arrays = tuple(ArrayPlan(spec) for spec in hierarchy.arrays)
        size = record_size or RECORD_ROWS
        return Plan(
            location, group, hierarchy, None, 0, size, inline_threshold, arrays, stores=stores
        )
    length = _length(members, stores, region)
    count = sum(store.start < store.stop for store in stores.stores)
    apart = region is not None or count <= stores_apart
    cuts = tuple(_cuts(members, stores, length, apart))
    count = (len(cuts) - 1) * len(members)
    if count > MOST_PARTITIONS:
        raise InputError(
            f"{count:,} partitions are more than the {MOST_PARTITIONS:,} that receipts are kept "
            "for: give a longer --region, or join fewer stores"
        )
    axes = {spec.name: axis for spec, axis in members}
    arrays = tuple(array_with_cuts(spec, axes.get(spec.name), cuts) for spec in hierarchy.arrays)
    return Plan(
        location=location,
        group=group,
        hierarchy=hierarchy,
        split=Split(None, int(dimension))
        if members[0][0].dimension_names[members[0][1]] is None
        else Split(dimension),
        region_length=length,
        record_size=record_size_of(arrays, record_size),
        inline_threshold=inline_threshold,
        arrays=arrays,
        cuts=cuts,
        stores=stores,
    )


def _length(members: Sequence[tuple[ArraySpec, int]], stores: StoreSet, region: int | None) -> int:
    """Return how long regions are within a store, in elements, at most."""
    base = lcm(*(spec.chunks[axis] for spec, axis in members))
    if region is not None:
        if region % base:
            spec, axis = max(members, key=lambda pair: pair[0].chunks[pair[1]])
            raise InputError(
                f"--region {region} does not fall on chunk boundaries of {spec.name}, whose chunks "
                f"are {spec.chunks[axis]} long along {stores.joining.dimension}: use "
                f"{max(region // base, 1) * base}"
            )
        return region
    longest = max(store.stop - store.start for store in stores.stores)
    most = _density(members)
    if longest * most <= 2 * REGION_REFERENCES:
        return -(-longest // base) * base
    aim = max(int(REGION_REFERENCES / most) // base, 1)
    # A divisor of what all borders are multiples of leaves record files as long as they can be.
    shared = gcd(*(store.start // base for store in stores.stores))
    if shared and shared <= 2 * aim:
        return aim // shared * shared * base or shared * base
    return (divisors(shared, aim)[-1] if shared else aim) * base


def _density(members: Sequence[tuple[ArraySpec, int]]) -> float:
    """Return how many references the array of most has in one element of the dimension."""
    return max(
        prod(spec.reference_grid) // max(spec.reference_grid[axis], 1) / spec.reference_chunks[axis]
        for spec, axis in members
    )


def record_file_notes(plan: Plan) -> list[str]:
    """Return what to say of record files of stores that are small, or that no others may follow."""
    if plan.stores is None or plan.stores.joining.dimension is None or not plan.cuts:
        return []
    return [note for note in (_small_files(plan), _last_files(plan)) if note is not None]


def _last_files(plan: Plan) -> str | None:
    """Return what to say where the record size that was asked for fits no stores that come."""
    fits, names = 0, []
    for array in plan.arrays:
        spec, axis = array.spec, array.axis
        # Of another axis than the first, record files end where the last store does.
        if axis is None or array.by_first_row or prod(spec.reference_grid[:axis]) > 1:
            continue
        if spec.shape[axis] % spec.chunks[axis] == 0:
            names.append(spec.name)
            fits = gcd(fits, *(cut * prod(spec.reference_grid[axis + 1 :]) for cut in array.cuts))
    if fits % plan.record_size == 0:
        return None
    return (
        f"record files of {plan.record_size:,} rows of {names[0]}, which has shards, end where no "
        "store does: an update refuses those that come behind; "
        f"a --record-size that divides {fits:,} takes them in"
    )


def _small_files(plan: Plan) -> str | None:
    """Return what to say where stores leave record files that are much too small, or None."""
    assert plan.stores is not None
    if plan.record_size >= LEAST_ROWS:
        return None
    files = sum(-(-array.spec.reference_total // plan.record_size) for array in plan.arrays)
    bound = [
        array.spec.name
        for array in plan.arrays
        if array.axis is not None and not array.by_first_row
    ]
    if files <= SPOILER_FILES or not bound:
        return None
    return (
        f"{files:,} record files of {plan.record_size:,} rows: those of {bound[0]}, which has "
        "shards or another dimension before that of the stores, lie in one store each, and the "
        f"chunks of the stores along {plan.stores.joining.dimension} share no larger divisor"
    )


def _cuts(
    members: Sequence[tuple[ArraySpec, int]], stores: StoreSet, length: int, apart: bool
) -> Iterator[int]:
    """Yield where regions begin, and the end; many small neighbours share one unless ``apart``."""
    _end(stores)
    along_rows = all(ArrayPlan(spec, axis).by_first_row for spec, axis in members)
    if apart or not along_rows or len(stores.ranges) > 1:
        yield from region_cuts(stores, length)
        return
    most = RECORD_ROWS / max(_density(members), 1e-9)
    begun: int | None = None  # where a region begins that has room for the next store
    stop = 0
    for store in stores.stores:
        if begun is None or store.stop - begun > most:
            yield from range(store.start, store.stop, length)
            begun = store.start if 0 < store.stop - store.start <= min(most, length) else None
        stop = store.stop
    yield stop


def grown_cuts(old: Sequence[int], stores: StoreSet, length: int) -> Iterator[int]:
    """Yield ``old`` cuts with those of what came behind; the last region may end elsewhere."""
    *now, end = region_cuts(stores, length)
    if len(stores.ranges) == 1:  # else all of them may have grown, and all share the regions
        now = [*old[:-1], *(cut for cut in now if not old or cut >= old[-1])]
    yield from (cut for cut in now if cut < end)
    yield end


def region_cuts(stores: StoreSet, length: int) -> Iterator[int]:
    """Yield the elements at which regions begin, and the last one's end.

    Several series share the regions, which begin wherever a store of any of them does.
    """
    end = _end(stores)
    borders = {store.start for store in stores.stores if store.start < store.stop}
    for start, stop in pairwise([*sorted(borders), end]):
        yield from range(start, stop, length)
    yield end


def _end(stores: StoreSet) -> int:
    """Return the dimension's length; refuse stores that are all empty, which have no regions."""
    end = max(store.stop for store in stores.stores)
    if not end:
        raise InputError(
            f"no store has an element along {stores.joining.dimension}: give one that has, or run "
            "it again when one has"
        )
    return end


def array_with_cuts(spec: ArraySpec, axis: int | None, cuts: Sequence[int]) -> ArrayPlan:
    """Return an array split at these elements of its axis.

    Where one is within a chunk, as a border of another series may be, a chunk (a shard) is in the
    region of its first element. Regions beyond the array's end are none of it.
    """
    if axis is None:
        return ArrayPlan(spec)
    shard = spec.chunks[axis] // spec.reference_chunks[axis]  # the last one may not be full
    count = -(-spec.shape[axis] // spec.reference_chunks[axis])
    starts = [min(-(-cut // spec.chunks[axis]) * shard, count) for cut in cuts]
    while len(starts) > 2 and starts[-2] == count:
        starts.pop()
    starts[-1] = count
    longest = max(after - before for before, after in pairwise(starts))
    return ArrayPlan(spec, axis, -(-longest // shard) * shard, tuple(starts))


def record_size_of(arrays: Sequence[ArrayPlan], wanted: int | None) -> int:
    """Return a record size: one that all regions are whole files of, unless that is too small.

    Those of arrays that are not `ArrayPlan.by_first_row` always are.
    """
    shared = bound = lasting = lasting_bound = 0
    for array in arrays:
        if array.axis is None:
            continue
        grid = array.spec.reference_grid
        inner, outer = prod(grid[array.axis + 1 :]), prod(grid[: array.axis])
        if outer > 1 and array.regions <= 1:
            continue
        ends = array.cuts[:-1] if outer == 1 else array.cuts
        shared = gcd(shared, *(cut * inner for cut in ends))
        if not array.by_first_row:
            bound = gcd(bound, *(cut * inner for cut in ends))
        # Where the last store ends with a chunk others may follow it: their rows begin there.
        if outer == 1 and array.spec.shape[array.axis] % array.spec.chunks[array.axis] == 0:
            lasting = gcd(lasting, array.cuts[-1] * inner)
            if not array.by_first_row:
                lasting_bound = gcd(lasting_bound, array.cuts[-1] * inner)
    if wanted is not None:
        if bound % wanted:
            fits = ", ".join(str(d) for d in divisors(bound, 10_000_000)[-6:])
            raise InputError(
                f"--record-size {wanted}: record files would straddle stores or regions; divisors "
                f"that fit: {fits}"
            )
        return wanted
    even = divisors(gcd(shared, lasting) or 1, RECORD_ROWS)[-1]
    aim = _rows_of_a_region(arrays)
    bound = gcd(bound, lasting_bound)
    best = divisors(bound, aim)[-1] if bound else aim
    return even if even * UNEVEN >= best else best


def _rows_of_a_region(arrays: Sequence[ArrayPlan]) -> int:
    """Return a readable record size of which nearly every region of the largest array has a file.

    That is no more than the rows of its shortest region, but for those that are far too short.
    """
    split = [array for array in arrays if array.axis is not None]
    if not split:
        return RECORD_ROWS
    largest = max(split, key=lambda array: array.spec.reference_total)
    assert largest.axis is not None
    grid = largest.spec.reference_grid
    step = max(prod(grid) // max(grid[largest.axis], 1), 1)  # rows in one chunk along the axis
    lengths = sorted(b - a for a, b in pairwise(largest.cuts) if a < b) or [1]
    usual = lengths[len(lengths) // 2]
    shortest = next(length for length in lengths if length * UNEVEN >= usual)
    most = RECORD_ROWS // step
    return min(shortest, most) * step if most else RECORD_ROWS
