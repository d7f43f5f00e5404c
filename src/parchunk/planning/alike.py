"""Arrays of a plan that differ by nothing but their names: people are shown them together."""

from __future__ import annotations

from parchunk.planning.plan import ArrayPlan, Plan

#: Arrays of a group that are named where there are more.
_NAMED = 3


def alike(plan: Plan) -> list[tuple[ArrayPlan, ...]]:
    """Return the arrays in groups of equal type, shape, chunks and regions, each in plan order."""
    groups: dict[tuple[object, ...], list[ArrayPlan]] = {}
    for array in plan.arrays:
        spec = array.spec
        mark = (
            spec.zarr_format,
            spec.dtype,
            spec.shape,
            spec.chunks,
            spec.reference_chunks,
            spec.dimension_names,
            array.axis,
            array.regions,
        )
        groups.setdefault(mark, []).append(array)
    return [tuple(group) for group in groups.values()]


def names_text(group: tuple[ArrayPlan, ...]) -> str:
    """Return the names of a group, not all of many."""
    names = [array.spec.name for array in group]
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED:,} more"
