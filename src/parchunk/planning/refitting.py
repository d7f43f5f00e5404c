"""Other regions for arrays that grew out of theirs: the record size stays. No I/O.

A record file must lie in one region, which a region of a grown array may not allow: on a later
axis once the leading axis has more than one chunk, and where shards are expanded once there is a
second region. Chunks keep their numbers, and so every record file its rows: what changes is only
which region they belong to. One that fits is always to be had, as an array in one piece has no
borders within.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd, lcm, prod

from parchunk.metadata.spec import ArraySpec
from parchunk.planning.choice import REGION_REFERENCES
from parchunk.planning.plan import MOST_PARTITIONS, ArrayPlan, Plan, Split

_Members = Sequence[tuple[ArraySpec, int]]


def refit(plan: Plan, wanted: Mapping[str, int | None]) -> Plan:
    """Return ``plan`` with regions that fit all its arrays.

    ``wanted`` names the axis that each array is to be split along, None for a whole array. Where
    the regions of the plan fit, they stay. Else, in this order: regions of the leading dimension,
    for arrays that were split along a later one and have come to be longer than one chunk; longer
    regions; and in one piece what does not fit.
    """
    members = [
        (spec, axis) for spec in plan.hierarchy.arrays if (axis := wanted[spec.name]) is not None
    ]
    split, region = plan.split, plan.region_length
    crooked = [member for member in members if not _fits(*member, region, plan.record_size)]
    if crooked:
        leading = _leading(plan, members, crooked)
        if leading is not None:
            split, region = leading
            members = [
                (spec, axis) for spec, _ in members if (axis := split.axis_in(spec)) is not None
            ]
        else:
            region = _longer(plan, members, crooked) or region
    while True:
        arrays = _arrays(plan, members, region)
        partitions = sum(array.regions for array in arrays)
        if partitions <= MOST_PARTITIONS:
            return replace(plan, split=split, region_length=region, arrays=arrays)
        # Every multiple of a region that fits does.
        region *= 2


def region_unit(spec: ArraySpec, axis: int, record_size: int) -> int | None:
    """Return what region lengths that fit an array are multiples of, in elements; None: none is.

    Whatever the unit, one region as long as the array fits.
    """
    grid, reference = spec.reference_grid, spec.reference_chunks[axis]
    inner, outer = prod(grid[axis + 1 :]), prod(grid[:axis])
    if outer <= 1 and spec.inner_chunks is None:
        return spec.chunks[axis]
    if outer > 1 and grid[axis] * inner % record_size:
        return None
    return lcm(spec.chunks[axis], reference * (record_size // gcd(record_size, max(inner, 1))))


def _fits(spec: ArraySpec, axis: int, region: int, record_size: int) -> bool:
    if region % spec.chunks[axis]:
        return False
    return ArrayPlan(spec, axis, region // spec.reference_chunks[axis]).is_aligned(record_size)


def _arrays(plan: Plan, members: _Members, region: int) -> tuple[ArrayPlan, ...]:
    """Return all arrays, split where they are members and regions of this length fit them."""
    axes = {
        spec.name: axis for spec, axis in members if _fits(spec, axis, region, plan.record_size)
    }
    return tuple(
        ArrayPlan(spec, axes[spec.name], region // spec.reference_chunks[axes[spec.name]])
        if spec.name in axes
        else ArrayPlan(spec)
        for spec in plan.hierarchy.arrays
    )


def _longer(plan: Plan, members: _Members, crooked: _Members) -> int | None:
    """Return a region length that fits all ``members``, None when it would be too long for one."""
    units = [region_unit(spec, axis, plan.record_size) for spec, axis in crooked]
    region = lcm(plan.region_length, *(unit or 0 for unit in units))
    if not region or any(
        not _fits(spec, axis, region, plan.record_size)
        or _references(spec, axis, region) > _most(plan)
        for spec, axis in members
    ):
        return None
    return region


def _leading(plan: Plan, members: _Members, crooked: _Members) -> tuple[Split, int] | None:
    """Return a split of the leading dimension, with its region length, in place of a later one's.

    ``crooked`` are those that no region of the later one fits any more. None where there are none,
    or where more is split well along the later one already: that is not listed again.
    """
    later = [spec for spec, axis in crooked if axis > 0]
    well = [
        spec
        for spec, axis in members
        if (spec, axis) not in crooked and prod(spec.reference_grid[:axis]) > 1
    ]
    if not later or _total(well) > _total(later):
        return None
    leader = max(later, key=lambda spec: spec.reference_total)
    name = leader.dimension_names[0]
    split = Split(None, 0) if name is None else Split(name)
    most = _most(plan)
    base = 1
    for spec, _ in sorted(
        members, key=lambda pair: (pair[0] is not leader, -pair[0].reference_total)
    ):
        axis = split.axis_in(spec)
        unit = None if axis is None else region_unit(spec, axis, plan.record_size)
        if unit is None:
            continue
        if spec is leader or _references(leader, 0, lcm(base, unit)) <= most:
            base = lcm(base, unit)
    return split, base * max(REGION_REFERENCES // max(_references(leader, 0, base), 1), 1)


def _most(plan: Plan) -> int:
    """Return how many references a region may have in one array: as many as one has, or these."""
    return max(
        2 * REGION_REFERENCES,
        *(
            _references(array.spec, array.axis, plan.region_length)
            for array in plan.arrays
            if array.axis is not None
        ),
        0,
    )


def _references(spec: ArraySpec, axis: int, region: int) -> int:
    """Return the references in a region of an array that is at least so long."""
    grid = spec.reference_grid
    others = prod((*grid[:axis], *grid[axis + 1 :]))
    return region // spec.reference_chunks[axis] * others


def _total(specs: Sequence[ArraySpec]) -> int:
    return sum(spec.reference_total for spec in specs)
