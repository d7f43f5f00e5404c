"""What becomes of a plan when its source has grown: the same chunk numbers, and more of them.

Chunks are numbered in C order, so an array may grow along its leading axis, and along no other,
without any chunk getting another number. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from parchunk.errors import InputError
from parchunk.metadata.meaning import array_differences
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.plan import ArrayPlan, Partition, Plan
from parchunk.planner import make_plan
from parchunk.rows import RowSet

#: Entries of an array's document that may change from one plan to the next.
_FREE = ("shape", "attributes")


def grown_plan(old: Plan, hierarchy: Hierarchy) -> Plan:
    """Return ``old`` for its source as it is now: its split, regions and record size stay.

    Raises
    ------
    InputError
        Naming every array that is gone, became shorter, grew along another axis than the leading
        one, or whose chunks mean something else now.
    """
    specs = {spec.name: spec for spec in hierarchy.arrays}
    problems = [f"{name} is gone" for name in old.by_name if name not in specs]
    for name, array in old.by_name.items():
        if name in specs:
            problem = _problem(array.spec, specs[name])
            problems += [f"{name} {problem}"] if problem else []
    if problems:
        raise InputError(
            f"{old.location.url} did more than grow ({'; '.join(problems[:3])}"
            + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
            + "): references cannot be updated; build them anew (--overwrite, or another OUT)"
        )
    added = _added(old, hierarchy)
    arrays = tuple(
        replace(old.by_name[spec.name], spec=spec) if spec.name in old.by_name else added[spec.name]
        for spec in hierarchy.arrays
    )
    return replace(old, hierarchy=hierarchy, arrays=arrays)


def unchanged(old: Plan, new: Plan) -> Iterator[Partition]:
    """Yield the partitions of ``new`` that are the same in ``old``, and whose chunks all were full.

    A chunk at the end of an array is written again when the array grows: with more in it, and so
    with another size.
    """
    for partition in new.partitions():
        before = old.by_name.get(partition.array)
        array = new.by_name[partition.array]
        if before is None or before.axis != array.axis:
            continue
        if partition.region is not None and partition.region >= before.regions:
            continue
        was = before.partition(partition.region, old.record_size)
        if _same(was.rows, partition.rows) and _full(before.spec, array.spec, partition.rows):
            yield partition


def _added(old: Plan, hierarchy: Hierarchy) -> dict[str, ArrayPlan]:
    """Return the plans of arrays that came since, with the regions of the others."""
    came = [spec for spec in hierarchy.arrays if spec.name not in old.by_name]
    if not came:
        return {}
    if old.split is None:
        return {spec.name: ArrayPlan(spec) for spec in came}
    split = old.split.dimension if old.split.dimension is not None else old.split.axis
    made = make_plan(
        hierarchy,
        old.location,
        split=split,
        region=old.region_length,
        record_size=old.record_size,
    )
    return {spec.name: made.by_name[spec.name] for spec in came}


def _problem(old: ArraySpec, new: ArraySpec) -> str | None:
    """Return why the chunks of an array are not what they were, None when they are."""
    changed = array_differences(old, new, _FREE if old.rank == new.rank else ())
    if changed:
        return f"has other metadata ({changed[0]})"
    for axis, (before, now) in enumerate(zip(old.shape, new.shape, strict=True)):
        if now < before:
            return f"became shorter along axis {axis} ({before} to {now})"
    for axis in range(1, old.rank):
        if old.reference_grid[axis] != new.reference_grid[axis]:
            return (
                f"grew along axis {axis} ({old.shape[axis]} to {new.shape[axis]}), "
                "which gives its chunks other numbers"
            )
    return None


def _same(one: RowSet, other: RowSet) -> bool:
    """Whether two row sets are the same chunk numbers; one run may be said in several ways."""
    if one.cells == other.cells and (not one.cells or one.count == other.count == 1):
        return not one.cells or one.number(0) == other.number(0)
    return one == other


def _full(old: ArraySpec, new: ArraySpec, rows: RowSet) -> bool:
    """Whether no chunk of ``rows`` reached beyond the array when it was as long as ``old``."""
    if old.shape == new.shape or not rows.cells:
        return True
    if old.shape[1:] != new.shape[1:]:
        return False
    objects = old.shape[0] // old.chunks[0]
    along = objects * old.chunks[0] // old.reference_chunks[0]
    return rows.number(rows.cells - 1) < along * prod(old.reference_grid[1:])
