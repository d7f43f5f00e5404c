"""The latest complete step, from receipts; record files are read only where those leave it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec
from parchunk.out.labels import read_labels
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt
from parchunk.planning.labels import Labels
from parchunk.planning.plan import ArrayPlan, Partition, PartitionKey, Plan
from parchunk.reading.rows import read_rows


@dataclass(frozen=True)
class LatestStep:
    """The last ``element`` of the split dimension at which no split array misses a chunk.

    None where there is none. ``label`` is its date, where it has one; ``extent`` the dimension's
    length.
    """

    dimension: str
    element: int | None
    label: str | None
    extent: int

    def __str__(self) -> str:
        """Return what a status says of it."""
        if self.element is None:
            return f"none of {self.extent:,} along {self.dimension}"
        date = f" ({self.label})" if self.label else ""
        return f"{self.element:,}{date} of 0 to {self.extent - 1:,} along {self.dimension}"


@dataclass(frozen=True)
class _Doubtful:
    """A partition of which some chunks are missing, and the elements that it has rows of."""

    partition: Partition
    receipt: Receipt
    array: ArrayPlan
    start: int
    stop: int


def latest_step(
    plan: Plan, output: Output, receipts: Mapping[PartitionKey, Receipt]
) -> LatestStep | None:
    """Return the latest complete step of a finished build.

    None where nothing is split, or a record file is damaged: an audit says which.
    """
    if plan.split is None or not plan.regions:
        return None
    try:
        element = latest_complete(plan, output, receipts)
    except InputError:
        return None
    label = None if element is None else (read_labels(output) or Labels()).of(element)
    return LatestStep(str(plan.split), element, label, plan.regions[-1].stop)


def latest_complete(
    plan: Plan, output: Output, receipts: Mapping[PartitionKey, Receipt]
) -> int | None:
    """Return the last element of the split dimension at which no split array misses a chunk.

    Raises
    ------
    InputError
        When a record file is gone, or is not what its receipt says.
    """
    extent = plan.regions[-1].stop if plan.regions else 0
    incomplete = np.zeros(extent, bool)
    doubtful: list[_Doubtful] = []
    for array in plan.arrays:
        if array.axis is None:
            continue
        incomplete[array.spec.shape[array.axis] :] = True
        for partition in array.partitions(plan.record_size):
            if not partition.rows.total:
                continue
            receipt = receipts.get(partition.key)
            start, stop = _elements(array.spec, array.axis, partition.rows)
            if receipt is None or not receipt.present:
                incomplete[start:stop] = True
            elif receipt.missing:
                doubtful.append(_Doubtful(partition, receipt, array, start, stop))
    while True:
        candidates = np.flatnonzero(~incomplete)
        if not len(candidates):
            return None
        last = int(candidates[-1])
        about = [item for item in doubtful if item.start <= last < item.stop]
        if not about:
            return last
        for item in about:
            _mark(item, plan, output, incomplete)
            doubtful.remove(item)


def _elements(spec: ArraySpec, axis: int, rows: RowSet) -> tuple[int, int]:
    """Return the range of elements along an axis that some of a partition's rows are of."""
    grid, length = spec.reference_grid, spec.reference_chunks[axis]
    inner, size = prod(grid[axis + 1 :]), grid[axis]
    first, last = rows.start // inner, (rows.stop - 1) // inner
    if last - first + 1 >= size:
        return 0, spec.shape[axis]
    return first % size * length, min((last % size + 1) * length, spec.shape[axis])


def _mark(item: _Doubtful, plan: Plan, output: Output, incomplete: NDArray[np.bool_]) -> None:
    """Mark the elements of which a partition misses chunks."""
    spec, axis = item.array.spec, item.array.axis
    assert axis is not None
    inner, size = prod(spec.reference_grid[axis + 1 :]), spec.reference_grid[axis]
    length = spec.reference_chunks[axis]
    for rows in read_rows(output, item.partition, item.receipt.record_files, plan.record_size):
        lost = rows.begin + np.flatnonzero(~(rows.referenced | rows.inlined))
        for step in np.unique(lost // inner % size).tolist():
            incomplete[step * length : (step + 1) * length] = True
