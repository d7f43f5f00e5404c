"""Dividing a plan among machines: into stretches of partitions that cost about the same. No I/O.

What a stretch costs is what listing it alone does. Low regions are dear alone, as their keys are
strewn among all others (see `parchunk.cover.intervals`), so they are with few others.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parchunk.cover import intervals
from parchunk.cover.limits import USUAL
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.shard_stretches import index_requests
from parchunk.metadata.shards import shard_layout
from parchunk.planning.plan import ArrayPlan, PartitionKey, Plan
from parchunk.planning.stretches import partition_count
from parchunk.stores.manner import Manner

#: LIST requests that a GET of a shard's index is worth, by the time that each takes.
GET_COST = 2 / 3
#: Rows whose writing takes about as long as a LIST request beside others.
ROWS_OF_A_REQUEST = 20_000
#: LIST requests, or their like, of a stretch unless a number of stretches is asked for: some
#: minutes of one machine, so that little is lost with one that is killed.
STRETCH_COST = 2_000
#: Runs of numbers whose intervals are worked out; what has more is taken to cost its pages.
_MOST_RUNS = 2_000_000


@dataclass(frozen=True)
class Stretch:
    """Partitions ``[start, stop)`` in the order of `parchunk.planning.stretches`.

    ``cost`` is what doing them takes, in LIST requests or their like.
    """

    start: int
    stop: int
    cost: float


def divide(
    plan: Plan,
    manner: Manner,
    parts: int | None = None,
    done: Collection[PartitionKey] = (),
    least: int = 1,
) -> list[Stretch]:
    """Return stretches that hold all partitions that are not ``done``, of about equal cost.

    There are ``parts`` at most; unless that is said, as many as make each worth its beginning, or
    ``least`` if that is more. The dearest is as cheap as it can be. Equal arguments give equal
    stretches on every machine.
    """
    costs = costs_of(plan, manner)
    if done:
        keys = (
            (array.spec.name, None if array.axis is None else region)
            for array in plan.arrays
            for region in range(array.regions)
        )
        costs *= np.fromiter((key not in done for key in keys), bool, len(costs))
    total = float(costs.sum())
    if parts is None:
        parts = max(round(total / STRETCH_COST), least, 1)
    ends = np.concatenate([[0.0], np.cumsum(costs)])
    low, high = max(float(costs.max(initial=0)), total / parts), total
    # The least bound by which filling one stretch after another needs no more than there are.
    for _ in range(40):
        middle = (low + high) / 2
        if len(_filled(ends, middle, parts)) <= parts:
            high = middle
        else:
            low = middle
    found = []
    for start, stop in _filled(ends, high, len(costs)):
        cost = float(ends[stop] - ends[start])
        if cost:
            found.append(Stretch(start, stop, cost))
    return found


def costs_of(plan: Plan, manner: Manner) -> NDArray[np.float64]:
    """Return what each partition costs alone, in LIST requests or their like."""
    found = [_costs_of(plan, array, manner) for array in plan.arrays]
    return np.concatenate([np.empty(0), *found])


def _filled(ends: NDArray[np.float64], most: float, parts: int) -> list[tuple[int, int]]:
    """Fill stretches up to ``most`` one after another; stop once there are more than ``parts``."""
    found: list[tuple[int, int]] = []
    start, count = 0, len(ends) - 1
    slack = 1e-9 * float(ends[-1])
    while start < count and len(found) <= parts:
        stop = int(np.searchsorted(ends, ends[start] + most + slack, side="right")) - 1
        stop = min(max(stop, start + 1), count)
        found.append((start, stop))
        start = stop
    return found


def _costs_of(plan: Plan, array: ArrayPlan, manner: Manner) -> NDArray[np.float64]:
    spec = array.spec
    parts = list(array.partitions(plan.record_size))
    objects = np.array([part.objects.total for part in parts], np.float64)
    rows = np.array([part.rows.total for part in parts], np.float64)
    costs = objects / manner.page
    # Of many stores, an array's chunks lie in a grid in each, so that none is strewn far.
    if manner.remote and manner.ordered and array.regions > 1 and plan.stores is None:
        costs = np.maximum(costs, _requests(spec.grid, [part.objects for part in parts], manner))
    if spec.inner_chunks is not None:
        costs += GET_COST * index_requests(shard_layout(spec), USUAL.index_bytes) * objects
    # A partition without rows takes a receipt all the same.
    return costs + np.maximum(rows, 1) / ROWS_OF_A_REQUEST


def _requests(grid: tuple[int, ...], row_sets: list[RowSet], manner: Manner) -> NDArray[np.float64]:
    """Return the LIST requests that each of some row sets takes alone."""
    if sum(rows.count for rows in row_sets) > _MOST_RUNS:
        return np.zeros(len(row_sets))
    owners, begins, ends = [], [], []
    for at, rows in enumerate(row_sets):
        for run in range(rows.first, rows.first + rows.count):
            owners.append(at)
            begins.append(run * rows.period + rows.start)
            ends.append(run * rows.period + rows.stop)
    runs, spans = intervals.intervals_of_each_run(grid, begins, ends, manner.page)
    # Neighbouring runs of one row set share intervals that lie closer than a page.
    owner = np.array(owners, np.int64)[runs]
    order = np.lexsort((spans[:, 0], owner))
    owner, spans = owner[order], spans[order]
    begun = np.ones(len(spans), bool)
    begun[1:] = (owner[1:] != owner[:-1]) | (spans[1:, 0] > spans[:-1, 1] + manner.page)
    firsts = np.flatnonzero(begun)
    lasts = np.append(firsts[1:], len(spans)) - 1
    pages = -(-(spans[lasts, 1] - spans[firsts, 0]) // manner.page)
    found = np.zeros(len(row_sets))
    np.add.at(found, owner[firsts], pages)
    return found


def parts_of(plan: Plan, manner: Manner, parts: int) -> list[Stretch]:
    """Return exactly ``parts`` stretches, the last of them perhaps of nothing."""
    found = divide(plan, manner, parts)
    end = partition_count(plan)
    return found + [Stretch(end, end, 0.0)] * (parts - len(found))
