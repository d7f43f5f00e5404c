"""The coverage of arrays along one dimension, as strips of few states: what all pictures draw.

A stretch in which anything is missing is never told as one that is whole, however long it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from parchunk.auditing.result import ArrayAudit, AuditReport
from parchunk.auditing.worst import rank_of

#: What a stretch is, by its number: the worse the higher.
STATES = ("not expected", "all there", "under 10 % missing", "10 % or more missing",
          "all missing", "not built, or unreadable")  # fmt: skip
BY_DESIGN, THERE, FEW, MANY, MISSING, UNREAD = range(6)


@dataclass(frozen=True)
class Strip:
    """One array from left to right.

    ``states`` are numbers of `STATES`, one a stretch; ``edges`` where each begins, and the last
    one ends, as shares of the dimension's extent.
    """

    array: ArrayAudit
    edges: NDArray[np.float64]
    states: NDArray[np.int64]

    def runs(self) -> Iterator[tuple[float, float, int]]:
        """Yield left, right and state of neighbouring stretches of one state."""
        changes = [0, *(np.flatnonzero(np.diff(self.states)) + 1).tolist(), len(self.states)]
        for first, last in pairwise(changes):
            if first < last:
                left, right = float(self.edges[first]), float(self.edges[last])
                yield left, right, int(self.states[first])

    def cells(self, count: int) -> NDArray[np.int64]:
        """Return the worst state within each of ``count`` equal parts; -1 beyond the array's end.

        Of shares that meet in one part, the worse one is shown.
        """
        found = np.full(count, -1)
        for left, right, state in self.runs():
            first = int(left * count + 1e-9)
            last = max(int(np.ceil(right * count - 1e-9)), first + 1)
            np.maximum(found[first:last], state, out=found[first:last])
        return found


@dataclass(frozen=True)
class Strips:
    """What there is to draw: the dimension's ``name``, its ``extent``, the arrays, worst first.

    Strips are made as they are drawn: there may be a hundred thousand arrays.
    """

    report: AuditReport
    name: str
    extent: int
    arrays: Sequence[ArrayAudit]

    def of(self, arrays: Sequence[ArrayAudit]) -> list[Strip]:
        """Return the strips of some of the arrays."""
        return [_strip(self.report, array, self.extent) for array in arrays]


def strips_of(report: AuditReport) -> Strips:
    """Return what is drawn of a report.

    Arrays that lack the split dimension are left out, unless all do; so are empty ones.
    """
    plan = report.plan
    along = [a for a in report.arrays if plan.by_name[a.array].axis is not None]
    arrays = worst_first(report, [a for a in along or report.arrays if a.expected])
    extent = max((_length(report, array) for array in arrays), default=1)
    if along and plan.split is not None and plan.regions:
        extent = max(extent, plan.regions[-1].stop)
    name = str(plan.split) if along and plan.split is not None else "the first axis"
    return Strips(report, name, extent, arrays)


def worst_first(report: AuditReport, arrays: list[ArrayAudit]) -> list[ArrayAudit]:
    """Return arrays by what they lack: see `parchunk.auditing.worst`."""
    damaged = {found.array for found in report.findings if found.severity == "damage"}
    concerned = {found.array for found in report.findings if found.severity != "notice"}
    return sorted(arrays, key=lambda a: rank_of(a, a.array in damaged, a.array in concerned))


def _length(report: AuditReport, array: ArrayAudit) -> int:
    spec = report.plan.by_name[array.array].spec
    return spec.shape[array.heat.axis] if spec.rank else 1


def _strip(report: AuditReport, array: ArrayAudit, extent: int) -> Strip:
    heat, spec = array.heat, report.plan.by_name[array.array].spec
    if not heat.kept:
        ends = np.array([0, _length(report, array) / max(extent, 1)])
        return Strip(array, ends, np.array([_state_of_all(array)]))
    expected, seen = heat.expected.sum(axis=0), heat.seen.sum(axis=0)
    present, apart = heat.present.sum(axis=0), heat.apart.sum(axis=0)
    missing = seen - present - apart
    wanted = expected - apart
    states = np.select(
        [
            seen < expected, wanted == 0, missing == 0, present == 0,
            missing * 10 < wanted,
        ],
        [UNREAD, BY_DESIGN, THERE, MISSING, FEW],
        default=MANY,
    )  # fmt: skip
    # A stretch begins with the first chunk that falls into it.
    steps = -(-np.arange(heat.across + 1) * heat.steps // max(heat.across, 1))
    chunk = spec.reference_chunks[heat.axis] if spec.rank else 1
    ends = np.minimum(steps * chunk, _length(report, array))
    return Strip(array, ends / max(extent, 1), states.astype(np.int64))


def _state_of_all(array: ArrayAudit) -> int:
    """Return the state of an array from its counts alone."""
    wanted = array.expected - array.excused - array.lacking
    if array.unread:
        return UNREAD
    if not wanted:
        return BY_DESIGN
    if not array.missing:
        return THERE
    if array.missing == wanted:
        return MISSING
    return FEW if array.missing * 10 < wanted else MANY
