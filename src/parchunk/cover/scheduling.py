"""Scheduling: pending partitions become jobs that fit the memory bound."""

from __future__ import annotations

from collections.abc import Iterable

from parchunk.cover.jobs import Bundle, Work, order_of
from parchunk.cover.many_arrays import group_of, is_small, runs_of
from parchunk.cover.one_array import make_groups
from parchunk.cover.walks import Width
from parchunk.planning.plan import Partition, Plan


def make_work(
    plan: Plan, pending: Iterable[Partition], cells: int, width: Width, workers: int = 1
) -> list[Work]:
    """Return the bundles and groups for the pending partitions, by region, then by array.

    All pending partitions of a small array are in one bundle, which holds at most ``cells``
    chunks. Arrays that have no small neighbours, and all where ``width`` allows no bundles, are
    groups on their own, as `make_groups` makes them.
    """
    rest = list(pending)
    work: list[Work] = []
    if width.bundles:
        by_array: dict[str, list[Partition]] = {}
        for partition in rest:
            if is_small(plan.by_name[partition.array].spec, cells):
                by_array.setdefault(partition.array, []).append(partition)
        bundled: set[str] = set()
        for names in runs_of(plan, by_array, cells, width, workers):
            groups = tuple(group_of(by_array[name]) for name in names)
            work.append(Bundle(groups))
            bundled.update(names)
        rest = [partition for partition in rest if partition.array not in bundled]
    work += make_groups(plan, rest, cells, width, workers)
    work.sort(key=lambda item: (order_of(item.partitions), item.array))
    return work
