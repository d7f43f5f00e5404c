"""The plan of many stores: regions that end at their borders, record files that lie in one store.

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
) -> Plan:
    """Return the plan of stores that are joined; ``location`` is the folder above all of them.

    Stores along a dimension are split along it, and a region is (a part of) one store's. Merged
    stores are planned as one is.

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
    cuts = tuple(region_cuts(stores, length))
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
        record_size=_record_size(arrays, record_size),
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
    most = max(
        prod(spec.reference_grid) // max(spec.reference_grid[axis], 1) / spec.reference_chunks[axis]
        for spec, axis in members
    )  # references in one element
    if longest * most <= 2 * REGION_REFERENCES:
        return -(-longest // base) * base
    aim = max(int(REGION_REFERENCES / most) // base, 1)
    # A divisor of what all borders are multiples of leaves record files as long as they can be.
    shared = gcd(*(store.start // base for store in stores.stores))
    if shared and shared <= 2 * aim:
        return aim // shared * shared * base or shared * base
    return (divisors(shared, aim)[-1] if shared else aim) * base


def small_files_note(plan: Plan) -> str | None:
    """Return what to say where stores leave record files that are much too small, or None."""
    if plan.stores is None or not plan.cuts or plan.record_size >= LEAST_ROWS:
        return None
    files = sum(-(-array.spec.reference_total // plan.record_size) for array in plan.arrays)
    if files <= SPOILER_FILES:
        return None
    return (
        f"{files:,} record files of {plan.record_size:,} rows: one lies in one store, and "
        f"the chunks of the stores along {plan.stores.joining.dimension} share no larger divisor"
    )


def region_cuts(stores: StoreSet, length: int) -> Iterator[int]:
    """Yield the elements at which regions begin, and the last one's end.

    Several series share the regions, which begin wherever a store of any of them does.
    """
    end = max(store.stop for store in stores.stores)
    borders = {store.start for store in stores.stores if store.start < store.stop}
    for start, stop in pairwise([*sorted(borders), end]):
        yield from range(start, stop, length)
    yield end


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


def _record_size(arrays: Sequence[ArrayPlan], wanted: int | None) -> int:
    """Return the largest record size of which every region of every array is whole files."""
    shared = lasting = 0
    for array in arrays:
        if array.axis is None:
            continue
        grid = array.spec.reference_grid
        inner, outer = prod(grid[array.axis + 1 :]), prod(grid[: array.axis])
        if outer > 1 and array.regions <= 1:
            continue
        ends = array.cuts[:-1] if outer == 1 else array.cuts
        shared = gcd(shared, *(cut * inner for cut in ends))
        # Where the last store ends with a chunk others may follow it: their rows begin there.
        if outer == 1 and array.spec.shape[array.axis] % array.spec.chunks[array.axis] == 0:
            lasting = gcd(lasting, array.cuts[-1] * inner)
    if wanted is None and gcd(shared, lasting):
        shared = gcd(shared, lasting)
    if wanted is None:
        return divisors(shared, RECORD_ROWS)[-1] if shared else RECORD_ROWS
    if shared % wanted:
        fits = ", ".join(str(d) for d in divisors(shared, 10_000_000)[-6:])
        raise InputError(
            f"--record-size {wanted}: record files would straddle stores or regions; divisors "
            f"that fit: {fits}"
        )
    return wanted
