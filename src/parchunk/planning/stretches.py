"""Stretches: partitions that follow each other, array by array, so that a pair of integers names
them on every machine that has the plan.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from parchunk.planning.plan import Partition, Plan


def partition_count(plan: Plan) -> int:
    """Return how many partitions a plan has."""
    return sum(array.regions for array in plan.arrays)


def partitions_in(plan: Plan, start: int, stop: int) -> Iterator[Partition]:
    """Yield the partitions ``[start, stop)``: all regions of the first array, then of the next.

    `Plan.partitions` has another order, that of regions.
    """
    for at, first, last in _arrays_in(plan, start, stop):
        array = plan.arrays[at]
        for region in range(first, last):
            yield array.partition(None if array.axis is None else region, plan.record_size)


def stretch_name(plan: Plan, start: int, stop: int) -> str:
    """Return what a stretch is called for people: ``t2m regions 3-7``."""
    names = []
    for at, first, last in _arrays_in(plan, start, stop):
        array = plan.arrays[at]
        if array.axis is None:
            names.append(array.spec.name)
        elif last - first == 1:
            names.append(f"{array.spec.name} region {first}")
        else:
            names.append(f"{array.spec.name} regions {first}-{last - 1}")
        if len(names) == 3:
            break
    more = sum(1 for _ in _arrays_in(plan, start, stop)) - 2
    if more > 1:
        names[2:] = [f"{more:,} more arrays"]
    return ", ".join(names) or "nothing"


def _arrays_in(plan: Plan, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield which regions of which arrays a stretch has: (array's position, first, end)."""
    begins = list(accumulate((array.regions for array in plan.arrays), initial=0))
    at = bisect_right(begins, start) - 1
    while at < len(plan.arrays) and begins[at] < stop:
        first = max(start - begins[at], 0)
        last = min(stop - begins[at], plan.arrays[at].regions)
        if first < last:
            yield at, first, last
        at += 1
