"""All record files are read, and what is known of each array is summed up as soon as its are.

What an array takes while it is read is let go then: there may be a hundred thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from parchunk.auditing.array_state import ArrayState
from parchunk.auditing.findings import Finding
from parchunk.auditing.gaps import Completeness, Steps, completeness
from parchunk.auditing.policy import Policy
from parchunk.auditing.progress import Reporter
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.record_files import checked_files
from parchunk.auditing.result import ArrayAudit, PartitionAudit
from parchunk.auditing.sharing import Hands
from parchunk.auditing.worst import Pictured
from parchunk.keys.numbers import Int64Array
from parchunk.out.output import Output
from parchunk.out.record_files import record_path
from parchunk.out.side_by_side import of_each
from parchunk.planning.labels import Labels
from parchunk.planning.plan import ArrayPlan, Partition, Plan


@dataclass(frozen=True, slots=True)
class Along:
    """What is known of an array along its axis: its steps, and runs of them in no store."""

    steps: Steps
    lacking: Sequence[tuple[int, int]]


@dataclass
class AllArrays:
    """What is known of a plan's arrays by now.

    ``along`` are those that have the split dimension, where these are asked for, and all of many
    stores. ``findings`` are what is wrong with files, and what is missing.
    """

    plan: Plan
    policy: Policy
    audited: list[ArrayAudit] = field(default_factory=list)
    partitions: list[PartitionAudit] = field(default_factory=list)
    along: list[Along] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    file_bytes: int = 0
    _pictured: Pictured = field(default_factory=Pictured)
    _strange: list[ArrayState] = field(default_factory=list)
    #: Lengths of split arrays in which gaps count, and what of these is not known to be whole.
    _lengths: set[int] = field(default_factory=set)
    _incomplete: list[Int64Array] = field(default_factory=list)
    _end: int = 0

    def take(
        self,
        state: ArrayState,
        array: ArrayPlan,
        paths: Sequence[str],
        labels: Labels,
        steps: bool,
    ) -> None:
        """Take in an array whose record files are read; keep its ``steps`` where that is asked.

        ``paths`` are what lies in its folder of OUT.
        """
        summary = state.summary(labels)
        self.audited.append(summary)
        self.partitions += state.partitions
        self.files += state.files
        self.file_bytes += state.file_bytes
        told = [*state.extra_files(paths), *state.coverage_findings(summary)]
        if state.strangers:
            self._strange.append(state)  # what they are is known when all receipts are looked at
        else:
            told += state.damage({})
        self.findings += told
        damaged = bool(state.strangers) or any(found.severity == "damage" for found in told)
        concerned = damaged or any(found.severity != "notice" for found in told)
        self._pictured.take(summary, damaged, concerned)
        if self.plan.stores is not None or (steps and self._is_along(state)):
            self.along.append(Along(state.steps, state.lacking))
        if array.axis is not None and not self.policy.allows_gaps(state.spec.name):
            self._lengths.add(state.spec.shape[array.axis])
            incomplete = state.steps.incomplete()
            if len(incomplete):
                self._incomplete.append(incomplete)
            self._end = max(self._end, self.policy.stop(state.spec, array.axis))

    def _is_along(self, state: ArrayState) -> bool:
        split = self.plan.split
        return split is not None and split.axis_in(state.spec) == state.steps.axis

    def name_strangers(self, done: Sequence[Audited]) -> None:
        """Tell what files are wrong that are not what their receipts say, and what they really are.

        ``done`` are the partitions that the digests of all files are known of.
        """
        by_digest = _by_digest(done) if self._strange else {}
        for state in self._strange:
            self.findings += state.damage(by_digest)

    def completeness(self) -> Completeness | None:
        """Return the latest complete step over all split arrays whose gaps are not allowed."""
        plan = self.plan
        if plan.split is None or not plan.regions or not self._lengths:
            return None
        none: Int64Array = np.empty((0, 2), np.int64)
        # Where nothing is expected, nothing is complete either.
        ranges = [(length, none) for length in (*sorted(self._lengths), self._end)]
        extent = plan.regions[-1].stop
        ranges += [(extent, incomplete) for incomplete in self._incomplete]
        return completeness(str(plan.split), ranges, extent)


def read_arrays(
    plan: Plan,
    output: Output,
    policy: Policy,
    done: Sequence[Audited],
    undone: Sequence[Partition],
    labels: Labels,
    memory: int,
    hands: Hands | None,
    reporter: Reporter,
    steps: bool,
) -> AllArrays:
    """Read all record files; keep what periods are told by where ``steps`` are asked for."""
    found = AllArrays(plan, policy)
    done_of: defaultdict[str, list[Audited]] = defaultdict(list)
    for item in done:
        done_of[item.partition.array].append(item)
    undone_of: defaultdict[str, list[Partition]] = defaultdict(list)
    for partition in undone:
        undone_of[partition.array].append(partition)
    done_of_each = [done_of[array.spec.name] for array in plan.arrays]
    files = checked_files(plan, output, policy, done_of_each, memory, hands, reporter.checked)
    names = [array.spec.name for array in plan.arrays]
    with closing(files) as results, closing(of_each(output, output.paths, names)) as folders:
        for array, items, paths in zip(plan.arrays, done_of_each, folders, strict=True):
            state = ArrayState(plan, array, output, policy)
            for partition in undone_of.get(array.spec.name, ()):
                state.leave(partition)
            state.check(items, results)
            found.take(state, array, paths, labels, steps)
    found.name_strangers(done)
    return found


def _by_digest(done: Sequence[Audited]) -> dict[str, str]:
    """Return the path of the record file that each digest is promised of."""
    return {
        file.digest: record_path(item.partition.array, file.index)
        for item in done
        if item.receipt
        for file in item.receipt.record_files
    }
