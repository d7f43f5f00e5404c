"""Groups: which partitions are listed together, by which walks, at what cost. No I/O.

The plan's forecast and the build call the same functions, so what is forecast is what happens on
a store in which every chunk exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from parchunk.cover.jobs import Group, Unit, order_of
from parchunk.cover.memory import CHUNK_BYTES
from parchunk.cover.walks import Width, needed_ranks, walks_over
from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Partition, Plan

#: What an inner chunk costs while shards are expanded, in chunks' sizes: an offset and a size,
#: in one slice that is being read and one that is being written.
INNER_CELLS = 4
#: Inner chunks expanded together at most: more saves nothing.
INNER_MOST = 4_000_000
#: Rows of a large partition that are tallied, written and given back together: few enough that
#: writing goes on beside listing.
UNIT_CELLS = 200_000
#: Units that a large group is cut in; then they are longer.
UNITS = 5_000
#: Units of a group, at most: each is some Python objects.
MOST_UNITS = 50_000
#: A group's chunks, at most: they are address space until they are met.
GROUP_CELLS = 1 << 31


def make_groups(
    plan: Plan, pending: Iterable[Partition], cells: int, width: Width, workers: int = 1
) -> list[Group]:
    """Return the groups for the pending partitions, ordered by region, then by array.

    All partitions of an array go together when no more than ``cells`` chunks are ever held at
    the same time: along the leading axis that is nearly always so, as a walk in text order
    completes regions one after another. Else neighbours go together while they fit. With several
    workers, an array is shared out so that each of them has a part.
    """
    by_array: dict[str, list[Partition]] = {}
    for partition in pending:
        by_array.setdefault(partition.array, []).append(partition)
    groups: list[tuple[int, Group]] = []
    for array, partitions in by_array.items():
        spec = plan.by_name[array].spec
        partitions.sort(key=lambda partition: partition.region or 0)
        if plan.by_name[array].spec.inner_chunks is not None:
            groups += _expanded_groups(plan, partitions, cells, workers)
            continue
        total = sum(partition.rows.cells for partition in partitions)
        share = min(max(-(-total // workers), 1), GROUP_CELLS)
        for run in _runs(partitions, share):
            group = _group(spec, run, cells, width, plan.record_size)
            if group is not None:
                groups.append((order_of(run), group))
                continue
            for part in _runs(run, cells):
                group = _group(spec, part, cells, width, plan.record_size)
                groups.append((order_of(part), group or _sliced(spec, part, cells, plan)))
    groups.sort(key=lambda pair: (pair[0], pair[1].array))
    return [group for _, group in groups]


def _expanded_groups(
    plan: Plan, partitions: Sequence[Partition], cells: int, workers: int
) -> list[tuple[int, Group]]:
    """As `make_groups`, for one expanded array: half of ``cells`` is for listing its shards."""
    total = sum(partition.objects.cells for partition in partitions)
    share = min(cells // 2, max(-(-total // workers), 1))
    batches: list[list[Partition]] = [[]]
    for partition in partitions:
        size = partition.objects.cells
        if size > cells // 2:
            raise InputError(
                f"{partition} has {size} shards, more than --memory can hold at once: give a "
                f"smaller --region, or {CHUNK_BYTES * (2 * size - cells) >> 20} MiB more"
            )
        if batches[-1] and sum(p.objects.cells for p in batches[-1]) + size > share:
            batches.append([])
        batches[-1].append(partition)
    groups = []
    for batch in batches:
        listed = sum(partition.objects.cells for partition in batch)
        inner = min(max((cells - listed) // INNER_CELLS, plan.record_size), INNER_MOST)
        inner = min(inner, max(partition.rows.cells for partition in batch))
        units = tuple(Unit(position, part.objects) for position, part in enumerate(batch))
        held = listed + INNER_CELLS * inner
        groups.append((order_of(batch), Group(batch[0].array, tuple(batch), (units,), held, inner)))
    return groups


def _runs(partitions: Sequence[Partition], cells: int) -> Iterator[list[Partition]]:
    """Yield neighbouring partitions that have at most ``cells`` chunks together, or one."""
    run: list[Partition] = []
    held = 0
    for partition in partitions:
        size = partition.rows.cells
        if run and held + size > cells:
            yield run
            run, held = [], 0
        run.append(partition)
        held += size
    if run:
        yield run


def _group(
    spec: ArraySpec, partitions: Sequence[Partition], cells: int, width: Width, record_size: int
) -> Group | None:
    """Return the group of one pass, or None when too much would be held at the same time."""
    total = sum(partition.rows.cells for partition in partitions)
    # Regions of a later axis all end with the last index before it. Cut along that too, in bands
    # thin enough, what is held of each is little.
    bands = any(partition.rows.count > 1 for partition in partitions) and total > cells
    most = max(UNIT_CELLS, total // UNITS)
    for size in (most, most // 10, most // 100) if bands else (most,):
        units = tuple(
            Unit(position, rows)
            for position, partition in enumerate(partitions)
            for rows in partition.rows.slices(min(size, cells), record_size)
        )
        if len(units) > MOST_UNITS:
            break
        held = total if total <= cells // 8 else held_cells(spec, units, width)
        if held <= cells:
            return Group(spec.name, tuple(partitions), (units,), held)
    return None


def _sliced(spec: ArraySpec, partitions: Sequence[Partition], cells: int, plan: Plan) -> Group:
    """Return the group of one partition that must be walked in several passes."""
    assert len(partitions) == 1, "neighbours that fit together are a group of one pass"
    slices = partitions[0].rows.slices(cells, plan.record_size)
    passes = tuple((Unit(0, rows),) for rows in slices)
    most = max(units[0].rows.cells for units in passes)
    return Group(spec.name, tuple(partitions), passes, most)


def held_cells(spec: ArraySpec, units: Sequence[Unit], width: Width) -> int:
    """Return how many chunks are held at the same time at most while ``units`` are walked.

    A unit is held from the first walk that can meet it until its last one has passed, and
    ``width.window`` neighbouring walks are under way together.
    """
    walks = walks_over(spec, [unit.rows for unit in units], width)
    needs = needed_ranks(spec, [unit.rows for unit in units], walks, width.page)
    begins, ends = np.zeros(len(walks) + 1, np.int64), np.zeros(len(walks) + 1, np.int64)
    for unit, need in zip(units, needs, strict=True):
        if need:
            begins[min(need)] += unit.rows.cells
            ends[max(need) + 1] += unit.rows.cells
    # While walk i is the first one under way, what began before i + window and did not end.
    begun = np.cumsum(begins)[np.minimum(np.arange(len(walks)) + width.window - 1, len(walks) - 1)]
    return int((begun - np.cumsum(ends)[: len(walks)]).max(initial=0))
