"""Chunks that no store has: those of arrays that a store lacks (``--join outer``). No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from parchunk.keys.row_sets import RowSet
from parchunk.planning.plan import Plan


def lacking_ranges(plan: Plan, array: str) -> tuple[tuple[int, int], ...]:
    """Return the chunk indices of an array along the joined dimension that are in no store.

    They are half-open ranges of the references' chunks, rising and apart.
    """
    stores = plan.stores
    if stores is None or array in stores.kept:
        return ()
    place = stores.place(array)
    if place.axis is None:
        return ()
    spec = plan.by_name[array].spec
    length, size = spec.reference_chunks[place.axis], spec.reference_grid[place.axis]
    found: list[tuple[int, int]] = []
    for at in stores.ranges[place.series]:
        store = stores.stores[at]
        if store.start == store.stop or stores.has(at, array):
            continue
        low, high = store.start // length, min(-(-store.stop // length), size)
        if found and found[-1][1] == low:
            low = found.pop()[0]
        found.append((low, high))
    return tuple(found)


def within(ranges: Sequence[tuple[int, int]], low: int, high: int) -> int:
    """Return how many numbers from ``low`` to ``high`` are in ranges that are apart."""
    return sum(max(min(stop, high) - max(start, low), 0) for start, stop in ranges)


def lacking_total(plan: Plan) -> int:
    """Return how many chunks of all arrays no store has."""
    total = 0
    for array in plan.arrays if plan.stores is not None else ():
        ranges = lacking_ranges(plan, array.spec.name)
        if ranges:
            grid, axis = array.spec.reference_grid, array.axis or 0
            others = prod((*grid[:axis], *grid[axis + 1 :]))
            total += sum(high - low for low, high in ranges) * others
    return total


def lacking_rows(plan: Plan, array: str, rows: RowSet) -> int:
    """Return how many of some rows of an array are chunks that no store has."""
    ranges = lacking_ranges(plan, array)
    if not ranges:
        return 0
    spec, axis = plan.by_name[array].spec, plan.by_name[array].axis or 0
    inner = prod(spec.reference_grid[axis + 1 :])
    period = spec.reference_grid[axis] * inner
    each = sum(high - low for low, high in ranges) * inner

    def before(number: int) -> int:
        outer, rest = divmod(number, period)
        whole, part = divmod(rest, inner)
        at = within(ranges, whole, whole + 1)
        return outer * each + within(ranges, 0, whole) * inner + at * part

    begin = rows.first * rows.period + rows.start
    # Runs of one partition lie at the same indices of the axis.
    return rows.count * (before(begin + rows.run) - before(begin))
