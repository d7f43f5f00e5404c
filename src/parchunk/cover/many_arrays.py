"""Bundles: neighbouring small arrays that one walk lists, and what all listings cost. No I/O.

An array of a hundred chunks is a tenth of a page, and a store may hold thousands of them side by
side. What `parchunk.cover.one_array` does for the regions of one array, a bundle does for small
arrays.
"""

from __future__ import annotations

from collections.abc import Iterator

from parchunk.cover.contents import contents_of
from parchunk.cover.jobs import MEMBER_CELLS, Group, Unit
from parchunk.cover.walks import LEAST_PAGES, MOST_PAGES, Width
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Partition, Plan

#: Chunks of a small array, at most: beyond, to begin a request of its own costs little.
SMALL = 5_000
#: Arrays of a bundle, at most.
MOST_MEMBERS = 1_000


def is_small(spec: ArraySpec, cells: int) -> bool:
    """Whether an array is listed together with its neighbours, where it has any."""
    return spec.inner_chunks is None and 0 < spec.total <= min(SMALL, cells)


def group_of(partitions: list[Partition]) -> Group:
    """Return the group of a small array: one pass, a unit for each partition."""
    partitions.sort(key=lambda partition: partition.region or 0)
    units = tuple(Unit(position, part.rows) for position, part in enumerate(partitions))
    cells = sum(partition.rows.cells for partition in partitions)
    return Group(partitions[0].array, tuple(partitions), (units,), cells)


def runs_of(
    plan: Plan, pending: dict[str, list[Partition]], cells: int, width: Width, workers: int
) -> Iterator[list[str]]:
    """Yield names of small arrays that are listed together, two or more.

    A run ends where the known keys up to the next one are more than a page, which would cost a
    request anyway, and when it is long: several are listed side by side.
    """
    total = sum(partition.rows.cells for parts in pending.values() for partition in parts)
    pages = -(-total // (width.pieces * workers * width.page))
    most = min(max(pages, LEAST_PAGES), MOST_PAGES) * width.page
    run: list[str] = []
    keys = held = foreign = 0
    for item in contents_of(plan):
        if item.array not in pending:
            foreign += item.keys
            continue
        size = MEMBER_CELLS + sum(partition.rows.cells for partition in pending[item.array])
        if run and (
            foreign > width.page
            or keys + foreign + item.keys > most
            or held + size > cells
            or len(run) == MOST_MEMBERS
        ):
            if len(run) > 1:
                yield run
            run, keys, held = [], 0, 0
        run.append(item.array)
        keys += item.keys + (foreign if len(run) > 1 else 0)
        held += size
        foreign = 0
    if len(run) > 1:
        yield run
