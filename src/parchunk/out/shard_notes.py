"""References that an append to their source may turn into those of other chunks, with no error."""

from __future__ import annotations

from parchunk.metadata.choosing import some_of
from parchunk.metadata.fixed_size import fixed_chunk_bytes
from parchunk.metadata.shards import shard_layout
from parchunk.planning.plan import ArrayPlan, Plan


def shard_notes(plan: Plan) -> list[str]:
    """Return a line on the arrays in whose shards inner chunks may change places, if there are any.

    An append writes the shards anew that were not full. Inner chunks that can have one size only
    take each other's places there, and a reference to one of them then reads another.
    """
    found = [array.spec.name for array in plan.arrays if _may_move(plan, array)]
    if not found:
        return []
    return [
        f"{some_of(found)}: the last shards are not full, and an append to them may move their "
        "inner chunks, which have one size: until the next parchunk update references would read "
        "others in their place, without an error (docs/shards.md)"
    ]


def _may_move(plan: Plan, array: ArrayPlan) -> bool:
    """Whether the array ends within a shard, and new inner chunks may come between those there.

    That is so where a shard has several side by side on another axis than the one that grows: in
    the Morton order of zarr-python those of one axis alone stay where they are.
    """
    spec = array.spec
    # What nobody split has grown along the first axis, if at all.
    axis = 0 if plan.split is None else plan.split.axis_in(spec)
    if spec.inner_chunks is None or axis is None or not spec.total:
        return False
    entries = shard_layout(spec).entries
    sides = zip(entries, spec.reference_grid, strict=True)
    others = [min(held, there) for at, (held, there) in enumerate(sides) if at != axis]
    if spec.reference_grid[axis] % entries[axis] == 0 or max(others, default=1) == 1:
        return False
    size = fixed_chunk_bytes(spec)
    return size is not None and size > plan.inline_threshold_of(spec.name)
